"""The table of operations. A new one is a row here, a reference, a launcher, and a kernel in csrc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .blend_cpu import blend_bands
from .launch import BLEND, WARP, launch_add, launch_gather, launch_mix
from .op import Arguments, Op
from .references import add_reference, blend_reference, check_flows, check_patches, check_tiles, mix_reference


def _group_axes(
    tiles: Any, t: Any, y: Any, x: Any, weights_t: Any, weights_y: Any, weights_x: Any, size: Any, dtype: Any
) -> Arguments:
    return tiles, (t, y, x), (weights_t, weights_y, weights_x), size, dtype


def _empty_frames(tiles: Sequence[Tensor], *geometry: Any) -> Tensor:
    size, dtype = geometry[-2:]
    return tiles[0].new_empty((*size, tiles[0].shape[3]), dtype=dtype)


def _each_patch(
    canvas: Tensor, patches: Tensor, weights_t: Sequence[Tensor], weights_yx: Sequence[Tensor], origins: Sequence[int]
) -> list[Arguments]:
    """A kernel adds one patch; where a launch fails, those before have already been added."""
    return [
        (canvas, patches[n : n + 1], weights_t[n : n + 1], weights_yx[n : n + 1], origins[3 * n : 3 * n + 3])
        for n in range(len(patches))
    ]


def _nothing(*arguments: Any) -> None:
    """The canvas is the result."""


def _empty_like_first(frame: Tensor, *others: Any) -> Tensor:
    return torch.empty_like(frame, memory_format=torch.contiguous_format)


GATHER_BLEND = Op(
    name="gather_blend",
    label="blending of tiles",
    schema="(Tensor[] tiles, SymInt[] starts_t, SymInt[] starts_y, SymInt[] starts_x, Tensor weights_t, "
    "Tensor weights_y, Tensor weights_x, SymInt[] size, ScalarType dtype) -> Tensor",
    check=check_tiles,
    reference=blend_reference,
    launch=launch_gather,
    file=BLEND,
    empty=_empty_frames,
    on_cpu=blend_bands,
    arrange=_group_axes,
)
BLEND_INTO = Op(
    name="blend_into",
    label="fusion of patches",
    schema="(Tensor(a0!) canvas, Tensor patches, Tensor[] weights_t, Tensor[] weights_yx, SymInt[] origins) -> ()",
    check=check_patches,
    reference=add_reference,
    launch=launch_add,
    file=BLEND,
    empty=_nothing,
    pieces=_each_patch,
)
MIX_ALONG_FLOW = Op(
    name="mix_along_flow",
    label="mixing along the motion",
    schema="(Tensor frame, Tensor neighbour, Tensor there, Tensor back, str interpolation, float weight, float alpha1, "
    "float alpha2) -> Tensor",
    check=check_flows,
    reference=mix_reference,
    launch=launch_mix,
    file=WARP,
    empty=_empty_like_first,
)
OPS = (GATHER_BLEND, BLEND_INTO, MIX_ALONG_FLOW)

for _op in OPS:
    _op.register()
