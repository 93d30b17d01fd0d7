"""Attaches the condition of every patch to a native MODEL: the plan, the clip behind it, and an adapter for a Wan.

With an adapter an APPLY_MODEL wrapper encodes the patches of the call in progress and installs for its duration a
hook after every block (patch residual), an attention override (global keys and values on the text's
queries), a time-embedding delta and, if the adapter has local gates, what every self-attention sees
through them. What other nodes installed there
is called as before. Without one nothing of the model is touched, so that it may be any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import comfy.lora
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...adapter import Adapter, Strengths
from ...adapter.patch_branch import token_grid
from ...errors import PlanError, phrase
from ...errors.finite import check_finite
from ...plan.canvas import Patch, PatchPlan
from ...sampling.conditions import Controls, PatchConditions
from ...sampling.joint_modulation import check_canvas
from ...sampling.patch_skipping import StaticPatches, find_static_patches
from ...vae.encode import augment_noise
from .adapter_call import AdapterCall
from .layout import latent_in
from .loading import adapter_of, base_spec, liem_strength_of
from .schedule import position, schedule_of
from .tiny import BridgeSampling, TinyConfig

KEY = "patchvsr"
PATCHES = "patchvsr_patches"
"""Key in transformer_options: which patches of which plan a model call holds."""
INPUT = "patchvsr_input"
"""Key in transformer_options: the clip behind the run, an :class:`InputClip`."""


@dataclass(frozen=True, eq=False)
class InputClip:
    """The clip behind a run."""

    find_static: Callable[[], StaticPatches]
    """Measures which patches are static; once."""
    upsampled: Tensor
    """(1, C, t, h, w) latent of the upsampled LR input, in the space of the base."""


def attach_control(
    model: Any,
    plan: PatchPlan,
    conditions: PatchConditions,
    *,
    model_patch: Any = None,
    view: Tensor | None = None,
    patch_strength: float = 1.0,
    global_strength: float = 1.0,
    sigma_range: tuple[float, float] = (float("inf"), 0.0),
) -> Any:
    """A clone of ``model`` that is given the condition of every patch.

    Args:
        conditions: latents in ComfyUI's convention, as Patch Encoder makes them.
        model_patch: adapter, for a Wan; None leaves only the anchor of a residual base.
        view: latent of the whole video, as Global Context Encoder makes it.
        sigma_range: (from, to) noise levels at which the adapter acts.

    Raises:
        AdapterError: when the adapter was made for another base.
    """
    adapter = None if model_patch is None else adapter_of(model_patch)
    if adapter is not None:
        adapter.config.base.check_same(base_spec(model))
    refuse_second(model, WrappersMP.APPLY_MODEL, "Apply PatchVSR")
    _check_latents(plan, conditions.latent, view, model.model.latent_format.latent_channels)
    patched = model.clone()
    liem_strength = 1.0 if model_patch is None else liem_strength_of(model_patch)
    strengths = Strengths(patch_strength, global_strength, liem_strength)
    controls = _make_controls(model, plan, conditions, view, adapter, strengths)
    patched.model_options["transformer_options"][INPUT] = InputClip(
        cache(partial(_find_static, plan, conditions)), controls.clean
    )
    control = _Control(controls, sigma_range)
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, control.apply_model)
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, control.sample)
    if adapter is not None:
        patched.set_additional_models(KEY, [model_patch])
        _add_adapter(patched, control, adapter, has_gates=adapter.liem is not None and liem_strength != 0)
    return patched


def _add_adapter(model: Any, control: _Control, adapter: Adapter, *, has_gates: bool) -> None:
    """What an adapter changes in a Wan itself."""
    _add_lora(model, adapter)
    control.layers = base_spec(model).layers
    time_embedding = "diffusion_model.time_embedding.forward"
    control.original_embed_time = model.get_model_object(time_embedding)
    model.add_object_patch(time_embedding, control.embed_time)
    if has_gates:
        _add_gates(model, control, control.layers)


def _make_controls(
    model: Any,
    plan: PatchPlan,
    conditions: PatchConditions,
    view: Tensor | None,
    adapter: Adapter | None,
    strengths: Strengths,
) -> Controls:
    """Of latents in the space of the base."""
    clean = latent_in(model.model, conditions.latent)
    if conditions.noised is None:
        augmented = augment_noise(clean, conditions.noise_level, conditions.seed)
    else:
        augmented = latent_in(model.model, conditions.noised)
    return Controls(
        plan,
        clean,
        augmented=augmented,
        noise_level=conditions.noise_level,
        seed=conditions.seed,
        view=None if view is None else latent_in(model.model, view),
        adapter=adapter,
        strengths=strengths,
        dtype=model.model.get_dtype_inference(),
    )


def _find_static(plan: PatchPlan, conditions: PatchConditions) -> StaticPatches:
    if conditions.source is None:
        raise PlanError(
            "Patch skipping measures the clip; connect the patch_cond of Patch Encoder, or set patch skipping to 1."
        )
    return find_static_patches(conditions.source, plan)


def refuse_second(model: Any, kind: str, node: str) -> None:
    """Raise when ``model`` already went through one of our nodes."""
    if model.wrappers.get(kind, {}).get(KEY):
        raise PlanError(f"The model already went through {node}; connect the model from before it.")


def _check_latents(plan: PatchPlan, latent: Tensor, view: Tensor | None, channels: int) -> None:
    check_canvas(latent, plan)
    if latent.shape[1] != channels:
        raise PlanError(
            f"The condition has {latent.shape[1]} latent channels but the model works on {channels}; "
            "connect the VAE that belongs to the model to planner and encoders."
        )
    if view is not None and tuple(view.shape[2:]) != (plan.canvas.latent_frames, *plan.patch_size[1:]):
        raise PlanError("The global context belongs to another plan; connect the same plan to every node.")


def _add_lora(model: Any, adapter: Adapter) -> None:
    if adapter.lora is None:
        return
    weights, keys = {}, {}
    for name, low_rank in adapter.lora.layers():
        weights[f"{name}.lora_up.weight"] = low_rank.up
        weights[f"{name}.lora_down.weight"] = low_rank.down
        keys[name] = f"diffusion_model.{name}.weight"
    model.add_patches(comfy.lora.load_lora(weights, keys))


def _add_gates(model: Any, control: _Control, layers: int) -> None:
    """In front of every self-attention, whatever another node has already put there."""
    for index in range(layers):
        name = f"diffusion_model.blocks.{index}.self_attn.forward"
        model.add_object_patch(name, partial(control.attend_gated, index, model.get_model_object(name)))


def _check_sampling(base: Any) -> None:
    if isinstance(base.model_config, TinyConfig) and not isinstance(base.model_sampling, BridgeSampling):
        raise PlanError("The tiny default brings its own schedule; remove the ModelSampling node.")


class _Control:
    """The conditions on one model; holds the control of the model call in progress."""

    layers: int
    original_embed_time: Callable[[Tensor], Tensor]
    """Of a Wan, where there is an adapter."""

    def __init__(self, controls: Controls, sigma_range: tuple[float, float]) -> None:
        self.controls = controls
        self.sigma_range = sigma_range
        self.time_delta: Tensor | None = None
        self.gate: Callable[..., Tensor] | None = None

    def apply_model(
        self,
        executor: Any,
        x: Tensor,
        sigma: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: Any = None,
        **rest: Any,
    ) -> Tensor:
        """Wraps the base's forward; x is (conditions * patches, C, t, h, w), of an image model its frames in a row."""
        _check_sampling(executor.class_obj)
        options = dict(transformer_options or {})
        patches, is_bridge = self._patches(options), isinstance(executor.class_obj.model_sampling, BridgeSampling)
        if self.controls.adapter is None and not is_bridge:
            return executor(x, sigma, c_concat, c_crossattn, control, options, **rest)
        has_effect, steps = self._acts(sigma), position(sigma, schedule_of(options))[1]
        control_of = partial(self.controls, adapted=has_effect, again=steps > 1)
        patch_control = control_of(patches, x.device).repeat(len(x) // len(patches))
        if has_effect:
            call = AdapterCall(patch_control, options)
            options = call.install(self.layers)
            self.time_delta = patch_control.time_delta
            self.gate = partial(patch_control.gate, grid=token_grid(x))
        try:
            out = executor(x, sigma, c_concat, c_crossattn, control, options, **rest)
        finally:
            self.time_delta = self.gate = None
        if is_bridge and patch_control.anchor is not None:
            out = out + (patch_control.anchor.to(out) - x.to(out))
        return out

    def sample(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Every run: features of patches are cached no longer, and the result is checked."""
        try:
            latent = executor(*args, **kwargs)
        finally:
            self.controls.clear_cache()
        adapter = self.controls.adapter
        network = phrase("base model") if adapter is None else phrase("base model with its adapter")
        return check_finite(latent, network, adapter)  # once: a step does not wait for a GPU

    def embed_time(self, frequencies: Tensor) -> Tensor:
        """Replaces the time embedding's forward: the same plus what the adapter adds."""
        embedding = self.original_embed_time(frequencies)
        if self.time_delta is None:
            return embedding
        delta = self.time_delta.to(embedding)
        return embedding + delta.repeat_interleave(len(embedding) // len(delta), dim=0)

    def attend_gated(self, block: int, attend: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Replaces a self-attention's forward: the same, of what the adapter lets through."""
        return attend(x if self.gate is None else self.gate(block, x), *args, **kwargs)

    def _acts(self, sigma: Tensor) -> bool:
        start, end = self.sigma_range
        return self.controls.adapter is not None and end <= float(sigma.max()) <= start

    def _patches(self, options: dict[str, Any]) -> Sequence[Patch]:
        plan = self.controls.plan
        if PATCHES in options:
            merged_plan, patches = options[PATCHES]
            if not plan.same_as(merged_plan):
                raise PlanError(
                    "Apply PatchVSR and Joint-Modulation Merger have different plans; connect the same one to both."
                )
            return patches
        if len(plan.patches) == 1:
            return plan.patches
        raise PlanError(
            f"The plan has {len(plan.patches)} patches but the model was given the whole canvas; "
            "connect Joint-Modulation Merger after Apply PatchVSR."
        )
