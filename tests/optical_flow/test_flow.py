"""Motion of a clip, what can be asked of it, and neighbours brought along it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from patchvsr_core.optical_flow.align import align_window, estimate_neighbour_flows
from patchvsr_core.optical_flow.estimators import dis
from patchvsr_core.optical_flow.flow import ClipFlows, consistency, estimate_clip_flows, resize_flow, warp
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.preview.draw import draw_flow
from patchvsr_core.resample import resize, upsample_window


def a_texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(1, 3, height, width) with detail at every place."""
    noise = torch.rand(1, 3, height // 5 + 1, width // 5 + 1, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)


def test_a_shift_is_found_in_pixels_and_in_order_dx_dy() -> None:
    first = a_texture(120, 160)
    second = first.roll((3, 5), (2, 3))  # down by 3, right by 5
    flow = dis()(first, second)
    inner = flow[0, :, 20:-20, 20:-20]
    assert inner.mean((1, 2)).tolist() == pytest.approx([5, 3], abs=0.1)
    moved = warp(second, flow)[..., 20:-20, 20:-20]
    assert (moved - first[..., 20:-20, 20:-20]).abs().mean() < 0.01
    back = dis()(second, first)
    assert consistency(flow, back)[..., 20:-20, 20:-20].mean() > 0.99


def test_warping_by_nothing_changes_nothing_and_outside_is_zero() -> None:
    picture = a_texture(24, 30)
    torch.testing.assert_close(warp(picture, torch.zeros(1, 2, 24, 30)), picture, atol=1e-5, rtol=0)
    far = torch.full((1, 2, 24, 30), 100.0)
    assert warp(picture, far).abs().max() == 0


def test_flows_that_contradict_each_other_are_not_consistent() -> None:
    flow = torch.full((1, 2, 20, 20), 4.0)
    assert consistency(flow, -flow)[..., :-5, :-5].all()
    assert not consistency(flow, flow)[..., :-5, :-5].any()


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 13)])
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_clips_of_any_size_have_flows(size: tuple[int, int], frames: int) -> None:
    flows = estimate_clip_flows(torch.rand(frames, 3, *size))
    assert flows.to_next.shape == flows.to_previous.shape == (frames - 1, 2, *size)
    assert (len(flows), flows.frames, flows.size) == (frames - 1, frames, size)


