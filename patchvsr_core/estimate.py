"""What a run will cost: patches, memory, and time from one patch that is really run."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from .codec import Codec
from .conditions import Controls
from .hosts.diffusers import DiffusersDenoiser
from .hosts.models import Models
from .layout import PatchPlan
from .planner import plan_tiles
from .settings import Settings

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Estimate:
    """Cost of one run."""

    patches: int
    """Patch evaluations over all steps."""
    memory_bytes: int
    """Working memory beside the weights: frames and latents of the whole clip."""
    seconds: float


def memory_bytes(plan: PatchPlan, codec: Codec) -> int:
    """Largest sum of arrays alive at once: while sampling, or while refining."""
    canvas = plan.canvas
    t, h, w = canvas.latent_shape
    latent = codec.channels * t * h * w * FLOAT_BYTES
    out = canvas.frames * canvas.target[0] * canvas.target[1] * 3 * FLOAT_BYTES
    clip = canvas.frames * canvas.source[0] * canvas.source[1] * 3 * FLOAT_BYTES
    return clip + max(4 * latent, latent + 2 * out, 3 * out)


def estimate(plan: PatchPlan, models: Models, settings: Settings) -> Estimate:
    """Run one patch and one decode tile on noise, and extrapolate."""
    patches = sum(len(plan.at_step(step)) for step in range(settings.steps))
    if settings.solver == "heun":
        patches = 2 * patches - len(plan.at_step(settings.steps - 1))
    tiles = plan_tiles(plan.canvas, settings.tile_px, settings.tile_overlap_px)
    row, column = next(iter(tiles))
    tile_size = (plan.canvas.latent_frames, len(row.weight), len(column.weight))
    seconds = patches * _patch_seconds(plan, models) + len(tiles) * _decode_seconds(models, tile_size)
    return Estimate(patches, memory_bytes(plan, models.codec), seconds)


@torch.inference_mode()
def _patch_seconds(plan: PatchPlan, models: Models) -> float:
    channels, device = models.codec.channels, models.device
    patch = plan.patches[0]
    latent = torch.zeros(1, channels, *plan.canvas.latent_shape, device=device)
    view = torch.zeros(1, channels, plan.canvas.latent_frames, *patch.size[1:], device=device)
    controls = Controls(plan, latent, view=view if models.adapter else None, adapter=models.adapter)
    denoiser = DiffusersDenoiser(models.base, [models.prompt.to(device)], models.adapter)
    try:
        return _timed(lambda: denoiser(patch.crop(latent), torch.tensor(1.0), controls([patch])))
    finally:
        denoiser.close()


def _decode_seconds(models: Models, size: tuple[int, int, int]) -> float:
    tile = torch.zeros(1, models.codec.channels, *size, device=models.device)
    return _timed(lambda: models.codec.decode(tile))


def _timed(work: object) -> float:
    """Seconds of the second of two calls; the first one warms up."""
    assert callable(work)
    for _ in range(2):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return time.perf_counter() - start
