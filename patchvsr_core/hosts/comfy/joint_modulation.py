"""Joint modulation inside ComfyUI's own samplers.

A CALC_COND_BATCH wrapper cuts the canvas into patches, runs the native machinery on each batch
of them and fuses what it predicts; any sampler, scheduler or guider sees only the fused result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError, phrase
from ...plan.canvas import Patch, PatchPlan
from ...preview.region import RegionOnly
from ...propagation.attention import AttentionRun
from ...run.memory import patches_together
from ...sampling.joint_modulation import check_canvas, check_steps, fuse
from ...sampling.patch_skipping import SkipPolicy, make_patch_skipping
from .adapter import INPUT, KEY, PATCHES, InputClip, refuse_second
from .attention import NEGATIVES, RUN, negatives_of, options_of
from .control_nets import ControlNetCutter
from .layout import as_batch, as_canvas, from_batch
from .patch_inputs import PatchInputs, has_areas
from .progress import check_interrupt
from .run_times import Clock, PatchTimer
from .schedule import position, schedule_of
from .tiny import BridgeSampling

log = logging.getLogger(__name__)

NEARLY = 1 - 1e-5
"""Of the highest noise level: above it a run starts from noise alone, whatever rounding made of it."""
FOCUS = "patchvsr_focus"
"""Key in transformer_options: the origins of the only patches that run."""


@dataclass(frozen=True)
class FusionOptions:
    """Choices of the merger."""

    patches_at_once: int = 0
    """Patches per model call; 0: as many as fit and are of use."""
    auxiliary_range: tuple[float, float] = (float("inf"), 0.0)
    """(from, to) noise levels at which auxiliary patches run; elsewhere the primary grid alone."""
    skip_interval: int = 1
    """Static patches run only every n-th step; 1: every step."""
    report: Callable[[int, int], None] | None = None
    """Called with (patches done, of all steps) in place of the node's own bar."""


def attach_joint_modulation(model: Any, plan: PatchPlan, options: FusionOptions = FusionOptions()) -> Any:
    """A clone of ``model`` that denoises the whole canvas patch by patch."""
    refuse_second(model, WrappersMP.CALC_COND_BATCH, "Joint-Modulation Merger")
    patched = model.clone()
    joint = _JointModulation(plan, options)
    patched.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, joint.calc_cond_batch)
    patched.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, KEY, joint.prepare_sampling)
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, joint.sample)
    return patched


@dataclass(eq=False)
class _Kept:
    """What a run keeps from step to step for one set of prompts: guidance nodes evaluate others, too."""

    skip_policy: SkipPolicy | None = None
    attention: AttentionRun | None = None


