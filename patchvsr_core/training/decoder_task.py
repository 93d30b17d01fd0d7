"""Trains a conditional decoder for a frozen Wan VAE: latents of true clips, a little wrong, back to these clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..vae.codec import WanVAE
from ..vae.conditional_decoder import ConditionalDecoder, ConditionalDecoderConfig, load_conditional_decoder, modulated
from . import losses
from .config import TrainConfig
from .discriminator import Critic, contest
from .refiner_task import Pieces, load_part

FILE = "conditional_decoder.safetensors"


class DecoderTask(nn.Module):
    """The conditional decoder; the VAE is no part of the state.

    Args:
        codec: where the VAE's weights are, the latents are made.
        sizes: those of the conditional decoder.
    """

    def __init__(self, config: TrainConfig, codec: WanVAE, sizes: ConditionalDecoderConfig) -> None:
        super().__init__()
        self.config, self.codec = config, codec
        self.decoder = ConditionalDecoder(sizes)
        self.critic = Critic() if config.objective.critic_weight else None

    def forward(self, batch: Pieces, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        objective = self.config.objective
        pairs = zip(batch.truth, batch.enlarged, strict=True)
        decoded = torch.stack([self._decoded(truth, enlarged, generator) for truth, enlarged in pairs])
        terms = {
            "bicubic": losses.charbonnier(batch.enlarged, batch.truth),
            "result": losses.charbonnier(decoded, batch.truth),
        }
        loss = terms["result"]
        loss = loss + losses.shape(decoded, batch.truth, objective.spectrum_weight, objective.motion_weight)
        if self.critic is not None:
            loss = loss + contest(self.critic, decoded, batch.truth, objective.critic_weight)
        return loss, terms

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """One group: parts and critic learn at the same rate."""
        return [{"params": list(self.parameters()), "peak": self.config.learning_rate, "from": 0}]

    def initialise(self, batches: Any) -> None:
        """A new conditional decoder starts as it is made: it changes nothing."""

    def load_weights(self, folder: Path) -> None:
        """Start from an exported conditional decoder."""
        load_part(self, "decoder", load_conditional_decoder(folder / FILE), folder)

    def _decoded(self, truth: Tensor, enlarged: Tensor, generator: torch.Generator) -> Tensor:
        """What is decoded of one true crop's latent, which is no more exact than a denoised one."""
        latent = self.codec.encode(truth).clone()
        level = self.config.objective.condition_noise * torch.rand((), generator=generator).item()
        latent = latent + level * torch.randn(latent.shape, generator=generator).to(latent)
        with modulated(self.codec.decoder_input, self.decoder, self.decoder.condition_of(enlarged.clamp(0, 1))):
            return self.codec.frames_of(latent)
