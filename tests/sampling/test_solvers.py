import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.sampling.schedules import star_schedule
from patchvsr_core.sampling.solvers import (
    SOLVERS,
    apply_guidance,
    dpmpp_2m_sde,
    euler,
    heun,
    noise_seed,
    sigma_schedule,
    start_bridge,
    start_flow,
)
from patchvsr_core.settings import Settings
from patchvsr_core.stages import steps_of_run
from patchvsr_core.vae.encode import seeded_noise


def test_schedule_ends_at_zero_and_shifts_towards_noise() -> None:
    plain, shifted = sigma_schedule(10), sigma_schedule(10, shift=5.0)
    assert plain[0] == shifted[0] == 1 and plain[-1] == shifted[-1] == 0
    torch.testing.assert_close(plain[1:-1], torch.linspace(0.9, 0.1, 9))
    assert (shifted[1:-1] > plain[1:-1]).all()
    torch.testing.assert_close(shifted[5], torch.tensor(5 * 0.5 / (1 + 4 * 0.5)))


def test_schedule_starts_where_asked() -> None:
    sigmas = sigma_schedule(8, shift=5.0, start=0.3)
    assert sigmas[0].item() == pytest.approx(0.3)
    assert (sigmas.diff() < 0).all()


@pytest.mark.parametrize(
    "arguments", [{"steps": 0}, {"steps": 3, "start": 0.0}, {"steps": 3, "start": 1.2}, {"steps": 3, "shift": 0.0}]
)
def test_impossible_schedules(arguments: dict) -> None:
    with pytest.raises(PlanError):
        sigma_schedule(**arguments)


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_a_perfect_model_is_reached_exactly(solver: str) -> None:
    truth, noise = torch.randn(1, 2, 3, 4, 4), torch.randn(1, 2, 3, 4, 4)
    out = SOLVERS[solver].solve(lambda x, sigma, step: truth, start_flow(truth, noise, 1.0), sigma_schedule(4), None)
    torch.testing.assert_close(out, truth, atol=1e-6, rtol=0)


def test_flow_and_bridge_starts() -> None:
    z, noise = torch.full((2,), 3.0), torch.full((2,), 5.0)
    assert start_flow(z, noise, 0.25).tolist() == [0.75 * 3 + 0.25 * 5] * 2
    assert torch.equal(start_flow(z, noise, 1.0), noise)
    assert start_bridge(z, noise, 0.5, 0.2).tolist() == [3 + 0.5 * 0.2 * 5] * 2


def gaussian_model(x: torch.Tensor, sigma: torch.Tensor, step: int) -> torch.Tensor:
    """The exact x0 of a flow from N(0, 1) noise to N(0, 0.5^2) data."""
    data = 0.25
    return x * (1 - sigma) * data / ((1 - sigma) ** 2 * data + sigma**2)


def test_second_order_solver_converges_faster() -> None:
    """The exact flow maps a noise value n to n / 2."""
    noise = torch.tensor([1.5], dtype=torch.float64)

    def error(solver: object, steps: int) -> float:
        return (solver(gaussian_model, noise, sigma_schedule(steps).double(), None) - 0.75).abs().item()

    for solver, order in ((euler, 1), (heun, 2)):
        ratio = error(solver, 20) / error(solver, 80)
        assert 4**order * 0.6 < ratio < 4**order * 1.8, (solver, ratio)
    assert error(heun, 20) < error(euler, 20) / 3


def test_callback_sees_every_step_and_can_stop() -> None:
    seen = []

    class Stop(Exception):
        pass

    def on_step(step: int, x0: torch.Tensor, x: torch.Tensor) -> None:
        seen.append(step)
        if step == 2:
            raise Stop

    with pytest.raises(Stop):
        euler(lambda x, sigma, step: x * 0, torch.ones(1), sigma_schedule(5), on_step)
    assert seen == [0, 1, 2]


