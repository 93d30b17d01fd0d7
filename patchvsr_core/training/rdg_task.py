"""Trains RDG, the network for renders, on kept clips: renders with their G-buffers, and excerpts of footage."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ..errors import MediaError, PatchVSRError
from ..files import write_tensors
from ..plan.target_size import SCALE
from ..realtime.gbuffers import estimate_normals, make_gbuffers
from ..realtime.rdg import RDG, load_rdg, save_rdg
from ..realtime.rdg_blocks import BUFFERS
from ..realtime.upscaler import SHIPPED
from . import losses
from .config import DataConfig, TrainConfig
from .crops import Crops
from .footage import PHOTOGRAPH, read_photograph
from .initial_weights import load_part
from .realtime import realtime_task
from .registry import register
from .renders import light_noise, render_clip

INDEX = "clips.json"
FILE = SHIPPED["rdg"]


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """N crops of clips; tensors are (N, T, ...)."""

    truth: Tensor
    """(N, T, 4 h, 4 w, 3) in [0, 1]."""
    image: Tensor
    """(N, T, 3, h, w) in [0, 1]."""
    motion: Tensor
    depth: Tensor
    normal: Tensor
    brdf: Tensor
    """The buffers as :meth:`RDG.forward` takes them."""


def keep_clips(config: TrainConfig, folder: Path, out: Path, numbers: Sequence[int]) -> None:
    """Write clips to train on; files that are there already stay, and clip k depends on the seed and k alone.

    Args:
        folder: videos and photographs; the latter are also the textures of renders.

    Raises:
        MediaError: when there is nothing to use in the folder.
    """
    data, target = config.data, out / "clips"
    target.mkdir(parents=True, exist_ok=True)
    whole = replace(data, crop_px=(data.kept_px,))
    crops = Crops(folder, out / "footage", whole) if data.renders < 1 else None
    textures = read_photographs(data.select_files(sorted(folder.rglob("*")))) if data.renders else []
    for number in tqdm(numbers, unit="clip", mininterval=10):
        path = target / f"{number:06d}.safetensors"
        if path.is_file():
            continue
        rng = np.random.default_rng((config.seed, number))
        if crops is None or rng.random() < data.renders:
            tensors = _render(rng, textures, data)
        else:
            tensors = _cut_footage(rng, crops, data)
        write_tensors(path, tensors)
    (out / INDEX).write_text(json.dumps({"seed": config.seed}) + "\n")


def read_photographs(paths: Sequence[Path]) -> list[Tensor]:
    """Those of the files that are photographs, (H, W, 3) in [0, 1].

    Raises:
        MediaError: when there are none, or one cannot be read.
    """
    photographs = [read_photograph(path) for path in paths if path.suffix.lower() in PHOTOGRAPH]
    if not photographs:
        raise MediaError("No photograph was found to make textures of; give a folder that has some.")
    return photographs


def _render(rng: np.random.Generator, textures: list[Tensor], data: DataConfig) -> dict[str, Tensor]:
    side = data.kept_px
    clip = render_clip(rng, textures, max(data.frames), (side, side), SCALE, data.grain)
    buffers = make_gbuffers(clip.small, clip.passes())
    return {**_to_bytes(clip.truth, clip.small), **{name: buffers[name][0].half() for name in BUFFERS}}


def _cut_footage(rng: np.random.Generator, crops: Crops, data: DataConfig) -> dict[str, Tensor]:
    crop = crops.draw(rng, max(data.frames), SCALE, data.kept_px)[0]
    return _to_bytes(crop.truth, crop.input_crop())


def _to_bytes(truth: Tensor, small: Tensor) -> dict[str, Tensor]:
    """Both clips as bytes."""
    clips = {"truth": truth, "image": small}
    return {name: (frames.clamp(0, 1) * 255).round().to(torch.uint8) for name, frames in clips.items()}


class ClipBatches(Dataset[ClipBatch]):
    """Crops of kept clips, mirrored; batch number k is a pure function of the seed and k."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        if not (folder / INDEX).is_file():
            raise PatchVSRError(f"{folder} holds no kept clips; run precompute with this --out first.")
        self.files, self.config = sorted((folder / "clips").glob("*.safetensors")), config

    def __getitem__(self, index: int) -> ClipBatch:
        data = self.config.data
        rng = np.random.default_rng((self.config.seed, index))
        frames, side = int(rng.choice(data.frames)), int(rng.choice(data.crop_px)) // SCALE
        crops = [self._crop(rng, frames, side) for _ in range(data.batch)]
        return ClipBatch(*(torch.stack(part) for part in zip(*crops, strict=True)))

    def _crop(self, rng: np.random.Generator, frames: int, side: int) -> tuple[Tensor, ...]:
        """In the order of :class:`ClipBatch`, without the first axis."""
        tensors = load_file(str(self.files[rng.integers(len(self.files))]))
        is_render = "Motion" in tensors
        first = int(rng.integers(0, len(tensors["image"]) - frames + 1))
        top, left = (int(rng.integers(0, length - side + 1)) for length in tensors["image"].shape[1:3])

        def cut(values: Tensor, scale: int = 1) -> Tensor:
            rows, columns = (slice(scale * at, scale * (at + side)) for at in (top, left))
            return values[first : first + frames, ..., rows, columns].float()

        truth, small = (tensors[name].movedim(-1, 1) for name in ("truth", "image"))
        truth, image = cut(truth, SCALE) / 255, cut(small) / 255
        if is_render and rng.random() >= self.config.data.noise_free:
            level = rng.uniform(0, self.config.data.light_noise)
            image = light_noise(image.movedim(1, -1), level, rng).movedim(-1, 1)
        known = {name: cut(tensors[name]) for name in self._draw_passes(rng)} if is_render else {}
        motion, depth, normal, brdf = _complete(image, known)
        mirrored, upside_down = rng.random(2) < 0.5
        axes = [axis for axis, wanted in ((-1, mirrored), (-2, upside_down)) if wanted]
        truth, image, motion, depth, normal, brdf = (x.flip(axes) for x in (truth, image, motion, depth, normal, brdf))
        motion = motion * torch.tensor([-1.0 if mirrored else 1.0, -1.0 if upside_down else 1.0])[:, None, None]
        return truth.movedim(1, -1).contiguous(), image, motion, depth, normal, brdf

    def _draw_passes(self, rng: np.random.Generator) -> list[str]:
        """Names of the passes that a render is seen with: all, some, or none."""
        drawn = rng.random()
        if drawn < self.config.guided:
            return list(BUFFERS)
        if drawn < self.config.guided + self.config.partly_guided:
            return [name for name in BUFFERS if rng.random() < 0.5]
        return []


