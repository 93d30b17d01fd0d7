"""Flow-guided latent propagation: reference numbers and closed-form properties."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.propagation.latent import PreviousFrame, is_active, preserve_noise, propagate
from patchvsr_core.sampling.input_guidance import ancestral_euler
from patchvsr_core.sampling.solvers import euler, sigma_schedule

GOLDEN = Path(__file__).parents[1] / "golden" / "uav_propagation.npz"


def still(frames: int, size: tuple[int, int] = (6, 8)) -> torch.Tensor:
    return torch.zeros(1, 2, frames - 1, *size)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out_nearest_a1e3_a5e2", {"interpolation": "nearest", "alpha1": 0.001, "alpha2": 0.05}),
        ("out_bilinear_a1e2_a5e1", {"interpolation": "bilinear", "alpha1": 0.01, "alpha2": 0.5}),
    ],
)
def test_reference_numbers(name: str, options: dict) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN).items()}
    out = propagate(golden["x"], golden["flow_fw"], golden["flow_bw"], beta=0.5, **options)
    assert (out - golden[name]).abs().max() < 1e-5
    assert (golden[name] - golden["x"]).abs().mean() > 0.1


def test_a_static_clip_is_unchanged() -> None:
    x = torch.randn(1, 3, 1, 6, 8).expand(-1, -1, 5, -1, -1)
    assert torch.equal(propagate(x, still(5), still(5)), x)


def test_an_impulse_spreads_as_it_must() -> None:
    x = torch.zeros(1, 1, 5, 6, 8)
    x[:, :, 2] = 1
    out = propagate(x, still(5), still(5), beta=0.5)
    assert torch.equal(out[0, 0, :, 3, 4], torch.tensor([0.125, 0.1875, 0.34375, 0.171875, 0.0859375]))


def test_noise_becomes_less_in_the_middle() -> None:
    x = torch.randn(1, 16, 9, 32, 32, generator=torch.Generator().manual_seed(0))
    out = propagate(x, still(9, (32, 32)), still(9, (32, 32)))
    assert float(out[:, :, 4].std()) == pytest.approx(0.43, abs=0.02)


def test_flows_that_disagree_change_nothing() -> None:
    x = torch.randn(1, 4, 4, 6, 8)
    away = torch.full((1, 2, 3, 6, 8), 2.0)
    assert torch.equal(propagate(x, away, away), x)
    assert not torch.equal(propagate(x, away, -away), x)


def test_copy_takes_the_neighbour_along_the_motion() -> None:
    """One cell to the right per frame, in flows of twice the size: the last frame shows the first, moved."""
    x = torch.randn(1, 2, 3, 6, 8)
    forward = torch.zeros(1, 2, 2, 12, 16)
    forward[:, 0] = 2.0
    out = propagate(x, forward, -forward, beta=1.0)
    assert torch.equal(out[:, :, 2, :, 3:6], out[:, :, 0, :, 1:4])
    assert torch.equal(out[:, :, 0, :, 1:4], x[:, :, 2, :, 3:6])


def test_weight_zero_and_single_frames_change_nothing() -> None:
    x = torch.randn(1, 4, 3, 6, 8, dtype=torch.float16)
    assert torch.equal(propagate(x, still(3), still(3), beta=0.0), x)
    assert torch.equal(propagate(x[:, :, :1], still(1), still(1)), x[:, :, :1])


def test_the_input_is_not_touched() -> None:
    x = torch.randn(1, 4, 3, 6, 8)
    before = x.clone()
    propagate(x, still(3), still(3))
    assert torch.equal(x, before)


def test_what_cannot_be_trusted_is_not_carried() -> None:
    x, nothing = torch.randn(1, 3, 3, 6, 8), torch.zeros(1, 2, 6, 8)
    alone = propagate(x, still(3), still(3))
    for back, same in ((nothing, False), (nothing + 3.0, True)):
        joined = propagate(
            x, still(3), still(3), before=PreviousFrame(torch.ones(1, 3, 6, 8), nothing + 3.0 * same, back)
        )
        assert torch.equal(joined, alone) == same


def test_an_impulse_is_carried_into_the_next_chunk() -> None:
    nothing = torch.zeros(1, 1, 3, 6, 8)
    carried = PreviousFrame(torch.ones(1, 1, 6, 8), torch.zeros(1, 2, 6, 8), torch.zeros(1, 2, 6, 8))
    out = propagate(nothing, still(3), still(3), before=carried)
    assert torch.equal(out[0, 0, :, 3, 4], torch.tensor([0.5, 0.25, 0.125]))


def test_wrong_flows_say_why() -> None:
    x = torch.zeros(1, 4, 4, 6, 8)
    with pytest.raises(PlanError, match="4 frames need 3 flows, not 2"):
        propagate(x, still(3), still(3))
    with pytest.raises(PlanError, match="choose one of nearest"):
        propagate(x, still(4), still(4), interpolation="linear")


def test_a_correction_keeps_the_noise_of_the_step() -> None:
    """Answering with it, Euler's next state moves by (1 - sigma') times the correction."""
    generator = torch.Generator().manual_seed(0)
    x, x0, corrected = (torch.randn(1, 4, 2, 4, 4, generator=generator) for _ in range(3))
    sigmas = torch.tensor([0.6, 0.45])
    plain = euler(lambda *_: x0, x, sigmas)
    moved = euler(lambda *_: preserve_noise(x0, corrected, 0.6, 0.45), x, sigmas)
    assert (moved - plain - (1 - 0.45) * (corrected - x0)).abs().max() < 1e-5
    torch.testing.assert_close(preserve_noise(x0, corrected, 0.3, 0.0), corrected, msg="at the last step")


def test_a_correction_keeps_the_noise_of_an_ancestral_step_too() -> None:
    generator = torch.Generator().manual_seed(0)
    x, x0, corrected = (torch.randn(1, 4, 2, 4, 4, generator=generator) for _ in range(3))
    sigmas, kept = torch.tensor([0.6, 0.45]), 0.8**0.5
    solve = ancestral_euler(0.2, 0)
    plain = solve(lambda *_: x0, x, sigmas, None)
    moved = solve(lambda *_: preserve_noise(x0, corrected, 0.6, 0.45, kept), x, sigmas, None)
    assert (moved - plain - (1 - 0.45) * (corrected - x0)).abs().max() < 1e-5


def test_steps_are_chosen_by_the_noise_they_pass() -> None:
    sigmas = sigma_schedule(4).tolist()
    chosen = [is_active(a, b, 0.6, 0.3) for a, b in pairwise(sigmas)]
    assert chosen == [False, True, True, False]
    assert is_active(1.0, 0.0, 0.4, 0.2), "a single step passes all"
