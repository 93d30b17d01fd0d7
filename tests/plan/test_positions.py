import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.canvas import Canvas, PatchPlan
from patchvsr_core.plan.planner import LAYOUTS, plan_patches
from patchvsr_core.plan.positions import KINDS, list_positions, patches_at


def plan_of(height: int, width: int, frames: int = 1, **options: object) -> PatchPlan:
    canvas = Canvas(frames, (1, 1), (height, width))
    return plan_patches(canvas, **{"patch_px": 256, "layout": "corner", **options})


def test_two_by_two_in_numbers() -> None:
    found = list_positions(plan_of(500, 512))
    assert [(position.number, position.kind) for position in found] == [
        *[(k, "primary") for k in range(1, 5)],
        *[(k, "auxiliary") for k in range(5, 9)],
        (9, "corner"),
    ]
    assert [(position.y, position.x) for position in found] == [
        *[(0, 0), (0, 256), (256, 0), (256, 256)],
        *[(0, 128), (128, 0), (128, 256), (256, 128)],
        (128, 128),
    ]
    assert [(position.height, position.width) for position in found[:4]] == [(256, 256)] * 2 + [(244, 256)] * 2


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 900),
    width=st.integers(1, 900),
    frames=st.integers(1, 20),
    patch_px=st.sampled_from([16, 64, 256]),
    layout=st.sampled_from(list(LAYOUTS)),
)
def test_places_cover_the_frame_and_stay_in_it(height, width, frames, patch_px, layout) -> None:
    plan = plan_of(height, width, frames, patch_px=max(patch_px, 64 if max(height, width) > 200 else 16), layout=layout)
    found = list_positions(plan)
    covered = np.zeros((height, width), bool)
    for position in found:
        assert 0 <= position.y < position.y + position.height <= height
        assert 0 <= position.x < position.x + position.width <= width
        covered[position.y : position.y + position.height, position.x : position.x + position.width] = True
    assert covered.all()
    assert [position.number for position in found] == list(range(1, len(found) + 1))
    order = [(KINDS.index(position.kind), position.y, position.x) for position in found]
    assert order == sorted(order)
    assert len({(position.y, position.x) for position in found}) == len(found)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_patch_is_at_exactly_one_place(layout: str) -> None:
    plan = plan_of(600, 900, frames=20, window_frames=8, overlap_frames=2, layout=layout)
    stride = plan.canvas.stride_px
    seen = []
    for position in list_positions(plan):
        here = patches_at(plan, position.number)
        assert {(p.origin[1] * stride, p.origin[2] * stride) for p in here} == {(position.y, position.x)}
        assert position.kind in {p.kind for p in here}
        seen += here
    assert sorted(map(id, seen)) == sorted(map(id, plan.patches))


def test_patches_of_all_windows_and_phases_are_at_a_place() -> None:
    """Both grids of ``alternating`` begin in the upper left corner; three windows of time."""
    plan = plan_of(512, 512, frames=20, window_frames=8, overlap_frames=2, layout="alternating")
    here = patches_at(plan, 1)
    assert list_positions(plan)[0].kind == "primary"
    assert [(p.origin[0], p.kind) for p in here] == [(t, kind) for t in (0, 6, 12) for kind in ("primary", "auxiliary")]


@pytest.mark.parametrize("number", [-1, 0, 10])
def test_other_numbers_are_refused(number: int) -> None:
    with pytest.raises(PlanError, match=f"no patch {number}; .* from 1 to 9"):
        patches_at(plan_of(512, 512), number)
