"""How long a run takes: its work, counted from a plan, at a speed that was measured on this machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..plan.canvas import TOKEN_CELLS, PatchPlan
from ..sampling.schedules import noise_levels
from ..settings import BASE_LAYERS, BICUBIC, Settings
from ..stages import runs_auxiliary, runs_diffusion, steps_of_run


@dataclass(frozen=True)
class Work:
    """What takes time in a run."""

    evaluations: int
    """Of the base on a patch, over all steps and prompts."""
    tokens: int
    """Of a patch."""
    pixels: int
    """Of all frames of the result."""
    positions: int = 0
    """Positions of patches, each of which the adapter evaluates once."""
    base_layer: str = BICUBIC
    """What makes the base layer: one of :data:`settings.BASE_LAYERS`."""
    uses_codec: bool = True
    """Whether a canvas is encoded and decoded: not where the base layer is the whole result."""


@dataclass(frozen=True)
class Throughput:
    """How fast a machine is."""

    patches: Mapping[int, float] = field(default_factory=dict)
    """Seconds per evaluation of a patch, by its tokens."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds per megapixel of all frames of the result, by stage; base layers by their names."""
    adapter: float = 0.0
    """Seconds that the adapter takes for one position."""
    attention_tokens: float = math.inf
    """Tokens at which attention between them costs as much as all else in a block."""

    def patch_seconds(self, tokens: int) -> float | None:
        """Of one evaluation, scaled from the nearest size that was measured; None when there is none."""
        near = min(self.patches, key=lambda other: max(other / tokens, tokens / other), default=0)
        return self.patches[near] * self._operations(tokens) / self._operations(near) if near else None

    def _operations(self, tokens: int) -> float:
        """Up to a factor: linear in the tokens, and quadratic in attention."""
        return tokens * (1 + tokens / self.attention_tokens)


def run_seconds(work: Work, throughput: Throughput) -> float | None:
    """How long some work takes; None when what takes most of it was never timed."""
    stages = dict(throughput.stages)
    base_layers = {BICUBIC: 0.0, **{name: stages.pop(name) for name in BASE_LAYERS if name in stages}}
    if work.base_layer not in base_layers:
        return None
    megapixels = work.pixels / 1e6
    begun = megapixels * base_layers[work.base_layer]
    if not work.uses_codec:
        return begun + megapixels * stages.get("fidelity", 0.0)
    denoising = 0.0
    if work.evaluations:
        each = throughput.patch_seconds(work.tokens)
        if each is None:
            return None
        denoising = work.evaluations * each + work.positions * throughput.adapter
    return begun + denoising + megapixels * sum(stages.values())


def work_of(plan: PatchPlan, settings: Settings, *, is_lossless: bool = False) -> Work:
    """What a plan takes with some settings: guidance runs every patch twice, SAP the primary grid a first time.

    Args:
        is_lossless: of the model's codec; with one the base layer may be the whole result.
    """
    canvas = plan.canvas
    pixels, base_layer = canvas.frames * math.prod(canvas.target), settings.base_layer
    if not runs_diffusion(settings, is_lossless=is_lossless):
        return Work(0, tokens_of(plan), pixels, base_layer=base_layer, uses_codec=False)
    if settings.start == 0:  # nothing is denoised
        return Work(0, tokens_of(plan), pixels, base_layer=base_layer)
    steps = steps_of_run(settings)
    levels = noise_levels(settings).tolist()
    grids = Counter((step % plan.phases, runs_auxiliary(settings, levels[step])) for step in steps)
    patches = {grid: plan.at_step(grid[0], auxiliary=grid[1]) for grid in grids}
    evaluations = sum(count * len(patches[grid]) for grid, count in grids.items())
    if settings.spatial_attention and not settings.lazy_attention:
        turns = 2 if settings.temporal_attention else 1
        evaluations += len(plan.primary) * -(-len(steps) // turns)
    return Work(
        evaluations * (1 if settings.guidance == 1 else 2),
        tokens_of(plan),
        pixels,
        len({patch.origin for grid in patches.values() for patch in grid}),
        base_layer,
    )


def tokens_of(plan: PatchPlan) -> int:
    """Tokens of one patch."""
    return math.prod(plan.patch_size) // TOKEN_CELLS**2
