import pytest
import torch

from patchvsr_core.finish.back_projection import TOLERANCE, _local_rms, back_project, degradation_weight
from patchvsr_core.resample import resize


def test_the_result_shrinks_to_the_input_within_one_level() -> None:
    source = torch.rand(3, 24, 36, 3)
    wrong = torch.rand(3, 96, 144, 3)
    fixed = back_project(wrong, source, rounds=40)
    assert (resize(fixed, (24, 36)) - source).abs().max() < 1 / 255
    assert (resize(wrong, (24, 36)) - source).abs().max() > 0.2


def test_detail_that_the_input_cannot_see_survives() -> None:
    smooth = torch.full((1, 16, 16, 3), 0.5)
    checkers = torch.full((1, 64, 64, 3), 0.5)
    checkers[:, ::2, ::2] += 0.1
    checkers[:, 1::2, 1::2] += 0.1
    checkers -= checkers.mean() - 0.5
    fixed = back_project(checkers, smooth)
    assert (fixed - checkers).abs()[:, 8:-8, 8:-8].max() < 5e-3


def test_strength_and_rounds() -> None:
    source, wrong = torch.rand(1, 8, 8, 3), torch.rand(1, 32, 32, 3)
    before = wrong.clone()
    assert back_project(wrong, source, rounds=0) is wrong
    assert back_project(wrong, source, strength=0) is wrong
    half = back_project(wrong, source, rounds=1, strength=0.5)
    full = back_project(wrong, source, rounds=1, strength=1.0)
    torch.testing.assert_close(half, (wrong + full) / 2)
    assert torch.equal(wrong, before)


@pytest.mark.parametrize(("degradation", "share"), [(0.0, 1.0), (0.1, 0.75), (0.2, 0.5), (0.4, 0.0), (3.0, 0.0)])
def test_a_damaged_input_is_believed_less(degradation: float, share: float) -> None:
    assert degradation_weight(degradation) == pytest.approx(share)
    source, wrong = torch.rand(2, 8, 8, 3), torch.rand(2, 32, 32, 3)
    full = back_project(wrong, source, rounds=1)
    torch.testing.assert_close(
        back_project(wrong, source, rounds=1, degradation=degradation), torch.lerp(wrong, full, share)
    )


def test_frames_that_agree_are_left_alone() -> None:
    source = torch.rand(2, 24, 24, 3)
    wrong = torch.cat([resize(source[:1], (96, 96)), torch.rand(1, 96, 96, 3)])
    many, few = back_project(wrong, source, rounds=40), back_project(wrong, source, rounds=40, tolerance=TOLERANCE)
    once = back_project(wrong, source, rounds=1)
    left = (resize(few, (24, 24)) - source).square().mean((1, 2, 3)).sqrt()
    assert (left <= TOLERANCE).all() and not torch.equal(many, few)
    assert not torch.equal(few[1], once[1]), "the frame that did not agree got more rounds"


def test_agreement_is_judged_in_a_square_of_17_pixels() -> None:
    """One pixel that disagrees counts as far as 8 px away, a seventeenth of its difference."""
    difference = torch.zeros(1, 40, 40, 3)
    difference[0, 20, 20] = 0.34
    rms = _local_rms(difference)[0, :, :, 0]
    around = torch.zeros(40, 40)
    around[12:29, 12:29] = 0.02
    torch.testing.assert_close(rms, around)


def test_a_single_pixel_gets_no_further_round_where_its_surroundings_agree() -> None:
    source = torch.full((1, 40, 40, 3), 0.5)
    wrong = resize(source, (160, 160))
    source[0, 20, 20] = 0.6
    once = back_project(wrong, source, rounds=1)
    left = (source - resize(once, (40, 40))).abs().max()
    tolerance = float(left) / 2  # the pixel is beyond it, its square of 17 x 17 within
    assert torch.equal(back_project(wrong, source, rounds=4, tolerance=tolerance), once)
    more = back_project(wrong, source, rounds=4, tolerance=float(left) / 40)
    assert not torch.equal(more, once), "the same pixel counts where less is tolerated"


@pytest.mark.parametrize(("degradation", "weight"), [(0.01, 0.975), (0.3, 0.25), (0.39, 0.025), (0.41, 0.0)])
def test_trust_falls_between_levels_of_0_and_04(degradation: float, weight: float) -> None:
    assert degradation_weight(degradation) == pytest.approx(weight)
