"""Puts a run together: task, data, validation."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import PatchVSRError
from ..hosts.diffusers.denoiser import Base
from ..hosts.diffusers.loading import load_base, load_vae
from ..hosts.diffusers.models import Models
from ..hosts.diffusers.pipeline import upscale
from ..realtime.upscaler import FastUpscaler
from ..settings import TINY, WAN
from ..vae.codec import SpaceToDepth
from .adapter_task import AdapterTask
from .config import TrainConfig
from .decoder_task import DecoderTask
from .latents import Latents, precompute
from .packed import pack_footage
from .realtime_task import ClipBatches, RealtimeTask, keep_clips
from .refiner_task import DecodedBatches, RefinerTask, write_decoded
from .restorer_task import MovingBatches, RestorerTask
from .tiny_task import Batches, TinyDefault
from .trainer import Trainer, moved
from .validation import validate

Validate = Callable[[int], dict[str, float]]
VALIDATION_SCALE = 4


def tiny_run(config: TrainConfig, options: Namespace) -> Trainer:
    """Base, adapter and refiner of the tiny default, from a folder of footage."""
    torch.manual_seed(config.seed)
    task = TinyDefault(config)
    batches = Batches(options.data, options.out / "decoded", config.data, config.seed)
    look = _validation(options, lambda sheet: _looked_at(_models(task), options, sheet))
    return Trainer(task, batches, config, options.out, device=options.device, init=options.init, validate=look)


def refiner_run(config: TrainConfig, options: Namespace) -> Trainer:
    """The refiner of the tiny default alone, from precomputed frames of its base."""
    torch.manual_seed(config.seed)
    task = RefinerTask(config)
    batches = DecodedBatches(options.data, config.seed)
    look = None
    if options.validate is not None:
        if options.weights is None:
            raise PatchVSRError("To look at the refiner's results its base is needed; name its folder with --weights.")
        whole = TinyDefault(config)
        whole.load_weights(options.weights)
        whole.refiner = task.refiner
        look = _validation(options, lambda sheet: _looked_at(_models(whole), options, sheet))
    return Trainer(task, batches, config, options.out, device=options.device, init=options.init, validate=look)


def run_for(config: TrainConfig) -> Callable[[TrainConfig, Namespace], Trainer]:
    """What a configuration trains."""
    if config.restorer is not None:
        return restorer_run
    if config.realtime:
        return realtime_run
    if config.decoder is not None:
        return decoder_run
    if config.flow is not None:
        return adapter_run
    return refiner_run if config.refiner_alone else tiny_run


def precompute_for(config: TrainConfig) -> Callable[[TrainConfig, Namespace], None]:
    """What is made of footage before a configuration is trained."""
    if config.restorer is not None:
        return precompute_packed
    if config.realtime:
        return precompute_clips
    return precompute_decoded if config.refiner_alone else precompute_latents


def precompute_packed(config: TrainConfig, options: Namespace) -> None:
    """See :func:`packed.pack_footage`."""
    pack_footage(options.data, options.out, config.data)


def restorer_run(config: TrainConfig, options: Namespace) -> Trainer:
    """A restorer, from packed footage."""
    torch.manual_seed(config.seed)
    task = RestorerTask(config)
    batches = MovingBatches(options.data, config)
    return Trainer(task, batches, config, options.out, device=options.device, init=options.init)


def precompute_clips(config: TrainConfig, options: Namespace) -> None:
    """See :func:`realtime_task.keep_clips`."""
    keep_clips(config, options.data, options.out, range(options.first, options.first + options.samples))


def realtime_run(config: TrainConfig, options: Namespace) -> Trainer:
    """A real-time network, from kept clips."""
    torch.manual_seed(config.seed)
    task = RealtimeTask(config)
    batches = ClipBatches(options.data, config)

    def score(sheet: Path) -> dict[str, float]:
        return validate(
            FastUpscaler(task.network, device=options.device).upscale, options.validate, VALIDATION_SCALE, sheet
        )

    look = _validation(options, score)
    return Trainer(task, batches, config, options.out, device=options.device, init=options.init, validate=look)


def precompute_latents(config: TrainConfig, options: Namespace) -> None:
    """See :func:`latents.precompute`.

    Raises:
        PatchVSRError: when the VAE was not named.
    """
    if options.vae is None:
        raise PatchVSRError("Footage is encoded for an adapter with the Wan's VAE; name its file with --vae.")
    codec = load_vae(options.vae, device=options.device)
    numbers = range(options.first, options.first + options.samples)
    precompute(config, options.data, codec, options.out, numbers, options.prompt)


def precompute_decoded(config: TrainConfig, options: Namespace) -> None:
    """What the refiner learns from; see :func:`refiner_task.write_decoded`.

    Raises:
        PatchVSRError: when the weights of the base were not named.
    """
    if options.weights is None:
        raise PatchVSRError("The refiner is trained on frames of a finished base; name its folder with --weights.")
    task = TinyDefault(config)
    task.load_weights(options.weights)
    task.to(options.device)
    batches = Batches(options.data, options.out / "footage", config.data, config.seed)
    numbers = range(options.first, options.first + options.samples)
    with torch.autocast(options.device, torch.bfloat16, enabled=config.bfloat16):
        write_decoded(
            batches, lambda batch: task.decode(moved(batch, options.device)), options.out, numbers, config.seed
        )


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
                return _looked_at(models, options, sheet)

        look = _validation(options, score)
    return Trainer(task, latents, config, options.out, device=options.device, init=options.init, validate=look)


def decoder_run(config: TrainConfig, options: Namespace) -> Trainer:
    """A conditional decoder for a frozen VAE, from a folder of footage.

    Raises:
        PatchVSRError: when the VAE was not named.
    """
    if options.vae is None:
        raise PatchVSRError("A conditional decoder is trained for a VAE; name the Wan's VAE file with --vae.")
    assert config.decoder is not None
    codec = load_vae(options.vae, device=options.device)
    torch.manual_seed(config.seed)
    task = DecoderTask(config, codec, config.decoder)
    batches = Batches(options.data, options.out / "decoded", config.data, config.seed)
    return Trainer(task, batches, config, options.out, device=options.device, init=options.init)


def _looked_at(models: Models, options: Namespace, sheet: Path) -> dict[str, float]:
    """How the whole pipeline fares."""
    return validate(
        lambda small, size: upscale(small, size, models, models.defaults), options.validate, VALIDATION_SCALE, sheet
    )


def _models(task: TinyDefault) -> Models:
    base = Base(task.base, "residual", task.config.start_noise)
    device = task.base.proj_out.weight.device
    prompt, refiner = task.adapter.prompt.detach(), task.refiner
    return Models(base, SpaceToDepth(), prompt, task.adapter, refiner, TINY, device, meter=refiner.meter)


def _validation(options: Namespace, score: Callable[[Path], dict[str, float]]) -> Validate | None:
    if options.validate is None:
        return None
    return lambda step: score(options.out / "validation" / f"{step:07d}.png")
