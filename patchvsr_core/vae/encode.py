"""Encodes the input clip: tile by tile to the latent canvas, and as a whole to the small global view."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..distributed import current_group, sharded
from ..errors import PlanError, phrase
from ..errors.finite import check_finite
from ..kernels import Placement, blend_into
from ..plan.canvas import Canvas
from ..plan.planner import plan_tiles
from ..progress import OnDone
from ..resample import resize, upsample_window
from .codec import Codec, check_codec

CONDITION_STREAM = 0x5DEECE66D
VIEW_STREAM = 0x2545F4914
"""XORed with the seed, so that noise augmentation and initial noise are independent."""
TIMESTEPS, FIRST_BETA, LAST_BETA = 1000, 1e-4, 0.02
"""Upscale-A-Video's noise in pixels: the square roots of its variances are evenly spaced."""


def encode_canvas(
    codec: Codec,
    frames: Tensor,
    canvas: Canvas,
    *,
    base: Tensor | None = None,
    tile_px: int = 512,
    overlap_px: int = 64,
    on_tile: OnDone | None = None,
    clip: bool = True,
) -> Tensor:
    """Upsample the clip bicubically, or resize its base layer, and encode it tile by tile.

    Args:
        frames: (T, h, w, 3) input clip in [0, 1], of the size that ``canvas`` was made for.
        base: (T, H', W', 3) the same clip already upscaled to any size; resized to the canvas bicubically.
        clip: cut the upsampled clip to [0, 1]; False for one with noise.

    Returns:
        (1, C, t, h, w) float32 latent of the upsampled clip on the whole padded canvas: the starting
        point of runs that start from the input, and the condition of every patch.
    """
    check_frames(frames, canvas)
    check_codec(codec, canvas)
    if base is not None:
        frames, canvas = _fit_base(base, canvas)
    grid = plan_tiles(canvas, tile_px, overlap_px)
    latent: Tensor | None = None
    stride = canvas.stride_px
    for row, column in sharded(tuple(grid), on_tile):
        upsampled = upsample_window(frames, canvas, row.scaled(stride).cells, column.scaled(stride).cells)
        tile = codec.encode(upsampled.clamp(0, 1) if clip else upsampled).float()
        check_finite(tile, "VAE", getattr(codec, "vae", None))
        if latent is None:
            latent = tile.new_zeros((1, tile.shape[1], *canvas.latent_shape))
        weight = torch.outer(row.weights(like=tile), column.weights(like=tile))
        blend_into(latent[0], tile, [Placement((0, row.start, column.start), tile.new_ones(tile.shape[2]), weight)])
    if latent is None:  # there are fewer tiles than processes
        latent = frames.new_zeros((1, codec.channels, *canvas.latent_shape))
    return current_group().all_reduce(latent)


def _fit_base(base: Tensor, canvas: Canvas) -> tuple[Tensor, Canvas]:
    """(base layer, canvas with it as the source); one that is larger than the result is downsampled first.

    Raises:
        PlanError: when it has another number of frames.
    """
    if len(base) != canvas.frames or base.shape[-1] < 3:
        raise PlanError(
            f"The base layer is {_describe(base.shape)} but the clip has {canvas.frames} frames; upscale the same clip "
            "that was planned."
        )
    base = base[..., :3]
    height, width = (min(side, most) for side, most in zip(base.shape[1:3], canvas.target, strict=True))
    return resize(base, (height, width)).clamp(0, 1), replace(canvas, source=(height, width))


def encode_global(codec: Codec, frames: Tensor, canvas: Canvas, size_cells: tuple[int, int]) -> Tensor:
    """Encode the whole frame, resized to one patch: the global view.

    Returns:
        (1, C, t, h, w) float32 with (h, w) = ``size_cells``.
    """
    check_frames(frames, canvas)
    check_codec(codec, canvas)
    height, width = (cells * canvas.stride_px for cells in size_cells)
    view = resize(frames, (height, width)).clamp(0, 1)
    missing = canvas.padded_frames - len(view)
    if missing:
        view = torch.cat([view, view[-1:].expand(missing, -1, -1, -1)])
    return codec.encode(view).float()


