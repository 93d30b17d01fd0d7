import torch

from patchvsr_core.fidelity import back_project
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
