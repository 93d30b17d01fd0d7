"""The real-time network DAP: streaming, causality, cost, and what it does before it is trained."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from patchvsr_core.realtime.dap import DAP, DAPConfig
from patchvsr_core.realtime.deformable_gather import sample_points

SMALL = DAPConfig(channels=16, features=8, keys=8, points=4, blocks=1)
SWITCHES = [{}, {"attention": False}, {"pyramid": False}, {"offsets": False}, {"offsets": False, "attention": False}]


def a_network(config: DAPConfig = SMALL, *, trained: bool = True) -> DAP:
    """``trained``: with offsets that are not zero."""
    torch.manual_seed(0)
    network = DAP(config)
    if trained:
        for offsets in network.offsets:
            nn.init.normal_(offsets[-1].weight, std=0.1)
    return network.requires_grad_(False).eval()


def a_clip(frames: int = 4, size: tuple[int, int] = (18, 22)) -> torch.Tensor:
    return torch.rand(1, frames, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("switches", SWITCHES)
def test_streaming_equals_batch(switches: dict) -> None:
    network, clip = a_network(replace(SMALL, **switches)), a_clip()
    state, frames = None, []
    for frame in clip.unbind(1):
        result, state = network.step(frame, state)
        frames.append(result)
    assert (torch.stack(frames, 1) - network(clip)).abs().max() < 1e-5


@pytest.mark.parametrize("switches", SWITCHES)
def test_later_frames_do_not_matter_and_earlier_ones_do(switches: dict) -> None:
    network, clip = a_network(replace(SMALL, **switches)), a_clip(3)
    before = network(clip)
    clip[:, 2] += 0.5
    assert torch.equal(network(clip)[:, :2], before[:, :2])
    clip[:, 0] = 0
    assert (network(clip)[:, 1] - before[:, 1]).abs().max() > 1e-5


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (16, 5)])
def test_any_size(size: tuple[int, int]) -> None:
    assert a_network()(a_clip(2, size)).shape == (1, 2, 3, 4 * size[0], 4 * size[1])


def test_before_training_the_hidden_state_is_read_where_it_lies() -> None:
    network, clip = a_network(trained=False), a_clip(2)
    _, state = network.step(clip[:, 0], None)
    features = network._features(clip[:, 1])
    offsets = network.motion(features, state.features)
    assert not offsets.any()
    found = network._attend(clip[:, 1], features[0], state, offsets)
    torch.testing.assert_close(found, network.value(state.hidden), atol=1e-5, rtol=0)


def test_cost_is_that_of_the_paper() -> None:
    """Multiply-accumulates of the convolutions at 180 x 320, from a smaller frame of whole levels."""
    network, counted = DAP().eval(), []

    def count(module: nn.Conv2d, args: tuple, out: torch.Tensor) -> None:
        counted.append(out.numel() * math.prod(module.weight.shape[1:]))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.step(torch.zeros(1, 3, 16, 32), None)
    assert sum(counted) * (180 * 320) / (16 * 32) == pytest.approx(164.8e9, rel=0.1)


def test_offsets_learn_where_things_went() -> None:
    """After brief training on pictures that move, the mean offset is within half a pixel of the motion."""
    torch.manual_seed(1)
    network = DAP(replace(SMALL, channels=8, features=16, blocks=0))
    optimizer, generator = torch.optim.Adam(network.parameters(), lr=1e-3), torch.Generator().manual_seed(1)
    for _ in range(600):
        clips, _ = moved(8, generator)
        fetched = sample_points(offsets_of(network, clips)).gather_sum(clips[:, 0])
        loss = (fetched - clips[:, 1])[..., 4:-4, 4:-4].abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    clips, moves = moved(16, torch.Generator().manual_seed(99))
    with torch.no_grad():
        found = offsets_of(network, clips).mean(3)[:, 5:-5, 5:-5].mean((1, 2))
    assert (found - moves).abs().amax(1).median() < 0.5
    assert moves.abs().float().amax(1).median() >= 2


def offsets_of(network: DAP, clips: torch.Tensor) -> torch.Tensor:
    return network.motion(network._features(clips[:, 1]), network._features(clips[:, 0]))


def moved(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 2, 3, 32, 32) pairs of soft noise, and (N, 2) where the content of the second lies in the first."""
    small = torch.rand(count, 3, 6, 6, generator=generator)
    pictures = nn.functional.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False)
    moves = torch.randint(-2, 3, (count, 2), generator=generator)
    later = [p.roll((-int(dy), -int(dx)), dims=(1, 2)) for p, (dx, dy) in zip(pictures, moves, strict=True)]
    return torch.stack([pictures, torch.stack(later)], 1), moves