def augment_noise(latent: Tensor, level: float, seed: int) -> Tensor:
    """Mix ``level`` of Gaussian noise into a condition: (1 - level) z + level eps.

    The noise is independent of the initial noise of a run with the same seed.

    Raises:
        PlanError: for a level outside [0, 1].
    """
    _check_level(level)
    if level == 0:
        return latent
    noise = seeded_noise(latent.shape, seed ^ CONDITION_STREAM).to(latent)
    return (1 - level) * latent + level * noise


def noise_pixels(frames: Tensor, level: float, seed: int) -> Tensor:
    """Mix noise into the pixels of the LR input: sqrt(a) x + sqrt(1 - a) eps, of pixels in [-1, 1].

    Args:
        frames: (T, h, w, 3) in [0, 1].
        level: time step of 1000 as a fraction; Upscale-A-Video has 0.12 (0.98 x + 0.20 eps), and allows 0.35.

    Returns:
        the same shape; not clipped.

    Raises:
        PlanError: for a level outside [0, 1].
    """
    _check_level(level)
    if level == 0:
        return frames
    roots = torch.linspace(FIRST_BETA**0.5, LAST_BETA**0.5, TIMESTEPS, dtype=torch.float64)
    kept = float((1 - roots.square()).log().cumsum(0)[min(round(level * TIMESTEPS), TIMESTEPS - 1)].exp())
    noise = seeded_noise(frames.shape, seed ^ CONDITION_STREAM).to(frames)
    return (kept**0.5 * (2 * frames - 1) + (1 - kept) ** 0.5 * noise + 1) / 2


def _check_level(level: float) -> None:
    if not 0 <= level <= 1:
        raise PlanError(f"Noise augmentation of {level} is out of range; it must be between 0 and 1.")


def encode_noised(
    codec: Codec,
    frames: Tensor,
    canvas: Canvas,
    level: float,
    seed: int,
    *,
    form: str = "lr_pixels",
    tile_px: int = 512,
    overlap_px: int = 64,
    on_tile: OnDone | None = None,
) -> Tensor | None:
    """Encode the clip with noise in its pixels, see :func:`noise_pixels` and :func:`encode_canvas`.

    Args:
        form: ``lr_pixels``, or ``latent`` for noise that :func:`augment_noise` will add.

    Returns:
        (1, C, t, h, w) float32; None where no noise is wanted in the pixels.
    """
    if form != "lr_pixels" or level == 0:
        return None
    noisy = noise_pixels(frames, level, seed)
    return encode_canvas(codec, noisy, canvas, tile_px=tile_px, overlap_px=overlap_px, on_tile=on_tile, clip=False)


def augment_view(view: Tensor, level: float, seed: int) -> Tensor:
    """Mix as much noise into the latent of the whole video; it is independent of the condition's."""
    return augment_noise(view, level, seed ^ VIEW_STREAM)


def seeded_noise(shape: tuple[int, ...] | torch.Size, seed: int) -> Tensor:
    """Standard normal noise, generated on the CPU in float32 so that it depends on shape and seed only."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator)


def check_frames(frames: Tensor, canvas: Canvas) -> None:
    """Raise :class:`PlanError` unless the clip has the shape that the canvas was made for."""
    expected = (canvas.frames, *canvas.source, 3)
    if tuple(frames.shape) != expected:
        raise PlanError(
            f"The clip is {_describe(frames.shape)} but the plan was made for {_describe(expected)}; "
            "plan again from the same clip."
        )


def _describe(shape: tuple[int, ...] | torch.Size) -> str:
    return phrase(f"{shape[0]} frames of {shape[2]}x{shape[1]}{f' with {shape[3]} channels' if shape[3] != 3 else ''}")
