"""What the operations mean, in plain torch: differentiable, on any device. Kernels are held to these."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..optical_flow.flow import consistency, warp

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
WHITE = 255
"""Of 8 bits."""


def blend_reference(
    tiles: Sequence[Tensor],
    starts: Sequence[Sequence[int]],
    weights: Sequence[Tensor],
    size: Sequence[int],
    dtype: torch.dtype,
) -> Tensor:
    """Tiles (t, h, w, C) at ``starts`` along three axes: frames (T, H, W, C), see :func:`blend.gather_blend`."""
    frames = torch.zeros((*size, tiles[0].shape[3]), device=tiles[0].device)
    for tile, index in zip(tiles, itertools.product(*(range(len(begin)) for begin in starts)), strict=True):
        first = [begin[k] for begin, k in zip(starts, index, strict=True)]
        spans = [slice(at, at + length) for at, length in zip(first, tile.shape, strict=False)]
        region = frames[tuple(spans)]
        t, y, x = (weight[k, :length] for weight, k, length in zip(weights, index, region.shape, strict=False))
        visible = tile[: len(t), : len(y), : len(x)].float()
        region += visible * (y[:, None] * x)[..., None] * t[:, None, None, None]
    return (frames.clamp(0, 1) * WHITE).round().to(dtype) if dtype == torch.uint8 else frames.to(dtype)


def add_reference(
    canvas: Tensor,
    patches: Tensor,
    weights_t: Sequence[Tensor],
    weights_yx: Sequence[Tensor],
    origins: Sequence[int],
) -> None:
    """Patches (N, C, t, h, w) weighted and added to a canvas (C, T, H, W), see :func:`blend.blend_into`."""
    for number, patch in enumerate(patches):
        weight = weights_t[number][:, None, None] * weights_yx[number]
        covered_cells(canvas, patch, origins[3 * number : 3 * number + 3]).addcmul_(patch.to(canvas.dtype), weight)


def mix_reference(
    frame: Tensor,
    neighbour: Tensor,
    there: Tensor,
    back: Tensor,
    interpolation: str,
    weight: float,
    alpha1: float,
    alpha2: float,
) -> Tensor:
    """A frame mixed with its neighbour along the motion where the motion returns, see :func:`warp.mix_along_flow`."""
    agrees = consistency(there, back, alpha1, alpha2)
    mixed = torch.lerp(frame, warp(neighbour, there, interpolation), (weight * agrees).to(frame.dtype))
    return mixed.contiguous()


def covered_cells(canvas: Tensor, patch: Tensor, origin: Sequence[int]) -> Tensor:
    """The cells of ``canvas`` that a patch (C, t, h, w) at (t, y, x) covers."""
    t, y, x = origin
    return canvas[:, t : t + patch.shape[1], y : y + patch.shape[2], x : x + patch.shape[3]]


def check_tiles(
    tiles: Sequence[Tensor],
    starts: Sequence[Sequence[int]],
    weights: Sequence[Tensor],
    size: Sequence[int],
    dtype: torch.dtype,
) -> None:
    """Refuse what no lattice is.

    Raises:
        ValueError: saying what.
    """
    count = len(starts[0]) * len(starts[1]) * len(starts[2])
    if not tiles or len(tiles) != count:
        raise ValueError(f"{len(tiles)} tiles do not fit a lattice of {count}.")
    first = tiles[0]
    if any((tile.shape, tile.dtype, tile.device) != (first.shape, first.dtype, first.device) for tile in tiles):
        raise ValueError("All tiles must have the same size, type and device.")
    if first.ndim != 4 or len(size) != 3 or not (dtype.is_floating_point or dtype == torch.uint8):
        raise ValueError(f"Tiles {tuple(first.shape)} cannot be blended to {tuple(size)} of {dtype}.")
    for begin, weight, length in zip(starts, weights, first.shape[:3], strict=True):
        _check_weight(weight, (len(begin), length), first.device)
        if min(begin) < 0 or list(begin) != sorted(begin):
            raise ValueError(f"Windows must begin in ascending order from 0 on, not at {list(begin)}.")


def check_patches(
    canvas: Tensor,
    patches: Tensor,
    weights_t: Sequence[Tensor],
    weights_yx: Sequence[Tensor],
    origins: Sequence[int],
) -> None:
    """Refuse patches that do not lie on the canvas.

    Raises:
        ValueError: saying what.
    """
    if canvas.ndim != 4 or patches.ndim != 5 or canvas.shape[0] != patches.shape[1]:
        raise ValueError(f"Patches {tuple(patches.shape)} cannot be added to a canvas {tuple(canvas.shape)}.")
    if canvas.dtype != torch.float32 or canvas.device != patches.device:
        raise ValueError(f"The canvas is {canvas.dtype} on {canvas.device}; it must be float32, where the patches are.")
    if not len(patches) == len(weights_t) == len(weights_yx) == len(origins) / 3:
        raise ValueError(f"{len(patches)} patches need as many placements, not {len(weights_t)}.")
    size = patches.shape[2:]
    for number in range(len(patches)):
        _check_weight(weights_t[number], (size[0],), canvas.device)
        _check_weight(weights_yx[number], (size[1], size[2]), canvas.device)
        origin = origins[3 * number : 3 * number + 3]
        if any(at < 0 or at + side > most for at, side, most in zip(origin, size, canvas.shape[1:], strict=True)):
            raise ValueError(f"A patch {tuple(size)} at {tuple(origin)} leaves the canvas {tuple(canvas.shape[1:])}.")


def check_flows(
    frame: Tensor, neighbour: Tensor, there: Tensor, back: Tensor, interpolation: str, *settings: float
) -> None:
    """Refuse flows that do not belong to the frames.

    Raises:
        ValueError: saying what.
    """
    flow = (frame.shape[0], 2, *frame.shape[2:])
    if frame.ndim != 4 or neighbour.shape != frame.shape or there.shape != flow or back.shape != flow:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (frame, neighbour, there, back))
        raise ValueError(f"Frames (B, C, H, W) and flows (B, 2, H, W) do not match: {shapes}.")
    if len({frame.device, neighbour.device, there.device, back.device}) > 1 or frame.dtype != neighbour.dtype:
        raise ValueError("Frames and flows must be on one device, and frames of one type.")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"Interpolation {interpolation!r} is unknown; choose one of {', '.join(INTERPOLATIONS)}.")


def _check_weight(weight: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    if tuple(weight.shape) != shape or weight.dtype != torch.float32 or weight.device != device:
        raise ValueError(f"Weights {tuple(weight.shape)}, {weight.dtype} on {weight.device}: must be float32 {shape}.")
