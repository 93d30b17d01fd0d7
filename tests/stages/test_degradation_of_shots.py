"""A shot has one degradation, however many chunks it is upscaled in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from patchvsr_core.degradation import CLEAN, MeasuredDegradation, measure_degradation, shipped_estimator
from patchvsr_core.hosts.diffusers import pipeline
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.plan.chunks import ChunkState
from patchvsr_core.resample import resize

MODELS = load_models("tiny", device="cpu")


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[MeasuredDegradation]:
    """What the restorer was to remove, call by call."""
    calls: list[MeasuredDegradation] = []

    def restore(frames: Tensor, size: tuple[int, int], *, degradation: MeasuredDegradation, **others: Any) -> Tensor:
        calls.append(degradation)
        return resize(frames, size).clamp(0, 1)

    monkeypatch.setattr(pipeline, "restore_as_shipped", restore)
    return calls


def flat(noise: float) -> Tensor:
    """(2, 48, 64, 3) of gray with normal noise."""
    return (0.5 + noise * torch.randn(2, 48, 64, 3, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def upscale(frames: Tensor, state: ChunkState, strength: float = 1.0) -> None:
    settings = replace(MODELS.defaults, restore_strength=strength)
    pipeline.upscale(frames, (192, 256), MODELS, settings, chunk_state=state)


def test_the_first_chunk_decides_for_the_shot(removed: list[MeasuredDegradation]) -> None:
    noisy, hardly = flat(8 / 255), flat(1 / 255)
    first = ChunkState(until=2)
    upscale(noisy, first)
    upscale(hardly, ChunkState(first.after, until=None, first=2))
    assert removed[0] == removed[1] and removed[0].level > 1
    upscale(hardly, ChunkState(until=None))
    assert removed[2] == measure_degradation(shipped_estimator(), hardly) != removed[0], "the next shot is its own"


def test_how_much_is_removed_does_not_change_what_it_is(removed: list[MeasuredDegradation]) -> None:
    """The strength is a factor on the level alone: noise stays noise."""
    for strength in (0.0, 1.0, 2.0):
        upscale(flat(8 / 255), ChunkState(), strength)
    none, once, twice = removed
    assert none == CLEAN
    assert twice == replace(once, level=2 * once.level) and not once.is_compressed


def test_independent_chunks_are_measured_by_themselves() -> None:
    """Several machines make them, none of which waits for another."""
    settings = replace(MODELS.defaults, base_layer="bicubic", patch_px=64)
    state = ChunkState(until=2)
    pipeline.upscale(flat(8 / 255)[:, :16, :16], (32, 32), MODELS, settings, chunk_state=state)
    assert state.after is None