class _JointModulation:
    def __init__(self, plan: PatchPlan, options: FusionOptions) -> None:
        self.plan, self.options = plan, options
        self.patches_at_once = options.patches_at_once or 1
        self.kept: dict[Any, _Kept] = {}
        self.inputs: PatchInputs | None = None
        self.negatives: frozenset[Any] = frozenset()
        self.evaluations, self.seconds = 0, 0.0

    def calc_cond_batch(
        self, executor: Any, model: Any, conds: Any, x: Tensor, sigma: Tensor, model_options: dict[str, Any]
    ) -> list[Tensor]:
        """Wraps ComfyUI's evaluation of all conditions on one state."""
        images, canvas = x.ndim == 4, as_canvas(x)
        self._check(canvas, model_options)
        transformer_options = model_options.get("transformer_options", {})
        schedule = schedule_of(transformer_options)
        step, steps = position(sigma, schedule)
        check_steps(self.plan, steps)
        start, end = self.options.auxiliary_range
        patches = self.plan.at_step(step, auxiliary=end <= float(sigma.max()) <= start)
        progress = _Progress(step, steps, self.options.report or comfy.utils.ProgressBar(steps).update_absolute)
        inputs = self.inputs = self.inputs or self._make_inputs(model, images)
        kept = self.kept.setdefault(_prompts_of(conds), _Kept())

        def denoise(x: Tensor, sigma: Tensor, control: list[Patch]) -> list[Tensor]:
            of_call = {**transformer_options, PATCHES: (self.plan, control), RUN: kept.attention}
            of_call[NEGATIVES] = self.negatives
            options = {**model_options, "transformer_options": of_call}
            self.evaluations += len(x) * sum(group is not None for group in conds)
            rows = _rows_of_sigma(sigma, control, images)
            out = executor(model, inputs.cut(conds, control), as_batch(x, images=images), rows, options)
            return [from_batch(each, x.shape[2], images=images) for each in out]

        def fused() -> list[Tensor]:
            attention = self._attention(kept, transformer_options, steps)
            if kept.skip_policy is None:
                from_input = _starts_from_input(model, schedule)
                kept.skip_policy = self._make_skip_policy(transformer_options, steps, len(conds), from_input, attention)
            return fuse(
                denoise,
                canvas,
                sigma,
                patches,
                list,
                patches_at_once=1 if has_areas(conds) else self.patches_at_once,
                on_patches=progress,
                attention=attention,
                skip_policy=kept.skip_policy,
                step=step,
            )

        clock = Clock()
        predictions = self._with_back_off(fused, kept)
        self.seconds += clock.seconds()
        return [as_batch(each, images=images) for each in predictions]

    def _make_inputs(self, model: Any, images: bool) -> PatchInputs:
        canvas = self.plan.canvas
        return PatchInputs(canvas.latent_shape, images, model, ControlNetCutter(canvas, images=images))

    def _attention(self, kept: _Kept, transformer_options: dict[str, Any], steps: int) -> AttentionRun | None:
        """The run in progress; a single patch has no others to look at."""
        options = options_of(transformer_options)
        if options is None or not options.active or FOCUS in transformer_options:
            return None
        if kept.attention is None:
            kept.attention = AttentionRun(options, self.plan, steps)
        return kept.attention

    def _make_skip_policy(
        self,
        transformer_options: dict[str, Any],
        steps: int,
        conditions: int,
        from_input: bool,
        attention: AttentionRun | None,
    ) -> SkipPolicy | None:
        """What chooses the patches to skip in the run in progress."""
        if FOCUS in transformer_options:
            clip = _input_of(transformer_options, phrase("Patch Preview"))
            return RegionOnly(transformer_options[FOCUS], [clip.upsampled] * conditions)
        if self.options.skip_interval == 1:
            return None
        clip = _input_of(transformer_options, phrase("Patch skipping"))
        upsampled = [clip.upsampled] * conditions if from_input else None
        return make_patch_skipping(
            self.options.skip_interval, steps, clip.find_static, upsampled, attention=attention is not None
        )

    def _check(self, canvas: Tensor, model_options: dict[str, Any]) -> None:
        """Raise for another canvas."""
        if model_options.get("context_handler") is not None and canvas.shape[2] != self.plan.canvas.latent_frames:
            raise PlanError("The plan has time windows of its own; remove the context-window node before the sampler.")
        check_canvas(canvas, self.plan)

    def prepare_sampling(self, executor: Any, model: Any, noise_shape: Any, *args: Any, **kwargs: Any) -> Any:
        """Every run: memory is reserved for a batch of patches, not for the canvas."""
        self.patches_at_once = self.options.patches_at_once or self._count_that_fit(model, noise_shape)
        return executor(model, self._shape(noise_shape, self.patches_at_once), *args, **kwargs)

    def _count_that_fit(self, model: Any, noise_shape: Any) -> int:
        """Patches per model call; ComfyUI estimates what one needs, and what is free."""
        one, two = (model.memory_required(self._shape(noise_shape, count)) for count in (1, 2))
        free = comfy.model_management.get_free_memory(model.load_device)
        return patches_together(self.plan, two - one, model.load_device, free)

    def _shape(self, noise_shape: Any, count: int) -> list[int]:
        """Of so many patches in one model call."""
        frames, height, width = self.plan.patch_size
        if len(noise_shape) == 4:
            return [count * frames, noise_shape[1], height, width]
        return [count, noise_shape[1], frames, height, width]

    def sample(self, executor: Any, guider: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Every run: what patches cached of one another ends with it.

        All that could fail is done before sampling, so that a finished result is never lost.
        """
        self.kept, self.inputs = {}, None
        self.negatives, timer = negatives_of(guider), PatchTimer(guider.model_patcher, self.plan)
        self.evaluations, self.seconds = 0, 0.0
        try:
            samples = executor(guider, *args, **kwargs)
        finally:
            self.kept, self.inputs = {}, None
        timer.note(self.evaluations, self.seconds)
        return samples

    def _with_back_off(self, run: Callable[[], list[Tensor]], kept: _Kept) -> list[Tensor]:
        """Take less for the rest of the run when memory runs out; one patch that does not fit is a real error."""
        while True:
            try:
                return run()
            except (RuntimeError, ValueError, TypeError) as error:
                if not (self._step_down(kept) if _is_out_of_memory(error) else self._one_by_one(kept, error)):
                    raise
            comfy.model_management.soft_empty_cache()

    def _one_by_one(self, kept: _Kept, error: Exception) -> bool:
        """For a model that takes no batches; one that fails with a single patch too has a real error."""
        if self.patches_at_once == 1:
            return False
        if kept.attention is not None:
            kept.attention.drop_pass()
        self.patches_at_once = 1
        log.info("PatchVSR: the model took no batch of patches (%s); continuing with one at a time", error)
        return True

    def _step_down(self, kept: _Kept) -> bool:
        """Fewer patches at once, then their caches in main memory; False when there is nothing left."""
        if kept.attention is not None:
            kept.attention.drop_pass()
        if self.patches_at_once > 1:
            self.patches_at_once //= 2
            log.info("PatchVSR: out of memory; continuing with %d patches at once", self.patches_at_once)
            return True
        if kept.attention is None or kept.attention.options.offload:
            return False
        kept.attention = AttentionRun(replace(kept.attention.options, offload=True), self.plan, kept.attention.steps)
        log.info(
            "PatchVSR: out of memory; continuing with the caches of attention propagation in main memory (offload)"
        )
        return True


def _prompts_of(conds: Any) -> tuple[Any, ...]:
    """Tells sets of prompts apart, by the numbers that ComfyUI gives each when a run begins."""
    return tuple(None if group is None else tuple(cond.get("uuid") for cond in group) for group in conds)


def _is_out_of_memory(error: Exception) -> bool:
    try:
        comfy.model_management.raise_non_oom(error)
    except Exception:  # what it was given
        return False
    return True


def _input_of(transformer_options: dict[str, Any], who: str) -> InputClip:
    if INPUT not in transformer_options:
        raise PlanError(f"{who} needs the clip; connect Apply PatchVSR before Joint-Modulation Merger.")
    return transformer_options[INPUT]


def _starts_from_input(base: Any, schedule: Tensor | None) -> bool:
    """Whether the first state holds the upsampled LR input: a bridge's, or one that starts below full noise."""
    if isinstance(base.model_sampling, BridgeSampling):
        return True
    return schedule is not None and float(schedule[0]) < NEARLY * float(base.model_sampling.sigma_max)


def _rows_of_sigma(sigma: Tensor, patches: list[Patch], images: bool) -> Tensor:
    """The noise level in the rows that a model is given: one a patch, or one a frame of it."""
    if not images:
        return sigma.expand(len(patches), *sigma.shape[1:])
    frames = patches[0].size[0]
    if len(sigma) == 1:
        return sigma.expand(len(patches) * frames)
    return torch.cat([sigma[patch.origin[0] : patch.origin[0] + frames] for patch in patches])


class _Progress:
    """Patches of all steps on the node's bar; the sampler's own update after a step agrees with it."""

    def __init__(self, step: int, steps: int, report: Callable[[int, int], None]) -> None:
        self.step, self.steps, self.report = step, steps, report

    def __call__(self, done: int, total: int) -> None:
        check_interrupt()
        if done < total:
            self.report(self.step * total + done, self.steps * total)
