"""Networks in bfloat16: as good as in single precision, and the same bytes every time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from clips import colors, write
from command import CHUNK
from torch import Tensor

from patchvsr_core import devices
from patchvsr_core.__main__ import main
from patchvsr_core.devices import network_dtype, precision_name
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.resample import resize
from patchvsr_core.settings import with_quality
from patchvsr_core.video import read_frames
from patchvsr_core.video.journal import read_unfinished

SAMPLE = Path(__file__).parents[1] / "examples" / "sample_original.mp4"
LOSS_DB = 0.02


@pytest.fixture(scope="module")
def clip() -> Tensor:
    """(3, 96, 128, 3): the middle of a real clip, as it should come out."""
    return read_frames(SAMPLE, 3)[:, 100:196, 200:328, :3]


def psnr(made: Tensor, original: Tensor) -> float:
    return -10 * math.log10(float((made - original).square().mean()))


@pytest.mark.parametrize("name", ["dap", "rdg"])
def test_real_time_networks_lose_no_quality(clip: Tensor, name: str) -> None:
    small = resize(clip, (24, 32)).clamp(0, 1)
    single, half = (load_fast(name, dtype=dtype).upscale(small) for dtype in (torch.float32, torch.bfloat16))
    assert 0 < (single - half).abs().max() < 0.1
    assert psnr(half, clip) > psnr(single, clip) - LOSS_DB


@pytest.mark.parametrize("quality", ["balanced", "best"])
def test_the_tiny_default_loses_no_quality(clip: Tensor, quality: str) -> None:
    small, made = resize(clip, (24, 32)).clamp(0, 1), {}
    for precision in ("float32", "bfloat16"):
        models = load_models("tiny", device="cpu", precision=precision)
        settings = with_quality(models.defaults, quality)
        made[precision] = upscale(small, (96, 128), models, settings)
        assert made[precision].dtype == torch.float32
        assert models.estimator is not None and next(models.estimator.parameters()).dtype == torch.float32
    single, half = made.values()
    assert 0 < (single - half).abs().max() < 0.1
    assert psnr(half, clip) > psnr(single, clip) - LOSS_DB


def test_devices_choose_what_they_compute_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, mps = torch.device("cpu"), torch.device("mps")
    for can, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(devices, "computes_in_bfloat16", lambda device, can=can: can)
        assert network_dtype(cpu) == network_dtype(cpu, gpu=torch.float16) == expected
        assert network_dtype(cpu, "float32") == torch.float32 and network_dtype(cpu, "bfloat16") == torch.bfloat16
    assert network_dtype(mps, gpu=torch.float16) == torch.float16 and network_dtype(mps) == torch.float32
    assert {precision_name(network_dtype(cpu, name)) for name in devices.PRECISIONS[1:]} == {*devices.PRECISIONS[1:]}


def test_an_old_torch_without_these_questions_takes_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    devices.computes_in_bfloat16.cache_clear()
    assert not devices.computes_in_bfloat16(torch.device("cpu"))
    devices.computes_in_bfloat16.cache_clear()


def test_a_run_is_the_same_every_time_and_is_not_resumed_in_another_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.mp4", colors(2 * CHUNK, 16, 24))

    def run(name: str, *more: str) -> int:
        options = ["--fast", "dap", "--scale", "2", "--chunk-frames", str(CHUNK), "--device", "cpu", *more]
        return main(["upscale", str(source), str(tmp_path / name), *options])

    for precision in ("float32", "bfloat16"):
        assert run(f"{precision}1.mp4", "--precision", precision) == 0
        assert run(f"{precision}2.mp4", "--precision", precision) == 0
    first, again, half, half_again = (
        (tmp_path / f"{precision}{number}.mp4").read_bytes() for precision in ("float32", "bfloat16") for number in "12"
    )
    assert first == again != half == half_again
    assert run("out.mp4", "--precision", "bfloat16", "--part", "1/2") == 0
    record = read_unfinished(tmp_path / "out.mp4")
    assert record is not None and record["precision"] == "bfloat16"
    capsys.readouterr()
    assert run("out.mp4", "--precision", "float32") == 2
    assert "but the precision of the networks changed since" in capsys.readouterr().err
