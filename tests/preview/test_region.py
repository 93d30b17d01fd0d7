"""What has to run for a look at one place."""

import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.plan.positions import list_positions, patches_at
from patchvsr_core.preview.patch_preview import upsample_nearest
from patchvsr_core.preview.region import RegionOnly, decode_region, most_detailed_position, select_region
from patchvsr_core.resample import resize
from patchvsr_core.sampling.joint_modulation import fuse
from patchvsr_core.vae.codec import SpaceToDepth
from patchvsr_core.vae.encode import encode_canvas

CANVAS = Canvas(20, (32, 48), (128, 192), 8, 1)
PLAN = plan_patches(CANVAS, patch_px=64, layout="corner", window_frames=8, overlap_frames=2)


def test_the_windows_of_the_frames_that_are_shown_run_and_of_those_that_a_network_looks_at():
    windows = sorted({patch.origin[0] for patch in PLAN.patches})
    alone = select_region(PLAN, 2, 9, 1)
    assert alone.frames == range(9, 10)
    assert {t for t, *_ in alone.origins} == {t for t in windows if t <= 9 < t + 8}
    wide = select_region(PLAN, 2, 9, 4, reach_frames=3)
    assert {t for t, *_ in wide.origins} == {t for t in windows if t < 16 and t + 8 > 6}
    assert {(y, x) for _, y, x in wide.origins} == {patches_at(PLAN, 2)[0].origin[1:]}
    assert select_region(PLAN, 2, 18, 9).frames == range(18, 20), "the clip ends"


def test_neighbours_are_all_that_overlap():
    focus = select_region(PLAN, 1, 0, 1, neighbours=True)
    y, x = patches_at(PLAN, 1)[0].origin[1:]
    expected = {p.origin for p in PLAN.patches if abs(p.origin[1] - y) < 8 and abs(p.origin[2] - x) < 8}
    assert focus.origins == {origin for origin in expected if origin[0] == 0} and len(focus.origins) == 4


def test_wan_s_latent_frames_hold_several_of_the_clip():
    canvas = Canvas(30, (32, 48), (128, 192), 8, 4)
    plan = plan_patches(canvas, patch_px=64, layout="corner", window_frames=13, overlap_frames=4)
    windows = sorted({p.origin[0] for p in plan.patches})
    assert len(windows) == 3
    for frame in range(30):
        latent = 0 if frame == 0 else 1 + (frame - 1) // 4
        found = {t for t, *_ in select_region(plan, 1, frame, 1).origins}
        assert found == {t for t in windows if t <= latent < t + plan.patch_size[0]}


@pytest.mark.parametrize("neighbours", [False, True])
def test_lit_patches_share_their_cells_and_the_rest_stays_the_input(neighbours):
    """A model that answers ones: ones wherever a patch in focus lies, the input elsewhere."""
    focus = select_region(PLAN, 5, 0, 12, neighbours=neighbours)
    upsampled = torch.full((1, 4, *CANVAS.latent_shape), 7.0)
    spotlight = RegionOnly(focus.origins, [upsampled])
    calls = []

    def ones(x, sigma, control):
        calls.extend(control)
        return [torch.ones_like(x)]

    (fused,) = fuse(ones, torch.zeros_like(upsampled), torch.tensor(1.0), PLAN.patches, list, skip_policy=spotlight)
    assert {patch.origin for patch in calls} == focus.origins
    weight = torch.zeros(CANVAS.latent_shape)
    for patch in PLAN.patches:
        if patch.origin in focus.origins:
            patch.crop(weight).add_(patch.weight(weight))
    assert ((fused - 1).abs()[..., weight > 0] < 1e-5).all()
    assert torch.equal(fused[..., weight == 0], upsampled[..., weight == 0])


def test_a_place_is_decoded_and_the_rest_is_the_enlarged_input():
    source = torch.rand(20, 32, 48, 3, generator=torch.Generator().manual_seed(0))
    codec = SpaceToDepth()
    latent = encode_canvas(codec, 1 - source, CANVAS)
    seen = resize(source[3:6], (128, 192)).clamp(0, 1)
    out = decode_region(codec, latent, seen, CANVAS, (slice(0, 64), slice(0, 64)), range(3, 6))
    torch.testing.assert_close(out, resize(1 - source[3:6], (128, 192)).clamp(0, 1), atol=1e-5, rtol=0)
    wide = Canvas(2, (32, 400), (128, 1600), 8, 1)
    source = torch.rand(2, 32, 400, 3, generator=torch.Generator().manual_seed(1))
    latent = encode_canvas(codec, 1 - source, wide)
    plain, other = (resize(clip, (128, 1600)).clamp(0, 1) for clip in (source, 1 - source))
    out = decode_region(codec, latent, plain, wide, (slice(0, 128), slice(1400, 1600)), range(2))
    torch.testing.assert_close(out[:, :, 1400:], other[:, :, 1400:], atol=1e-5, rtol=0)
    torch.testing.assert_close(out[:, :, :900], plain[:, :, :900], atol=1e-5, rtol=0)


def test_the_richest_place_is_where_the_detail_is():
    frame = torch.full((32, 48, 3), 0.5)
    frame[20:28, 36:44] = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(0))
    position = list_positions(PLAN)[most_detailed_position(PLAN, frame) - 1]
    assert position.kind == "primary" and position.y <= 80 and position.x <= 144
    assert position.y + position.height >= 112 and position.x + position.width >= 176


def test_squares_are_the_pixels_of_the_input():
    frames = torch.rand(1, 3, 5, 3)
    assert torch.equal(upsample_nearest(frames, (9, 15)), frames.repeat_interleave(3, 1).repeat_interleave(3, 2))
    assert upsample_nearest(frames, (7, 12)).shape == (1, 7, 12, 3)


def test_a_place_or_frame_that_there_is_not_is_named():
    for number, frame, said in ((0, 0, "no patch 0"), (99, 0, "no patch 99"), (1, 20, "there is no frame 20")):
        with pytest.raises(PlanError, match=said):
            select_region(PLAN, number, frame, 1)
