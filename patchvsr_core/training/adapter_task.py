"""What is trained for a real Wan: the adapter, over a frozen base, on precomputed latents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..adapter import Adapter, MicroConditions, load_adapter
from ..adapter.conditioning import zero_
from ..hosts.diffusers.denoiser import Base, DiffusersDenoiser
from .config import FlowObjective, TrainConfig
from .export import original_name
from .frequency import weighted_frequency
from .latents import LatentBatch, Latents


class AdapterTask(nn.Module):
    """The adapter is what this module holds; the base is only used.

    Args:
        prompt: (1, tokens, text_dim) fixed prompt embedding; None: one is learned.

    Raises:
        AdapterError: when the configuration is for another base.
    """

    def __init__(self, config: TrainConfig, base: Base, prompt: Tensor | None = None) -> None:
        super().__init__()
        assert config.flow is not None
        self.config, self.flow = config, config.flow
        config.base.check_same(base.spec)
        if config.checkpointing:
            base.transformer.enable_gradient_checkpointing()
        self._base = [base]  # in a list: neither saved nor trained
        self.adapter = Adapter(config.adapter_config)
        if prompt is not None:
            self.adapter.prompt = nn.Parameter(prompt.float(), requires_grad=False)
        self._denoiser = self._attached()

    def forward(self, batch: LatentBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Rectified flow: mean squared error of the velocity eps - x0 at a random noise level.

        With it, if it has a weight, the dynamic frequency loss of x0.
        """
        sigma, level, drop = _draws(self.flow, generator)
        eps, noise = (torch.randn(batch.truth.shape, generator=generator).to(batch.truth) for _ in range(2))
        x = (1 - sigma) * batch.truth + sigma * eps
        top, left = batch.position.unbind(1)
        micro = MicroConditions(batch.scale, top, left, torch.full_like(top, level))
        control = self.adapter.control(
            (1 - level) * batch.enlarged + level * noise,
            micro,
            anchor=batch.enlarged,
            view=batch.view,
            location=batch.location,
        )
        prompt = torch.zeros_like(self.adapter.prompt) if drop else self.adapter.prompt
        self._denoiser.prompts = [prompt]
        x0 = self._denoiser(x, torch.tensor(sigma, device=x.device), control)[0].float()
        velocity = ((x - x0) / sigma - (eps - batch.truth)).square().mean()
        flow = self.flow
        frequency = weighted_frequency(x0, batch.truth, sigma, flow.frequency_weight, bands=flow.frequency_bands)
        terms = {"velocity": velocity, "frequency": frequency, "x0": (x0 - batch.truth).abs().mean()}
        return velocity + frequency, {name: term.detach() for name, term in terms.items()}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Everything that learns, at one rate."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [{"params": parameters, "peak": self.config.learning_rate, "from": 0}]

    @torch.no_grad()
    def initialise(self, batches: Latents) -> None:
        """Branches as wide as the base start as copies of its first blocks; what they say starts at zero."""
        config, adapter = self.config.adapter_config, self.adapter
        if (config.width, config.ffn) != (config.base.width, config.base.ffn):
            return
        base = {original_name(name): value for name, value in self._base[0].transformer.state_dict().items()}
        base = {name.replace("parametrizations.weight.original", "weight"): value for name, value in base.items()}
        for branch in (adapter.patch, adapter.global_):
            if branch is not None:
                _copy_into(branch, base, config.base.channels)
        adapter.text_embedding.load_state_dict(_below(base, "text_embedding."))
        adapter.micro.time_projection.load_state_dict(_below(base, "time_projection."))
        adapter.micro.networks["noise"].load_state_dict(_below(base, "time_embedding."))
        for name in ("scale", "top", "left"):
            zero_(adapter.micro.networks.get_submodule(f"{name}.2"))

    def load_weights(self, folder: Path) -> None:
        """Start from an exported adapter, ``adapter.safetensors``."""
        self.adapter.load_state_dict(load_adapter(folder / "adapter.safetensors").state_dict())

    @contextmanager
    def released(self) -> Iterator[Base]:
        """The base as it was, for others to use."""
        self._denoiser.close()
        try:
            yield self._base[0]
        finally:
            self._denoiser = self._attached()

    def _attached(self) -> DiffusersDenoiser:
        return DiffusersDenoiser(self._base[0], [self.adapter.prompt], self.adapter, keep_control=True)


def _draws(flow: FlowObjective, generator: torch.Generator) -> tuple[float, float, bool]:
    """(noise level: logit-normal, shifted; noise augmentation; whether the prompt is left out)."""
    normal = torch.randn(1, generator=generator).sigmoid().item()
    draw = torch.rand(2, generator=generator).tolist()
    sigma = flow.shift * normal / (1 + (flow.shift - 1) * normal)
    low, high = flow.condition_noise
    return min(max(sigma, 1e-3), 1.0), low + (high - low) * draw[0], draw[1] < flow.null_prompt


def _copy_into(branch: Any, base: dict[str, Tensor], channels: int) -> None:
    """The base's first blocks and its patch embedding; further input channels start at zero."""
    for index, block in enumerate(branch.blocks):
        block.load_state_dict(_below(base, f"blocks.{index}."))
    branch.patch_embedding.weight.zero_()
    branch.patch_embedding.weight[:, :channels] = base["patch_embedding.weight"].float()
    branch.patch_embedding.bias.copy_(base["patch_embedding.bias"])


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value.float() for name, value in state.items() if name.startswith(prefix)}
