"""Where tiles and patches lie on a canvas, and how much each one counts; built once and cached on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..plan.canvas import Patch, Span


@dataclass(frozen=True, eq=False)
class Axis:
    """Equal windows along one axis, in ascending order."""

    starts: tuple[int, ...]
    weights: Tensor
    """(windows, length) float32, in every cell of every window; they sum to 1 in every cell of the canvas."""

    @classmethod
    def of(cls, spans: Sequence[Span]) -> Axis:
        """What a plan holds, see :func:`plan.planner.crossfade`."""
        weights = torch.stack([torch.from_numpy(span.weight).float() for span in spans])
        return cls(tuple(span.start for span in spans), weights)

    @classmethod
    def whole(cls, length: int) -> Axis:
        """One window, which counts in full."""
        return cls((0,), torch.ones(1, length))

    def on(self, device: torch.device) -> Axis:
        """The same with its weights on a device."""
        return replace(self, weights=self.weights.to(device))


@dataclass(frozen=True, eq=False)
class Lattice:
    """Windows in time x rows x columns of equal tiles; tiles are in that order, columns fastest."""

    t: Axis
    y: Axis
    x: Axis

    def __len__(self) -> int:
        return len(self.t.starts) * len(self.y.starts) * len(self.x.starts)

    def on(self, device: torch.device) -> Lattice:
        """The same with its weights on a device, to be used again and again."""
        return Lattice(self.t.on(device), self.y.on(device), self.x.on(device))


@dataclass(frozen=True, eq=False)
class Placement:
    """One patch on a canvas."""

    origin: tuple[int, int, int]
    """(t, y, x) of its first cell."""
    weight_t: Tensor
    """(T,) float32; in every cell of the canvas ``weight_t * weight_yx`` sum to 1 over all patches."""
    weight_yx: Tensor
    """(H, W) float32."""


_cache: WeakKeyDictionary[Patch, dict[torch.device, Placement]] = WeakKeyDictionary()


def placement_of(patch: Patch, device: torch.device) -> Placement:
    """That of a planned patch; its weights reach a device once and stay as long as the plan."""
    cached = _cache.setdefault(patch, {})
    if device not in cached:
        weight_t, weight_yx = (w.to(device, torch.float32).contiguous() for w in (patch.weight_t, patch.weight_yx))
        cached[device] = Placement(patch.origin, weight_t, weight_yx)
    return cached[device]
