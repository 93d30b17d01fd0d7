"""Trains a conditional decoder for a frozen Wan VAE: noisy latents of true clips back to these clips."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import PatchVSRError
from ..hosts.diffusers.loading import load_vae
from ..vae.codec import WanVAE
from ..vae.conditional_decoder import (
    ConditionalDecoder,
    ConditionalDecoderConfig,
    load_conditional_decoder,
    modulate_decoder,
    save_conditional_decoder,
)
from . import losses
from .config import TrainConfig
from .discriminator import Discriminator
from .initial_weights import load_part
from .perceptual_loss import Distance, appearance_loss, make_distance
from .refiner_loss import CropBatch
from .registry import Run, TrainingTask, register
from .tiny_task import Batches

FILE = "conditional_decoder.safetensors"


class DecoderTask(nn.Module):
    """The conditional decoder; the VAE is no part of the state.

    Args:
        codec: where the VAE's weights are, the latents are made.
        sizes: those of the conditional decoder.
        distance: LPIPS, if the objective gives it a weight.
    """

    def __init__(
        self, config: TrainConfig, codec: WanVAE, sizes: ConditionalDecoderConfig, distance: Distance | None = None
    ) -> None:
        super().__init__()
        self.config, self.codec = config, codec
        self.decoder = ConditionalDecoder(sizes)
        self.distance = distance
        self.discriminator = Discriminator() if config.objective.adversarial_weight else None

    def forward(self, batch: CropBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        objective = self.config.objective
        pairs = zip(batch.truth, batch.upsampled, strict=True)
        decoded = torch.stack([self._decode(truth, upsampled, generator) for truth, upsampled in pairs])
        terms = {
            "bicubic": losses.charbonnier(batch.upsampled, batch.truth),
            "result": losses.charbonnier(decoded, batch.truth),
        }
        loss = terms["result"]
        loss = loss + losses.shape(decoded, batch.truth, objective.spectrum_weight, objective.motion_weight)
        planes = decoded.movedim(-1, 2), batch.truth.movedim(-1, 2)
        look, judged = appearance_loss(*planes, generator, objective, self.distance, self.discriminator)
        return loss + look, terms | judged

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """One group: decoder and discriminator learn at the same rate."""
        return [{"params": list(self.parameters()), "peak": self.config.learning_rate, "from": 0}]

    def initialise(self, batches: Any) -> None:
        """A new conditional decoder starts as it is made: it changes nothing."""

    def load_weights(self, folder: Path) -> None:
        """Start from an exported conditional decoder."""
        load_part(self, "decoder", load_conditional_decoder(folder / FILE), folder)

    def _decode(self, truth: Tensor, upsampled: Tensor, generator: torch.Generator) -> Tensor:
        """Frames from the latent of one true crop, made as inexact as a denoised one is."""
        latent = self.codec.encode(truth).clone()
        level = self.config.objective.condition_noise * torch.rand((), generator=generator).item()
        latent = latent + level * torch.randn(latent.shape, generator=generator).to(latent)
        with modulate_decoder(
            self.codec.decoder_input, self.decoder, self.decoder.encode_condition(upsampled.clamp(0, 1))
        ):
            return self.codec.decode_with_grad(latent)


def _make_run(config: TrainConfig, options: Namespace) -> Run:
    """The data is a folder of footage.

    Raises:
        PatchVSRError: when the VAE was not named.
    """
    if options.vae is None:
        raise PatchVSRError("A conditional decoder is trained for a VAE; name the Wan's VAE file with --vae.")
    codec = load_vae(options.vae, device=options.device)
    torch.manual_seed(config.seed)
    task = DecoderTask(config, codec, config.section("decoder"), make_distance(config, options))
    return Run(task, Batches(options.data, options.out / "decoded", config.data, config.seed))


def _export(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
    decoder = ConditionalDecoder(config.section("decoder"))
    prefix = "decoder."
    decoder.load_state_dict({n.removeprefix(prefix): v for n, v in average.items() if n.startswith(prefix)})
    save_conditional_decoder(decoder, target)


register(TrainingTask("decoder", _make_run, _export, weights_file=FILE))
