"""Wan's forward with an adapter, written out by hand from the paper's formulae.

Plain functions over a checkpoint in the original layout, in double precision: slow, obvious, and
sharing no code with either host.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from patchvsr_core.adapter import Adapter, PatchControl

HEAD = 128
Weights = dict[str, Tensor]


def velocity(
    weights: Weights,
    x: Tensor,
    timestep: float,
    text: Tensor,
    control: PatchControl | None = None,
    gates: Adapter | None = None,
) -> Tensor:
    """v for one state x (1, C, T, H, W); self-attention sees it through the local gates of ``gates``."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    x, text = x.double(), text.double()
    _, channels, frames, height, width = x.shape
    grid = (frames, height // 2, width // 2)
    cells = x.reshape(channels, frames, grid[1], 2, grid[2], 2).permute(1, 2, 4, 0, 3, 5).reshape(-1, channels * 4)
    hidden = cells @ w["patch_embedding.weight"].reshape(-1, channels * 4).T + w["patch_embedding.bias"]
    context = linear(w, "text_embedding.2", gelu(linear(w, "text_embedding.0", text[0])))
    frequencies = 10000 ** (-torch.arange(128, dtype=torch.float64) / 128)
    angles = timestep * frequencies
    time = linear(w, "time_embedding.2", silu(linear(w, "time_embedding.0", torch.cat([angles.cos(), angles.sin()]))))
    if control is not None and control.time_delta is not None:
        time = time + control.time_delta[0].double()
    modulation = linear(w, "time_projection.1", silu(time)).reshape(6, -1)
    rotation = angles_3d(grid)
    block = 0
    while f"blocks.{block}.ffn.0.weight" in w:
        through = None if gates is None else partial(gated, gates, block, grid)
        hidden = run_block(w, block, hidden, context, modulation, rotation, control, through)
        block += 1
    shift, scale = w["head.modulation"][0] + time
    out = linear(w, "head.head", norm(hidden) * (1 + scale) + shift)
    out = out.reshape(*grid, 2, 2, channels).permute(5, 0, 1, 3, 2, 4)
    return out.reshape(1, channels, frames, height, width)


def run_block(w, index, hidden, context, modulation, rotation, control, through=None):
    name = f"blocks.{index}"
    shift1, scale1, gate1, shift2, scale2, gate2 = w[f"{name}.modulation"][0] + modulation
    normed = norm(hidden) * (1 + scale1) + shift1
    if through is not None:
        normed = through(normed)
    q, k, v = (linear(w, f"{name}.self_attn.{p}", normed) for p in "qkv")
    q = rotate(heads(rms(q, w[f"{name}.self_attn.norm_q.weight"])), rotation)
    k = rotate(heads(rms(k, w[f"{name}.self_attn.norm_k.weight"])), rotation)
    hidden = hidden + gate1 * linear(w, f"{name}.self_attn.o", attend(q, k, heads(v)))
    normed = norm(hidden) * w[f"{name}.norm3.weight"] + w[f"{name}.norm3.bias"]
    q = heads(rms(linear(w, f"{name}.cross_attn.q", normed), w[f"{name}.cross_attn.norm_q.weight"]))
    k = heads(rms(linear(w, f"{name}.cross_attn.k", context), w[f"{name}.cross_attn.norm_k.weight"]))
    out = attend(q, k, heads(linear(w, f"{name}.cross_attn.v", context)))
    global_kv = control.global_kv(index) if control is not None else None
    if global_kv is not None:
        out = out + attend(q, heads(global_kv[0][0].double()), heads(global_kv[1][0].double()))
    hidden = hidden + linear(w, f"{name}.cross_attn.o", out)
    normed = norm(hidden) * (1 + scale2) + shift2
    hidden = hidden + gate2 * linear(w, f"{name}.ffn.2", gelu(linear(w, f"{name}.ffn.0", normed)))
    residual = control.residual(index) if control is not None else None
    return hidden if residual is None else hidden + residual[0].double()


def gated(adapter, index, grid, tokens):
    """(tokens, width) after the spatial and the temporal gate of one block, neighbour by neighbour."""
    gate = adapter.liem[index]
    kernel, (on_max, on_mean) = gate.spatial.weight[0].double(), gate.temporal.weight[0].double()
    gain = {"identity": 2, "star": 1}[adapter.config.liem]
    frames = tokens.reshape(*grid, -1)
    statistics = torch.stack([frames.amax(-1), frames.mean(-1)])
    field = torch.zeros(2, grid[0], grid[1] + 6, grid[2] + 6, dtype=torch.float64)
    field[:, :, 3:-3, 3:-3] = statistics
    score = torch.zeros(grid, dtype=torch.float64)
    for y in range(7):
        for x in range(7):
            near = field[:, :, y : y + grid[1], x : x + grid[2]]
            score += kernel[0, y, x] * near[0] + kernel[1, y, x] * near[1]
    frames = frames * (gain / (1 + (-score).exp()))[..., None]
    score = on_max * frames.amax(-1) + on_mean * frames.mean(-1)
    return (frames * (gain / (1 + (-score).exp()))[..., None]).flatten(0, 2)


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(x):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()


def rms(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def silu(x):
    return x / (1 + (-x).exp())


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def heads(x):
    """(tokens, width) to (heads, tokens, 128)."""
    return x.reshape(len(x), -1, HEAD).transpose(0, 1)


def attend(q, k, v):
    weights = (q @ k.transpose(1, 2) / math.sqrt(HEAD)).softmax(-1)
    return (weights @ v).transpose(0, 1).reshape(q.shape[1], -1)


def angles_3d(grid):
    """(tokens, 64) angles: 22 pairs for time, 21 each for rows and columns."""
    sizes = (HEAD - 4 * (HEAD // 6), 2 * (HEAD // 6), 2 * (HEAD // 6))
    rows = []
    for t in range(grid[0]):
        for y in range(grid[1]):
            for x in range(grid[2]):
                parts = [
                    position * 10000 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
                    for position, size in zip((t, y, x), sizes, strict=True)
                ]
                rows.append(torch.cat(parts))
    return torch.stack(rows)


def rotate(x, angles):
    even, odd = x[..., 0::2], x[..., 1::2]
    out = torch.empty_like(x)
    out[..., 0::2] = even * angles.cos() - odd * angles.sin()
    out[..., 1::2] = even * angles.sin() + odd * angles.cos()
    return out
