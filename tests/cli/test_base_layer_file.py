"""``--base-layer FILE``: an image upscaler instead of the shipped base layers."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from patchvsr_core.cli import diffusion_engine as engine
from patchvsr_core.cli import parts
from patchvsr_core.cli.parser import make_parser
from patchvsr_core.settings import BASE_LAYERS
from patchvsr_core.video.timeline import Timeline


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that spandrel, replaced by a stand-in, reads as an upscaler."""

    class Doubling(torch.nn.Module):
        scale, input_channels, output_channels = 2, 3, 3

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.interpolate(x, scale_factor=2)

    module = ModuleType("spandrel")
    module.ModelLoader = lambda device: type("Loader", (), {"load_from_file": lambda self, path: Doubling()})()
    monkeypatch.setitem(sys.modules, "spandrel", module)
    path = tmp_path / "2x.pth"
    path.write_bytes(b"weights")
    return path


def options_of(*flags: str) -> dict:
    return vars(make_parser().parse_args(["upscale", "in.mp4", "out.mp4", *flags]))


def test_a_file_makes_the_base_layer(weights: Path) -> None:
    made = engine.diffusion_engine(None, (64, 64), options_of("--base-layer", str(weights), "--device", "cpu"))
    assert made.settings.base_layer == "upscaler" and made.models.upscaler.scale == 2
    plain = engine.diffusion_engine(None, (64, 64), options_of("--base-layer", "dap", "--device", "cpu"))
    assert plain.settings.base_layer == "dap" and plain.models.upscaler is None
    assert made.identity != plain.identity, "a run is not resumed with another upscaler"


def test_parts_are_joined_by_the_options_that_made_them(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their record has the settings of the run, in which a file is the base layer of the name upscaler."""
    options = options_of("--base-layer", str(weights), "--detail", "0.2", "--device", "cpu", "--join")
    made = asdict(engine.diffusion_engine(None, (64, 64), options).settings)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(parts, "read_unfinished", lambda output: {"settings": made})
    monkeypatch.setattr(parts, "unfinished_chunks", lambda output: (8, 2))
    monkeypatch.setattr(parts, "probe_job", lambda *_: (None, (64, 64), Timeline((0,), Fraction(1), ())))
    monkeypatch.setattr(parts, "join_parts", lambda job, timeline, record, settings: seen.update(settings))
    parts.join(Namespace(**options), Path("out.mp4"))
    assert seen == {"base_layer": "upscaler", "detail": 0.2} and made.items() >= seen.items()


def test_what_is_neither_a_name_nor_a_file_is_named(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        options_of("--base-layer", "esrgan")
    message = capsys.readouterr().err
    assert "esrgan" in message and "FILE" in message and all(name in message for name in BASE_LAYERS)
