"""Structure that is drawn over photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from patchvsr_core.training import line_work
from patchvsr_core.training.config import DataConfig
from patchvsr_core.training.line_work import draw_graphic, draw_line_work
from patchvsr_core.training.packed import PackedFootage, pack_footage

SIZE = (120, 160)


GROUND = np.broadcast_to(np.linspace(60, 200, SIZE[1])[None, :, None].astype(np.uint8), (*SIZE, 3))
"""From dark to bright: any colour shows somewhere."""


def test_what_is_drawn_depends_on_the_generator_alone() -> None:
    pictures = [draw_line_work(np.random.default_rng(seed), GROUND) for seed in range(20)]
    for seed, picture in enumerate(pictures):
        assert picture.shape == (*SIZE, 3) and picture.dtype == np.uint8
        assert np.array_equal(picture, draw_line_work(np.random.default_rng(seed), GROUND))
    changed = [float((picture != GROUND).any(2).mean()) for picture in pictures]
    assert sum(share > 0.01 for share in changed) >= 18, "something is drawn"
    assert np.median(changed) < 0.7, "and the photograph is still seen"


def test_graphics_are_flat_where_nothing_is_drawn() -> None:
    graphics = [draw_graphic(np.random.default_rng(seed), SIZE) for seed in range(40)]
    assert all(graphic.shape == (*SIZE, 3) and graphic.dtype == np.uint8 for graphic in graphics)
    flat = [float((np.diff(graphic.astype(int), axis=1) == 0).all(2).mean()) for graphic in graphics]
    assert np.median(flat) > 0.6
    plain = sum(share == 1 for share in flat)
    assert 4 <= plain <= 20, "some have nothing on them"
    assert len({tuple(graphic[0, 0]) for graphic in graphics}) > 20


@pytest.mark.parametrize("kind", sorted({kind.__name__ for kind in line_work._KINDS}))
def test_every_kind_has_lines_with_soft_edges(kind: str) -> None:
    """Nothing is drawn with steps at its edges: next to full cover there is partial cover."""
    draw = getattr(line_work, kind)
    covers = [draw(np.random.default_rng(seed), SIZE) for seed in range(12)]
    assert all(cover.shape == SIZE and cover.min() >= 0 and cover.max() <= 1 for cover in covers)
    assert any(0.02 < cover.mean() < 0.7 and ((cover > 0.05) & (cover < 0.95)).any() for cover in covers)


def test_lines_have_the_period_that_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_work, "PERIODS_PX", (10.0, 10.0 + 1e-9))
    monkeypatch.setattr(line_work, "TILT", 0.0)
    monkeypatch.setattr(line_work, "BEND", 0.0)
    cover = line_work._lines(np.random.default_rng(0), SIZE, 0.0)
    assert np.abs(cover - cover[:1]).max() < 1e-9, "upright"
    spectrum = np.abs(np.fft.rfft(cover[0] - cover[0].mean()))
    assert int(spectrum.argmax()) == SIZE[1] // 10


def test_photographs_are_lined_in_the_share_that_was_asked_for(tmp_path: Path) -> None:
    grey = np.full((*SIZE, 3), 120, np.uint8)
    grey[::8] = 136
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    pack_footage(tmp_path, tmp_path / "out", DataConfig())

    def lined(share: float) -> float:
        footage = PackedFootage(tmp_path / "out", DataConfig(photographs=1.0, line_work=share))
        clips = [footage.draw(np.random.default_rng(seed), 2, 64) for seed in range(40)]
        return sum(bool(((clip < 110) | (clip > 146)).any()) for clip in clips) / len(clips)

    assert lined(0.0) == 0
    assert 0.1 < lined(0.5) < 0.5 < lined(1.0), "some in the colour of the ground"
