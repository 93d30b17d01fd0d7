"""The training loop of the tiny default: base, adapter and refiner together."""

from __future__ import annotations

import math
import signal
import threading
import time
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from einops import rearrange
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..adapter import Adapter, MicroConditions
from ..errors import PatchVSRError
from ..hosts.diffusers import Base, DiffusersDenoiser
from ..hosts.wan import HEAD_DIM
from ..refine import Refiner
from . import losses
from .clips import Batch, Batches
from .config import TrainConfig
from .whitening import principal_components, whiten_


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
        _start_as_identity(self.base)
        self.adapter = Adapter(config.adapter_config)
        self.refiner = Refiner(config.refiner)
        self._denoiser = DiffusersDenoiser(Base(self.base, "residual"), [self.adapter.prompt], self.adapter)

    def denoise(self, batch: Batch, x: Tensor, sigma: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """The base's frames, one step from state ``x``; shaped as ``batch.truth``."""
        top, left = batch.position.unbind(1)
        micro = MicroConditions(torch.full_like(top, batch.scale), top, left, noise.expand_as(top))
        control = self.adapter.control(
            condition, micro, anchor=batch.latent_enlarged(), view=batch.view, location=batch.location
        )
        return _frames(self._denoiser(x, sigma, control)[0])

    def refine(self, batch: Batch, decoded: Tensor, detail: float = 0.0) -> Tensor:
        """The refined frames, clip by clip."""
        clips = zip(*(frames.movedim(-1, 2) for frames in (decoded, batch.enlarged, batch.neighbours)), strict=True)
        return torch.stack([self.refiner(*clip, batch.scale, detail) for clip in clips]).movedim(2, -1)


class Trainer:
    """Runs, saves and resumes; the state on disk is enough to continue exactly.

    Args:
        init: the state of another run, whose averaged weights this one starts from.
    """

    def __init__(
        self, config: TrainConfig, data: Path, out: Path, device: str = "cpu", init: Path | None = None
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.out, self.device = config, out, torch.device(device)
        self.model = TinyDefault(config).to(self.device)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        model, refiner_peak = self.model, config.refiner_learning_rate
        # The residual is small, and the head turns a step of its weights into a hundred times as much output.
        head = list(model.base.proj_out.parameters())
        rest = [p for p in [*model.base.parameters(), *model.adapter.parameters()] if all(p is not h for h in head)]
        groups = [
            {"params": head, "peak": config.learning_rate * config.head_rate, "from": 0},
            {"params": rest, "peak": config.learning_rate, "from": 0},
            {"params": list(model.refiner.parameters()), "peak": refiner_peak, "from": self.joint},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.01)
        self.batches = Batches(data, out / "cache", config.data, config.seed, config.steps)
        self.step = 0
        out.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.is_file():
            self._resume()
        elif init is not None:
            self._start_from(init)
        else:
            self._whiten()

    @property
    def joint(self) -> int:
        """The step at which the refiner joins."""
        return round(self.config.refiner_from * self.config.steps)

    @property
    def checkpoint(self) -> Path:
        return self.out / "state.pt"

    def run(self, minutes: float = math.inf) -> None:
        """Train until the last step, for so many minutes, or until SIGTERM; then save."""
        end = time.monotonic() + minutes * 60
        stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
        indices = range(self.step, self.config.steps)
        loader = DataLoader(self.batches, batch_size=None, sampler=indices, num_workers=1, prefetch_factor=2)
        smooth: dict[str, float] = {}
        with tqdm(loader, initial=self.step, total=self.config.steps, unit="step", mininterval=10) as bar:
            for batch in bar:
                terms = self._train_step(batch)
                self.step += 1
                for name, value in terms.items():
                    smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
                bar.set_postfix({name: f"{value:.5f}" for name, value in smooth.items()}, refresh=False)
                if stopping.is_set() or time.monotonic() > end:
                    break
                if self.step % self.config.save_every == 0:
                    self.save()
        self.save()

    def _train_step(self, batch: Batch) -> dict[str, float]:
        self._set_learning_rates()
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        batch = batch.to(self.device)
        objective, truth = self.config.objective, batch.truth
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            decoded = self.model.denoise(batch, *self._noised(batch, generator))
            detail = self._detail(generator)
            # The base does not know how much detail is asked for, and is not to guess it.
            start = decoded.detach() if detail else decoded
            refined = self.model.refine(batch, start, detail) if self.step >= self.joint else decoded
        terms = {"bicubic": losses.charbonnier(batch.enlarged, truth), "base": losses.charbonnier(decoded, truth)}
        terms["result"] = losses.charbonnier(refined, truth)
        total = terms["result"] + objective.base_weight * terms["base"]
        total = total + objective.spectrum_weight * losses.spectrum(refined, truth)
        total = total + objective.motion_weight * losses.motion(refined, truth)
        if detail:
            total = total + objective.detail_weight * detail * losses.detail(refined, truth)
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)
        return {name: value.item() for name, value in terms.items()}

    def _noised(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(state, sigma, noise-augmented condition, its level) of a point on the bridge."""
        objective = self.config.objective
        draw = torch.rand(5, generator=generator).tolist()
        sigma = torch.tensor(1.0 if draw[0] < objective.full_bridge else max(draw[1], 0.02))
        start_noise = objective.start_noise * draw[2] ** 3
        level = torch.tensor(objective.condition_noise * max(0.0, 2 * draw[3] - 1), device=self.device)
        truth, enlarged = batch.latent_truth(), batch.latent_enlarged()
        noise = [torch.randn(truth.shape, generator=generator).to(self.device) for _ in range(2)]
        x = (1 - sigma) * truth + sigma * (enlarged + start_noise * noise[0])
        return x, sigma.to(self.device), (1 - level) * enlarged + level * noise[1], level

    def _detail(self, generator: torch.Generator) -> float:
        draw = torch.rand(2, generator=generator).tolist()
        return draw[1] if draw[0] < self.config.objective.detailed and self.step >= self.joint else 0.0

    def _set_learning_rates(self) -> None:
        """Each part warms up when it joins; one cosine over the whole run."""
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.step / self.config.steps))
        for group in self.optimizer.param_groups:
            warm = min(1.0, (self.step + 1 - group["from"]) / self.config.warmup)
            group["lr"] = group["peak"] * max(warm, 0.0) * cosine

    def _whiten(self) -> None:
        """Start both embeddings of the patch at whitened components of real tokens."""
        components = principal_components(self.batches, self.config.base.width)
        noise = self.config.objective.start_noise / 2
        whiten_(self.model.base.patch_embedding, components, noise)
        if self.model.adapter.patch is not None and self.config.adapter_config.width == self.config.base.width:
            whiten_(self.model.adapter.patch.patch_embedding, components, noise)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}

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

    def _start_from(self, init: Path) -> None:
        if not init.is_file():
            raise PatchVSRError(f"There is no training state at {init}; give the state.pt of an earlier run.")
        self.average = torch.load(init, map_location=self.device, weights_only=True)["average"]
        self.model.load_state_dict(self.average)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]


@torch.no_grad()
def _start_as_identity(transformer: WanTransformer3DModel) -> None:
    """Zero output, closed gates: blocks join in as they learn, and nothing blows up before."""
    for layer in (transformer.proj_out, transformer.condition_embedder.time_proj):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for block in transformer.blocks:
        block.scale_shift_table[:, [2, 5]] = 0  # the gates of self-attention and feed-forward
        block.attn2.to_out[0].weight.mul_(0.1)


def _frames(latent: Tensor) -> Tensor:
    return (rearrange(latent, "n (c p q) t h w -> n t (h p) (w q) c", p=8, q=8) + 1) / 2
