"""The restorer's training: packed footage, Muon, what is learned, and the way through the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clips import colors, write
from torch import Tensor, nn

from patchvsr_core.errors import MediaError, ModelError, PatchVSRError
from patchvsr_core.plan.target_size import SCALE
from patchvsr_core.restorer import RestorerConfig, load_restorer
from patchvsr_core.training import packed
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import DataConfig, Objective, TrainConfig, load_config
from patchvsr_core.training.export import Blend, export_run
from patchvsr_core.training.muon import LIKE_ADAM, Muon, orthogonalise
from patchvsr_core.training.packed import MOST_PX, PackedFootage, pack_footage
from patchvsr_core.training.registry import find_task
from patchvsr_core.training.restorer_task import (
    BACKWARD_WEIGHT,
    COMPRESSED_FILE,
    CRISP_FILE,
    FILE,
    MovingBatches,
    RestorerTask,
)
from patchvsr_core.training.trainer import Trainer
from patchvsr_core.training.validation import psnr

SMALL = RestorerConfig(channels=16, stem_blocks=1, backward_blocks=1, forward_blocks=1)


def _drawing(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Fields of fine stripes in all directions: bicubic upsampling makes them faint, and they can be restored."""
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), 128.0)
    for _ in range(60):
        top, left, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, np.pi)
        field = np.hypot(y - top, x - left) < rng.uniform(20, 60)
        phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / rng.uniform(9, 12)
        stripes = rng.uniform(60, 190, 3) + rng.uniform(20, 60) * np.sin(phase)[..., None]
        picture = np.where(field[..., None], stripes, picture)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    rng = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        cv2.imwrite(str(folder / f"{name}.png"), _drawing(rng, 360, 480))
    write(folder / "clip.mp4", colors(12, 288, 320))
    return folder


