"""G-buffers of a clip, given or estimated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from patchvsr_core.errors import MediaError
from patchvsr_core.optical_flow.flow import ClipFlows
from patchvsr_core.realtime.gbuffers import (
    NEUTRAL_ALBEDO,
    STEEPNESS,
    RenderPasses,
    estimate_normals,
    make_gbuffers,
    normalise_depth,
)
from patchvsr_core.srgb import to_display

HEIGHT, WIDTH = 32, 48


def a_clip(frames: int = 3, step: tuple[int, int] = (0, 0)) -> Tensor:
    """Soft noise that goes right and down by ``step`` (x, y) each frame."""
    coarse = torch.rand(1, 3, 10, 14, generator=torch.Generator().manual_seed(4))
    frame = torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)[0].movedim(0, -1)
    return torch.stack([frame.roll((step[1] * k, step[0] * k), (0, 1)) for k in range(frames)])


def ramp(right: float, down: float) -> Tensor:
    """(1, 1, h, w) depth that grows by so much per pixel."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    return (right * x + down * y)[None, None]


def test_without_passes_everything_is_estimated_in_its_shape_and_range() -> None:
    clip = a_clip()
    before = clip.clone()
    buffers = make_gbuffers(clip)
    channels = {"Image": 3, "Motion": 2, "Depth": 1, "Normal": 3, "BRDF": 3}
    assert {name: tuple(value.shape) for name, value in buffers.items()} == {
        name: (1, 3, count, HEIGHT, WIDTH) for name, count in channels.items()
    }
    assert all(value.dtype == torch.float32 for value in buffers.values())
    assert torch.equal(buffers["Image"][0], clip.movedim(-1, 1)) and torch.equal(clip, before)
    assert not buffers["Depth"].any()
    straight = torch.tensor([0.5, 0.5, 1.0])[:, None, None].expand(3, 3, HEIGHT, WIDTH)
    assert torch.equal(buffers["Normal"][0], straight)


def test_constant_depth_faces_the_camera_whatever_it_is() -> None:
    for depth in (0.0, 7.0, 1e10, torch.inf, torch.nan):
        buffers = make_gbuffers(a_clip(), RenderPasses(depth=torch.full((3, HEIGHT, WIDTH), depth)))
        assert not buffers["Depth"].any()
        assert torch.equal(buffers["Normal"][0, :, :, 5, 5], torch.tensor([0.5, 0.5, 1.0]).expand(3, 3))


@pytest.mark.parametrize(
    ("right", "down", "towards"),
    [
        (0.05, 0.0, (1.0, 0.0)),  # farther to the right: a wall on the left
        (-0.05, 0.0, (-1.0, 0.0)),
        (0.0, -0.05, (0.0, 1.0)),  # farther up: a floor
        (0.0, 0.05, (0.0, -1.0)),
    ],
)
def test_a_tilted_plane(right: float, down: float, towards: tuple[float, float]) -> None:
    normals = estimate_normals(ramp(right, down))[0, :, 1:-1, 1:-1]
    expected = torch.tensor([towards[0], towards[1], 1 / (0.05 * STEEPNESS)])
    assert torch.allclose(normals, (expected / expected.norm())[:, None, None].expand_as(normals), atol=1e-5)


