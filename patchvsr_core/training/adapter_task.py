"""What is trained for a real Wan: the adapter, over a frozen base, on precomputed latents."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..adapter import Adapter, MicroConditions, load_adapter, save_adapter
from ..adapter.conditioning import zero_
from ..errors import PatchVSRError
from ..files import sha256, weight_files
from ..hosts.diffusers.denoiser import Base, DiffusersDenoiser
from ..hosts.diffusers.loading import load_base, load_vae
from ..hosts.diffusers.models import Models
from ..settings import WAN
from .conditions import noised_view
from .config import FlowObjective, TrainConfig
from .frequency import weighted_frequency
from .latents import LatentBatch, Latents, precompute
from .pipeline_validation import score_pipeline
from .registry import Run, Score, TrainingTask, register
from .wan_names import original_name

FILE = "adapter.safetensors"


class AdapterTask(nn.Module):
    """The adapter is what this module holds; the base is only used.

    Args:
        prompt: (1, tokens, text_dim) fixed prompt embedding; None: one is learned.

    Raises:
        AdapterError: when the configuration is for another base.
    """

    def __init__(self, config: TrainConfig, base: Base, prompt: Tensor | None = None) -> None:
        super().__init__()
        self.config, self.flow = config, config.section("flow")
        config.base.check_same(base.spec)
        if config.checkpointing:
            base.transformer.enable_gradient_checkpointing()
        self._base = [base]  # in a list: neither saved nor trained
        self.adapter = Adapter(config.adapter_config)
        if prompt is not None:
            self.adapter.prompt = nn.Parameter(prompt.float(), requires_grad=False)
        self._denoiser = self._attach()

    def forward(self, batch: LatentBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Rectified flow: mean squared error of the velocity eps - x0 at a random noise level.

        With it, if it has a weight, the dynamic frequency loss of x0.
        """
        sigma, level, drop = _draws(self.flow, generator)
        eps, noise = (torch.randn(batch.truth.shape, generator=generator).to(batch.truth) for _ in range(2))
        x = (1 - sigma) * batch.truth + sigma * eps
        view = noised_view(self.adapter, batch.view, level, generator)
        top, left = batch.position.unbind(1)
        micro = MicroConditions(batch.scale, top, left, torch.full_like(top, level))
        control = self.adapter.control(
            (1 - level) * batch.upsampled + level * noise,
            micro,
            anchor=batch.upsampled,
            view=view,
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
        """Branches as wide as the base start as copies of its first blocks; their outputs start at zero."""
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
        self.adapter.load_state_dict(load_adapter(folder / FILE).state_dict())

    @contextmanager
    def released(self) -> Iterator[Base]:
        """The base as it was, for others to use."""
        self._denoiser.close()
        try:
            yield self._base[0]
        finally:
            self._denoiser = self._attach()

    def _attach(self) -> DiffusersDenoiser:
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


def _precompute(config: TrainConfig, options: Namespace) -> None:
    """See :func:`latents.precompute`.

    Raises:
        PatchVSRError: when the VAE was not named.
    """
    if options.vae is None:
        raise PatchVSRError("Footage is encoded for an adapter with the Wan's VAE; name its file with --vae.")
    codec = load_vae(options.vae, device=options.device)
    numbers = range(options.first, options.first + options.samples)
    precompute(config, options.data, codec, options.out, numbers, options.prompt)


def _make_run(config: TrainConfig, options: Namespace) -> Run:
    """The data is what ``precompute`` wrote.

    Raises:
        PatchVSRError: when the base was not named.
    """
    if options.base is None:
        raise PatchVSRError("An adapter is trained for a base; name the Wan's file or folder with --base.")
    dtype = torch.bfloat16 if config.bfloat16 else torch.float32
    base = load_base(options.base, device=options.device, dtype=dtype)
    latents = Latents(options.data, config.data, config.seed)
    torch.manual_seed(config.seed)
    return Run(AdapterTask(config, base, latents.prompt), latents)


def _make_score(task: AdapterTask, config: TrainConfig, options: Namespace) -> Score | None:
    """Scores the Wan with this adapter; None without ``--vae``."""
    if options.vae is None:
        return None
    codec = load_vae(options.vae, device=options.device)
    longest = max(config.data.frames)
    settings = replace(
        WAN, patch_px=max(config.data.crop_px), window_frames=longest, overlap_frames=(longest - 1) // 8 * 4
    )

    def score(sheet: Path) -> dict[str, float]:
        with task.released() as free:
            prompt = task.adapter.prompt.detach()
            models = Models(free, codec, prompt, task.adapter, None, settings, torch.device(options.device))
            return score_pipeline(models, options.validate, sheet)

    return score


def _export(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
    adapter = Adapter(config.adapter_config)
    state = {name.removeprefix("adapter."): tensor for name, tensor in average.items()}
    adapter.prompt = nn.Parameter(state["prompt"])
    adapter.load_state_dict(state)
    save_adapter(adapter, target, trained_on=None if base is None else sha256(*weight_files(base)))


register(TrainingTask("adapter", _make_run, _export, _precompute, _make_score, weights_file=FILE))
