"""How much fits: the length of a chunk from the memory that is free."""

from __future__ import annotations

import torch

from ..adapter import BaseSpec
from ..devices import free_bytes
from ..errors import PlanError
from ..finish.refine import working_bytes
from ..plan.canvas import TOKEN_CELLS, PatchPlan
from ..propagation.canvas import MEASURED_PX
from ..sampling.schedules import step_count
from ..settings import BICUBIC, Settings
from ..stages import ModelParts, make_plan

FLOAT_BYTES = 4

SHARE = 0.6
"""Part of the free memory that the frames of a chunk may take."""
ENOUGH_BYTES = 4 * 2**30
"""More would make chunks longer and the result no better."""
WINDOWS = 8
"""Windows of time in a chunk, at most."""
COPIES = 16
"""Features of a token that a block of the base holds at once, beside those of its feed-forward layer."""
ENOUGH_TOKENS, ENOUGH_TOKENS_CPU = 2**16, 2**11
"""In one model call, for a large GPU and for a CPU: more take memory and gain nothing."""
STREAMED = 64
"""Frames in a chunk that only goes on from the one before, at most: so much is lost when a run is stopped."""


def patches_together(plan: PatchPlan, patch_bytes: int, device: torch.device, free: int | None = None) -> int:
    """Patches in a model call that a device has memory and use for.

    Args:
        patch_bytes: what a patch takes while the base works on it.
        free: memory that is free on ``device``; None: measured.
    """
    free = free_bytes(device) if free is None else free
    enough = ENOUGH_TOKENS_CPU if device.type == "cpu" else ENOUGH_TOKENS
    return max(1, min(int(SHARE * free / patch_bytes), enough // tokens_of(plan), len(plan.patches)))


def patch_bytes(plan: PatchPlan, spec: BaseSpec, item_bytes: int) -> int:
    """What a patch takes while a Wan works on it, beside the weights; an estimate."""
    return tokens_of(plan) * (COPIES * spec.width + 2 * spec.ffn) * item_bytes


def tokens_of(plan: PatchPlan) -> int:
    """Tokens of one patch."""
    frames, height, width = plan.patch_size
    return frames * height * width // TOKEN_CELLS**2


def memory_bytes(plan: PatchPlan, models: ModelParts, settings: Settings) -> int:
    """Largest sum of arrays alive at once: while sampling, or while refining."""
    canvas = plan.canvas
    t, h, w = canvas.latent_shape
    latent = models.codec.channels * t * h * w * FLOAT_BYTES
    out = canvas.frames * canvas.target[0] * canvas.target[1] * 3 * FLOAT_BYTES
    clip = canvas.frames * canvas.source[0] * canvas.source[1] * 3 * FLOAT_BYTES
    # The input's latent, the state before and after a step, the fused prediction; then what solvers and noise add.
    states = 4 + (step_count(settings) > 1) + 3 * (settings.solver == "heun") + 2 * (settings.noise_level > 0)
    states += 3 * (settings.propagation > 0)
    if settings.propagation > 0:  # the motion of the clip, both ways
        shrink = min(1.0, MEASURED_PX / max(canvas.target))
        clip += round(4 * canvas.frames * canvas.target[0] * canvas.target[1] * shrink**2) * FLOAT_BYTES
    based = out if settings.base_layer != BICUBIC else 0
    refining = 0
    if models.refiner is not None and settings.refine_strength > 0:
        refining = working_bytes(models.refiner, canvas.frames, canvas.target)
    return clip + max(latent + based, states * latent, latent + 2 * out, 2 * out + refining, 3 * out + based)


def chunk_frames(
    frames: int,
    source: tuple[int, int],
    target: tuple[int, int],
    models: ModelParts,
    settings: Settings,
    *,
    together: int = 1,
) -> int:
    """The longest useful chunk that fits into memory.

    Args:
        together: processes that share the main memory.

    Raises:
        PlanError: when not even a few frames fit.
    """
    free = min(free_bytes(models.device), free_bytes(torch.device("cpu")) // together)
    budget = min(SHARE * free, ENOUGH_BYTES)
    window, overlap = settings.window_frames, settings.overlap_frames
    lengths = [window + k * (window - overlap) for k in range(WINDOWS - 1, -1, -1)]
    lengths += [window - k for k in range(1, window)]
    needed = 0
    for length in (min(length, frames) for length in lengths):
        needed = memory_bytes(make_plan(length, source, target, models, settings), models, settings)
        if needed <= budget:
            return length
    raise PlanError(
        f"{target[1]}x{target[0]} needs about {needed / 2**30:.1f} GiB of memory for a single frame, and "
        f"{free / 2**30:.1f} GiB are free; choose a smaller --scale or --size."
    )


def streamed_frames(
    frames: int, source: tuple[int, int], frame_bytes: int, working_bytes: int, device: torch.device
) -> int:
    """The longest useful chunk of what upscales frame by frame.

    Args:
        source: (height, width) of the input.
        frame_bytes: what a frame of the result takes.
        working_bytes: what the frame at work takes, on ``device``.

    Raises:
        PlanError: when not even one frame fits.
    """
    if working_bytes > free_bytes(device):
        raise PlanError(
            f"A frame of {source[1]}x{source[0]} needs about {working_bytes / 2**30:.1f} GiB of memory in this "
            f"network, and {free_bytes(device) / 2**30:.1f} GiB are free; choose a smaller network or input."
        )
    free = free_bytes(torch.device("cpu")) - (working_bytes if device.type == "cpu" else 0)
    return max(1, min(frames, STREAMED, int(min(SHARE * free, ENOUGH_BYTES)) // frame_bytes))
