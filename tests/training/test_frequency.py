from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from patchvsr_core.training.frequency import dynamic_frequency, radial, star_release, weighted_frequency

GOLDEN = Path(__file__).parents[1] / "golden" / "star_misc.npz"


def planes(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(seed))


def wave(cycles_down: int, cycles_across: int) -> torch.Tensor:
    rows, columns = torch.arange(24) / 24, torch.arange(32) / 32
    return torch.cos(2 * torch.pi * (cycles_down * rows[:, None] + cycles_across * columns)).expand(2, 3, 24, 32)


def test_release_masks_have_the_reference_numbers() -> None:
    with np.load(GOLDEN) as file:
        given, *expected = (torch.from_numpy(file[name]) for name in ("dfl_in", "dfl_low", "dfl_high"))
    for ours, theirs in zip(star_release(given), expected, strict=True):
        # Their float32 is itself 5e-5 from float64 where a coefficient sits on the edge of the mask.
        assert (ours - theirs).abs().max() < 1e-5 * expected[0].abs().max()
        assert (ours - theirs).abs().mean() < 1e-6


@pytest.mark.parametrize("bands", [radial, star_release])
def test_bands_add_up(bands) -> None:
    low, high = bands(planes())
    torch.testing.assert_close(low + high, torch.view_as_real(torch.fft.rfft2(planes())), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("cycles", "is_low"),
    [((0, 0), True), ((3, 0), True), ((4, 0), False), ((0, 4), True), ((0, 5), False), ((3, 3), False)],
)
def test_the_circle_has_a_quarter_of_nyquist(cycles: tuple[int, int], is_low: bool) -> None:
    """24 x 32 pixels: Nyquist is 12 cycles down and 16 across."""
    low, high = (part.abs().mean() for part in radial(wave(*cycles)))
    assert (low > 100 * high) == is_low and (high > 100 * low) != is_low


def test_noise_decides_which_frequencies_count() -> None:
    x = planes()
    coarse, fine = x + 0.1, x + 0.1 * wave(12, 0)
    assert dynamic_frequency(coarse, x, 0.0) < 1e-4 < dynamic_frequency(coarse, x, 1.0)
    assert dynamic_frequency(fine, x, 1.0) < 1e-4 < dynamic_frequency(fine, x, 0.0)
    y = planes(1)
    low, high = dynamic_frequency(y, x, 1.0), dynamic_frequency(y, x, 0.0)
    torch.testing.assert_close(dynamic_frequency(y, x, 0.5), 0.25 * low + 0.75 * high)
    torch.testing.assert_close(dynamic_frequency(y, x, torch.tensor(0.5), exponent=1.0), (low + high) / 2)


@pytest.mark.parametrize("bands", ["radial", "star_release"])
def test_equal_frames_lose_nothing_and_others_pull(bands: str) -> None:
    truth, x = planes(), planes(1).requires_grad_()
    assert dynamic_frequency(truth, truth, 0.3, bands=bands) == 0
    dynamic_frequency(x, truth, 0.3, bands=bands).backward()
    assert x.grad.norm() > 0


def test_a_blur_costs_detail() -> None:
    truth = planes()
    blurred = F.avg_pool2d(F.pad(truth, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    assert dynamic_frequency(blurred, truth, 0.0) > 2 * dynamic_frequency(blurred, truth, 1.0)


def test_the_term_counts_less_the_more_noise_there_is() -> None:
    x, truth = planes(), planes(1)
    assert weighted_frequency(x, truth, 1.0, 0.01) == 0
    torch.testing.assert_close(
        weighted_frequency(x, truth, 0.25, 0.01), 0.01 * 0.75 * dynamic_frequency(x, truth, 0.25)
    )
    assert weighted_frequency(x, truth, 0.25, 0.0) == 0


def test_half_precision_is_no_obstacle() -> None:
    x, truth = planes().bfloat16(), planes(1)
    assert torch.isfinite(dynamic_frequency(x, truth, 0.5))