@pytest.fixture(scope="module")
def packed_footage(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    pack_footage(footage, out, DataConfig())
    return out


def _config(**changes: object) -> TrainConfig:
    config = load_config("restorer")
    data = replace(config.data, crop_px=(64,), frames=(1, 3), batch=1, photographs=0.8)
    return replace(config, restorer=SMALL, data=data, warmup=5, ema=0.9, **changes)


def _shift(first: np.ndarray, second: np.ndarray) -> tuple[int, int] | None:
    """The motion by whole pixels that gives the middle of one frame in the other, if there is one."""
    side, half = len(first), 12
    middle = slice(side // 2 - half, side // 2 + half)
    found = cv2.matchTemplate(second, np.ascontiguousarray(first[middle, middle]), cv2.TM_SQDIFF)
    _, _, (x, y), _ = cv2.minMaxLoc(found)
    same = np.array_equal(second[y : y + 2 * half, x : x + 2 * half], first[middle, middle])
    return (x - middle.start, y - middle.start) if same else None


def test_what_is_drawn_depends_on_the_generator_alone(packed_footage: Path) -> None:
    data = DataConfig(photographs=0.5, occluders=0.5)
    one, other = PackedFootage(packed_footage, data), PackedFootage(packed_footage, data)
    for seed in range(8):
        first = one.draw(np.random.default_rng(seed), 4, 96)
        assert first.shape == (4, 96, 96, 3) and first.dtype == np.uint8
        assert np.array_equal(first, other.draw(np.random.default_rng(seed), 4, 96))
    assert not np.array_equal(first, other.draw(np.random.default_rng(99), 4, 96))


def test_both_photographs_and_excerpts_of_videos_are_drawn(packed_footage: Path) -> None:
    footage = PackedFootage(packed_footage, DataConfig())
    assert {entry.source for entry in footage.photographs} == {"one.png", "two.png", "three.png"}
    assert [(entry.source, entry.frames) for entry in footage.excerpts] == [("clip.mp4", packed.SEGMENT_FRAMES)]
    for photographs, entries in ((1.0, footage.photographs), (0.0, footage.excerpts)):
        footage = PackedFootage(packed_footage, DataConfig(photographs=photographs))
        seen: list[str] = []
        view = footage._view
        footage._view = lambda entry, seen=seen, view=view: (seen.append(entry.source), view(entry))[1]  # type: ignore[method-assign]
        for seed in range(12):
            footage.draw(np.random.default_rng(seed), 3, 64)
        assert set(seen) == {entry.source for entry in entries}


def test_photographs_move_by_whole_pixels(packed_footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame is as sharp as the photograph: none is interpolated."""
    footage = PackedFootage(packed_footage, DataConfig(photographs=1.0))
    monkeypatch.setattr(packed, "TURNING", 0.0)
    clips = [footage.draw(np.random.default_rng(seed), 3, 128) for seed in range(12)]
    shifts = [_shift(clip[k], clip[k + 1]) for clip in clips for k in range(2)]
    assert None not in shifts
    assert len(set(shifts)) > 6, "they move, each in its own way"
    monkeypatch.setattr(packed, "TURNING", 1.0)
    turned = [footage.draw(np.random.default_rng(seed), 3, 128) for seed in range(12)]
    assert [_shift(clip[0], clip[1]) for clip in turned].count(None) > 6, "those that turn are interpolated"


def test_large_pictures_are_packed_smaller(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((300, 2 * MOST_PX, 3), np.uint8))
    pack_footage(tmp_path, tmp_path / "out", DataConfig())
    (entry,) = PackedFootage(tmp_path / "out", DataConfig()).photographs
    assert (entry.height, entry.width) == (150, MOST_PX)


def test_pictures_rich_in_detail_are_drawn_more_often(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "rich.png"), _drawing(np.random.default_rng(0), 200, 200))
    cv2.imwrite(str(tmp_path / "poor.png"), np.full((200, 200, 3), 90, np.uint8))
    pack_footage(tmp_path, tmp_path / "out", DataConfig())
    footage = PackedFootage(tmp_path / "out", DataConfig())
    shares = dict(zip([entry.source for entry in footage.photographs], footage.photograph_shares, strict=True))
    assert shares["rich.png"] > 0.9 and sum(shares.values()) == pytest.approx(1)
    (tmp_path / "rich.png").unlink()
    pack_footage(tmp_path, tmp_path / "plain", DataConfig())
    assert PackedFootage(tmp_path / "plain", DataConfig()).draw(np.random.default_rng(0), 2, 64).mean() == 90


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="give a folder that has some"):
        pack_footage(tmp_path, tmp_path / "out", DataConfig())
    with pytest.raises(MediaError, match="run precompute"):
        PackedFootage(tmp_path, DataConfig())


def test_batches_are_functions_of_their_number(packed_footage: Path) -> None:
    config = _config()
    batches, again = MovingBatches(packed_footage, config), MovingBatches(packed_footage, config)
    lengths = set()
    for number in range(6):
        batch, same = batches[number], again[number]
        assert all(torch.equal(value, vars(same)[name]) for name, value in vars(batch).items())
        count, frames = batch.clip.shape[:2]
        lengths.add((count, frames))
        assert batch.clip.shape == (count, frames, 3, 16, 16) and batch.truth.shape == (count, frames, 3, 64, 64)
        assert batch.to_next.shape == batch.to_previous.shape == (count, frames - 1, 2, 16, 16)
        assert not batch.degradation.any()
    assert lengths == {(3, 1), (1, 3)}, "as many frames, whatever their length"
    other = MovingBatches(packed_footage, replace(config, seed=config.seed + 1))[0]
    assert other.truth.shape != batches[0].truth.shape or not torch.equal(other.truth, batches[0].truth)


def test_input_and_truth_show_the_same_place(packed_footage: Path) -> None:
    batches = MovingBatches(packed_footage, _config())
    for number in range(4):
        batch = batches[number]
        mean, clip = F.avg_pool2d(batch.truth.flatten(0, 1), SCALE), batch.clip.flatten(0, 1)
        assert (mean - clip).abs().mean() < 0.3 * (mean - clip.flip(-1)).abs().mean()


def test_degraded_inputs_come_with_their_level(packed_footage: Path) -> None:
    config = _config()
    degraded = MovingBatches(packed_footage, replace(config, data=replace(config.data, degraded=1.0)))
    levels = torch.cat([degraded[number].degradation for number in range(6)])
    assert levels.max() > 0.1 and len(levels.unique()) > 3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_the_degraded_clips_is_compressed_and_nothing_else(packed_footage: Path, share: float) -> None:
    config = _config()
    batches = MovingBatches(packed_footage, replace(config, data=replace(config.data, degraded=1.0, compressed=share)))
    drawn = [batches[number] for number in range(12)]
    compressed = torch.cat([batch.compressed for batch in drawn])
    assert compressed.all() if share else compressed.mean() < 0.9
    assert all(batch.degradation[batch.compressed > 0].all() for batch in drawn), "each has its level"
    assert not any(MovingBatches(packed_footage, config)[number].compressed.any() for number in range(4))


def _mean_psnr(task: RestorerTask, batches: MovingBatches, numbers: range) -> tuple[float, float]:
    """(of the network, of bicubic)."""
    ours, bicubic = [], []
    with torch.no_grad():
        for number in numbers:
            batch = batches[number]
            made = task.restorer(batch.clip, batch.to_next, batch.to_previous).frames
            plain = F.interpolate(batch.clip.flatten(0, 1), scale_factor=SCALE, mode="bicubic").view_as(made)
            ours.append(psnr(made, batch.truth))
            bicubic.append(psnr(plain, batch.truth))
    return float(np.mean(ours)), float(np.mean(bicubic))


def test_a_short_training_beats_bicubic_by_a_decibel(packed_footage: Path, tmp_path: Path) -> None:
    """On crops that it has not seen, of the same pictures; always the same steps from the same seed."""
    config = _config(steps=80, learning_rate=5e-3)
    torch.manual_seed(config.seed)
    trainer = Trainer(RestorerTask(config), MovingBatches(packed_footage, config), config, tmp_path)
    trainer.run()
    trainer.task.load_state_dict(trainer.average)
    ours, bicubic = _mean_psnr(trainer.task, MovingBatches(packed_footage, config), range(10_000, 10_012))
    assert ours > bicubic + 1


def test_a_run_in_two_parts_is_the_run_in_one(packed_footage: Path, tmp_path: Path) -> None:
    """To the last bit, with Muon's momentum."""

    def trainer(name: str) -> Trainer:
        config = _config(steps=5)
        torch.manual_seed(config.seed)
        return Trainer(RestorerTask(config), MovingBatches(packed_footage, config), config, tmp_path / name)

    whole = trainer("whole")
    assert isinstance(whole.optimizer.optimizer, Muon)
    whole.run()
    first = trainer("parts")
    first.run(minutes=0)
    assert first.step == 1
    second = trainer("parts")
    assert second.step == 1
    second.run()
    one, other = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "parts"))
    assert one["step"] == other["step"] == 5
    for part in ("model", "average"):
        assert all(torch.equal(value, other[part][name]) for name, value in one[part].items())
    states = one["optimizer"]["state"], other["optimizer"]["state"]
    assert any("momentum" in state for state in states[0].values())
    for key, state in states[0].items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(states[1][key][name])), (key, name)


