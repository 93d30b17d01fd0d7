"""Normalised blending of equal tiles and patches that overlap: two operations, and what they mean in plain torch.

Sums are float32 whatever goes in and comes out. Weights are given, small, and sum to 1 in every cell, so that no canvas
of weights exists. Source of the weights: :mod:`plan.planner`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .blend_cpu import blend_bands
from .launch import BLEND, launch_add, launch_gather
from .loading import NAMESPACE, CannotLaunch, dispatched, for_gradients, tell
from .placement import Lattice, Placement
from .references import add_reference, blend_reference, check_patches, check_tiles

GATHER, ADD = "blending of tiles", "fusion of patches"
"""What log lines call the operations."""


def gather_blend(
    tiles: Sequence[Tensor], lattice: Lattice, size: tuple[int, int, int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Blend a lattice of tiles into frames; what reaches beyond them is cut off, and what no tile reaches is 0.

    Args:
        tiles: (t, h, w, C) each, float32, float16 or bfloat16, of any strides; in the order of the lattice.
        lattice: where they lie; on their device if it is used more than once.
        size: (T, H, W) of the frames.
        dtype: of the result: a floating type, or uint8 for round(255 clamp(x, 0, 1)).

    Returns:
        (T, H, W, C), contiguous.

    Raises:
        ValueError: for tiles that do not fit the lattice, or types that are not offered.
    """
    lattice = lattice.on(tiles[0].device)
    axes = lattice.t, lattice.y, lattice.x
    starts = [list(axis.starts) for axis in axes]
    weights = [axis.weights for axis in axes]
    if for_gradients(GATHER, *tiles, *weights):
        check_tiles(tiles, starts, weights, size, dtype)
        return blend_reference(tiles, starts, weights, size, dtype)
    work: Callable[..., Tensor] = _gather_blend if dispatched(GATHER, tiles[0]) else gather_elsewhere
    return work(list(tiles), *starts, *weights, list(size), dtype)


def blend_into(canvas: Tensor, patches: Tensor, placements: Sequence[Placement]) -> None:
    """Add weighted patches to a canvas, in place and in their order.

    Args:
        canvas: (C, T, H, W) float32, of any strides.
        patches: (N, C, t, h, w) float32, float16 or bfloat16, of any strides.
        placements: of every patch, see :func:`placement.placement_of`; on the device of the canvas.

    Raises:
        ValueError: for patches that do not lie on the canvas, or types that are not offered.
    """
    weights_t, weights_yx = ([getattr(p, name) for p in placements] for name in ("weight_t", "weight_yx"))
    origins = [start for placement in placements for start in placement.origin]
    direct = for_gradients(ADD, canvas, patches, *weights_t, *weights_yx) or not dispatched(ADD, canvas)
    (add_elsewhere if direct else _blend_into)(canvas, patches, weights_t, weights_yx, origins)


def gather_elsewhere(
    tiles: Sequence[Tensor],
    starts_t: Sequence[int],
    starts_y: Sequence[int],
    starts_x: Sequence[int],
    weights_t: Tensor,
    weights_y: Tensor,
    weights_x: Tensor,
    size: Sequence[int],
    dtype: torch.dtype,
) -> Tensor:
    """The operation where it has no kernel."""
    starts, weights = (starts_t, starts_y, starts_x), (weights_t, weights_y, weights_x)
    check_tiles(tiles, starts, weights, size, dtype)
    work = blend_bands if tiles[0].device.type == "cpu" else blend_reference
    return work(tiles, starts, weights, size, dtype)


_gather_blend = torch.library.custom_op(f"{NAMESPACE}::gather_blend", gather_elsewhere, mutates_args=())


@_gather_blend.register_fake
def _(tiles, starts_t, starts_y, starts_x, weights_t, weights_y, weights_x, size, dtype):  # type: ignore[no-untyped-def]
    return tiles[0].new_empty((*size, tiles[0].shape[3]), dtype=dtype)


def add_elsewhere(
    canvas: Tensor,
    patches: Tensor,
    weights_t: Sequence[Tensor],
    weights_yx: Sequence[Tensor],
    origins: Sequence[int],
) -> None:
    """The operation where it has no kernel."""
    check_patches(canvas, patches, weights_t, weights_yx, origins)
    add_reference(canvas, patches, weights_t, weights_yx, origins)


_blend_into = torch.library.custom_op(f"{NAMESPACE}::blend_into", add_elsewhere, mutates_args=("canvas",))


@_blend_into.register_fake
def _(canvas, patches, weights_t, weights_yx, origins):  # type: ignore[no-untyped-def]
    return None


@_gather_blend.register_kernel("cuda")
def gather_on_gpu(
    tiles: Sequence[Tensor],
    starts_t: Sequence[int],
    starts_y: Sequence[int],
    starts_x: Sequence[int],
    weights_t: Tensor,
    weights_y: Tensor,
    weights_x: Tensor,
    size: Sequence[int],
    dtype: torch.dtype,
) -> Tensor:
    """The operation by its kernel, or by the reference where that cannot be."""
    starts, weights = (starts_t, starts_y, starts_x), (weights_t, weights_y, weights_x)
    check_tiles(tiles, starts, weights, size, dtype)
    try:
        return launch_gather(BLEND.launcher(tiles[0].device), tiles, starts, weights, size, dtype)
    except CannotLaunch as reason:
        tell(GATHER, str(reason))
        return blend_reference(tiles, starts, weights, size, dtype)


@_blend_into.register_kernel("cuda")
def add_on_gpu(
    canvas: Tensor,
    patches: Tensor,
    weights_t: Sequence[Tensor],
    weights_yx: Sequence[Tensor],
    origins: Sequence[int],
) -> None:
    """The operation by its kernel, or by the reference where that cannot be."""
    check_patches(canvas, patches, weights_t, weights_yx, origins)
    for number, (weight_t, weight_yx) in enumerate(zip(weights_t, weights_yx, strict=True)):
        origin, patch = origins[3 * number : 3 * number + 3], patches[number]
        try:
            launch_add(BLEND.launcher(canvas.device), canvas, patch, weight_t, weight_yx, origin)
        except CannotLaunch as reason:
            tell(ADD, str(reason))
            add_reference(canvas, patch[None], [weight_t], [weight_yx], origin)
