"""Puts a run together: task, data, validation."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ..codec import SpaceToDepth
from ..errors import PatchVSRError
from ..hosts.diffusers import Base
from ..hosts.loading import load_base, load_vae
from ..hosts.models import Models
from ..settings import TINY, WAN
from .config import TrainConfig
from .frozen import AdapterTask
from .latents import Latents
from .tiny import Batches, TinyDefault
from .trainer import Trainer
from .validation import validate

Validate = Callable[[int], dict[str, float]]
VALIDATION_SCALE = 4


def tiny_run(config: TrainConfig, options: Namespace) -> Trainer:
    """Base, adapter and refiner of the tiny default, from a folder of footage."""
    torch.manual_seed(config.seed)
    task = TinyDefault(config)
    batches = Batches(options.data, options.out / "decoded", config.data, config.seed)

    def models() -> Models:
        base = Base(task.base, "residual", config.start_noise)
        device = task.base.proj_out.weight.device
        return Models(base, SpaceToDepth(), task.adapter.prompt.detach(), task.adapter, task.refiner, TINY, device)

    look = _validation(options, lambda sheet: validate(models(), options.validate, VALIDATION_SCALE, sheet))
    return Trainer(task, batches, config, options.out, device=options.device, init=options.init, validate=look)


def adapter_run(config: TrainConfig, options: Namespace) -> Trainer:
    """An adapter for a frozen Wan, from precomputed latents.

    Raises:
        PatchVSRError: when the base was not named.
    """
    if options.base is None:
        raise PatchVSRError("An adapter is trained for a base; name the Wan's file or folder with --base.")
    dtype = torch.bfloat16 if config.bfloat16 else torch.float32
    base = load_base(options.base, device=options.device, dtype=dtype)
    latents = Latents(options.data, config.data, config.seed)
    torch.manual_seed(config.seed)
    task = AdapterTask(config, base, latents.prompt)
    look = None
    if options.vae is not None:
        codec = load_vae(options.vae, device=options.device)
        longest = max(config.data.frames)
        settings = replace(
            WAN, patch_px=max(config.data.crop_px), window_frames=longest, overlap_frames=(longest - 1) // 8 * 4
        )

        def score(sheet: Path) -> dict[str, float]:
            with task.released() as free:
                prompt = task.adapter.prompt.detach()
                device = torch.device(options.device)
                models = Models(free, codec, prompt, task.adapter, None, settings, device)
                return validate(models, options.validate, VALIDATION_SCALE, sheet)

        look = _validation(options, score)
    return Trainer(task, latents, config, options.out, device=options.device, init=options.init, validate=look)


def _validation(options: Namespace, score: Callable[[Path], dict[str, float]]) -> Validate | None:
    if options.validate is None:
        return None
    return lambda step: score(options.out / "validation" / f"{step:07d}.png")
