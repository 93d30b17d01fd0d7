"""Footage and a configuration small enough to train with in a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import colors, write

from patchvsr_core.finish.refine import RefinerConfig
from patchvsr_core.training.config import DataConfig, TrainConfig, load_config


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "clip.mp4", colors(6, 160, 224))
    generator = np.random.default_rng(0)
    photograph = cv2.resize(generator.integers(0, 255, (40, 60, 3), dtype=np.uint8), (480, 320))
    cv2.imwrite(str(folder / "photo.png"), photograph)
    return folder


@pytest.fixture(scope="module")
def small() -> TrainConfig:
    config = load_config("tiny")
    return replace(
        config,
        base=replace(config.base, width=128, layers=1, ffn=64, text_dim=16),
        adapter={"width": 128, "head_dim": 32, "ffn": 64, "patch_blocks": 1, "global_blocks": 1, "prompt_tokens": 2},
        refiner=RefinerConfig(channels=8, blocks=2),
        data=DataConfig(tokens=16, crop_px=(32,), frames=(1, 2), scales=(2, 4), photographs=0.5),
        steps=8,
        warmup=2,
        bfloat16=False,
    )
