import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.canvas import Canvas, PatchPlan
from patchvsr_core.plan.planner import LAYOUTS, plan_patches
from patchvsr_core.plan.positions import list_positions, patches_at
from patchvsr_core.plan.split_patches import WINDOWS, join_patches, split_patches


def plan_of(height: int, width: int, frames: int = 5, **options: object) -> PatchPlan:
    canvas = Canvas(frames, (1, 1), (height, width))
    return plan_patches(
        canvas, **{"patch_px": 64, "layout": "corner", "window_frames": 4, "overlap_frames": 1, **options}
    )


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    frames=st.integers(1, 6),
    layout=st.sampled_from(list(LAYOUTS)),
    window=st.sampled_from(WINDOWS),
)
def test_cut_and_join_is_the_identity(height, width, frames, layout, window) -> None:
    plan = plan_of(height, width, frames, layout=layout)
    clip = torch.rand(frames, height, width, 3)
    before = clip.clone()
    crops = split_patches(clip, plan)
    joined = join_patches(crops, plan, window)
    assert joined.shape == clip.shape
    assert (joined - clip).abs().max() < 1e-6
    assert torch.equal(clip, before)
    assert {tuple(crop.shape) for crop in crops} == {(frames, *(8 * n for n in plan.patch_size[1:]), 3)}


def test_a_cutout_shows_its_place_and_repeats_the_border_beyond_the_frame() -> None:
    plan = plan_of(100, 130)
    clip = torch.rand(5, 100, 130, 3)
    for position, crop in zip(list_positions(plan), split_patches(clip, plan), strict=True):
        seen = clip[:, position.y : position.y + position.height, position.x : position.x + position.width]
        assert torch.equal(crop[:, : position.height, : position.width], seen)
    last = split_patches(clip, plan)[5]
    assert (list_positions(plan)[5].height, list_positions(plan)[5].width) == (52, 50)
    assert torch.equal(last[:, 51:52].expand(-1, 12, -1, -1), last[:, 52:])


@pytest.mark.parametrize("window", WINDOWS)
def test_what_was_done_to_one_patch_fades_towards_its_edges(window: str) -> None:
    """A ramp over half a patch of 160 pixels, and no step at its end."""
    plan = plan_of(512, 512, patch_px=160)
    crops = split_patches(torch.zeros(1, 512, 512, 1), plan)
    number = next(position.number for position in list_positions(plan) if position.kind == "corner")
    crops[number - 1] += 1
    joined = join_patches(crops, plan, window)[0, :, :, 0]
    assert joined.max() > 0.4 and joined.min() == 0
    assert joined.diff(dim=0).abs().max() < 0.02


def test_the_windows_differ() -> None:
    plan = plan_of(192, 192)
    crops = [crop + k for k, crop in enumerate(split_patches(torch.zeros(1, 192, 192, 1), plan))]
    planned, linear, cosine = (join_patches(crops, plan, window) for window in WINDOWS)
    assert (linear - cosine).abs().max() > 0.01
    assert (planned - cosine).abs().max() > 0.01


@pytest.mark.parametrize("layout", ["corner", "overlapping"])
def test_the_plan_weighs_as_fusion_does(layout: str) -> None:
    """The mean over the pixels of a cell is the cell's weight, but for the bends of the fade."""
    plan = plan_of(320, 288, frames=1, layout=layout, patch_px=128)
    for position in list_positions(plan):
        crops = [torch.zeros(1, 128, 128, 1) for _ in list_positions(plan)]
        crops[position.number - 1] += 1
        share = torch.nn.functional.avg_pool2d(join_patches(crops, plan)[..., 0], plan.canvas.stride_px)[0]
        expected = torch.zeros(plan.canvas.latent_size)
        (patch,) = patches_at(plan, position.number)
        expected[patch.origin[1] :, patch.origin[2] :][:16, :16] = patch.weight_yx
        assert (share - expected).abs().max() < 0.05, position


def test_frames_of_another_size_are_refused() -> None:
    with pytest.raises(PlanError, match="The frames are 64x64 but the plan makes 130x100; connect upscaled frames"):
        split_patches(torch.zeros(1, 64, 64, 3), plan_of(100, 130))


def test_a_missing_or_changed_patch_is_named() -> None:
    plan = plan_of(100, 130)
    crops = split_patches(torch.zeros(2, 100, 130, 3), plan)
    with pytest.raises(PlanError, match=f"There are {len(crops) - 1} patches but the plan has {len(crops)} positions"):
        join_patches(crops[1:], plan)
    with pytest.raises(PlanError, match="Patch 2 is 32x64 but the plan's patches are 64x64"):
        join_patches([crops[0], crops[1][:, :, :32], *crops[2:]], plan)
    with pytest.raises(PlanError, match="Patch 3 has 1 frames of 3 channels, patch 1 has 2 of 3"):
        join_patches([*crops[:2], crops[2][:1], *crops[3:]], plan)
    with pytest.raises(PlanError, match="Unknown window 'round'; choose one of plan, linear, cosine"):
        join_patches(crops, plan, "round")
