"""The blocks of the conditional decoder, held to outputs of Upscale-A-Video's own code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from patchvsr_core.vae.sft import Modulation, PositionNorm, ResidualBlock2d, ResidualBlockPlus

GOLDEN = Path(__file__).parents[1] / "golden" / "uav_sft_plus.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(GOLDEN).items()}


def part(golden: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}


def test_modulation_is_the_papers(golden: dict[str, Tensor]) -> None:
    modulation = Modulation(32, 64)
    modulation.load_state_dict(part(golden, "sft."))
    found = modulation(golden["enc"], golden["dec"], 0.7)
    torch.testing.assert_close(found, golden["sft_out_w07"], atol=1e-5, rtol=0)


def test_residual_block_plus_is_the_papers(golden: dict[str, Tensor]) -> None:
    block = ResidualBlockPlus(32, 64)
    block.load_state_dict(part(golden, "plus."))
    torch.testing.assert_close(block(golden["enc"]), golden["plus_out"], atol=1e-5, rtol=0)


def test_untrained_modulation_and_weight_zero_change_nothing() -> None:
    features = torch.randn(2, 64, 3, 6, 5)
    modulation = Modulation(32, 64)
    assert torch.equal(modulation(torch.randn(2, 32, 3, 6, 5), features), features)
    torch.nn.init.normal_(modulation.shift.weight)
    condition = torch.randn(2, 32, 3, 6, 5)
    assert torch.equal(modulation(condition, features, 0.0), features)
    assert not torch.equal(modulation(condition, features), features)


def test_untrained_plus_looks_at_one_frame_and_a_trained_one_at_three() -> None:
    torch.manual_seed(0)
    block = ResidualBlockPlus(32, 32, PositionNorm)
    x = torch.randn(1, 32, 5, 6, 6)
    other = x.clone()
    other[:, :, 1] = torch.randn(32, 6, 6)
    torch.testing.assert_close(block(x), ResidualBlock2d.forward(block, x))
    changed = (block(other) - block(x)).abs().amax((0, 1, 3, 4)) > 0
    assert changed.tolist() == [False, True, False, False, False]
    trained = ResidualBlockPlus(32, 32, PositionNorm)
    torch.nn.init.normal_(trained.conv_3d.weight)
    changed = (trained(other) - trained(x)).abs().amax((0, 1, 3, 4)) > 1e-6
    assert changed.tolist() == [True, True, True, False, False]


def test_position_norm_knows_no_other_position() -> None:
    torch.manual_seed(0)
    norm = PositionNorm(16)
    x = torch.randn(1, 16, 2, 4, 4) * 5
    y = norm(x)
    torch.testing.assert_close(y.square().mean(1), torch.ones(1, 2, 4, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm(x[..., 1:2, 1:2]), y[..., 1:2, 1:2])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_gradients_in_bfloat16_are_right_for_short_clips(frames: int) -> None:
    torch.manual_seed(0)
    block = ResidualBlockPlus(32, 32, PositionNorm)
    x = torch.randn(1, 32, frames, 32, 32)
    gradients = []
    for autocast in (False, True):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = block(x)
        (y.float() * x).sum().backward()
        gradients.append(block.conv_3d.weight.grad.clone())
    exact, rough = gradients
    assert (exact - rough).abs().max() < 0.03 * exact.abs().max()
