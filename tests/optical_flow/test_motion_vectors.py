"""Motion that a renderer wrote down."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from patchvsr_core.errors import MediaError
from patchvsr_core.optical_flow.flow import ClipFlows, consistency
from patchvsr_core.optical_flow.motion_vectors import flows_from_motion, flows_from_vectors, reverse_flow

HEIGHT, WIDTH, FRAMES = 24, 32, 4


def everywhere(*values: float) -> Tensor:
    """(FRAMES, HEIGHT, WIDTH, C) of the same vector."""
    return torch.tensor(values).expand(FRAMES, HEIGHT, WIDTH, len(values))


def test_a_vector_pass_points_back_with_x_y_and_here_from_the_next_with_z_w() -> None:
    """Something that goes right by 5 and up by 3 per frame: it was left and below, and Blender's y is up."""
    flows = flows_from_vectors(everywhere(-5.0, -3.0, -5.0, -3.0))
    assert flows.frames == FRAMES and flows.size == (HEIGHT, WIDTH)
    assert flows.to_next[1, :, 4, 4].tolist() == [5, -3]
    assert flows.to_previous[1, :, 4, 4].tolist() == [-5, 3]
    ahead, _ = flows.consistency()
    assert ahead[:, 0, 3:, :-5].all()


def test_every_pair_takes_the_vectors_of_the_frame_that_they_start_from() -> None:
    names = torch.arange(float(FRAMES))[:, None, None, None].expand(FRAMES, HEIGHT, WIDTH, 2)
    flows = flows_from_motion(names, -names)
    assert flows.to_next[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert flows.to_previous[:, 0, 0, 0].tolist() == [-1, -2, -3]


@pytest.mark.parametrize("given", ["next", "previous"])
def test_the_way_that_is_missing_is_found_and_what_was_hidden_is_not_trusted(given: str) -> None:
    """All goes right by 5 and down by 3."""
    known = everywhere(5.0, -3.0)
    flows = flows_from_motion(motion_to_next=known) if given == "next" else flows_from_motion(None, -known)
    assert flows.to_next.isfinite().all() and flows.to_previous.isfinite().all()
    ahead, back = flows.consistency()
    stays, came = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool), torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    stays[:-3, :-5] = came[3:, 5:] = True
    assert torch.equal(flows.to_next[0, :, stays].T.unique(dim=0), torch.tensor([[5.0, 3.0]]))
    assert torch.equal(flows.to_previous[0, :, came].T.unique(dim=0), torch.tensor([[-5.0, -3.0]]))
    for mask, expected in ((ahead, stays), (back, came)):
        assert not mask[:, 0, ~expected].any()
        assert mask[0, 0, expected].float().mean() > 0.9
        assert mask[0, 0, 4:-4, 6:-6].all()


def test_what_was_hidden_stays_out_of_trust_in_a_smaller_clip() -> None:
    flows = flows_from_motion(motion_to_next=everywhere(8.0, 0.0)).resize((HEIGHT // 8, WIDTH // 8))
    _, back = flows.consistency()
    assert back[0, 0].tolist() == [[0, 1, 1, 1]] * 3


@pytest.mark.parametrize("part", [0.0, 0.25, 0.5])
def test_a_smooth_flow_comes_back(part: float) -> None:
    """A zoom by 1.2 about the middle, moved by a part of a pixel."""
    y, x = torch.meshgrid(torch.arange(60.0) - 29.5, torch.arange(80.0) - 39.5, indexing="ij")
    flow = torch.stack([0.2 * x + part, 0.2 * y])[None]
    back = reverse_flow(flow)
    expected = torch.stack([-(x - part) / 6 - part, -y / 6])
    inner = (..., slice(3, -3), slice(3, -3))
    assert (back[0] - expected)[inner].abs().max() < 0.15
    assert consistency(back, flow)[inner].all()


def test_the_same_vectors_every_time_and_none_changed() -> None:
    flow = torch.randn(2, 2, 20, 30, generator=torch.Generator().manual_seed(2)) * 4
    before = flow.clone()
    assert torch.equal(reverse_flow(flow), reverse_flow(flow)) and torch.equal(flow, before)


@pytest.mark.parametrize("wild", [float("nan"), float("inf"), 1e10])
def test_vectors_that_are_no_numbers_are_places_that_nothing_is_known_of(wild: float) -> None:
    """Renderers leave them in the sky."""
    vectors = everywhere(0.0, 0.0, 0.0, 0.0).clone()
    vectors[:, :6, :, 2] = wild
    vectors[:, :6, :, 0] = wild
    for flows in (flows_from_vectors(vectors), flows_from_vectors(vectors[..., :3])):
        assert isinstance(flows, ClipFlows)
        for flow, trusted in zip((flows.to_next, flows.to_previous), flows.consistency(), strict=True):
            assert flow.isfinite().all()
            assert not trusted[:, :, :6].any() and trusted[:, :, 7:].all()


def test_of_three_channels_the_third_is_not_read() -> None:
    vectors = everywhere(-2.0, 1.0, 0.5)
    two, three = flows_from_vectors(vectors[..., :2]), flows_from_vectors(vectors)
    assert torch.equal(two.to_next, three.to_next) and torch.equal(two.to_previous, three.to_previous)


def test_motion_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(MediaError, match="no motion vectors"):
        flows_from_motion()
    with pytest.raises(MediaError, match="2 to 4"):
        flows_from_vectors(torch.zeros(3, 8, 8))
    with pytest.raises(MediaError, match="2 to 4"):
        flows_from_vectors(torch.zeros(3, 8, 8, 5))
    with pytest.raises(MediaError, match="same frames"):
        flows_from_motion(torch.zeros(3, 8, 8, 2), torch.zeros(3, 8, 9, 2))
