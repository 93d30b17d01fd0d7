"""The training of RDG on kept clips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clips import colors, write
from safetensors.torch import load_file
from training_runs import check_learning_and_resuming

from patchvsr_core.errors import MediaError, PatchVSRError
from patchvsr_core.realtime.rdg import load_rdg
from patchvsr_core.realtime.upscaler import SHIPPED
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import TrainConfig, load_config
from patchvsr_core.training.rdg_task import ClipBatches, RDGTask, keep_clips


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in ("one", "two", "secret"):
        coarse = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(coarse, (200, 200), interpolation=cv2.INTER_CUBIC))
    return folder


def _config(renders: float) -> TrainConfig:
    config = load_config("rdg_small")
    data = replace(config.data, kept_px=96, crop_px=(64,), frames=(2, 3), batch=2, renders=renders)
    return replace(config, data=data, rdg_channels=8, steps=4, save_every=2, bfloat16=False)


@pytest.fixture(scope="module")
def kept(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kept")
    keep_clips(_config(0.5), photographs, out, range(4))
    return out


def test_kept_clips_are_renders_and_footage(kept: Path) -> None:
    clips = [load_file(path) for path in sorted((kept / "clips").iterdir())]
    rendered = [clip for clip in clips if "Motion" in clip]
    assert 0 < len(rendered) < len(clips)
    for clip in clips:
        assert clip["truth"].shape == (3, 96, 96, 3) and clip["image"].shape == (3, 24, 24, 3)
    for clip in rendered:
        assert clip["Motion"].shape == (3, 2, 24, 24) and clip["BRDF"].shape == (3, 3, 24, 24)
        assert float(clip["Depth"].max()) == 1


def test_a_clip_depends_on_the_seed_and_its_number(photographs: Path, kept: Path, tmp_path: Path) -> None:
    keep_clips(_config(0.5), photographs, tmp_path, [3])
    again, first = (load_file(folder / "clips" / "000003.safetensors") for folder in (tmp_path, kept))
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_what_is_left_out_is_not_read(photographs: Path) -> None:
    data = replace(_config(1.0).data, leave_out=("secret*", "tw?.png"))
    assert [path.name for path in data.select_files(sorted(photographs.iterdir()))] == ["one.png"]


def test_no_photographs_no_renders(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="photograph"):
        keep_clips(_config(1.0), tmp_path, tmp_path / "out", [0])


def test_batches_are_functions_of_their_number(kept: Path) -> None:
    batches = ClipBatches(kept, _config(0.5))
    one, again, other = batches[5], batches[5], batches[6]
    assert torch.equal(one.truth, again.truth) and torch.equal(one.motion, again.motion)
    assert one.truth.shape != other.truth.shape or not torch.equal(one.truth, other.truth)


def test_crops_fit_their_inputs(kept: Path) -> None:
    """Truth and input are the same places of the same frames, also when mirrored."""
    batches = ClipBatches(kept, _config(0.5))
    for number in range(6):
        batch = batches[number]
        mean = torch.nn.functional.avg_pool2d(batch.truth.flatten(0, 1).movedim(-1, 1), 4)
        image = batch.image.flatten(0, 1)
        right, wrong = (mean - image).abs().mean(), (mean - image.flip(-1)).abs().mean()
        assert right < 0.35 * wrong


def test_guided_share(kept: Path) -> None:
    """All of the renders, or none, are seen with their passes."""
    config = _config(0.5)
    depths = {
        share: [float(ClipBatches(kept, replace(config, guided=share))[k].depth.max()) for k in range(8)]
        for share in (0.0, 1.0)
    }
    assert max(depths[0.0]) == 0 and max(depths[1.0]) == 1


def test_some_renders_lack_some_of_their_passes(kept: Path) -> None:
    """What is missing is estimated: depth becomes flat, motion is measured."""
    config = replace(_config(0.5), guided=0.0, partly_guided=1.0)
    renders = sorted(path for path in (kept / "clips").iterdir() if "Motion" in load_file(path))
    batches = ClipBatches(kept, replace(config, data=replace(config.data, batch=1)))
    batches.files = renders
    depths = [float(batches[k].depth.max()) for k in range(24)]
    assert 6 <= sum(depth == 0 for depth in depths) <= 18
    patterns = {tuple(batches._draw_passes(np.random.default_rng(k))) for k in range(99)}
    assert len(patterns) == 16, "every subset comes"


def test_some_renders_have_no_noise(kept: Path) -> None:
    """Without it all values are whole steps of 1/255, as they were kept."""
    config = _config(0.5)
    is_clean = []
    for share in (0.0, 1.0):
        batches = ClipBatches(kept, replace(config, data=replace(config.data, noise_free=share, light_noise=0.3)))
        batches.files = [path for path in batches.files if "Motion" in load_file(path)]
        steps = batches[3].image * 255
        is_clean.append(bool((steps - steps.round()).abs().max() < 1e-3))
    assert is_clean == [False, True]


def test_training_lowers_the_loss_and_resumes(kept: Path, tmp_path: Path) -> None:
    config = replace(_config(0.5), steps=30, warmup=1, learning_rate=3e-3)
    check_learning_and_resuming(RDGTask, ClipBatches(kept, config), config, tmp_path / "run")


def test_command_line(photographs: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(
        'extends = "rdg_small"\nsteps = 2\nvalidate_every = 2\nbfloat16 = false\nrdg_channels = 8\n'
        "[data]\nkept_px = 64\ncrop_px = [64]\nframes = [2]\nbatch = 1\nrenders = 1.0\n"
    )
    kept, out = tmp_path / "kept", tmp_path / "out"
    common = ["--config", str(config)]
    assert main(["precompute", *common, "--data", str(photographs), "--samples", "2", "--out", str(kept)]) == 0
    clips = tmp_path / "clips"
    clips.mkdir()
    write(clips / "clip.mp4", colors(3, 96, 128))
    train = ["train", *common, "--data", str(kept), "--out", str(out), "--validate", str(clips)]
    assert main(train) == 0
    looked = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert 0 < looked["model"] < looked["bicubic"] + 10
    assert (out / "validation" / "0000002.png").is_file()
    network = load_rdg(out / "weights" / SHIPPED["rdg"])
    assert network.scaled_motion and network.residual and network.channels == 8 and not network.training
    again = ["train", *common, "--data", str(kept), "--out", str(tmp_path / "more"), "--init", str(out / "weights")]
    assert main(again) == 0


def test_missing_clips_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(PatchVSRError, match="precompute"):
        ClipBatches(tmp_path, _config(0.0))


def test_a_width_is_needed() -> None:
    with pytest.raises(PatchVSRError, match="rdg_channels"):
        RDGTask(replace(_config(0.5), rdg_channels=0))


def test_a_new_network_starts_near_bicubic(kept: Path) -> None:
    config = replace(load_config("rdg_small"), data=_config(0.5).data)
    batches = ClipBatches(kept, config)
    torch.manual_seed(0)
    task = RDGTask(config)
    task.initialise(batches)
    with torch.no_grad():
        terms = [task(batches[k], torch.Generator(), 0)[1] for k in range(4)]
    ratio = sum(float(term["result"] / term["bicubic"]) for term in terms) / len(terms)
    assert 0.9 < ratio < 1.5
