"""Precomputed latents: after this, training needs neither the VAE nor the footage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from ..errors import PatchVSRError
from ..hosts.diffusers.loading import load_prompt
from ..vae.codec import Codec
from ..vae.encode import encode_global
from .config import DataConfig, TrainConfig
from .crops import Crop, Crops, draw_sizes

INDEX = "latents.json"
STORED = {"upsampled": "enlarged"}
"""Names of tensors in the files where they are not those of the fields."""


@dataclass(frozen=True, eq=False)
class LatentBatch:
    """N precomputed crops of one size and length; latents are (N, C, t, h, w)."""

    truth: Tensor
    upsampled: Tensor
    view: Tensor
    """Latent of the whole upsampled video at crop size."""
    location: Tensor
    """(N, 1, h, w)."""
    position: Tensor
    """(N, 2) of top and left as fractions of the video."""
    scale: Tensor
    """(N,)."""


def precompute(
    config: TrainConfig, data: Path, codec: Codec, out: Path, numbers: Sequence[int], prompt: Path | None
) -> None:
    """Encode crops of a folder of footage; files that are there already are kept.

    Args:
        numbers: which clips to draw; every one gives ``data.variants`` samples.
        prompt: safetensors file with one tensor, (1, tokens, text_dim) or (tokens, text_dim): the
            embedding of the fixed prompt.
    """
    crops = Crops(data, out / "decoded", config.data)
    folder = out / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    for index in tqdm(numbers, unit="clip"):
        rng = np.random.default_rng((config.seed, index))
        frames, scale, side = draw_sizes(config.data, rng)
        name = f"{index:07d}-{frames}f-{side}px"
        if all((folder / f"{name}-{k}.safetensors").is_file() for k in range(config.data.variants)):
            continue
        for k, crop in enumerate(crops.draw(rng, frames, scale, side, config.data.variants)):
            partial = folder / f"{name}-{k}.part"
            save_file(_encode(codec, crop, scale), str(partial))
            partial.replace(folder / f"{name}-{k}.safetensors")
    if prompt is not None:
        save_file({"prompt": load_prompt(prompt, config.base.text_dim)}, str(out / "prompt.safetensors"))
    (out / INDEX).write_text(json.dumps({"channels": codec.channels, "seed": config.seed}) + "\n")


def _encode(codec: Codec, crop: Crop, scale: int) -> dict[str, Tensor]:
    canvas = replace(crop.canvas, stride_px=codec.stride_px, stride_frames=codec.stride_frames)
    cells = crop.side // codec.stride_px
    latents = {
        "truth": codec.encode(crop.truth)[0],
        STORED["upsampled"]: codec.encode(crop.upsampled())[0],
        "view": encode_global(codec, crop.small, canvas, (cells, cells))[0],
    }
    return {
        **{name: latent.to(torch.bfloat16).contiguous() for name, latent in latents.items()},
        "location": crop.location(cells).contiguous(),
        "position": crop.position.float(),
        "scale": torch.tensor(float(scale)),
    }


class Latents(Dataset[LatentBatch]):
    """Batches of precomputed samples; batch number k is a pure function of the seed and k."""

    def __init__(self, folder: Path, config: DataConfig, seed: int) -> None:
        if not (folder / INDEX).is_file():
            raise PatchVSRError(f"{folder} holds no precomputed latents; run precompute with this --out first.")
        files = sorted((folder / "samples").glob("*.safetensors"))
        self.buckets: dict[str, list[Path]] = {}
        for file in files:
            self.buckets.setdefault(file.stem.split("-", 1)[1].rsplit("-", 1)[0], []).append(file)
        self.config, self.seed = config, seed
        prompt = folder / "prompt.safetensors"
        self.prompt = load_file(str(prompt))["prompt"] if prompt.is_file() else None

    def __getitem__(self, index: int) -> LatentBatch:
        rng = np.random.default_rng((self.seed, index))
        sizes = np.array([len(files) for files in self.buckets.values()], dtype=np.float64)
        bucket = list(self.buckets.values())[rng.choice(len(sizes), p=sizes / sizes.sum())]
        chosen = [load_file(str(bucket[k])) for k in rng.integers(len(bucket), size=self.config.batch)]
        names = {name: STORED.get(name, name) for name in LatentBatch.__dataclass_fields__}
        return LatentBatch(**{n: torch.stack([sample[key].float() for sample in chosen]) for n, key in names.items()})
