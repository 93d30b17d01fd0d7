"""What is trained for the tiny default: base, adapter and refiner together, in pixels."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..adapter import Adapter, MicroConditions, load_adapter, save_adapter
from ..degradation import shipped_estimator
from ..finish.refine import load_refiner, new_refiner, save_refiner
from ..hosts.diffusers.denoiser import Base, DiffusersDenoiser, new_transformer
from ..hosts.diffusers.loading import load_base
from ..hosts.diffusers.models import Models
from ..optical_flow.align import align_window, estimate_neighbour_flows
from ..settings import TINY
from ..vae.codec import SpaceToDepth
from ..vae.encode import encode_global
from . import losses
from .conditions import noised_view
from .config import DataConfig, TrainConfig
from .crops import Crop, Crops, draw_sizes
from .export import update_manifest
from .frequency import weighted_frequency
from .initial_weights import load_part
from .pca_init import principal_components, whiten_
from .pipeline_validation import score_pipeline
from .refiner_loss import CropBatch, draw_detail, refiner_loss
from .registry import Run, Score, TrainingTask, register
from .wan_names import original_name


@dataclass(frozen=True, eq=False)
class Batch(CropBatch):
    """N crops with what the model is given about them; latents are (N, C, t, h, w)."""

    view: Tensor
    """Latent of the whole upsampled video at crop size."""
    location: Tensor
    """(N, 1, h, w)."""
    position: Tensor
    """(N, 2) of top and left as fractions of the video."""

    def latent_truth(self) -> Tensor:
        """(N, 192, t, h, w) latents of the truth."""
        return _latent(self.truth)

    def latent_upsampled(self) -> Tensor:
        """(N, 192, t, h, w) latents of the upsampled input."""
        return _latent(self.upsampled)


class Batches(Dataset[Batch]):
    """Batch number k is a pure function of the seed and k, so a run can resume anywhere."""

    def __init__(self, folder: Path, cache: Path, config: DataConfig, seed: int) -> None:
        self.crops, self.config, self.seed = Crops(folder, cache, config), config, seed

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng((self.seed, index))
        frames, scale, side = draw_sizes(self.config, rng)
        count = max(1, self.config.tokens // (frames * (side // 16) ** 2))
        crops = [_tensors(self.crops.draw(rng, frames, scale, side)[0]) for _ in range(count)]
        return Batch(scale, *(torch.stack(part) for part in zip(*crops, strict=True)))


def _tensors(crop: Crop) -> tuple[Tensor, ...]:
    """In the order of :class:`Batch`."""
    neighbours = align_window(crop.small, estimate_neighbour_flows(crop.small), crop.canvas, *crop.window)
    cells = crop.side // 8
    view = encode_global(SpaceToDepth(), crop.small, crop.canvas, (cells, cells))[0]
    common = crop.truth, crop.upsampled(), neighbours, crop.input_crop(), torch.tensor(crop.degradation)
    return *common, view, crop.location(cells), crop.position


class TinyDefault(nn.Module):
    """The three trained parts, run as the product runs them."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.base = new_transformer(config.base)
        _start_as_identity(self.base)
        self.adapter = Adapter(config.adapter_config)
        self.refiner = new_refiner(config.refiner)
        self._denoiser = DiffusersDenoiser(Base(self.base, "residual"), [self.adapter.prompt], self.adapter)

    def forward(self, batch: Batch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch; every draw comes from ``generator``."""
        objective, truth = self.config.objective, batch.truth
        x, sigma, condition, level = self._draw_point(batch, generator)
        view = noised_view(self.adapter, batch.view, level, generator)
        decoded = self._denoise(replace(batch, view=view), x, sigma, condition, level)
        terms = {"bicubic": losses.charbonnier(batch.upsampled, truth), "base": losses.charbonnier(decoded, truth)}
        planes = decoded.movedim(-1, -3), truth.movedim(-1, -3)
        frequency = weighted_frequency(*planes, sigma, objective.frequency_weight)
        if step < self.config.joint:
            shape = losses.shape(decoded, truth, objective.spectrum_weight, objective.motion_weight)
            return (1 + objective.base_weight) * terms["base"] + shape + frequency, terms
        detail = draw_detail(objective, generator)
        # The base does not know how much detail is asked for, and is not to guess it.
        given = decoded.detach() if detail else decoded
        loss, refined = refiner_loss(self.refiner, objective, batch, given, detail, generator)
        return loss + objective.base_weight * terms["base"] + frequency, {**terms, **refined}

    @torch.no_grad()
    def decode(self, batch: Batch) -> Tensor:
        """The base's frames as the product makes them, shaped as ``batch.truth``."""
        upsampled = batch.latent_upsampled()
        noise = torch.randn(upsampled.shape, generator=torch.Generator().manual_seed(0)).to(upsampled)
        x = upsampled + self.config.start_noise * noise
        return self._denoise(batch, x, torch.ones(()).to(x), upsampled, torch.zeros(()).to(x))

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameters with the peak of their learning rate and the step from which they learn."""
        config = self.config
        for part in config.frozen:
            self.get_submodule(part).requires_grad_(False)
        # The residual is small, and the head turns a step of its weights into a hundred times as much output.
        head = list(self.base.proj_out.parameters())
        rest = [p for p in [*self.base.parameters(), *self.adapter.parameters()] if all(p is not h for h in head)]
        groups: list[dict[str, Any]] = [
            {"params": head, "peak": config.learning_rate * config.head_rate, "from": 0},
            {"params": rest, "peak": config.learning_rate, "from": 0},
            {"params": list(self.refiner.parameters()), "peak": config.refiner_learning_rate, "from": config.joint},
        ]
        learning = [{**group, "params": [p for p in group["params"] if p.requires_grad]} for group in groups]
        return [group for group in learning if group["params"]]

    def load_weights(self, folder: Path) -> None:
        """Start from exported files.

        Raises:
            PatchVSRError: when one is missing or has other sizes than the configuration.
        """
        parts = {
            "base": load_base(folder / "tiny_base.safetensors").transformer,
            "adapter": load_adapter(folder / "tiny_adapter.safetensors"),
            "refiner": load_refiner(folder / "tiny_refiner.safetensors"),
        }
        for name, part in parts.items():
            load_part(self, name, part, folder)

    def initialise(self, batches: Batches) -> None:
        """Patch embeddings start at the principal components of the data."""
        objective, width = self.config.objective, self.config.base.width
        components = principal_components((batches[k].latent_upsampled() for k in range(24)), width)
        noise = objective.start_noise / 2
        whiten_(self.base.patch_embedding, components, noise)
        if self.adapter.patch is not None and self.config.adapter_config.width == width:
            whiten_(self.adapter.patch.patch_embedding, components, noise)

    def _denoise(self, batch: Batch, x: Tensor, sigma: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """The base's frames, one step from state ``x``; shaped as ``batch.truth``."""
        top, left = batch.position.unbind(1)
        micro = MicroConditions(torch.full_like(top, batch.scale), top, left, noise.expand_as(top))
        control = self.adapter.control(
            condition, micro, anchor=batch.latent_upsampled(), view=batch.view, location=batch.location
        )
        return _frames(self._denoiser(x, sigma, control)[0].float())

    def _draw_point(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(state, sigma, noise-augmented condition, its level) of a point on the bridge."""
        objective, device = self.config.objective, batch.truth.device
        draw = torch.rand(5, generator=generator).tolist()
        sigma = torch.tensor(1.0 if draw[0] < objective.full_bridge else max(draw[1], 0.02), device=device)
        start_noise = objective.start_noise * draw[2] ** 3
        level = torch.tensor(objective.condition_noise * max(0.0, 2 * draw[3] - 1), device=device)
        truth, upsampled = batch.latent_truth(), batch.latent_upsampled()
        noise = [torch.randn(truth.shape, generator=generator).to(device) for _ in range(2)]
        x = (1 - sigma) * truth + sigma * (upsampled + start_noise * noise[0])
        return x, sigma, (1 - level) * upsampled + level * noise[1], level


@torch.no_grad()
def _start_as_identity(transformer: WanTransformer3DModel) -> None:
    """Zero output, closed gates: blocks join in as they learn, and nothing blows up before."""
    for layer in (transformer.proj_out, transformer.condition_embedder.time_proj):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for block in transformer.blocks:
        block.scale_shift_table[:, [2, 5]] = 0  # the gates of self-attention and feed-forward
        block.attn2.to_out[0].weight.mul_(0.1)


def _latent(frames: Tensor) -> Tensor:
    """(N, T, H, W, 3) frames to latents, as SpaceToDepth does for one clip."""
    return rearrange(frames * 2 - 1, "n t (h p) (w q) c -> n (c p q) t h w", p=8, q=8)


def _frames(latent: Tensor) -> Tensor:
    return (rearrange(latent, "n (c p q) t h w -> n t (h p) (w q) c", p=8, q=8) + 1) / 2


def pipeline_models(task: TinyDefault) -> Models:
    """The parts as the product's pipeline takes them; weights are shared, not copied."""
    base = Base(task.base, "residual", task.config.start_noise)
    device = task.base.proj_out.weight.device
    prompt, estimator = task.adapter.prompt.detach(), shipped_estimator()
    return Models(base, SpaceToDepth(), prompt, task.adapter, task.refiner, TINY, device, estimator=estimator)


def _make_run(config: TrainConfig, options: Namespace) -> Run:
    torch.manual_seed(config.seed)
    task = TinyDefault(config)
    return Run(task, Batches(options.data, options.out / "decoded", config.data, config.seed))


def _make_score(task: TinyDefault, config: TrainConfig, options: Namespace) -> Score:
    return lambda sheet: score_pipeline(pipeline_models(task), options.validate, sheet)


def _export(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
    """Base (in bfloat16, under the names of Wan's original checkpoints), adapter and refiner."""
    task = TinyDefault(config)
    task.load_state_dict(average)
    metadata = {
        "format": "patchvsr-base",
        "prediction": "residual",
        "codec": "space_to_depth_8",
        "start_noise": str(config.start_noise),
    }
    tensors = {original_name(name): value for name, value in task.base.state_dict().items()}
    halves = {name: value.detach().to(torch.bfloat16).contiguous() for name, value in tensors.items()}
    save_file(halves, str(target / "tiny_base.safetensors"), metadata=metadata)
    save_adapter(task.adapter, target / "tiny_adapter.safetensors")
    save_refiner(task.refiner, target / "tiny_refiner.safetensors")
    update_manifest(target, config)


register(TrainingTask("tiny", _make_run, _export, make_score=_make_score))
