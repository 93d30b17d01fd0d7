import torch

from patchvsr_core.fidelity import back_project, trust
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


def a_picture(frames: int = 2) -> torch.Tensor:
    """Smooth, with a texture in one corner that no model restored."""
    wave = torch.linspace(0, 6, 160).sin() * 0.2 + 0.5
    picture = (wave[:, None] + wave[None, :]).div(2)[None, :, :, None].repeat(frames, 1, 1, 3)
    picture[:, :48, :48] += 0.05 * torch.randn(frames, 48, 48, 3, generator=torch.Generator().manual_seed(0))
    return picture


def test_clean_inputs_are_believed_and_noisy_ones_are_not() -> None:
    truth = a_picture()
    source = resize(truth, (40, 40))
    guess = truth.clone()
    guess[:, :48, :48] = 0.5
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(1)) / 255
    assert trust(guess, source).tolist() == [1.0, 1.0], "a texture that was missed is no noise"
    assert trust(guess, source + 3 * noise).tolist() == [0.0, 0.0]
    some = trust(guess, source + 0.8 * noise)
    assert (some > 0).all() and (some < 1).all()
    assert trust(guess[:, :4, :4], source[:, :1, :1]).shape == (2,)


def test_removed_noise_stays_away_unless_it_is_wanted() -> None:
    truth = a_picture()
    source = resize(truth, (40, 40))
    noisy = source + 5 / 255 * torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(back_project(truth, noisy, keep_noise=False), truth)
    soft = 0.9 * truth
    assert not torch.equal(back_project(soft, source, keep_noise=False), soft)
    assert torch.equal(back_project(soft, source, keep_noise=False, damage=1.0), soft), "an encoder's work stays undone"
    kept = back_project(truth, noisy, keep_noise=True)
    assert (kept - truth).square().mean() > 1e-4
    wrong = truth + 0.02 * torch.linspace(-1, 1, 160)[:, None, None]
    torch.testing.assert_close(
        back_project(wrong, source, keep_noise=False)[0].mean(), truth[0].mean(), atol=0.02, rtol=0
    )