def test_normals_have_unit_length_everywhere() -> None:
    depth = torch.rand(2, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(estimate_normals(depth).norm(dim=1), torch.ones(2, HEIGHT, WIDTH), atol=1e-6)


def test_depth_of_every_frame_lies_between_0_and_1() -> None:
    depth = torch.stack([ramp(1.0, 0.0)[0, 0] + 3, ramp(0.0, 20.0)[0, 0] + 100])
    result = normalise_depth(depth)
    assert torch.allclose(result[0, 0, 4], torch.linspace(0, 1, WIDTH))
    assert torch.allclose(result[1, 0, :, 4], torch.linspace(0, 1, HEIGHT))


@pytest.mark.parametrize("nothing", [1e10, 65504.0, torch.inf, torch.nan])
def test_where_nothing_is_is_as_far_as_the_farthest_thing(nothing: float) -> None:
    depth = ramp(1.0, 0.0)[0] + 2
    depth[:, :4] = nothing
    before = depth.clone()
    result = normalise_depth(depth)
    assert result[0, 0, :4].eq(1).all()
    assert torch.allclose(result[0, 0, 4], torch.linspace(0, 1, WIDTH)), "the scene keeps the whole range"
    assert torch.equal(depth.nan_to_num(-1.0), before.nan_to_num(-1.0))


def test_motion_leads_from_each_frame_after_to_the_frame() -> None:
    motion = make_gbuffers(a_clip(3, step=(3, 2)))["Motion"][0]
    inner = motion[:2, :, 10:-10, 10:-10].mean((0, 2, 3))
    assert inner.tolist() == pytest.approx([-3, -2], abs=0.2)
    assert not motion[2].any()


def test_given_motion_is_the_way_back_of_each_pair() -> None:
    back = torch.tensor([1.0, 2.0])[:, None, None, None].expand(2, 2, HEIGHT, WIDTH)
    flows = ClipFlows(torch.full((2, 2, HEIGHT, WIDTH), 9.0), back)
    motion = make_gbuffers(a_clip(), RenderPasses(flows=flows))["Motion"][0]
    assert motion.amin((1, 2, 3)).tolist() == motion.amax((1, 2, 3)).tolist() == [1, 2, 0]


def test_another_estimator_sees_the_later_frame_first() -> None:
    seen = []

    def estimator(first: Tensor, second: Tensor) -> Tensor:
        seen.append((first, second))
        return torch.full_like(first[:, :2], 5.0)

    clip = a_clip(3, step=(3, 2))
    motion = make_gbuffers(clip, estimator=estimator)["Motion"][0]
    assert torch.equal(seen[0][0], clip[1:].movedim(-1, 1)) and torch.equal(seen[0][1], clip[:-1].movedim(-1, 1))
    assert motion[:2].eq(5).all() and not motion[2].any()


def test_a_single_frame_has_no_motion() -> None:
    assert not make_gbuffers(a_clip(1))["Motion"].any()


def test_given_normals_and_colours_are_taken() -> None:
    generator = torch.Generator().manual_seed(3)
    normal = torch.rand(3, HEIGHT, WIDTH, 3, generator=generator) * 2 - 1
    albedo = torch.rand(3, HEIGHT, WIDTH, 3, generator=generator) * 0.5 + 0.25
    buffers = make_gbuffers(a_clip(), RenderPasses(normal=normal, albedo=albedo))
    assert torch.allclose(buffers["Normal"][0].movedim(1, -1) * 2 - 1, normal, atol=1e-6)
    assert buffers["BRDF"].amin((0, 2, 3, 4)).eq(0).all() and buffers["BRDF"].amax((0, 2, 3, 4)).allclose(torch.ones(3))
    order = buffers["BRDF"][0, 0].movedim(0, -1).flatten().argsort()
    assert torch.equal(order, albedo[0].flatten().argsort())


def test_an_estimated_material_does_not_follow_the_light() -> None:
    """One colour, lit from dark on the left to bright on the right."""
    light = torch.linspace(0.3, 1.0, 96)[None, None, :, None]
    buffers = make_gbuffers((torch.tensor([0.8, 0.4, 0.2]) * light).expand(1, 64, 96, 3))
    inner = buffers["BRDF"][0, 0, :, 8:-8, 8:-8]
    assert light[0, 0, -9] / light[0, 0, 8] > 2.5 and inner[0].max() / inner[0].min() < 1.5
    assert inner[0].min() > inner[1].max() > inner[1].min() > inner[2].max()


@pytest.mark.parametrize(
    ("name", "shape"), [("depth", (2, HEIGHT, WIDTH)), ("normal", (3, HEIGHT, 9, 3)), ("albedo", (3, 9, WIDTH, 3))]
)
def test_passes_of_another_clip(name: str, shape: tuple[int, ...]) -> None:
    words = f"{name.title()} has {shape[0]} frames of {shape[2]}x{shape[1]}, the clip 3 of {WIDTH}x{HEIGHT}"
    with pytest.raises(MediaError, match=words):
        make_gbuffers(a_clip(), RenderPasses(**{name: torch.zeros(shape)}))


@pytest.mark.parametrize("shape", [(3, 2, HEIGHT, WIDTH), (2, 2, HEIGHT, 9)])
def test_motion_of_another_clip(shape: tuple[int, ...]) -> None:
    flows = ClipFlows(torch.zeros(shape), torch.zeros(shape))
    with pytest.raises(MediaError, match=f"motion has {shape[0] + 1} frames of {shape[3]}x{shape[2]} but the clip"):
        make_gbuffers(a_clip(), RenderPasses(flows=flows))


def test_published_networks_get_the_albedo_as_rendered_and_neutral_surfaces() -> None:
    """The authors scale the linear albedo of a frame from its least to its greatest value, above 1 too."""
    linear = torch.rand(3, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(5)) * 1.5 + 0.1
    buffers = make_gbuffers(a_clip(), RenderPasses(albedo=to_display(linear)), published=True)
    low, high = linear.amin((1, 2, 3), keepdim=True), linear.amax((1, 2, 3), keepdim=True)
    assert torch.allclose(buffers["BRDF"][0].movedim(1, -1), (linear - low) / (high - low), atol=1e-5)
    assert (
        make_gbuffers(a_clip(), RenderPasses(albedo=to_display(linear)))["BRDF"] - buffers["BRDF"]
    ).abs().max() > 0.1
    assert torch.equal(buffers["Normal"][0, 0, :, 5, 5], torch.tensor([0.5, 0.5, 1.0]))
    depth = ramp(0.05, 0.0)[0].expand(3, -1, -1)
    lacking = make_gbuffers(a_clip(), RenderPasses(depth=depth), published=True)
    assert lacking["BRDF"].unique().tolist() == [NEUTRAL_ALBEDO]
    assert torch.equal(lacking["Normal"][0, 0, :, 5, 5], torch.tensor([0.5, 0.5, 1.0])), "not the slope of the depth"
    assert torch.equal(lacking["Depth"], make_gbuffers(a_clip(), RenderPasses(depth=depth))["Depth"])
