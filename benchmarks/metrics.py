"""Quality of upscaled clips against the original. All take (T, H, W, 3) frames in [0, 1].

SSIM and MS-SSIM are pytorch-msssim's; VMAF is the no-enhancement-gain model inside the ffmpeg of
imageio-ffmpeg. Both come with ``pip install -r benchmarks/requirements.txt``; without them
:func:`available` leaves those metrics out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core import quality as core
from patchvsr_core.quality.frame_pairs import luma


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
        small = F.avg_pool2d(luma(clip) * 255, 2)
        magnitudes.append(F.conv2d(small, both, padding=1).square().sum(1).sqrt())
    first, second = magnitudes
    similarity = (2 * first * second + 170) / (first.square() + second.square() + 170)
    return float(similarity.flatten(1).std(1, correction=0).mean())


def edge_energy(frames: Tensor, truth: Tensor) -> float:
    """Mean squared brightness gradient over the original's: below 1 is softer, above 1 sharper than it was."""
    return core.detail_energy(rounded(frames), truth)


def warping_error(frames: Tensor, truth: Tensor) -> float:
    """The core's, of what an 8-bit file would hold, along the original's motion.

    It punishes sharpness, that of the original too: see its value for the original itself, and
    :func:`temporal_error`.
    """
    return core.warping_error(rounded(frames), truth, _motion(truth))


def temporal_error(frames: Tensor, truth: Tensor) -> float:
    """The core's, of what an 8-bit file would hold, along the original's motion."""
    return core.temporal_error(rounded(frames), truth, _motion(truth))


@lru_cache(maxsize=1)
def _motion(truth: Tensor) -> list[core.Motion]:
    """Kept, as all methods ask for the same."""
    return list(core.clip_motion(truth))


def vmaf_neg(frames: Tensor, truth: Tensor) -> float:
    """VMAF without enhancement gain (vmaf_v0.6.1neg), 0 to 100; mean over frames."""
    from imageio_ffmpeg import get_ffmpeg_exe

    size = f"{truth.shape[2]}x{truth.shape[1]}"
    with tempfile.TemporaryDirectory() as folder:
        files = ("result.rgb", "truth.rgb")
        for file, clip in zip(files, (rounded(frames), truth), strict=True):
            (Path(folder) / file).write_bytes((clip * 255).round().byte().numpy().tobytes())
        inputs = [part for file in files for part in ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", file)]
        graph = (
            "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];"
            "[a][b]libvmaf=model=version=vmaf_v0.6.1neg:log_fmt=json:log_path=log.json"
        )
        command = [get_ffmpeg_exe(), "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-"]
        subprocess.run(command, check=True, cwd=folder)
        return float(json.loads((Path(folder) / "log.json").read_text())["pooled_metrics"]["vmaf"]["mean"])


def checker_energy(frames: Tensor, truth: Tensor) -> float:
    """Energy at the highest diagonal frequency, where a checker pattern of single pixels lies, over the original's."""
    kernel = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])[None, None]
    energies = [F.conv2d(luma(clip), kernel).square().mean() for clip in (rounded(frames), truth)]
    return float(energies[0] / energies[1].clamp(min=1e-12))


Metric = Callable[[Tensor, Tensor], float]

METRICS: dict[str, Metric] = {
    "PSNR": psnr,
    "SSIM": ssim,
    "MS-SSIM": ms_ssim,
    "GMSD": gmsd,
    "VMAF-NEG": vmaf_neg,
    "E_warp": warping_error,
    "temporal error": temporal_error,
    "edges": edge_energy,
    "checker": checker_energy,
}
"""By the name that tables show."""

DIGITS = {
    "PSNR": 2,
    "SSIM": 4,
    "MS-SSIM": 4,
    "GMSD": 4,
    "VMAF-NEG": 1,
    "LPIPS": 3,
    "DISTS": 3,
    "E_warp": 3,
    "temporal error": 3,
    "edges": 3,
    "checker": 3,
}
"""Shown after the decimal point."""

NOTES = (
    "PSNR in dB, SSIM, MS-SSIM and VMAF-NEG: higher is better. GMSD and temporal error (x1000): lower is better. "
    "E_warp (x1000) is to be read against the original's own, which blur undercuts. edges is the energy of brightness "
    "gradients over the original's: 1 is as sharp. checker is that energy at the highest diagonal frequency alone: "
    "well above 1 a pattern of single pixels shows. LPIPS (alex) and DISTS: lower looks closer."
)

NEEDS = {"SSIM": "pytorch_msssim", "MS-SSIM": "pytorch_msssim", "VMAF-NEG": "imageio_ffmpeg"}
"""The module that a metric needs beyond the project's own requirements."""


def available() -> dict[str, Metric]:
    """The metrics whose modules are installed."""
    return {name: metric for name, metric in METRICS.items() if name not in NEEDS or find_spec(NEEDS[name])}


def perceptual(path: Path) -> dict[str, Metric]:
    """LPIPS and DISTS by the weights in a file, see :mod:`training.perceptual`; mean over frames."""
    from patchvsr_core.training.perceptual import DISTS, LPIPS

    def metric(network: torch.nn.Module) -> Metric:
        @torch.inference_mode()
        def measure(frames: Tensor, truth: Tensor) -> float:
            pairs = zip(_planes(rounded(frames)), _planes(truth), strict=True)
            return float(torch.stack([network(x[None], y[None])[0] for x, y in pairs]).mean())

        return measure

    return {"LPIPS": metric(LPIPS(path)), "DISTS": metric(DISTS(path))}


def _planes(frames: Tensor) -> Tensor:
    return frames.movedim(-1, 1).float()
