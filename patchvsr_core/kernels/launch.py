"""How kernels are launched: what they cannot do is refused, and their first results are compared with the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .loading import CannotLaunch, KernelFile, Launch, integers, number, pointer, strides
from .references import INTERPOLATIONS, add_reference, blend_reference, covered_cells, mix_reference

KINDS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2, torch.uint8: 3}
"""What blend.cu calls the types of elements; uint8 is for results alone."""
INPUTS = (torch.float32, torch.float16, torch.bfloat16)
MODES = {name: number for number, name in enumerate(INTERPOLATIONS)}
"""What warp.cu calls ways to interpolate."""
LARGEST = 2**31 - 1 - 2**10
"""What a kernel counts with 32 bits, the last block included: cells of a plane, elements of a row."""
FRAMES_EACH = 4
"""For one thread, so that it finds its row and column once for several frames."""


def launch_gather(
    launch: Launch,
    tiles: Sequence[Tensor],
    starts: Sequence[Sequence[int]],
    weights: Sequence[Tensor],
    size: Sequence[int],
    dtype: torch.dtype,
) -> Tensor:
    """:func:`blend_reference` by the kernel ``blend_tiles``.

    Raises:
        CannotLaunch: for what the kernel does not take.
    """
    device = tiles[0].device
    if any(tile.stride() != tiles[0].stride() for tile in tiles):
        tiles = [tile.contiguous() for tile in tiles]
    first, channels = tiles[0], tiles[0].shape[3]
    if first.dtype not in INPUTS or dtype not in KINDS:
        raise CannotLaunch(f"it does not blend {first.dtype} to {dtype}")
    if max(size[2] * channels, *(weight.numel() for weight in weights), *size) > LARGEST:
        raise CannotLaunch(f"frames of {math.prod(size)} pixels with {channels} channels are too large for it")
    out = torch.empty((*size, channels), device=device, dtype=dtype)
    if out.numel() == 0:
        return out
    # A copy of a few bytes from ordinary memory: queued on the stream, nothing waits for it.
    addresses = torch.tensor([tile.data_ptr() for tile in tiles], dtype=torch.int64).to(device, non_blocking=True)
    geometry = zip(starts, weights, size, strict=True)
    indices = [_index(tuple(begin), weight.shape[1], length, device) for begin, weight, length in geometry]
    shares = [weight.contiguous() for weight in weights]
    arguments = [
        pointer(out), *integers(KINDS[dtype], *out.shape),
        pointer(addresses), *integers(KINDS[first.dtype]), *strides(first),
        *integers(*map(len, starts), *first.shape[:3]),
        *map(pointer, indices), *map(pointer, shares),
    ]  # fmt: skip
    launch("blend_tiles", (size[2] * channels, size[1], -(-size[0] // FRAMES_EACH)), arguments)
    return out


def launch_add(
    launch: Launch,
    canvas: Tensor,
    patches: Tensor,
    weights_t: Sequence[Tensor],
    weights_yx: Sequence[Tensor],
    origin: Sequence[int],
) -> None:
    """:func:`add_reference` of one patch by the kernel ``add_patch``.

    Raises:
        CannotLaunch: for what the kernel does not take; the canvas is as it was.
    """
    (patch,), (weight_t,), (weight_yx,) = patches, weights_t, weights_yx
    channels, frames, height, width = patch.shape
    if patch.dtype not in INPUTS:
        raise CannotLaunch(f"it does not add {patch.dtype}")
    if height * width > LARGEST:
        raise CannotLaunch(f"patches of {width}x{height} cells are too large for it")
    if patch.numel() == 0:
        return
    region = covered_cells(canvas, patch, origin)
    weight_t, weight_yx = weight_t.contiguous(), weight_yx.contiguous()
    arguments = [
        pointer(region), *strides(region),
        pointer(patch), *integers(KINDS[patch.dtype]), *strides(patch),
        pointer(weight_t), pointer(weight_yx), *integers(channels, frames, height, width),
    ]  # fmt: skip
    launch("add_patch", (height * width, frames, channels), arguments)


def launch_mix(
    launch: Launch,
    frame: Tensor,
    neighbour: Tensor,
    there: Tensor,
    back: Tensor,
    interpolation: str,
    weight: float,
    alpha1: float,
    alpha2: float,
) -> Tensor:
    """:func:`mix_reference` by the kernel ``mix_warped``.

    Raises:
        CannotLaunch: for what the kernel does not take.
    """
    given = (frame, neighbour, there, back)
    if any(tensor.dtype != torch.float32 for tensor in given):
        raise CannotLaunch(f"it mixes float32 alone, not {', '.join(str(tensor.dtype) for tensor in given)}")
    batch, channels, height, width = frame.shape
    if height * width > LARGEST:
        raise CannotLaunch(f"frames of {width}x{height} cells are too large for it")
    out = torch.empty_like(frame, memory_format=torch.contiguous_format)
    if out.numel() == 0:
        return out
    arguments = [pointer(out), *integers(batch, channels, height, width)]
    for tensor in given:
        arguments += [pointer(tensor), *strides(tensor)]
    arguments += [*integers(MODES[interpolation]), *map(number, (weight, alpha1, alpha2))]
    launch("mix_warped", (height * width, batch, 1), [*arguments, *integers(frame.is_cuda)])
    return out


def compare_blend(launch: Launch, device: torch.device) -> str:
    """How the kernels of blend.cu differ from the reference on a few numbers; nothing where they agree."""
    generator = torch.Generator().manual_seed(0)
    starts, lengths, size = [[0], [0, 4, 7], [0, 5]], (2, 7, 8), [2, 13, 11]
    values = torch.rand(6, 3, *lengths, generator=generator).to(device)
    weights = [torch.rand(len(b), n, generator=generator).to(device) for b, n in zip(starts, lengths, strict=True)]
    for given, dtype in (*zip(INPUTS, INPUTS, strict=True), (torch.float32, torch.uint8)):
        tiles = [tile.to(given).permute(1, 2, 3, 0) for tile in values]
        found = launch_gather(launch, tiles, starts, weights, size, dtype).float()
        worst = _largest(found - blend_reference(tiles, starts, weights, size, dtype).float())
        if not worst <= tolerance(dtype):
            return f"blend_tiles of {given} to {dtype} is {worst:.3g} off"
    canvas, weight = torch.rand(3, 4, 9, 10, generator=generator).to(device), weights[1][0][:, None] * weights[2][0]
    wanted, origin = canvas.clone(), (1, 2, 1)
    launch_add(launch, canvas, values[:1], [weights[0][0]], [weight], origin)
    add_reference(wanted, values[:1], [weights[0][0]], [weight], origin)
    worst = _largest(canvas - wanted)
    return "" if worst <= tolerance(torch.float32) else f"add_patch is {worst:.3g} off"


def compare_mix(launch: Launch, device: torch.device) -> str:
    """How the kernel of warp.cu differs from the reference on a few numbers; nothing where they agree."""
    generator = torch.Generator().manual_seed(0)
    frame, neighbour = torch.rand(2, 2, 3, 9, 14, generator=generator).to(device)
    there = 3 * torch.rand(2, 2, 9, 14, generator=generator) - 1.5
    agree = (torch.arange(14) % 4 > 0) * 1.0  # one column in four has nothing to return to, far beyond any doubt
    there, back = there.to(device), (50 * (1 - agree) - 0.01).expand(2, 2, 9, 14).to(device)
    for interpolation in MODES:
        settings = interpolation, 0.75, 0.1, 40.0
        found = launch_mix(launch, frame, neighbour, there, back, *settings)
        worst = _largest(found - mix_reference(frame, neighbour, there, back, *settings))
        if not worst <= tolerance(torch.float32):
            return f"mix_warped, {interpolation}, is {worst:.3g} off"
    return ""


BLEND = KernelFile("blend", ("blend_tiles", "add_patch"), compare_blend)
WARP = KernelFile("warp", ("mix_warped",), compare_mix)


def tolerance(dtype: torch.dtype) -> float:
    """Difference that another order of sums explains in values up to 2: a few last bits, or one step of grey."""
    return {torch.uint8: 1.0, torch.float32: 1e-5}.get(dtype) or 2 * torch.finfo(dtype).eps


def _largest(difference: Tensor) -> float:
    return float(difference.abs().max())


@lru_cache(maxsize=64)
def _index(starts: tuple[int, ...], window: int, length: int, device: torch.device) -> Tensor:
    """int32: the first window that reaches each cell of an axis, then all starts."""
    begin = torch.tensor(starts)
    first = torch.searchsorted(begin + window, torch.arange(length), right=True)
    return torch.cat([first, begin]).int().to(device)
