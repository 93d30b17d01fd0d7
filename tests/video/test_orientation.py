"""A clip comes out as players show it, whatever its display matrix says."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import colors, write
from faulty import with_matrix

from patchvsr_core.video import probe, read_clip

EIGHT = [(a, 0, 0, d) for a, d in itertools.product((1, -1), repeat=2)]
EIGHT += [(0, b, c, 0) for b, c in itertools.product((1, -1), repeat=2)]


@pytest.mark.parametrize("matrix", EIGHT)
def test_all_eight_orientations_are_exact(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    plain = write(tmp_path / "plain.mp4", colors(2, 32, 48))
    frames = read_clip(plain).frames.numpy()
    a, b, c, d = matrix
    y, x = np.mgrid[:32, :48]
    shown_x, shown_y = a * x + c * y, b * x + d * y
    shown_x, shown_y = shown_x - shown_x.min(), shown_y - shown_y.min()
    expected = np.zeros((2, shown_y.max() + 1, shown_x.max() + 1, 3), np.float32)
    expected[:, shown_y, shown_x] = frames
    turned = read_clip(with_matrix(plain, *matrix))
    assert torch.equal(turned.frames, torch.from_numpy(expected))
    assert (turned.info.height, turned.info.width) == expected.shape[1:3]


def test_a_slant_is_reported_and_turned_to_the_nearest_right_angle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = write(tmp_path / "plain.mp4", colors(2, 32, 48))
    with caplog.at_level(logging.WARNING, "patchvsr"):
        probe(plain)
        assert not caplog.text
        turned = read_clip(with_matrix(plain, 0.94, 0.34, -0.34, 0.94))
    assert "turned.mp4 is to be shown at a slant; it is turned to the nearest multiple" in caplog.text
    assert torch.equal(turned.frames, read_clip(plain).frames)
