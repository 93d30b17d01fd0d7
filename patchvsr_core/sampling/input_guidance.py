"""What keeps a stock base honest without an adapter: low-frequency guidance, pixel projection, eta.

A base that was never trained for super-resolution starts from the noised input and enhances its
detail. These three hold what it makes to the input. All act on the fused canvas.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..distributed import current_group
from ..finish.back_projection import back_project
from ..plan.canvas import Canvas
from ..progress import OnDone
from ..resample import resize
from ..vae.codec import Codec
from ..vae.decode import blend_tiles, decode_tiles
from ..vae.encode import encode_canvas, seeded_noise
from .solvers import Model, OnStep, Solve, euler


def guide_low_frequencies(
    x0: Tensor, latent: Tensor, sigma: Tensor, *, strength: float, start: float, band: float = 0.25
) -> Tensor:
    """Pull the low frequencies of a prediction towards the input's: x0 + a LP(z - x0), a = strength sigma / start.

    Args:
        x0: (1, C, t, h, w) fused prediction; latent: the upsampled LR input z, likewise.
        strength: 0 (off) to 1, at the first noise level ``start``; it fades with the noise.
        band: cut-off as a part of the latent's full band; at 1 everything is locked, which erases detail.
    """
    weight = strength * float(sigma) / start
    if weight <= 0:
        return x0
    return x0 + weight * _low_pass(latent - x0, band)


def project_in_pixels(
    x0: Tensor,
    codec: Codec,
    source: Tensor,
    canvas: Canvas,
    *,
    tile_px: int = 512,
    overlap_px: int = 64,
    on_part: OnDone | None = None,
) -> Tensor:
    """Back-project a prediction in pixels, and carry only the difference into the latent.

    x0 + E(p') - E(p) with p = D(x0) and p' its back-projection onto the input: the codec's own
    error, the same in both terms, cancels.

    Args:
        x0: (1, C, t, h, w) fused prediction.
        source: (T, h, w, 3) input clip of the canvas.
        on_part: called after every tile and every chunk of frames, each stage counting anew.
    """
    tiling: dict[str, Any] = {"tile_px": tile_px, "overlap_px": overlap_px, "on_tile": on_part}
    group = current_group()
    pixels = blend_tiles(decode_tiles(codec, x0, canvas, **tiling)).clamp(0, 1)
    projected = back_project(pixels, source[group.frame_span(canvas.frames)], on_frames=on_part).clamp(0, 1)
    upsampled = replace(canvas, source=canvas.target)
    after, before = (
        encode_canvas(codec, group.all_gather(part, canvas.frames), upsampled, **tiling) for part in (projected, pixels)
    )
    return x0 + after - before


def ancestral_euler(eta: float, seed: int) -> Solve:
    """Euler with an ancestral part: it replaces a share of the noise by fresh noise at every step.

    x' = (1 - sigma') x0 + sigma' (sqrt(1 - eta) e + sqrt(eta) n): the same amount of noise, less
    of it shared with the step before, so that errors do not add up.

    Args:
        eta: share of the noise's variance, 0 (plain Euler) to 1; the same at every step, while the share that
            k-diffusion's ``eta`` replaces grows from step to step.
    """
    if eta == 0:
        return euler

    def solve(model: Model, x: Tensor, sigmas: Tensor, on_step: OnStep | None = None) -> Tensor:
        for step, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
            x0 = model(x, sigma, step)
            noise = (x - (1 - sigma) * x0) / sigma
            fresh = seeded_noise(x.shape, seed + step + 1).to(x)
            mixed = (1 - eta) ** 0.5 * noise + eta**0.5 * fresh
            x = (1 - following) * x0 + following * mixed
            if on_step:
                on_step(step, x0, x)
        return x

    return solve


def _low_pass(latent: Tensor, band: float) -> Tensor:
    """The lowest ``band`` of both spatial frequencies, by shrinking and enlarging."""
    if band >= 1:
        return latent
    height, width = latent.shape[-2:]
    small = max(1, round(height * band)), max(1, round(width * band))
    images = latent[0].permute(1, 2, 3, 0)
    return resize(resize(images, small), (height, width)).permute(3, 0, 1, 2)[None]
