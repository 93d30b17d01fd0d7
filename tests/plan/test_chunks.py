"""Chunks of a long clip."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.chunks import Chunk, cross_fade, plan_chunks


@given(
    frames=st.integers(1, 400),
    cuts=st.lists(st.integers(1, 399), max_size=6, unique=True),
    length=st.integers(2, 60),
    overlap=st.integers(0, 8),
)
def test_every_frame_is_made_and_no_chunk_crosses_a_cut(
    frames: int, cuts: list[int], length: int, overlap: int
) -> None:
    cuts = sorted(cut for cut in cuts if cut < frames)
    overlap = min(overlap, length // 3)
    chunks = plan_chunks(frames, cuts, length, overlap)
    assert chunks[0].first == 0 and chunks[-1].end == frames
    for chunk in chunks:
        assert 0 < chunk.length <= length
        assert not any(chunk.first < cut < chunk.end for cut in cuts)
    for before, after in itertools.pairwise(chunks):
        assert before.end - after.first == after.lead
        assert after.lead == (0 if after.first in cuts else overlap)
        assert after.continues_shot == (after.first not in cuts)
        assert before.first + before.lead <= after.first, "no frame is in three chunks"


def test_chunks_are_even() -> None:
    assert plan_chunks(50, (), 24, 2) == (Chunk(0, 18, 0), Chunk(16, 34, 2, True), Chunk(32, 50, 2, True))
    assert plan_chunks(24, (), 24, 2) == (Chunk(0, 24, 0),)
    assert plan_chunks(30, (10,), 24, 4) == (Chunk(0, 10, 0), Chunk(10, 30, 0))


def test_an_overlap_of_more_than_a_third_is_refused() -> None:
    with pytest.raises(PlanError, match="a third of a chunk"):
        plan_chunks(50, (), 8, 3)


@pytest.mark.parametrize("overlap", [1, 2, 4, 8])
def test_every_frame_of_an_overlap_is_a_blend(overlap: int) -> None:
    faded = cross_fade(torch.zeros(overlap, 2, 2, 3), torch.ones(overlap, 2, 2, 3))[:, 0, 0, 0]
    assert ((faded > 0) & (faded < 1)).all()
    torch.testing.assert_close(faded, 1 - faded.flip(0))
    assert (faded.diff() > 0).all()