def test_the_state_keeps_its_names() -> None:
    """Runs that are under way go on with later versions."""
    names = set(RestorerTask(_config()).state_dict())
    layers = ("stem", "backward_entry", "backward_state", "forward_entry", "forward_state")
    blocks = ("stem_blocks.0", "backward_blocks.0", "forward_blocks.0")
    convs = [*layers, *(f"{block}.{conv}" for block in blocks for conv in ("conv1", "conv2"))]
    assert names == {f"restorer.{conv}.{part}" for conv in convs for part in ("weight", "bias")}


def test_command_line(footage: Path, tmp_path: Path) -> None:
    """Packed, trained, validated, exported, and started from what was exported."""
    config = tmp_path / "small.toml"
    config.write_text(
        'extends = "restorer"\nsteps = 2\nvalidate_every = 2\n'
        "[restorer]\nchannels = 8\nstem_blocks = 1\nbackward_blocks = 1\nforward_blocks = 1\n"
        "[data]\ncrop_px = [64]\nframes = [2]\n"
    )
    common, out = ["--config", str(config)], tmp_path / "out"
    assert main(["precompute", *common, "--data", str(footage), "--out", str(tmp_path / "packed")]) == 0
    clips = tmp_path / "clips"
    clips.mkdir()
    write(clips / "clip.mp4", colors(3, 96, 128))
    write(clips / "small.mp4", colors(3, 30, 26))
    train = ["train", *common, "--data", str(tmp_path / "packed")]
    assert main([*train, "--out", str(out), "--validate", str(clips)]) == 0
    looked = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert looked["model"] == pytest.approx(looked["bicubic"], abs=1.0), "a new network is near bicubic"
    assert looked["model"] != looked["bicubic"]
    assert (out / "validation" / "0000002.png").is_file()
    assert load_restorer(out / "weights" / FILE).config.channels == 8
    manifest = json.loads((out / "weights" / "manifest.json").read_text())
    assert manifest["config of restorer.safetensors"]["task"] == "restorer"
    assert main([*train, "--out", str(tmp_path / "more"), "--init", str(out / "weights")]) == 0
    with pytest.raises(ModelError, match="other sizes"):
        RestorerTask(_config()).load_weights(out / "weights")
    deeper = RestorerTask(replace(_config(), restorer=replace(SMALL, channels=8, forward_blocks=3)))
    deeper.load_weights(out / "weights")
    assert not deeper.restorer.forward_blocks[2].conv2.weight.any(), "blocks that are new add nothing yet"


