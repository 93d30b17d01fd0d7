"""Multi-patch joint modulation: one prediction for the whole canvas out of all patches' own.

At every model call each patch is cut from the one noisy canvas, denoised on its own, and the
predictions are added with weights that sum to 1. Fusing x0 equals fusing the velocity or the
next state, since all are affine in one another with the shared state. Source: PatchVSR (CVPR 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ..distributed import current_group
from ..errors import PlanError
from ..kernels import blend_into, placement_of
from ..plan.canvas import Patch, PatchPlan
from ..progress import OnDone
from ..propagation.attention import AttentionRun, batch_calls
from .patch_skipping import SkipPolicy
from .solvers import Denoiser

Control = TypeVar("Control")


def fuse(
    denoiser: Denoiser[Control],
    x: Tensor,
    sigma: Tensor,
    patches: Sequence[Patch],
    control_for: Callable[[Sequence[Patch]], Control],
    *,
    patches_at_once: int = 1,
    on_patches: OnDone | None = None,
    attention: AttentionRun | None = None,
    skip_policy: SkipPolicy | None = None,
    step: int = 0,
) -> list[Tensor]:
    """Denoise all patches of one step and fuse what they predict.

    Args:
        x: (1, C, T, H, W) state of the whole canvas; not changed.
        sigma: scalar noise level.
        patches: the plan's patches for this step; their weights sum to 1 in every cell.
        control_for: what the denoiser is given about a batch of patches.
        patches_at_once: patches per model call; fewer take less memory.
        attention: lets patches attend to one another; the denoiser must be given the same run.
        skip_policy: skips some of them.
        step: of the schedule.

    Returns:
        x0 of the whole canvas per condition, each (1, C, T, H, W) float32.
    """
    group = current_group()
    running, skipped = (patches, []) if skip_policy is None else skip_policy.split(patches, step)
    fused = skip_policy.reuse(skipped, x.device) if skip_policy is not None and skipped and group.is_leader else []
    own, done, report = group.shard(running), 0, on_patches or (lambda done, total: None)
    if skipped:
        report(len(skipped), len(patches))
    calls = attention.calls(step, own, patches_at_once) if attention else batch_calls(own, patches_at_once)
    for call in calls:
        if attention:
            attention.enter(call)
        predictions = denoiser(torch.cat([patch.crop(x) for patch in call.patches]), sigma, control_for(call.patches))
        if call.counts:
            fused = fused or [torch.zeros_like(x, dtype=torch.float32) for _ in predictions]
            _add_predictions(fused, predictions, call.patches)
            done += len(call.patches)
        report(len(skipped) + group.done_by_all(done, len(running)), len(patches))
    fused = group.all_reduce_canvases(fused, x)
    if attention:
        attention.leave(fused[0])
    if skip_policy is not None:
        skip_policy.store(fused)
    return fused


def _add_predictions(canvases: Sequence[Tensor], predictions: Sequence[Tensor], patches: Sequence[Patch]) -> None:
    """Add what the model predicts of some patches to the canvas of every condition, weighted."""
    device = canvases[0].device
    placements = [placement_of(patch, device) for patch in patches]
    for canvas, prediction in zip(canvases, predictions, strict=True):
        blend_into(canvas[0], prediction.to(device), placements)


def check_steps(plan: PatchPlan, steps: int) -> None:
    """Raise when a run is too short for every phase of the plan to have its turn.

    Raises:
        PlanError: for an alternating plan in a single step, which would show hard seams.
    """
    if steps < plan.phases:
        raise PlanError(
            f"Layout {plan.layout} takes turns and needs {plan.phases} steps or more, not {steps}; choose corner."
        )


def check_canvas(x: Tensor, plan: PatchPlan) -> None:
    """Raise unless ``x`` is the one latent canvas that ``plan`` describes.

    Raises:
        PlanError: saying what was found and expected.
    """
    if tuple(x.shape[2:]) != plan.canvas.latent_shape:
        raise PlanError(
            f"The latent is {tuple(x.shape[2:])} (T, H, W) but the plan's canvas is {plan.canvas.latent_shape}; "
            "connect the latent of the Patch Encoder that used this plan."
        )
    if len(x) != 1:
        raise PlanError(f"The latent holds {len(x)} clips; joint modulation takes one at a time.")
