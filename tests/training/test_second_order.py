"""Real-ESRGAN's second-order degradations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import colors

from patchvsr_core.training.config import load_config
from patchvsr_core.training.degrade import Degradation, compress_h264, make_input
from patchvsr_core.training.second_order import Kernel, Pass, SecondOrder, degrade, draw_second_order

SIZE = (24, 40)


def clip() -> torch.Tensor:
    return colors(3, 96, 160)


@pytest.mark.parametrize(
    ("kernel", "ratio"),
    [
        (Kernel("gaussian", 13, (1.5, 1.5)), np.exp(-4 / 1.5**2 / 2)),
        (Kernel("generalized", 13, (1.5, 1.5), shape=0.7), np.exp(-((4 / 1.5**2) ** 0.7) / 2)),
        (Kernel("plateau", 13, (1.5, 1.5), shape=1.4), 1 / (1 + (4 / 1.5**2) ** 1.4)),
        # 2 J1(2 w) / (2 w), with J1(2) = 0.5767248077568734
        (Kernel("sinc", 13, shape=1.0), 0.5767248077568734),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_kernels_are_those_of_the_formulae(kernel: Kernel, ratio: float) -> None:
    """The value two pixels from the middle over that in the middle."""
    taps = kernel.taps()
    assert taps.shape == (13, 13) and taps.sum() == pytest.approx(1)
    assert taps[6, 8] / taps[6, 6] == pytest.approx(ratio, rel=1e-6)
    assert taps[6, 8] == pytest.approx(taps[6, 4]) == pytest.approx(taps[8, 6])


def test_a_blur_may_be_longer_along_one_axis() -> None:
    taps = Kernel("gaussian", 21, (3.0, 1.0)).taps()
    assert taps[10, 13] / taps[10, 10] == pytest.approx(np.exp(-1 / 2)) and taps[13, 10] < taps[10, 13] / 50
    turned = Kernel("gaussian", 21, (3.0, 1.0), angle=np.pi / 2).taps()
    assert np.allclose(turned, taps.T)


def test_noise_has_the_strength_that_was_drawn() -> None:
    grey = torch.full((2, 64, 64, 3), 0.5)
    for one, expected in (
        (Pass(gaussian=12.0), 12 / 255),
        (Pass(poisson=1.5), 1.5 * (0.5 / 255) ** 0.5),
    ):
        noise = degrade(grey, (64, 64), SecondOrder(one, seed=1)) - grey
        assert float(noise.std()) == pytest.approx(expected, rel=0.05)
        mono = degrade(grey, (64, 64), SecondOrder(replace(one, gray=True), seed=1)) - grey
        assert (mono - mono.mean(-1, keepdim=True)).abs().max() < 1e-6 < (noise - noise.mean(-1, keepdim=True)).std()


def test_the_two_passes_follow_one_another_and_the_size_is_reached_at_the_end() -> None:
    soft = Kernel("gaussian", 9, (1.0, 1.0))
    once = degrade(clip(), SIZE, SecondOrder(Pass(soft)))
    twice = degrade(clip(), SIZE, SecondOrder(Pass(soft), Pass(soft)))
    wide = degrade(clip(), SIZE, SecondOrder(Pass(Kernel("gaussian", 21, (2**0.5, 2**0.5)))))
    assert once.shape == (3, *SIZE, 3)
    assert (twice - wide).abs().max() <= 2 / 255 < (once - wide).abs().max(), "variances of Gaussians add up"
    detour = degrade(clip(), SIZE, SecondOrder(Pass(factor=0.3), Pass(factor=1.2, filter="bicubic")))
    assert detour.shape == once.shape and (detour - degrade(clip(), SIZE, SecondOrder())).abs().mean() > 2 / 255


def test_noise_of_the_second_pass_is_that_of_the_small_clip() -> None:
    """Added at the size of the result: a reduction after it would average most of it away."""
    grey = torch.full((2, 128, 128, 3), 0.5)
    noise = degrade(grey, (32, 32), SecondOrder(second=Pass(gaussian=12.0), seed=1)) - 0.5
    assert float(noise.std()) == pytest.approx(12 / 255, rel=0.05)


def test_ringing_comes_before_or_after_jpeg() -> None:
    kernel = Kernel("sinc", 21, shape=np.pi / 3)
    before, after = (degrade(clip(), SIZE, SecondOrder(second=Pass(jpeg=30), sinc=kernel, sinc_before_jpeg=first))
                     for first in (True, False))  # fmt: skip
    assert (before - after).abs().max() > 2 / 255


def test_what_is_drawn_is_within_real_esrgan_s_ranges_and_repeats() -> None:
    drawn = [draw_second_order(np.random.default_rng(k)) for k in range(400)]
    assert drawn == [draw_second_order(np.random.default_rng(k)) for k in range(400)]
    for index, low, high, share in ((0, 0.15, 1.5, 0.1), (1, 0.3, 1.2, 0.3)):
        passes = [(one.first, one.second)[index] for one in drawn]
        factors = np.array([one.factor for one in passes])
        assert low <= factors.min() and factors.max() <= high
        assert np.mean(factors == 1) == pytest.approx(share, abs=0.07)
        assert all(30 <= one.jpeg < 95 and (one.gaussian > 0) != (one.poisson > 0) for one in passes)
    assert np.mean([one.second.kernel is None for one in drawn]) == pytest.approx(0.2, abs=0.06)
    assert np.mean([one.sinc is not None for one in drawn]) == pytest.approx(0.8, abs=0.06)
    assert min(one.sinc.shape for one in drawn if one.sinc is not None) >= np.pi / 3


def test_kernels_are_drawn_as_often_as_in_real_esrgan() -> None:
    kernels = [draw_second_order(np.random.default_rng(k)).first.kernel for k in range(3000)]
    blurs = [one for one in kernels if one is not None and one.kind != "sinc"]
    assert len(blurs) / len(kernels) == pytest.approx(0.9, abs=0.02)
    for kind, is_round, share in (
        ("gaussian", True, 0.45),
        ("gaussian", False, 0.25),
        ("generalized", True, 0.12),
        ("generalized", False, 0.03),
        ("plateau", True, 0.12),
        ("plateau", False, 0.03),
    ):
        found = [one for one in blurs if one.kind == kind and (one.deviations[0] == one.deviations[1]) == is_round]
        assert len(found) / len(blurs) == pytest.approx(share, abs=0.03)
    shapes = np.array([one.shape for one in blurs if one.kind == "generalized"])
    assert shapes.min() >= 0.5 and shapes.max() <= 4 and np.mean(shapes < 1) == pytest.approx(0.5, abs=0.08)


def test_blur_only_leaves_out_noise_and_compression() -> None:
    drawn = next(one for k in range(99) if (one := draw_second_order(np.random.default_rng(k))).h264)
    made, clean = degrade(clip(), SIZE, drawn), degrade(clip(), SIZE, drawn.blur_only())
    assert torch.equal(made, degrade(clip(), SIZE, drawn)) and (made - clean).abs().mean() > 1 / 255
    assert torch.equal(clean, degrade(clip(), SIZE, replace(drawn.blur_only(), seed=drawn.seed + 1)))


def test_first_order_degradations_are_as_they_were() -> None:
    kind = Degradation(noise=0.02, jpeg=60, seed=3)
    assert torch.equal(degrade(clip(), SIZE, kind), make_input(clip(), SIZE, kind))
    assert load_config("tiny_finish").data.second_order == 0


def test_stars_configuration_has_its_loss_its_gates_and_its_degradations() -> None:
    config = load_config("wan21_star")
    assert config.flow is not None and (config.flow.frequency_weight, config.flow.frequency_bands) == (0.01, "radial")
    assert (config.data.degraded, config.data.second_order, config.flow.null_prompt) == (1.0, 1.0, 0.5)
    assert config.adapter_config.liem == "identity" and config.learning_rate == 5e-5


def test_video_compression_gives_the_same_frames_every_time() -> None:
    """Of these frames the encoder's own conversion made three different files in forty."""
    drawn = next(one for k in range(99) if (one := draw_second_order(np.random.default_rng(k))).h264)
    frames = degrade(clip(), SIZE, replace(drawn, h264=0))
    first = compress_h264(frames, drawn.h264)
    assert all(torch.equal(first, compress_h264(frames, drawn.h264)) for _ in range(60))