def test_rescaled_guidance_has_the_spread_of_the_positive() -> None:
    generator = torch.Generator().manual_seed(0)
    x, positive, negative = (torch.randn(2, 4, 3, 5, 5, generator=generator) * s for s in (1.0, 0.5, 0.7))
    x[1] *= 3  # samples have spreads of their own
    plain = apply_guidance([positive, negative], 7.5)

    def spreads(x0: torch.Tensor) -> torch.Tensor:
        return ((x - x0) / 0.6).flatten(1).std(1)

    whole, part = (apply_guidance([positive, negative], 7.5, rho, x) for rho in (1.0, 0.2))
    torch.testing.assert_close(spreads(whole), spreads(positive), rtol=1e-5, atol=0)
    assert (spreads(plain) > 1.5 * spreads(positive)).all()
    torch.testing.assert_close(part, 0.8 * plain + 0.2 * whole)
    assert torch.equal(apply_guidance([positive, negative], 7.5, 0.0, x), plain)
    assert apply_guidance([positive, negative], 1.0, 0.7, x) is positive
    assert apply_guidance([positive], 7.5, 0.7, x) is positive


def test_guidance_extrapolates() -> None:
    positive, negative = torch.tensor([2.0]), torch.tensor([1.0])
    assert apply_guidance([positive, negative], 3.0).item() == 4.0
    assert apply_guidance([positive, negative], 1.0) is positive
    assert apply_guidance([positive], 3.0) is positive


@pytest.mark.parametrize("name", list(SOLVERS))
def test_a_solver_calls_the_model_as_often_as_it_says(name: str) -> None:
    calls: list[int] = []

    def model(x: torch.Tensor, sigma: torch.Tensor, step: int) -> torch.Tensor:
        calls.append(step)
        return torch.zeros_like(x)

    SOLVERS[name].solve(model, torch.ones(1, 1, 1, 2, 2), sigma_schedule(3), None)
    assert sorted(calls) == sorted(steps_of_run(Settings(solver=name, steps=3)))
    assert len(calls) == (5 if SOLVERS[name].look_ahead else 3)


def variance_preserving(model, x: torch.Tensor, levels: torch.Tensor, eta: float, seed: int) -> torch.Tensor:
    """SDE-DPM-Solver++ (2M, midpoint) as its paper writes it: a x0 + s e with a^2 + s^2 = 1, lambda = log(a / s)."""
    ratio = levels / (1 - levels)
    alpha = 1 / (1 + ratio**2).sqrt()
    s, lam = ratio * alpha, -ratio.log()
    before, h_before = None, None
    for i in range(len(levels) - 2):
        x0 = model(x / (alpha[i] + s[i]), levels[i], i)
        h = lam[i + 1] - lam[i]
        d = x0 if before is None else (1 + h / (2 * h_before)) * x0 - h / (2 * h_before) * before
        noise = seeded_noise(x.shape, noise_seed(seed, i)).double()
        x = s[i + 1] / s[i] * (-eta * h).exp() * x + alpha[i + 1] * (1 - (-(1 + eta) * h).exp()) * d
        x = x + s[i + 1] * (1 - (-2 * eta * h).exp()).sqrt() * noise
        before, h_before = x0, h
    return model(x / (alpha[-2] + s[-2]), levels[-2], len(levels) - 2)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_dpm_solver_is_that_of_star(eta: float) -> None:
    """STAR's is variance-preserving; a state of ours is its one over (a + s)."""
    levels = star_schedule().double()
    start = torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    ratio = levels[0] / (1 - levels[0])
    alpha = 1 / (1 + ratio**2).sqrt()
    expected = variance_preserving(gaussian_model, start * (alpha + ratio * alpha), levels, eta, 5)
    made = dpmpp_2m_sde(gaussian_model, start, levels, seed=5, eta=eta)
    torch.testing.assert_close(made, expected, atol=1e-7, rtol=0)


def test_dpm_solver_draws_from_the_distribution() -> None:
    """Of N(0, 0.5^2), from pure noise; and its noise is the seed's."""
    noise = torch.randn(1, 1, 1, 100, 100, generator=torch.Generator().manual_seed(1))
    made = [dpmpp_2m_sde(gaussian_model, noise, sigma_schedule(40), seed=seed) for seed in (0, 0, 1)]
    assert made[0].std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.equal(made[0], made[1])
    assert abs(torch.corrcoef(torch.stack([made[0].flatten(), made[2].flatten()]))[0, 1].item()) < 0.1
