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
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...plan.canvas import Patch, PatchPlan
from ...preview.region import RegionOnly
from ...propagation.attention import AttentionRun
from ...run.memory import patches_together
from ...sampling.joint_modulation import check_canvas, check_steps, fuse
from ...sampling.patch_skipping import SkipPolicy, make_patch_skipping
from .adapter import INPUT, KEY, PATCHES, InputClip, refuse_second
from .attention import NEGATIVES, RUN, negatives_of, options_of
from .loading import base_spec
from .progress import check_interrupt
from .run_times import Clock, note_patches
from .schedule import position, schedule_of
from .tiny import BridgeSampling

log = logging.getLogger(__name__)

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


class _JointModulation:
    def __init__(self, plan: PatchPlan, options: FusionOptions) -> None:
        self.plan, self.options = plan, options
        self.patches_at_once = options.patches_at_once or 1
        self.skip_policy: SkipPolicy | None = None
        self.attention: AttentionRun | None = None
        self.negatives: frozenset[Any] = frozenset()
        self.evaluations, self.seconds = 0, 0.0

    def calc_cond_batch(
        self, executor: Any, model: Any, conds: Any, x: Tensor, sigma: Tensor, model_options: dict[str, Any]
    ) -> list[Tensor]:
        """Wraps ComfyUI's evaluation of all conditions on one state."""
        self._check(conds, x, model_options)
        transformer_options = model_options.get("transformer_options", {})
        schedule = schedule_of(transformer_options)
        step, steps = position(sigma, schedule)
        check_steps(self.plan, steps)
        start, end = self.options.auxiliary_range
        patches = self.plan.at_step(step, auxiliary=end <= float(sigma.max()) <= start)
        progress = _Progress(step, steps, self.options.report or comfy.utils.ProgressBar(steps).update_absolute)

        def denoise(x: Tensor, sigma: Tensor, control: list[Patch]) -> list[Tensor]:
            of_call = {**transformer_options, PATCHES: (self.plan, control), RUN: self.attention}
            of_call[NEGATIVES] = self.negatives
            options = {**model_options, "transformer_options": of_call}
            self.evaluations += len(x) * sum(group is not None for group in conds)
            return executor(model, conds, x, sigma.expand(len(x)), options)

        def fused() -> list[Tensor]:
            attention = self._attention(transformer_options, steps)
            if self.skip_policy is None:
                from_input = _starts_from_input(model, schedule)
                self.skip_policy = self._make_skip_policy(transformer_options, steps, len(conds), from_input, attention)
            return fuse(
                denoise,
                x,
                sigma,
                patches,
                list,
                patches_at_once=self.patches_at_once,
                on_patches=progress,
                attention=attention,
                skip_policy=self.skip_policy,
                step=step,
            )

        clock = Clock()
        predictions = self._with_back_off(fused)
        self.seconds += clock.seconds()
        return predictions

    def _attention(self, transformer_options: dict[str, Any], steps: int) -> AttentionRun | None:
        """The run in progress; a single patch has no others to look at."""
        options = options_of(transformer_options)
        if options is None or not options.active or FOCUS in transformer_options:
            return None
        if self.attention is None:
            self.attention = AttentionRun(options, self.plan, steps)
        return self.attention

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
            clip = _input_of(transformer_options, "Patch Preview")
            return RegionOnly(transformer_options[FOCUS], [clip.upsampled] * conditions)
        if self.options.skip_interval == 1:
            return None
        clip = _input_of(transformer_options, "Patch skipping")
        upsampled = [clip.upsampled] * conditions if from_input else None
        return make_patch_skipping(
            self.options.skip_interval, steps, clip.find_static, upsampled, attention=attention is not None
        )

    def _check(self, conds: Any, x: Tensor, model_options: dict[str, Any]) -> None:
        """Raise for another canvas, and for what speaks of a whole canvas and has no meaning for a patch."""
        if model_options.get("context_handler") is not None and x.shape[2] != self.plan.canvas.latent_frames:
            raise PlanError("The plan has time windows of its own; remove the context-window node before the sampler.")
        check_canvas(x, self.plan)
        for cond in (cond for group in conds if group for cond in group):
            for key, what in (("mask", "a mask"), ("area", "an area"), ("control", "a ControlNet")):
                if cond.get(key) is not None:
                    raise PlanError(f"The conditioning has {what}, which cannot be cut into patches yet; remove it.")

    def prepare_sampling(self, executor: Any, model: Any, noise_shape: Any, *args: Any, **kwargs: Any) -> Any:
        """Every run: memory is reserved for a batch of patches, not for the canvas."""
        self.patches_at_once = self.options.patches_at_once or self._count_that_fit(model, noise_shape[1])
        shape = [self.patches_at_once, noise_shape[1], *self.plan.patch_size]
        return executor(model, shape, *args, **kwargs)

    def _count_that_fit(self, model: Any, channels: int) -> int:
        """Patches per model call; ComfyUI estimates what one needs, and what is free."""
        one, two = (model.memory_required([count, channels, *self.plan.patch_size]) for count in (1, 2))
        free = comfy.model_management.get_free_memory(model.load_device)
        return patches_together(self.plan, two - one, model.load_device, free)

    def sample(self, executor: Any, guider: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Every run: what patches cached of one another ends with it."""
        self.attention, self.skip_policy, self.negatives = None, None, negatives_of(guider)
        self.evaluations, self.seconds = 0, 0.0
        try:
            samples = executor(guider, *args, **kwargs)
        finally:
            self.attention = self.skip_policy = None
        note_patches(base_spec(guider.model_patcher), self.plan, self.evaluations, self.seconds)
        return samples

    def _with_back_off(self, run: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Take less for the rest of the run when memory runs out; one patch that does not fit is a real error."""
        while True:
            try:
                return run()
            except Exception as error:
                comfy.model_management.raise_non_oom(error)
                if not self._step_down():
                    raise
            comfy.model_management.soft_empty_cache()

    def _step_down(self) -> bool:
        """Fewer patches at once, then their caches in main memory; False when there is nothing left."""
        if self.attention is not None:
            self.attention.drop_pass()
        if self.patches_at_once > 1:
            self.patches_at_once //= 2
            log.info("PatchVSR: out of memory; continuing with %d patches at once", self.patches_at_once)
            return True
        if self.attention is None or self.attention.options.offload:
            return False
        self.attention = AttentionRun(replace(self.attention.options, offload=True), self.plan, self.attention.steps)
        log.info(
            "PatchVSR: out of memory; continuing with the caches of attention propagation in main memory (offload)"
        )
        return True


def _input_of(transformer_options: dict[str, Any], who: str) -> InputClip:
    if INPUT not in transformer_options:
        raise PlanError(f"{who} needs the clip; connect Apply PatchVSR before Joint-Modulation Merger.")
    return transformer_options[INPUT]


def _starts_from_input(base: Any, schedule: Tensor | None) -> bool:
    """Whether the first state holds the upsampled LR input: a bridge's, or a flow's that starts below full noise."""
    return isinstance(base.model_sampling, BridgeSampling) or (schedule is not None and float(schedule[0]) < 1)


class _Progress:
    """Patches of all steps on the node's bar; the sampler's own update after a step agrees with it."""

    def __init__(self, step: int, steps: int, report: Callable[[int, int], None]) -> None:
        self.step, self.steps, self.report = step, steps, report

    def __call__(self, done: int, total: int) -> None:
        check_interrupt()
        if done < total:
            self.report(self.step * total + done, self.steps * total)
