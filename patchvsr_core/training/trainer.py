"""The training loop of the tiny default: base, adapter and refiner together."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from einops import rearrange
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..adapter import Adapter, MicroConditions
from ..hosts.diffusers import Base, DiffusersDenoiser
from ..hosts.wan import HEAD_DIM
from ..refine import Refiner
from .clips import Batch, Batches
from .config import TrainConfig
from .losses import charbonnier, motion, spectrum


class TinyDefault(nn.Module):
    """The three trained parts, run as the product runs them."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.base = WanTransformer3DModel(
            num_attention_heads=config.base.width // HEAD_DIM,
            attention_head_dim=HEAD_DIM,
            in_channels=config.base.channels,
            out_channels=config.base.channels,
            text_dim=config.base.text_dim,
            ffn_dim=config.base.ffn,
            num_layers=config.base.layers,
        )
        nn.init.zeros_(self.base.proj_out.weight)
        nn.init.zeros_(self.base.proj_out.bias)
        self.adapter = Adapter(config.adapter_config)
        self.refiner = Refiner(config.refiner)
        self._denoiser = DiffusersDenoiser(Base(self.base, "residual"), [self.adapter.prompt], self.adapter)

    def forward(
        self, batch: Batch, x: Tensor, sigma: Tensor, condition: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step from state ``x``: (the base's frames, the refined frames), as ``batch.truth``."""
        top, left = batch.position.unbind(1)
        micro = MicroConditions(torch.full_like(top, batch.scale), top, left, noise.expand_as(top))
        control = self.adapter.control(
            condition, micro, anchor=_latent(batch.enlarged), view=batch.view, location=batch.location
        )
        decoded = _frames(self._denoiser(x, sigma, control)[0])
        refined = torch.stack(
            [
                self.refiner(d.movedim(-1, 1), e.movedim(-1, 1), batch.scale).movedim(1, -1)
                for d, e in zip(decoded, batch.enlarged, strict=True)
            ]
        )
        return decoded, refined


class Trainer:
    """Runs, saves and resumes; the state on disk is enough to continue exactly."""

    def __init__(self, config: TrainConfig, data: Path, out: Path, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.config, self.out, self.device = config, out, torch.device(device)
        self.model = TinyDefault(config).to(self.device)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.batches = Batches(data, out / "cache", config.data, config.seed, config.steps)
        self.step = 0
        out.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.is_file():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.out / "state.pt"

    def run(self, minutes: float = math.inf) -> None:
        """Train until the last step, or for so many minutes."""
        end = time.monotonic() + minutes * 60
        indices = range(self.step, self.config.steps)
        loader = DataLoader(self.batches, batch_size=None, sampler=indices, num_workers=1, prefetch_factor=2)
        smooth: dict[str, float] = {}
        with tqdm(loader, initial=self.step, total=self.config.steps, unit="step", mininterval=10) as bar:
            for batch in bar:
                losses = self._train_step(batch)
                self.step += 1
                for name, value in losses.items():
                    smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
                bar.set_postfix({name: f"{value:.5f}" for name, value in smooth.items()}, refresh=False)
                finished = time.monotonic() > end
                if finished or self.step % self.config.save_every == 0:
                    self.save()
                if finished:
                    break
        self.save()

    def _train_step(self, batch: Batch) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            decoded, refined = self.model(batch, *self._noised(batch, generator))
        objective, truth = self.config.objective, batch.truth
        losses = {"refined": charbonnier(refined, truth), "base": charbonnier(decoded, truth)}
        total = losses["refined"] + objective.base_weight * losses["base"]
        total = total + objective.spectrum_weight * spectrum(refined, truth)
        total = total + objective.motion_weight * motion(refined, truth)
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
        return {name: value.item() for name, value in losses.items()}

    def _noised(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(state, sigma, noise-augmented condition, its level) of a point on the bridge."""
        objective = self.config.objective
        draw = torch.rand(5, generator=generator).tolist()
        sigma = torch.tensor(1.0 if draw[0] < objective.full_bridge else max(draw[1], 0.02))
        start_noise = objective.start_noise * draw[2]
        level = torch.tensor(objective.condition_noise * max(0.0, 2 * draw[3] - 1), device=self.device)
        truth, enlarged = _latent(batch.truth), _latent(batch.enlarged)
        noise = [torch.randn(truth.shape, generator=generator).to(self.device) for _ in range(2)]
        x = (1 - sigma) * truth + sigma * (enlarged + start_noise * noise[0])
        return x, sigma.to(self.device), (1 - level) * enlarged + level * noise[1], level

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.config.warmup)
        progress = self.step / self.config.steps
        return self.config.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

    def save(self) -> None:
        """Write the full state, atomically."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]


def _latent(frames: Tensor) -> Tensor:
    """(N, T, H, W, 3) frames to (N, 192, t, h, w), as SpaceToDepth does for one clip."""
    return rearrange(frames * 2 - 1, "n t (h p) (w q) c -> n (c p q) t h w", p=8, q=8)


def _frames(latent: Tensor) -> Tensor:
    return (rearrange(latent, "n (c p q) t h w -> n t (h p) (w q) c", p=8, q=8) + 1) / 2
