import numpy as np
import pytest
import torch

from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.plan.positions import COLORS
from patchvsr_core.preview.draw import LINE_PX, draw_plan


def picture_of(height: int, width: int, layout: str = "corner", brightness: float = 0.5) -> np.ndarray:
    canvas = Canvas(10, (height // 4, width // 4), (height, width))
    plan = plan_patches(canvas, patch_px=256, layout=layout, window_frames=8, overlap_frames=2)
    return draw_plan(plan, torch.full((height // 4, width // 4, 3), brightness))[0].numpy()


def has(picture: np.ndarray, kind: str) -> bool:
    """Thin letters of older OpenCV never reach their full colour."""
    return bool((np.abs(picture - COLORS[kind]).max(-1) < 0.2).any())


def test_the_frame_keeps_its_size_and_the_legend_is_below() -> None:
    picture = picture_of(512, 768)
    assert picture.shape[1:] == (768, 3)
    assert LINE_PX <= picture.shape[0] - 512 <= 3 * LINE_PX
    assert picture.dtype == np.float32 and picture.min() >= 0 and picture.max() <= 1
    assert picture[100, 64] == pytest.approx(0.3, abs=0.01), "the frame, dimmed"


@pytest.mark.parametrize(("layout", "kinds"), [("corner", 3), ("pairwise", 2), ("overlapping", 1)])
def test_frame_and_legend_show_the_same_kinds(layout: str, kinds: int) -> None:
    picture = picture_of(512, 768, layout)
    for part in (picture[:512], picture[512:]):
        assert [has(part, kind) for kind in COLORS] == [k < kinds for k in range(3)]


def test_primary_places_have_numbers_where_there_is_room() -> None:
    """On black, without lines: the corners of the four primary places, inside of all outlines."""
    picture = picture_of(512, 512, "overlapping", brightness=0.0)
    assert picture[12:26, 11:24].max() > 0.5
    small = picture_of(4096, 4096, "overlapping", brightness=0.0)
    assert small.shape[1] == 1024
    assert small[12:26, 11:24].max() > 0.5
    tiny = picture_of(8192, 8192, "overlapping", brightness=0.0)
    assert tiny[8:20, 8:20].max() < 0.1, "no room for a number in 32 pixels"


def test_a_narrow_legend_has_more_rows_and_a_tiny_one_is_left_out() -> None:
    assert picture_of(512, 256).shape[0] - 512 > picture_of(512, 768).shape[0] - 512
    assert picture_of(52, 68).shape[:2] == (52, 68)
