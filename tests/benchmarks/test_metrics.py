"""The benchmarks' metrics against closed forms and an independent implementation."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import metrics

INSTALL = "pip install -r benchmarks/requirements.txt"


def whole_steps(frames: Tensor) -> Tensor:
    return (frames.clamp(0, 1) * 255).round() / 255


def texture(frames: int = 3, height: int = 72, width: int = 96, seed: int = 0) -> Tensor:
    """A still clip with structure at several sizes."""
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.rand(1, 3, height // k, width // k, generator=generator) for k in (2, 6, 12)]
    planes = sum(F.interpolate(layer, (height, width), mode="bicubic") for layer in layers) / 3
    assert isinstance(planes, Tensor)
    return whole_steps(planes).movedim(1, -1).repeat(frames, 1, 1, 1)


def softened(frames: Tensor) -> Tensor:
    planes = frames.movedim(-1, 1)
    return F.avg_pool2d(planes, 5, stride=1, padding=2, count_include_pad=False).movedim(1, -1)


def test_an_exact_copy_is_perfect() -> None:
    clip = texture()
    assert metrics.psnr(clip, clip) == math.inf
    assert metrics.gmsd(clip, clip) == 0
    assert metrics.warping_error(clip, clip) == pytest.approx(0, abs=1e-6)
    assert metrics.temporal_error(clip, clip) == 0
    assert metrics.edge_energy(clip, clip) == 1


def test_psnr_of_a_known_error() -> None:
    clip = whole_steps(texture() * 0.8)
    assert metrics.psnr(clip + 10 / 255, clip) == pytest.approx(20 * math.log10(255 / 10), abs=1e-3)
    assert metrics.psnr(clip + 0.4 / 255, clip) == math.inf  # lost in rounding to 8 bits
    flat = torch.full((4, 128, 128, 3), 128 / 255)
    noisy = flat + torch.randn(flat.shape, generator=torch.Generator().manual_seed(0)) * 10 / 255
    with_rounding = 10 * math.log10(255**2 / (10**2 + 1 / 12))
    assert metrics.psnr(noisy, flat) == pytest.approx(with_rounding, abs=0.05)


def paper_gmsd(frame: np.ndarray, truth: np.ndarray) -> float:
    """Xue et al. 2014, equations 1 to 5, one (H, W, 3) frame in 0 to 255, pixel by pixel."""
    maps = []
    for picture in (frame, truth):
        luma = picture @ np.array([0.299, 0.587, 0.114])
        small = (luma[::2, ::2] + luma[1::2, ::2] + luma[::2, 1::2] + luma[1::2, 1::2]) / 4
        padded = np.pad(small, 1)
        magnitude = np.zeros_like(small)
        for y, x in np.ndindex(*small.shape):
            window = padded[y : y + 3, x : x + 3]
            horizontal = (window[:, 0].sum() - window[:, 2].sum()) / 3
            vertical = (window[0].sum() - window[2].sum()) / 3
            magnitude[y, x] = math.hypot(horizontal, vertical)
        maps.append(magnitude)
    a, b = maps
    similarity = (2 * a * b + 170) / (a**2 + b**2 + 170)
    return math.sqrt(((similarity - similarity.mean()) ** 2).mean())


def test_gmsd_is_the_paper_s() -> None:
    truth = texture()
    frames = whole_steps(softened(truth))
    frames[1] = texture(seed=1)[1]
    both = [(clip * 255).double().numpy() for clip in (frames, truth)]
    expected = np.mean([paper_gmsd(a, b) for a, b in zip(*both, strict=True)])
    assert expected > 0.05
    assert metrics.gmsd(frames, truth) == pytest.approx(float(expected), rel=1e-4)


def test_edges_follow_contrast_and_blur() -> None:
    clip = texture()
    even = (clip * 127).round() * 2 / 255
    assert metrics.edge_energy(even / 2, even) == pytest.approx(0.25, rel=1e-4)
    assert metrics.edge_energy(softened(clip), clip) < 0.5
    assert metrics.edge_energy(clip + 0.1 * torch.randn(clip.shape), clip) > 1.5


def test_flicker_counts_the_same_in_both_measures_of_a_still_clip() -> None:
    clip = whole_steps(texture(4) * 0.8 + 0.1)
    flicker = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None, None] * 5 / 255
    expected = 1000 * (10 / 255) ** 2
    assert metrics.warping_error(clip + flicker, clip) == pytest.approx(expected, rel=1e-3)
    assert metrics.temporal_error(clip + flicker, clip) == pytest.approx(expected, rel=1e-3)
    assert metrics.temporal_error(clip + 5 / 255, clip) == pytest.approx(0, abs=1e-6)


def test_an_error_that_moves_along_is_no_temporal_error() -> None:
    wide, pattern = texture(1, 96, 140)[0], texture(1, 96, 140, seed=1)[0]
    shifts = [slice(6 - 2 * k, 134 - 2 * k) for k in range(3)]
    clip = torch.stack([wide[:, s] for s in shifts])
    carried = torch.stack([pattern[:, s] for s in shifts]) - 0.5
    fixed = carried[:1].expand_as(carried)
    moving, standing = (metrics.temporal_error(clip + 0.1 * error, clip) for error in (carried, fixed))
    assert moving < 0.2 * standing
    assert metrics.warping_error(clip, clip) < 0.1 * metrics.warping_error(clip[:1].expand_as(clip), clip)


def test_softness_lowers_the_raw_warping_error_only() -> None:
    wide = texture(1, 96, 140)[0]
    clip = torch.stack([whole_steps((wide[:, k : 130 + k] + wide[:, k + 1 : 131 + k]) / 2) for k in (4, 2, 0)])
    noisy = whole_steps(clip + 0.03 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0)))
    assert metrics.warping_error(softened(noisy), noisy) < metrics.warping_error(noisy, noisy)
    assert metrics.temporal_error(softened(noisy), noisy) > metrics.temporal_error(noisy, noisy) == 0


def test_one_frame_has_no_motion() -> None:
    clip = texture(1)
    assert math.isnan(metrics.warping_error(clip, clip)) and math.isnan(metrics.temporal_error(clip, clip))


def test_ssim_of_flat_pictures() -> None:
    pytest.importorskip("pytorch_msssim", reason=INSTALL)
    first, second = torch.full((2, 176, 176, 3), 102 / 255), torch.full((2, 176, 176, 3), 153 / 255)
    luminance = (2 * 0.4 * 0.6 + 1e-4) / (0.4**2 + 0.6**2 + 1e-4)
    assert metrics.ssim(first, second) == pytest.approx(luminance, rel=1e-4)
    last_weight = 0.1333
    assert metrics.ms_ssim(first, second) == pytest.approx(luminance**last_weight, rel=1e-3)


def test_ssim_of_a_copy_and_of_a_blur() -> None:
    pytest.importorskip("pytorch_msssim", reason=INSTALL)
    clip = texture(2, 176, 192)
    for metric in (metrics.ssim, metrics.ms_ssim):
        assert metric(clip, clip) == pytest.approx(1, abs=1e-5)
        assert metric(softened(clip), clip) < 0.97
    assert math.isnan(metrics.ms_ssim(clip[:, :160], clip[:, :160]))


def test_vmaf_falls_with_blur_but_does_not_rise_with_sharpening() -> None:
    pytest.importorskip("imageio_ffmpeg", reason=INSTALL)
    clip = texture(2, 180, 240)
    sharpened = whole_steps(clip + 0.5 * (clip - softened(clip)))
    same, soft, sharp = (metrics.vmaf_neg(frames, clip) for frames in (clip, softened(clip), sharpened))
    assert same > 95
    assert soft < same - 20
    assert sharp < same + 1


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    assert list(metrics.available()) == ["PSNR", "GMSD", "E_warp", "temporal error", "edges", "checker"]
    assert {*metrics.METRICS, "LPIPS", "DISTS"} == set(metrics.DIGITS)


def test_checker_energy_of_a_known_pattern() -> None:
    clip = whole_steps(texture() * 0.5 + 0.25)
    signs = (-1.0) ** (torch.arange(72)[:, None] + torch.arange(96))
    diagonal = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])[None, None]
    energy = F.conv2d(metrics.luma(clip), diagonal).square().mean()
    step = 4 / 255
    added = metrics.checker_energy(clip + step * signs[None, :, :, None], clip)
    assert metrics.checker_energy(clip, clip) == 1
    assert added == pytest.approx(1 + float((4 * step) ** 2 / energy), rel=0.05)
    assert metrics.checker_energy(softened(clip), clip) < 0.5