def test_a_blend_lies_between_two_runs(tmp_path: Path) -> None:
    config = _config()
    states = []
    for k in range(2):
        torch.manual_seed(k)
        states.append({name: value.clone() for name, value in RestorerTask(config).state_dict().items()})
        (tmp_path / str(k)).mkdir()
        torch.save({"average": states[k]}, tmp_path / str(k) / "state.pt")
    export_run(config, tmp_path / "1", tmp_path / "out", blend=Blend(tmp_path / "0", 0.25))
    made = load_restorer(tmp_path / "out" / FILE).state_dict()
    for name, value in made.items():
        expected = 0.75 * states[0][f"restorer.{name}"] + 0.25 * states[1][f"restorer.{name}"]
        torch.testing.assert_close(value, expected, atol=2e-3, rtol=2e-3)
    larger = replace(config, restorer=replace(SMALL, channels=SMALL.channels + 8))
    (tmp_path / "2").mkdir()
    torch.save({"average": RestorerTask(larger).state_dict()}, tmp_path / "2" / "state.pt")
    with pytest.raises(PatchVSRError, match="other sizes"):
        export_run(config, tmp_path / "1", tmp_path / "out", blend=Blend(tmp_path / "2"))
    with pytest.raises(PatchVSRError, match="--share"):
        Blend(tmp_path / "0", 1.5)


def test_what_two_runs_differ_in_is_added_to_a_third_with_more_blocks(tmp_path: Path) -> None:
    config = _config()
    deeper = replace(config, restorer=replace(SMALL, forward_blocks=2))
    states = []
    for k, each in enumerate((config, config, deeper)):
        torch.manual_seed(k)
        states.append({name: value.clone() for name, value in RestorerTask(each).state_dict().items()})
        (tmp_path / str(k)).mkdir()
        torch.save({"average": states[k]}, tmp_path / str(k) / "state.pt")
    export_run(deeper, tmp_path / "1", tmp_path / "out", blend=Blend(tmp_path / "0", 0.25, tmp_path / "2"))
    for name, value in load_restorer(tmp_path / "out" / FILE).state_dict().items():
        key = f"restorer.{name}"
        change = states[1][key] - states[0][key] if key in states[0] else 0.0
        torch.testing.assert_close(value, states[2][key] + 0.25 * change, atol=2e-3, rtol=2e-3)
    with pytest.raises(PatchVSRError, match="other sizes"):
        export_run(config, tmp_path / "1", tmp_path / "out", blend=Blend(tmp_path / "2", 0.25, tmp_path / "0"))


