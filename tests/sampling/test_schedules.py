from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.sampling.schedules import star_fast_steps, star_schedule, star_sigmas
from patchvsr_core.sampling.solvers import SOLVERS, start_flow


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(Path(__file__).parents[1] / "golden" / "star_misc.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in ("sigmas", "fast_steps")}


def test_stars_numbers(golden: dict[str, torch.Tensor]) -> None:
    assert (star_sigmas() - golden["sigmas"]).abs().max() < 1e-6
    assert star_sigmas()[-1] == 1
    assert (star_fast_steps() - golden["fast_steps"]).abs().max() < 1e-4


def test_flow_levels_keep_the_ratio_of_noise_and_signal(golden: dict[str, torch.Tensor]) -> None:
    levels = star_schedule()
    for index, step in enumerate((899, 799, 699, 599, 500)):
        sigma = golden["sigmas"][step].double()
        alpha = (1 - sigma**2).sqrt()
        torch.testing.assert_close(levels[index].double(), sigma / (alpha + sigma), rtol=1e-4, atol=0)
    between = golden["fast_steps"][5]
    assert 454 < between < 455
    low, high = (golden["sigmas"][k].double() for k in (454, 455))
    low, high = (s / ((1 - s**2).sqrt() + s) for s in (low, high))
    assert low < levels[5] < high


def test_stars_own_run_has_fourteen_steps() -> None:
    levels = star_schedule()
    assert levels.shape == (15,) and levels[-1] == 0
    assert (levels.diff() < 0).all()


def test_a_start_of_ones_own_replaces_what_lies_above_it() -> None:
    own = star_schedule()
    levels = star_schedule(0.6)
    assert levels[0].item() == pytest.approx(0.6)
    assert torch.equal(levels[1:], own[own < 0.6]) and len(levels) < len(own)
    assert torch.equal(star_schedule(1.0)[1:], own)
    assert torch.equal(star_schedule(own[3].item()), own[3:])
    for start in (0.0, 1.01):
        with pytest.raises(PlanError, match="out of range"):
            star_schedule(start)


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_solvers_take_it(solver: str) -> None:
    truth, noise, calls = torch.randn(1, 2, 3, 4, 4), torch.randn(1, 2, 3, 4, 4), []

    def model(x: torch.Tensor, sigma: torch.Tensor, step: int) -> torch.Tensor:
        calls.append(step)
        return truth

    levels = star_schedule()
    out = SOLVERS[solver].solve(model, start_flow(truth, noise, levels[0]), levels, None)
    torch.testing.assert_close(out, truth, atol=1e-6, rtol=0)
    assert set(calls) == set(range(14))
