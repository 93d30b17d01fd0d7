"""Motion between frames, and neighbours brought along it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from patchvsr_core.layout import Canvas
from patchvsr_core.propagation.align import aligned_window, neighbour_flows
from patchvsr_core.propagation.flow import clip_flows, consistency, optical_flow, warp
from patchvsr_core.resample import resize, upsampled_window


def a_texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(1, 3, height, width) with detail at every place."""
    noise = torch.rand(1, 3, height // 5 + 1, width // 5 + 1, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)


def test_a_shift_is_found_in_pixels_and_in_order_dx_dy() -> None:
    first = a_texture(120, 160)
    second = first.roll((3, 5), (2, 3))  # down by 3, right by 5
    flow = optical_flow(first, second)
    inner = flow[0, :, 20:-20, 20:-20]
    assert inner.mean((1, 2)).tolist() == pytest.approx([5, 3], abs=0.1)
    moved = warp(second, flow)[..., 20:-20, 20:-20]
    assert (moved - first[..., 20:-20, 20:-20]).abs().mean() < 0.01
    back = optical_flow(second, first)
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
def test_frames_of_any_size_have_a_flow(size: tuple[int, int]) -> None:
    clip = torch.rand(3, 3, *size)
    assert all(flow.shape == (2, 2, *size) for flow in clip_flows(clip))


def test_neighbours_show_the_present_frame() -> None:
    """Also where the motion falls between pixels: here a pixel and a half of the input for every frame."""
    large = a_texture(160, 240)[0].movedim(0, -1)
    clip = torch.stack([large.roll(3 * k, dims=1) for k in range(3)])
    source = resize(clip, (80, 120)).clamp(0, 1)
    canvas = Canvas(3, (80, 120), (160, 240))
    window = slice(40, 120), slice(60, 180)
    aligned = aligned_window(source, neighbour_flows(source), canvas, *window)
    assert aligned.shape == (3, 80, 120, 6)
    enlarged = upsampled_window(source, canvas, *window)
    for k, neighbours in ((1, (slice(0, 3), slice(3, 6))), (2, (slice(0, 3),))):
        for neighbour in neighbours:
            assert (aligned[k, ..., neighbour] - enlarged[k]).abs().mean() < 0.02
            assert (enlarged[k - 1] - enlarged[k]).abs().mean() > 0.05
    assert (aligned[0, ..., :3] - enlarged[0]).abs().mean() < 0.02, "the first frame is its own neighbour"


def test_a_window_is_cut_from_the_whole() -> None:
    source = torch.rand(3, 20, 26, 3)
    canvas = Canvas(3, (20, 26), (80, 104))
    flows = neighbour_flows(source)
    whole = aligned_window(source, flows, canvas, slice(0, 80), slice(0, 104))
    part = aligned_window(source, flows, canvas, slice(16, 48), slice(32, 96))
    torch.testing.assert_close(part, whole[:, 16:48, 32:96], atol=1e-5, rtol=0)