@pytest.mark.parametrize(
    ("looks", "file"),
    [
        ({}, FILE),
        ({"perceptual_weight": 0.3}, CRISP_FILE),
        ({"adversarial_weight": 0.1}, CRISP_FILE),
        ({"compressed_perceptual_weight": 0.1}, COMPRESSED_FILE),
        ({"compressed_perceptual_weight": 0.1, "perceptual_weight": 0.3}, CRISP_FILE),
    ],
)
def test_what_learned_how_pictures_look_is_the_crisp_end(tmp_path: Path, looks: dict[str, float], file: str) -> None:
    config = _config(objective=Objective(**looks))
    average = RestorerTask(config).state_dict()
    find_task("restorer").export(config, average, tmp_path, None)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [file]


def test_one_frame_of_each_clip_is_looked_at(packed_footage: Path) -> None:
    config = _config(objective=Objective(perceptual_weight=0.5))
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def distance(pictures: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        seen.append((pictures, truth))
        return pictures.flatten(1).mean(1)

    batch = next(b for b in map(MovingBatches(packed_footage, config).__getitem__, range(20)) if b.clip.shape[1] == 3)
    torch.manual_seed(0)
    task = RestorerTask(config, distance)
    loss, terms = task(batch, torch.Generator().manual_seed(1), 0)
    pictures, truth = seen[0]
    drawn = [(clip == truth[k]).flatten(1).all(1).nonzero().item() for k, clip in enumerate(batch.truth)]
    made = task.restorer(batch.clip, batch.to_next, batch.to_previous, batch.degradation).frames.clamp(0, 1)
    for k, t in enumerate(drawn):
        torch.testing.assert_close(pictures[k], made[k, t])
    torch.testing.assert_close(loss, terms["result"] + BACKWARD_WEIGHT * terms["backward"] + 0.5 * terms["look"])
    task.zero_grad()
    terms["look"].backward()
    assert task.restorer.forward_state.weight.grad.abs().max() > 0
    assert not [name for name in task.state_dict() if not name.startswith("restorer.")], "LPIPS is not learned"


def test_training_with_lpips_asks_for_its_weights(
    packed_footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "look.toml"
    config.write_text('extends = "restorer"\nsteps = 1\n[objective]\nperceptual_weight = 0.1\n')
    train = ["train", "--config", str(config), "--data", str(packed_footage), "--out", str(tmp_path / "out")]
    assert main(train) == 2
    assert "--perceptual FILE" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(64, 576), (576, 64), (16, 40), (48, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for scale in (1e-4, 1.0, 1e3):
        matrix = scale * torch.randn(shape)
        values = torch.linalg.svdvals(orthogonalise(matrix))
        assert values.min() > 0.6 and values.max() < 1.3
    one = torch.linalg.svd(matrix, full_matrices=False)
    nearest = one.U @ one.Vh
    cosine = F.cosine_similarity(orthogonalise(matrix).flatten(), nearest.flatten(), dim=0)
    assert cosine > 0.95, "it turns nothing"
    assert not orthogonalise(torch.zeros(shape)).any()


def test_muon_steps_are_as_large_as_adams() -> None:
    """Kernels: the root mean square that AdamW's steps have; vectors: AdamW itself."""
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 24, 3)
    before = layer.weight.detach().clone()
    muon = Muon(layer.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)
    bias = nn.Parameter(layer.bias.detach().clone())
    adam = torch.optim.AdamW([bias], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)
    for _ in range(3):
        gradients = torch.randn_like(layer.weight), torch.randn(24)
        layer.weight.grad, layer.bias.grad, bias.grad = gradients[0], gradients[1], gradients[1].clone()
        muon.step()
        adam.step()
    torch.testing.assert_close(layer.bias, bias)
    step = (layer.weight - before).detach()
    assert 0.5 < _rms(step) / (3 * LIKE_ADAM * 1e-3) < 1.5


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def test_channels_change_places_in_the_share_that_was_asked_for(packed_footage: Path) -> None:
    config = _config()
    config = replace(config, data=replace(config.data, frames=(3,)))  # one clip a batch
    plain, recoloured = (
        MovingBatches(packed_footage, replace(config, data=replace(config.data, recoloured=share)))
        for share in (0.0, 1.0)
    )
    pairs = [(plain[number].truth, recoloured[number].truth) for number in range(6)]
    for one, other in pairs:
        torch.testing.assert_close(one.sum(2), other.sum(2), atol=1e-5, rtol=0)  # the same values, elsewhere
    assert not all(torch.equal(one, other) for one, other in pairs)


def test_a_discriminator_joins_and_leaves(packed_footage: Path, tmp_path: Path) -> None:
    """A run with one starts from a run without, is blended with it, and resumes with what its discriminator learned."""
    plain = _config(steps=1)
    judged = replace(plain, steps=2, objective=replace(plain.objective, adversarial_weight=0.1))

    def trainer(config: TrainConfig, name: str, init: Path | None = None) -> Trainer:
        torch.manual_seed(config.seed)
        batches = MovingBatches(packed_footage, config)
        return Trainer(RestorerTask(config), batches, config, tmp_path / name, init=init)

    trainer(plain, "plain").run()
    started = trainer(judged, "judged", tmp_path / "plain" / "state.pt")
    before = {name: value.clone() for name, value in started.task.state_dict().items()}
    start = torch.load(tmp_path / "plain" / "state.pt", weights_only=True)["average"]
    assert all(torch.equal(before[name], value) for name, value in start.items())
    started.run(minutes=0)
    after = started.task.state_dict()
    weights = dict(started.task.named_parameters())  # buffers change without any learning
    learned = {name for name in weights if not torch.equal(after[name], before[name])}
    assert {name.split(".")[0] for name in learned} == {"restorer", "discriminator"}
    resumed = trainer(judged, "judged").task.state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in after.items())
    export_run(judged, tmp_path / "judged", tmp_path / "out", blend=Blend(tmp_path / "plain", 0.0))
    blended = load_restorer(tmp_path / "out" / CRISP_FILE).state_dict()
    for name, value in blended.items():
        torch.testing.assert_close(value, start[f"restorer.{name}"].half().float())
    export_run(judged, tmp_path / "judged", tmp_path / "out")


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_how_compressed_clips_look_counts_more_or_alone(packed_footage: Path, weight: float) -> None:
    config = _config(objective=Objective(perceptual_weight=weight, compressed_perceptual_weight=1.0))
    batch = next(b for b in map(MovingBatches(packed_footage, config).__getitem__, range(20)) if len(b.clip) == 3)
    batch = replace(batch, compressed=torch.tensor([0.0, 1.0, 0.0]))
    given = {3: torch.tensor([0.2, 0.4, 0.6]), 1: torch.tensor([0.4])}
    torch.manual_seed(0)
    task = RestorerTask(config, lambda pictures, truth: given[len(pictures)])
    loss, terms = task(batch, torch.Generator(), 0)
    look = loss - terms["result"] - BACKWARD_WEIGHT * terms["backward"]
    torch.testing.assert_close(look, torch.tensor((weight * 1.2 + 0.4) / 3))
    torch.testing.assert_close(terms["look"], torch.tensor(0.4))
    _, judged = task(replace(batch, compressed=torch.zeros(3)), torch.Generator(), 0)
    assert ("look" in judged) == (weight > 0), "what does not count is not computed"
