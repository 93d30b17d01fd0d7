from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from patchvsr_core.plan.chunks import ChunkState, cross_fade
from patchvsr_core.run.oom_backoff import OOMBackoff, is_out_of_memory
from patchvsr_core.settings import TINY, Settings
from patchvsr_core.vae.encode import seeded_noise

noise = partial(seeded_noise, seed=3)


class Machine:
    """Doubles the frames, as long as they need no more than so much."""

    def __init__(self, patches: int, tile: int, frames: int) -> None:
        self.limits, self.calls = (patches, tile, frames), 0

    def __call__(
        self,
        frames: Tensor,
        target: tuple[int, int],
        models: Any,
        settings: Settings,
        report: Any,
        *,
        noise: Any,
        chunk_state: Any = None,
    ) -> Tensor:
        self.calls += 1
        used = settings.patches_at_once or 4, settings.tile_px, len(frames)
        if any(a > b for a, b in zip(used, self.limits, strict=True)):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        drawn = noise(torch.Size((1, 1, len(frames), 1, 1)))
        return 2 * frames + drawn[0, 0, :, None]


def run(machine: Machine, settings: Settings = replace(TINY, patches_at_once=4)) -> tuple[Tensor, OOMBackoff]:
    frames = torch.arange(20.0).reshape(20, 1, 1, 1)
    stepping = OOMBackoff(machine)
    return stepping(frames, (1, 1), None, settings, None, noise=noise), stepping


@pytest.mark.parametrize("limits", [(4, 512, 20), (2, 512, 20), (1, 256, 20), (1, 256, 12), (1, 256, 4)])
def test_the_result_is_the_same_with_less(limits: tuple[int, int, int]) -> None:
    whole = run(Machine(4, 512, 20))[0]
    result, stepping = run(Machine(*limits))
    torch.testing.assert_close(result, whole)
    calls = stepping.work.calls
    stepping(torch.zeros(20, 1, 1, 1), (1, 1), None, replace(TINY, patches_at_once=4), None, noise=noise)
    if limits[2] == 20:
        assert stepping.work.calls == calls + 1, "what was enough is remembered"


def test_as_many_patches_as_fit_become_one_before_anything_else_is_taken_less_of() -> None:
    automatic = replace(TINY, patches_at_once=0)
    result, stepping = run(Machine(1, 512, 20), automatic)
    torch.testing.assert_close(result, run(Machine(4, 512, 20))[0])
    assert (stepping.patches_at_once, stepping.tile_px, stepping.frames) == (1, 0, 0)
    assert run(Machine(4, 512, 20), automatic)[1].patches_at_once == 0


def test_every_step_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "patchvsr"):
        run(Machine(1, 256, 12))
    words = [record.message for record in caplog.records]
    assert [word.split("with ")[1] for word in words] == [
        "2 patches at once.",
        "1 patches at once.",
        "tiles of 256 px.",
        "11 frames at once.",
    ]


def test_work_that_ran_out_of_memory_leaves_no_state() -> None:
    def work(frames: Tensor, *others: Any, noise: Any, chunk_state: ChunkState | None = None) -> Tensor:
        if chunk_state is not None:
            chunk_state.after = {"begun": torch.zeros(1)}
            raise MemoryError
        return frames

    state = ChunkState(until=8)
    OOMBackoff(work)(torch.zeros(9, 1, 1, 1), (1, 1), None, TINY, None, noise=noise, chunk_state=state)
    assert state.after is None


def test_in_the_end_the_error_is_told() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        run(Machine(1, 256, 2))


def test_other_errors_pass() -> None:
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))

    def broken(*arguments: Any, noise: Any, chunk_state: Any = None) -> Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        OOMBackoff(broken)(torch.zeros(4, 1, 1, 1), (1, 1), None, TINY, None, noise=noise)


@pytest.mark.parametrize("overlap", [1, 2, 4, 8])
def test_every_frame_of_an_overlap_is_a_blend(overlap: int) -> None:
    faded = cross_fade(torch.zeros(overlap, 2), torch.ones(overlap, 2))[:, 0]
    assert ((faded > 0) & (faded < 1)).all()
    assert torch.equal(faded, faded.sort().values)
