"""How much fits: the length of a chunk from the memory that is free."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch

from ..devices import free_bytes
from ..errors import PlanError
from ..plan.canvas import PatchPlan
from ..settings import Settings
from ..stages import ModelParts, make_plan
from .cost import Networks, Stream, run_memory, stream_memory
from .throughput import tokens_of

SHARE = 0.8
"""Part of the free memory that a chunk may take: estimates are good to about a quarter."""
PATCHES_SHARE = 0.6
"""Part of what is then still free that patches in one model call may take."""
ENOUGH_BYTES = 6 * 2**30
"""More would make chunks longer and the result no better."""
WINDOWS = 8
"""Temporal windows in a chunk, at most."""
ENOUGH_TOKENS, ENOUGH_TOKENS_CPU = 2**16, 2**11
"""In one model call, for a large GPU and for a CPU: more take memory and gain nothing."""
STREAMED = 64
"""Frames in a chunk of a real-time network, at most: so much is lost when a run is stopped."""


class Models(ModelParts, Protocol):
    """What memory depends on, of the models of any host."""

    @property
    def networks(self) -> Networks:
        """Their sizes."""


def patches_together(plan: PatchPlan, patch_bytes: int, device: torch.device, free: int | None = None) -> int:
    """Patches in a model call that a device has memory and use for.

    Args:
        patch_bytes: what a patch takes while the base works on it.
        free: memory that is free on ``device``; None: measured.
    """
    free = free_bytes(device) if free is None else free
    enough = ENOUGH_TOKENS_CPU if device.type == "cpu" else ENOUGH_TOKENS
    return max(1, min(int(PATCHES_SHARE * free / patch_bytes), enough // tokens_of(plan), len(plan.patches)))


def chunk_frames(
    frames: int,
    source: tuple[int, int],
    target: tuple[int, int],
    models: Models,
    settings: Settings,
    *,
    together: int = 1,
    keeps_result: bool = True,
) -> int:
    """The longest useful chunk that fits into memory, by the model of :mod:`.cost`.

    Args:
        together: processes that share the main memory.
        keeps_result: see :func:`cost.run_memory`.

    Raises:
        PlanError: when not even a few frames fit.
    """
    free = min(free_bytes(models.device), free_bytes(torch.device("cpu")) // together)
    budget = SHARE * free
    window, overlap = settings.window_frames, settings.overlap_frames
    lengths = [window + k * (window - overlap) for k in range(WINDOWS - 1, -1, -1)]
    lengths += [window - k for k in range(1, window)]
    needed: dict[int, int] = {}
    for length in (min(length, frames) for length in lengths):
        plan = make_plan(length, source, target, models, settings)
        patches = max(1, settings.patches_at_once)
        needed[length] = run_memory(plan, models.networks, settings, patches, keeps_result=keeps_result).peak
        if needed[length] <= min(budget, ENOUGH_BYTES):
            return length
    fit = [length for length, one in needed.items() if one <= budget and length <= window]
    if fit:  # large, but there is room for it
        return max(fit)
    raise PlanError(
        f"{target[1]}x{target[0]} needs about {min(needed.values()) / 2**30:.1f} GiB of memory for a single frame, and "
        f"{budget / 2**30:.1f} of the {free / 2**30:.1f} GiB that are free may be used",
        flag="choose a smaller --scale or --size",
        node="choose a smaller target, scale or size",
    )


def streamed_frames(frames: int, stream: Stream, device: torch.device) -> int:
    """The longest useful chunk of what upscales frame by frame.

    Args:
        device: where the frame at work takes memory.

    Raises:
        PlanError: when not even one frame fits.
    """
    if stream.working_bytes > free_bytes(device):
        height, width = stream.source
        raise PlanError(
            f"A frame of {width}x{height} needs about {stream.working_bytes / 2**30:.1f} GiB of memory in this "
            f"network, and {free_bytes(device) / 2**30:.1f} GiB are free; choose a smaller network or input."
        )
    in_main = stream if device.type == "cpu" else replace(stream, working_bytes=0)
    budget = min(SHARE * free_bytes(torch.device("cpu")), ENOUGH_BYTES + in_main.working_bytes)
    for length in range(min(frames, STREAMED), 1, -1):
        if stream_memory(length, in_main) <= budget:
            return length
    return 1