def test_a_clip_is_measured_in_parts_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimator here says which frames it was given."""
    monkeypatch.setattr("patchvsr_core.optical_flow.flow.frames_per_batch", lambda size: 3)
    told: list[tuple[int, int]] = []

    def name_frames(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        assert len(first) <= 3
        return torch.stack([first[:, 0], second[:, 0]], 1)

    frames = torch.arange(8.0)[:, None, None, None].expand(8, 3, 4, 5)
    flows = estimate_clip_flows(frames, name_frames, lambda done, total: told.append((done, total)))
    assert flows.to_next[:, :, 0, 0].tolist() == [[k, k + 1] for k in range(7)]
    assert flows.to_previous[:, :, 0, 0].tolist() == [[k + 1, k] for k in range(7)]
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_a_flow_grows_with_its_frame_along_each_axis() -> None:
    flow = torch.tensor([4.0, -2.0])[None, :, None, None].expand(1, 2, 12, 20)
    for size in [(6, 5), (3, 40), (12, 20), (25, 21)]:
        at_size = resize_flow(flow, size)
        assert at_size.shape == (1, 2, *size)
        expected = torch.tensor([4 * size[1] / 20, -2 * size[0] / 12])
        torch.testing.assert_close(at_size, expected[None, :, None, None].expand_as(at_size))


def test_a_smaller_flow_is_the_mean_of_what_it_covers() -> None:
    flow = torch.zeros(1, 2, 4, 4)
    flow[0, 0, :2, :2] = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert resize_flow(flow, (2, 2))[0, 0].tolist() == [[1.5, 0.0], [0.0, 0.0]]


def test_a_resized_flow_warps_the_resized_frame() -> None:
    large = a_texture(120, 160)
    flow = torch.tensor([8.0, 4.0])[None, :, None, None].expand(1, 2, 120, 160)
    small, size = F.interpolate(large, size=(60, 40), mode="area"), (60, 40)
    moved = F.interpolate(warp(large, flow), size=size, mode="area")
    inner = (..., slice(4, -4), slice(4, -4))
    assert (warp(small, resize_flow(flow, size)) - moved)[inner].abs().max() < 1e-4


def some_flows() -> ClipFlows:
    flow = torch.arange(5.0)[:, None, None, None].expand(5, 2, 8, 10)
    return ClipFlows(flow, -flow)


@pytest.mark.parametrize(("first", "last"), [(0, 6), (1, 4), (4, 6), (3, 4), (5, 99)])
def test_flows_are_cut_as_the_frames_are(first: int, last: int) -> None:
    names = torch.arange(6)[first:last]
    part = some_flows().slice(first, last)
    assert part.frames == len(names)
    assert part.to_next[:, 0, 0, 0].tolist() == names[:-1].tolist()
    assert part.to_previous[:, 0, 0, 0].tolist() == [-name for name in names[:-1].tolist()]


def test_a_part_of_a_clip_has_the_flows_of_that_part() -> None:
    clip = torch.cat([a_texture(40, 50).roll(k * k, dims=3) for k in range(5)])
    whole, part = estimate_clip_flows(clip).slice(1, 4), estimate_clip_flows(clip[1:4])
    assert torch.equal(whole.to_next, part.to_next) and torch.equal(whole.to_previous, part.to_previous)


def test_flows_of_a_clip_are_resized_and_held_against_each_other_both_ways() -> None:
    flows = some_flows().resize((16, 5))
    assert flows.size == (16, 5)
    assert flows.to_next[2, :, 0, 0].tolist() == [1.0, 4.0] and flows.to_previous[2, :, 0, 0].tolist() == [-1.0, -4.0]
    ahead, back = some_flows().consistency()
    assert ahead.shape == back.shape == (5, 1, 8, 10)
    assert ahead[2, 0, :6, :8].all() and not ahead[2, 0, 6:].any(), "what leaves at the bottom does not come back"
    assert back[2, 0, 2:, 2:].all() and not back[2, 0, :2].any(), "and what came in at the top was not there"
    strict, _ = ClipFlows(torch.full((1, 2, 4, 4), 0.2), torch.full((1, 2, 4, 4), 0.2)).consistency(0.0, 0.01)
    assert not strict.any(), "the two limits are passed on"


def test_the_hue_of_motion_is_its_direction_and_its_saturation_its_length() -> None:
    flow = torch.zeros(5, 2, 20, 30)
    flow[1, 0], flow[2, 1], flow[3, 0], flow[4, 0] = 8.0, 8.0, -8.0, 4.0
    still, right, down, left, half = draw_flow(flow)[:, 10, 10]
    torch.testing.assert_close(still, torch.ones(3))
    torch.testing.assert_close(right, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(half, torch.tensor([1.0, 0.5, 0.5]))
    assert down[0] > 0.8 and down[1] > 0.8 and down[2] == 0, "yellow"
    assert left[0] == 0 and left[1] > 0.7 and left[2] == 1, "cyan"


def test_pictures_of_motion_stay_in_range_for_single_wild_vectors_and_for_none() -> None:
    flow = torch.full((1, 2, 20, 30), 2.0)
    plain = draw_flow(flow)[0, 0, 0]
    flow[0, :, 5, 5], flow[0, :, 6, 6] = 25.0, 1e5
    picture = draw_flow(flow)
    assert picture.shape == (1, 20, 30, 3) and picture.min() >= 0 and picture.max() <= 1
    assert picture[0, 6, 6].tolist() == [0, 0, 0], "leads out of the frame"
    torch.testing.assert_close(picture[0, 0, 0], plain)
    assert not draw_flow(torch.full((1, 2, 4, 4), 1e5)).any()
    assert draw_flow(torch.full((1, 2, 4, 4), 0.01)).min() > 0.98, "hardly any motion is hardly coloured"


def test_neighbours_show_the_present_frame() -> None:
    """Also where the motion falls between pixels: here a pixel and a half of the input for every frame."""
    large = a_texture(160, 240)[0].movedim(0, -1)
    clip = torch.stack([large.roll(3 * k, dims=1) for k in range(3)])
    source = resize(clip, (80, 120)).clamp(0, 1)
    canvas = Canvas(3, (80, 120), (160, 240))
    window = slice(40, 120), slice(60, 180)
    aligned = align_window(source, estimate_neighbour_flows(source), canvas, *window)
    assert aligned.shape == (3, 80, 120, 6)
    enlarged = upsample_window(source, canvas, *window)
    for k, neighbours in ((1, (slice(0, 3), slice(3, 6))), (2, (slice(0, 3),))):
        for neighbour in neighbours:
            assert (aligned[k, ..., neighbour] - enlarged[k]).abs().mean() < 0.02
            assert (enlarged[k - 1] - enlarged[k]).abs().mean() > 0.05
    assert (aligned[0, ..., :3] - enlarged[0]).abs().mean() < 0.02, "the first frame is its own neighbour"


def test_a_window_is_cut_from_the_whole() -> None:
    source = torch.rand(3, 20, 26, 3)
    canvas = Canvas(3, (20, 26), (80, 104))
    flows = estimate_neighbour_flows(source)
    whole = align_window(source, flows, canvas, slice(0, 80), slice(0, 104))
    part = align_window(source, flows, canvas, slice(16, 48), slice(32, 96))
    torch.testing.assert_close(part, whole[:, 16:48, 32:96], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("frames", [1, 2])
def test_frames_of_any_precision_are_aligned(frames: int, dtype: torch.dtype) -> None:
    source = a_texture(20, 26).expand(frames, -1, -1, -1).movedim(1, -1)
    flows = estimate_neighbour_flows(source.to(dtype))
    canvas = Canvas(frames, (20, 26), (80, 104))
    aligned = align_window(source.to(dtype), flows, canvas, slice(0, 80), slice(0, 104))
    expected = align_window(source, estimate_neighbour_flows(source), canvas, slice(0, 80), slice(0, 104))
    assert aligned.dtype == torch.float32 and (aligned - expected).abs().max() < 0.02