def _complete(image: Tensor, known: dict[str, Tensor]) -> list[Tensor]:
    """All buffers of (T, 3, h, w) frames, the unknown ones estimated as :func:`make_gbuffers` does in a run."""
    if len(known) == len(BUFFERS):
        return [known[name] for name in BUFFERS]
    guessed = {name: values[0] for name, values in make_gbuffers(image.movedim(1, -1)).items()}
    if "Depth" in known:
        guessed["Normal"] = (estimate_normals(known["Depth"]) + 1) / 2
    return [known.get(name, guessed[name]) for name in BUFFERS]


class RDGTask(nn.Module):
    """The network and its loss."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        if not config.rdg_channels:
            raise PatchVSRError("RDG is trained with a width; give rdg_channels in the configuration.")
        self.config = config
        self.network = RDG(config.rdg_channels, scaled_motion=True, residual=True)

    def forward(self, batch: ClipBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        objective = self.config.objective
        buffers = (batch.image, batch.motion, batch.depth, batch.normal, batch.brdf)
        made = self.network(dict(zip(("Image", *BUFFERS), buffers, strict=True))).movedim(2, -1).float()
        upsampled = F.interpolate(batch.image.flatten(0, 1), scale_factor=SCALE, mode="bicubic").movedim(1, -1)
        terms = {
            "bicubic": losses.charbonnier(upsampled, batch.truth.flatten(0, 1)),
            "result": losses.charbonnier(made, batch.truth, objective.charbonnier_eps),
        }
        loss = terms["result"] + objective.spectrum_weight * losses.spectrum(made, batch.truth)
        return loss + objective.change_weight * losses.change(made, batch.truth), terms

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All learn alike."""
        return [{"params": list(self.network.parameters()), "peak": self.config.learning_rate, "from": 0}]

    @torch.no_grad()
    def initialise(self, batches: Any) -> None:
        """A new network adds little to bicubic."""
        self.network.get_parameter("UpSample.0.weight").mul_(0.1)

    def load_weights(self, folder: Path) -> None:
        """Start from an exported network.

        Raises:
            ModelError: when there is none, or it has other sizes than the configuration.
        """
        load_part(self, "network", load_rdg(folder / FILE), folder)


def _precompute(config: TrainConfig, options: Namespace) -> None:
    keep_clips(config, options.data, options.out, range(options.first, options.first + options.samples))


register(realtime_task("rdg", RDGTask, ClipBatches, _precompute, save_rdg))
