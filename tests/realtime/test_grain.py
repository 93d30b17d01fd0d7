"""Grain of surfaces, and noise in the light."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from patchvsr_core.optical_flow.flow import ClipFlows
from patchvsr_core.realtime.gbuffers import RenderPasses
from patchvsr_core.realtime.grain import CLEAN, NOISY, STRENGTH, measure_light_noise, restore_grain
from patchvsr_core.realtime.rdg import RDG
from patchvsr_core.realtime.upscaler import FastUpscaler, load_fast
from patchvsr_core.resample import resize
from patchvsr_core.training.renders import light_noise

SIDE, FRAMES = 32, 4
STEP = (3, 2)
"""Pixels of the input that the ground moves down and across, from frame to frame."""


def ground(side: int = SIDE) -> Tensor:
    """(T, side, side, 3) fine grain on grey that moves."""
    rng = np.random.default_rng(1)
    whole = side + FRAMES * max(STEP)
    grain = torch.from_numpy(0.5 * (1 + 0.06 * rng.standard_normal((whole, whole, 1)))).float().expand(-1, -1, 3)
    starts = [(STEP[0] * (FRAMES - k), STEP[1] * (FRAMES - k)) for k in range(FRAMES)]
    return torch.stack([grain[y : y + side, x : x + side] for y, x in starts]).clamp(0, 1)


def motion(side: int = SIDE) -> ClipFlows:
    to_previous = torch.tensor([-STEP[1], -STEP[0]]).float().view(1, 2, 1, 1).expand(FRAMES - 1, -1, side, side)
    return ClipFlows(-to_previous, to_previous)


@pytest.mark.parametrize("level", [0.0, 0.05, 0.2])
def test_noise_is_measured_and_grain_is_not(level: float) -> None:
    side = 160  # little of it comes in from outside
    noisy, flows = light_noise(ground(side), level, np.random.default_rng(2)), motion(side).to_previous
    measured = [float(measure_light_noise(noisy[[k]], noisy[[k - 1]], flows[[k - 1]])) for k in range(1, FRAMES)]
    assert np.mean(measured) == pytest.approx(level, rel=0.1, abs=1e-5)


def test_the_measurement_is_smoothed_in_time() -> None:
    frames = light_noise(ground(), 0.2, np.random.default_rng(2))
    alone = measure_light_noise(frames[1:2], frames[:1], motion().to_previous[:1])
    smoothed = measure_light_noise(frames[1:2], frames[:1], motion().to_previous[:1], torch.tensor(0.0))
    assert float(smoothed) == pytest.approx(0.2 * float(alone), rel=1e-5)


@pytest.mark.parametrize(("noise", "share"), [(0.0, 1.0), (CLEAN, 1.0), ((CLEAN + NOISY) / 2, 0.5), (NOISY, 0.0)])
def test_what_comes_back_falls_with_the_noise(noise: float, share: float) -> None:
    upsampled, image = torch.full((1, 3, 32, 32), 0.4), torch.full((1, 8, 8, 3), 0.6)
    result = restore_grain(upsampled, image, torch.tensor(noise))
    torch.testing.assert_close(result, torch.full_like(result, 0.4 + 0.2 * STRENGTH * share), atol=1e-6, rtol=0)


def test_grain_survives_the_shipped_network_and_noise_does_not() -> None:
    """Contrast of the result over that of the upsampled ground; the first frame has nothing to be compared with."""
    network, passes = load_fast("rdg"), RenderPasses(motion())

    def contrast(frames: Tensor) -> float:
        result = network.upscale(frames, passes=passes)[1:, 16:-16, 16:-16]
        bicubic = resize(ground(), (4 * SIDE, 4 * SIDE))[1:, 16:-16, 16:-16]
        return float((result - result.mean()).flatten() @ (bicubic - bicubic.mean()).flatten()) / float(
            (bicubic - bicubic.mean()).square().sum()
        )

    clean, noisy = contrast(ground()), contrast(light_noise(ground(), 0.2, np.random.default_rng(2)))
    assert clean > 0.5 > noisy + 0.1


def test_published_networks_and_clips_without_motion_give_the_network_s_numbers() -> None:
    torch.manual_seed(0)
    frames = ground()
    for published, flows in ((True, motion()), (False, None)):
        state: dict[str, Tensor] = {}
        FastUpscaler(RDG(8, published=published).eval()).upscale(frames, passes=RenderPasses(flows), state=state)
        assert "noise" not in state and "frame" in state


def test_segments_give_what_the_whole_clip_gives() -> None:
    network, frames, flows = load_fast("rdg"), ground(), motion()
    whole = network.upscale(frames, passes=RenderPasses(flows))
    state: dict[str, Tensor] = {}
    parts = [network.upscale(frames[:2], passes=RenderPasses(flows.slice(0, 2)), state=state)]
    assert 0 <= float(state["noise"]) < CLEAN
    parts.append(network.upscale(frames[2:], passes=RenderPasses(flows.slice(1, FRAMES)), state=state))
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)
