"""Quality of upscaled clips against the original. All take (T, H, W, 3) frames in [0, 1].

SSIM and MS-SSIM are pytorch-msssim's; VMAF is the no-enhancement-gain model inside the ffmpeg of
imageio-ffmpeg. Both come with ``pip install -r benchmarks/requirements.txt``.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from patchvsr_core.propagation.flow import clip_flows, consistency, warp

LUMA = (0.299, 0.587, 0.114)


def rounded(frames: Tensor) -> Tensor:
    """What an 8-bit file would hold."""
    return (frames.clamp(0, 1) * 255).round() / 255


def psnr(frames: Tensor, truth: Tensor) -> float:
    """Decibels over all frames and channels."""
    return float(-10 * (rounded(frames) - truth).square().mean().log10())


def ssim(frames: Tensor, truth: Tensor) -> float:
    """Structural similarity, 11-pixel Gaussian window, mean over channels."""
    from pytorch_msssim import ssim as similarity

    return float(similarity(_planes(rounded(frames)), _planes(truth), data_range=1.0))


def ms_ssim(frames: Tensor, truth: Tensor) -> float:
    """Multi-scale structural similarity; not a number below 161 pixels."""
    from pytorch_msssim import ms_ssim as similarity

    if min(truth.shape[1:3]) <= 160:
        return float("nan")
    return float(similarity(_planes(rounded(frames)), _planes(truth), data_range=1.0))


def gmsd(frames: Tensor, truth: Tensor) -> float:
    """Gradient magnitude similarity deviation (Xue et al. 2014), of halved frames, c = 170; lower is better."""
    kernel = torch.tensor([[1.0, 0.0, -1.0]]).expand(3, 3) / 3
    both = torch.stack([kernel, kernel.T])[:, None]
    magnitudes = []
    for clip in (rounded(frames), truth):
        small = F.avg_pool2d(_luma(clip) * 255, 2)
        magnitudes.append(F.conv2d(small, both, padding=1).square().sum(1).sqrt())
    first, second = magnitudes
    similarity = (2 * first * second + 170) / (first.square() + second.square() + 170)
    return float(similarity.flatten(1).std(1, correction=0).mean())


def edge_energy(frames: Tensor, truth: Tensor) -> float:
    """Mean squared brightness gradient over the original's: below 1 is softer, above 1 sharper than it was."""
    return _energy(rounded(frames)) / _energy(truth)


def warping_error(frames: Tensor, truth: Tensor) -> float:
    """Mean squared difference between a frame and the next one moved back onto it, times 1000.

    The motion is the original's, where it is consistent there and back, so that all methods are
    judged along the same paths. Blur scores well: read it beside :func:`edge_energy`.
    """
    if len(truth) == 1:
        return float("nan")
    forward, backward = clip_flows(_planes(truth))
    planes = _planes(rounded(frames))
    seen = consistency(forward, backward) * warp(torch.ones_like(forward[:, :1]), forward).ge(0.999)
    difference = (planes[:-1] - warp(planes[1:], forward)).square().mean(1, keepdim=True)
    return float(1000 * (difference * seen).sum() / seen.sum())


def vmaf_neg(frames: Tensor, truth: Tensor) -> float:
    """VMAF without enhancement gain (vmaf_v0.6.1neg), 0 to 100; mean over frames."""
    from imageio_ffmpeg import get_ffmpeg_exe

    size = f"{truth.shape[2]}x{truth.shape[1]}"
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("result.rgb", "truth.rgb")]
        for file, clip in zip(files, (rounded(frames), truth), strict=True):
            file.write_bytes((clip * 255).round().byte().numpy().tobytes())
        inputs = [part for file in files for part in ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", file)]
        graph = (
            "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];"
            f"[a][b]libvmaf=model=version=vmaf_v0.6.1neg:log_fmt=json:log_path={folder}/log.json"
        )
        command = [get_ffmpeg_exe(), "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-"]
        subprocess.run(list(map(str, command)), check=True)
        return float(json.loads((Path(folder) / "log.json").read_text())["pooled_metrics"]["vmaf"]["mean"])


METRICS = {
    "PSNR": psnr,
    "SSIM": ssim,
    "MS-SSIM": ms_ssim,
    "GMSD": gmsd,
    "VMAF-NEG": vmaf_neg,
    "E_warp": warping_error,
    "edges": edge_energy,
}
"""By the name that tables show."""


def _planes(frames: Tensor) -> Tensor:
    return frames.movedim(-1, 1).float()


def _luma(frames: Tensor) -> Tensor:
    return (frames.float() * torch.tensor(LUMA)).sum(-1)[:, None]


def _energy(frames: Tensor) -> float:
    luma = _luma(frames)
    return float(luma.diff(dim=-1).square().mean() + luma.diff(dim=-2).square().mean())
