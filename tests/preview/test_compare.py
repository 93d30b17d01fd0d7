"""Split views and crop grids."""

import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.preview.compare import (
    CAPTION_PX,
    DIRECTIONS,
    GAP_PX,
    LINE_PX,
    Version,
    crop_grid,
    most_different_crops,
    same_size,
    side_by_side,
    split_view,
)
from patchvsr_core.resample import resize

FRAMES, HEIGHT, WIDTH = 2, 60, 90


def flat(value, height=HEIGHT, width=WIDTH, name=""):
    return Version(name, torch.full((FRAMES, height, width, 3), value))


def test_a_split_view_shows_every_version_in_its_place():
    view = split_view([flat(0.2), flat(0.8)], position=0.4)
    assert view.shape == (FRAMES, HEIGHT, WIDTH, 3)
    edge = 36
    assert (view[:, :, :edge] == 0.2).all() and (view[:, :, edge : edge + LINE_PX] == 1).all()
    assert (view[:, :, edge + LINE_PX :] == 0.8).all()
    below = split_view([flat(0.2), flat(0.8)], position=0.5, direction=DIRECTIONS[1])
    assert (below[:, :30] == 0.2).all() and (below[:, 30 + LINE_PX :] == 0.8).all()


def test_at_the_ends_only_one_is_left():
    assert torch.equal(split_view([flat(0.2), flat(0.8)], position=1.0), flat(0.2).frames)
    last = split_view([flat(0.2), flat(0.8)], position=0.0)
    assert (last == 0.8).all()


def test_three_share_what_the_first_leaves():
    view = split_view([flat(0.2), flat(0.5), flat(0.8)], position=1 / 3)
    assert view[0, 0, [5, 40, 80], 0].tolist() == pytest.approx([0.2, 0.5, 0.8])


def test_a_smaller_clip_is_enlarged_and_longer_ones_are_refused():
    small = torch.rand(FRAMES, 15, 30, 3)
    view = split_view(same_size([Version("", small), flat(0.8)]), position=0.5)
    torch.testing.assert_close(view[:, :, :45], resize(small, (HEIGHT, WIDTH)).clamp(0, 1)[:, :, :45])
    with pytest.raises(PlanError, match="2, 1 frames"):
        same_size([flat(0.2), Version("", torch.zeros(1, HEIGHT, WIDTH, 3))])


def test_inputs_are_not_changed():
    versions = [flat(0.2, name="a name"), flat(0.8, name="another")]
    split_view(versions)
    crop_grid(versions, crop_px=20)
    assert (versions[0].frames == 0.2).all() and (versions[1].frames == 0.8).all()


def test_names_are_written_where_there_is_room():
    named = split_view([flat(0.2, height=100, width=400, name="input"), flat(0.8, 100, 400, name="result")])
    assert (named[:, :CAPTION_PX, :40] > 0.5).any() and (named[:, :CAPTION_PX, 205:240] > 0.5).any()
    cramped = split_view([flat(0.2, 20, 60, name="input"), flat(0.2, 20, 60, name="result")])
    assert cramped.unique().tolist() == pytest.approx([0.2, 1.0])


def test_crops_show_where_the_difference_is_and_do_not_overlap():
    before, after = flat(0.5), flat(0.5)
    after.frames[:, 40:50, 70:80] = 1.0
    after.frames[:, 5:10, 8:12] = 0.8
    positions = most_different_crops([before, after], 16, 2)
    assert len(positions) == 2
    (y0, x0, *_), (y1, x1, *_) = positions
    assert y0 <= 5 and y0 + 16 >= 10 and x0 <= 8 and x0 + 16 >= 12, "the smaller one, higher up"
    assert y1 <= 40 and y1 + 16 >= 50 and x1 <= 70 and x1 + 16 >= 80
    many = most_different_crops([before, after], 16, 100)
    assert 8 <= len(many) <= (HEIGHT // 16) * (WIDTH // 16)
    assert all(abs(a[0] - b[0]) >= 16 or abs(a[1] - b[1]) >= 16 for a in many for b in many if a is not b)


def test_a_grid_has_a_row_for_a_crop_and_a_column_for_a_version():
    before, after = flat(0.0), flat(0.0)
    after.frames[:, 3:9, 3:9] = 1.0
    grid = crop_grid([before, after], crop_px=16, crops=3)
    assert grid.shape == (FRAMES, 3 * 16 + 2 * GAP_PX, 2 * 16 + GAP_PX, 3)
    (y, x, *_), *_ = most_different_crops([before, after], 16, 1)
    assert torch.equal(grid[:, :16, 16 + GAP_PX :], after.frames[:, y : y + 16, x : x + 16])
    whole = crop_grid([before, after], crop_px=500, crops=4)
    assert whole.shape == (FRAMES, HEIGHT, 2 * WIDTH + GAP_PX, 3), "a crop is no larger than the picture"


def test_side_by_side_has_captions_only_where_there_are_names():
    assert side_by_side([flat(0.2), flat(0.8)]).shape == (FRAMES, HEIGHT, 2 * WIDTH + GAP_PX, 3)
    named = side_by_side([flat(0.2, name="a"), flat(0.8, name="b")])
    assert named.shape == (FRAMES, HEIGHT + CAPTION_PX, 2 * WIDTH + GAP_PX, 3)
    assert (named[:, :CAPTION_PX] > 0.5).any() and (named[:, CAPTION_PX:, :WIDTH] == 0.2).all()
