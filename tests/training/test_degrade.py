"""The degradations that training data gets, kind by kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from patchvsr_core.resample import resize
from patchvsr_core.training.degrade import Degradation, add_noise_and_compression, blur, draw_degradation


@pytest.fixture
def clip() -> torch.Tensor:
    soft = torch.rand(1, 9, 13, 3, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    large = resize(soft, (45, 65))
    return torch.cat([large.roll(k, 2) for k in range(4)]).clamp(0, 1)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * (a - b).square().mean().log10())


def test_no_degradation_changes_nothing(clip: torch.Tensor) -> None:
    assert blur(clip, Degradation(), 4) is clip
    assert add_noise_and_compression(clip, Degradation(seed=9)) is clip


def test_a_blur_spreads_a_point_by_its_deviations() -> None:
    point = torch.zeros(1, 65, 65, 3)
    point[:, 32, 32] = 1
    spread = blur(point, Degradation(blur=(1.0, 0.5)), 4)[0, :, :, 0].double()
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    place = torch.arange(65, dtype=torch.float64) - 32
    assert (spread.sum(0) * place**2).sum().sqrt().item() == pytest.approx(4, rel=0.03)
    assert (spread.sum(1) * place**2).sum().sqrt().item() == pytest.approx(2, rel=0.03)
    turned = blur(point, Degradation(blur=(1.0, 0.5), blur_angle=np.pi / 2), 4)[0, :, :, 0].double()
    torch.testing.assert_close(turned, spread.T, atol=1e-6, rtol=0)


def test_noise_has_its_deviation_and_may_be_gray(clip: torch.Tensor) -> None:
    noise = add_noise_and_compression(clip, Degradation(noise=0.03, seed=1)) - clip
    assert noise.std().item() == pytest.approx(0.03, rel=0.05)
    gray = add_noise_and_compression(clip, Degradation(noise=0.03, gray_noise=True, seed=1)) - clip
    assert (gray - gray.mean(-1, keepdim=True)).abs().max() < 1.5 / 255
    other = add_noise_and_compression(clip, Degradation(noise=0.03, seed=2)) - clip
    assert not torch.equal(noise, other)


@pytest.mark.parametrize(("weak", "strong"), [({"jpeg": 95}, {"jpeg": 30}), ({"h264": 18}, {"h264": 36})])
def test_compression_harms_more_where_it_is_stronger(clip: torch.Tensor, weak: dict, strong: dict) -> None:
    slight, heavy = (
        add_noise_and_compression(clip, Degradation(**weak)),
        add_noise_and_compression(clip, Degradation(**strong)),
    )
    assert slight.shape == heavy.shape == clip.shape
    assert psnr(slight, clip) > psnr(heavy, clip) + 3 > 20


def test_the_same_numbers_give_the_same_clip(clip: torch.Tensor) -> None:
    for index in range(12):
        first, again = (draw_degradation(np.random.default_rng((5, index))) for _ in range(2))
        assert first == again
        assert torch.equal(add_noise_and_compression(clip, first), add_noise_and_compression(clip, again))


def test_draws_cover_every_kind_and_clean_clips() -> None:
    drawn = [draw_degradation(np.random.default_rng(k)) for k in range(300)]
    for kind in ("noise", "jpeg", "h264"):
        assert 0.15 < sum(bool(getattr(d, kind)) for d in drawn) / 300 < 0.6
    assert 0.05 < sum(any(d.blur) for d in drawn) / 300 < 0.2
    assert any(d.is_clean for d in drawn)
    assert not any(d.jpeg and d.h264 for d in drawn)


def test_compression_is_told_from_what_has_more_than_that() -> None:
    assert all(draw_degradation(np.random.default_rng(k), 1.0).is_compression for k in range(20))
    assert len({draw_degradation(np.random.default_rng(k), 1.0).h264 for k in range(20)}) > 5
    noisy = [draw_degradation(np.random.default_rng(k), 0.0, 1.0) for k in range(20)]
    assert all(replace(one, noise=0.0).is_clean and one.noise > 0 for one in noisy)
    assert len({one.noise for one in noisy}) == len({one.seed for one in noisy}) == 20
    assert {one.gray_noise for one in noisy} == {False, True}
    assert Degradation(jpeg=60).is_compression
    for other in (Degradation(), Degradation(blur=(1, 0), h264=20), Degradation(noise=0.01, h264=20)):
        assert not other.is_compression
