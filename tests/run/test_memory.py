"""How much fits."""

from __future__ import annotations

import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.run import memory
from patchvsr_core.run.cost import run_memory
from patchvsr_core.stages import make_plan


@pytest.mark.parametrize(("gib", "expected"), [(100, 50), (0.6, 22), (0.4, 5)])
def test_chunks_are_as_long_as_memory_allows(gib: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(gib * 2**30))
    models = load_models("tiny", device="cpu")
    length = memory.chunk_frames(1000, (100, 240), (400, 960), models, models.defaults)
    assert abs(length - expected) <= max(2, expected // 4)
    plan = make_plan(length, (100, 240), (400, 960), models, models.defaults)
    assert run_memory(plan, models.networks, models.defaults).peak <= memory.SHARE * gib * 2**30
    assert memory.chunk_frames(7, (100, 240), (400, 960), models, models.defaults) <= 7


def test_what_cannot_fit_is_refused_with_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**30)
    models = load_models("tiny", device="cpu")
    with pytest.raises(
        PlanError, match=r"GiB of memory for a single frame, and 0\.8 of the 1\.0 GiB that are free may"
    ):
        memory.chunk_frames(10, (2160, 3840), (8640, 15360), models, models.defaults)


def test_what_is_large_runs_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on useful chunks is no limit on what may be upscaled."""
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**40)
    monkeypatch.setattr(memory, "ENOUGH_BYTES", 2**20)
    models = load_models("tiny", device="cpu")
    length = memory.chunk_frames(1000, (100, 240), (400, 960), models, models.defaults)
    assert length == models.defaults.window_frames


def test_free_memory_is_known() -> None:
    assert memory.free_bytes(torch.device("cpu")) > 2**27
