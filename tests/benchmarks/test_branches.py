"""The task that shows what the branches are worth holds what it promises, and the tables what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import branch_task
import branches
from branch_task import CELL, COLOURS, ORIGINS, PARTS, Task, draw_task, shuffled, textures, without
from branches import TRAININGS, WORTH, Network, Result, tables


def test_the_input_of_a_patch_shows_all_but_the_texture() -> None:
    """Nothing of the frame either: where it shows, the difference would not be that of a texture."""
    for texture in textures():
        assert texture.tile(2, 2).mean() == 0
        assert texture.square().mean() == 1
    task = draw_task(64, 3)
    missing = picture(task.truth - task.condition).abs()
    assert missing.sub(2 * branch_task.AMPLITUDE).abs().max() < 1e-5


def test_all_textures_and_quadrants_are_drawn() -> None:
    task = draw_task(200, 1)
    assert texture_of(task).unique().tolist() == [0, 1, 2, 3]
    assert sorted({(y, x) for y, x in (task.position * branch_task.CANVAS).int().tolist()}) == sorted(ORIGINS)


def test_mask_and_crop_lead_to_the_colour_of_the_texture() -> None:
    task = draw_task(40, 7)
    view, masked = picture(task.view), task.location[:, 0].flatten(1)
    assert torch.equal(masked.sum(1), torch.full((40,), 4.0))
    top_left = torch.stack([masked.argmax(1) // 8, masked.argmax(1) % 8], 1) * CELL
    assert torch.equal(top_left, (task.position * branch_task.PATCH).long()), "both give the same position"
    seen = torch.stack([view[k, y - CELL + 1, x] for k, (y, x) in enumerate(top_left.tolist())])
    assert torch.equal(nearest_colour(seen), texture_of(task))


def test_same_seed_same_task() -> None:
    one, other = draw_task(3, 5), draw_task(3, 5)
    assert torch.equal(one.truth, other.truth)
    assert not torch.equal(one.truth, draw_task(3, 6).truth)


@pytest.mark.parametrize("part", PARTS)
def test_one_part_is_changed_at_a_time(part: str) -> None:
    task = draw_task(4, 2)
    for changed in (shuffled(task, part), without(task, part)):
        different = [name for name in vars(task) if not torch.equal(getattr(task, name), getattr(changed, name))]
        assert different == [PARTS[part]]


def test_a_shuffled_position_is_that_of_another_quadrant() -> None:
    task = draw_task(50, 4)
    mask, crop = shuffled(task, "mask").location, shuffled(task, "crop").position
    assert (task.location * mask).sum() == 0
    for true, moved in ((task.location, mask), (task.position, crop)):
        assert {tuple(one.flatten().tolist()) for one in moved} == {tuple(one.flatten().tolist()) for one in true}
    assert not (task.position == crop).all(1).any()


def test_a_few_steps_teach_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "MEASURED", 2)
    monkeypatch.setattr(branches, "BATCH", 8)
    before, after = (branches.measured(branches.trained(0, steps, ()), ()) for steps in (0, 40))
    assert after > before + 1


def test_an_untrained_network_answers_in_shape() -> None:
    task = draw_task(2, 0)
    assert Network()(task, torch.Generator().manual_seed(0)).shape == task.truth.shape


def test_a_part_is_shuffled_where_it_is_the_only_difference_to_the_training_without_it() -> None:
    for part, (whole, bare) in WORTH.items():
        assert set(TRAININGS[bare]) - set(TRAININGS[whole]) == {part}


def test_tables_take_means_over_the_seeds_that_both_trainings_have() -> None:
    results = [
        Result("mask alone", 0, 10, 40.0, {"mask": 12.0}),
        Result("mask alone", 1, 10, 42.0, {"mask": 13.0}),
        Result("mask alone", 2, 10, 90.0, {"mask": 80.0}),
        Result("no position", 0, 10, 16.0, {}),
        Result("no position", 1, 10, 17.0, {}),
    ]
    worth, every = tables(results)
    rows = {row[0]: row[1:] for row in worth.rows}
    assert rows["mask"] == ("mask alone", "2", "41.00", "12.50", "28.50", "16.50", "24.50")
    assert rows["crop"] == ("crop alone", "0", "-", "-", "-", "-", "-")
    assert every.rows[0] == ("mask alone, seed 0", "10", "40.00", "-", "-", "-", "12.00")
    assert len(every.rows) == len(results)


def test_known_results_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[object, ...]] = []

    def pretend(*one: object) -> Result:
        done.append(one)
        return Result(*one, 1.0, {})  # type: ignore[arg-type]

    monkeypatch.setattr(branches, "result", pretend)
    file = tmp_path / "branches.json"
    for seeds in (1, 2):
        words = ["branches.py", "--steps", "5", "--seeds", str(seeds), "--json", str(file)]
        monkeypatch.setattr(sys, "argv", [*words, "--trainings", "all parts,mask alone"])
        branches.main()
    assert [one[:2] for one in done] == [("all parts", 0), ("mask alone", 0), ("all parts", 1), ("mask alone", 1)]
    assert len(branches.read_results(file)) == 4


def picture(latent: Tensor) -> Tensor:
    """Latents (N, 192, 1, h, w) as (N, H, W, 3) pictures in [-1, 1]."""
    return rearrange(latent, "n (c p q) 1 h w -> n (h p) (w q) c", p=CELL, q=CELL)


def nearest_colour(pixels: Tensor) -> Tensor:
    """(N, 3) pixels in [-1, 1] to the indices (N,) of the colours."""
    return torch.cdist(pixels, torch.tensor(COLOURS) * 2 - 1).argmin(1)


def texture_of(task: Task) -> Tensor:
    """Indices (N,) of the textures of the patches."""
    shown = picture(task.truth - task.condition).mean(-1)[:, :4, :4].flatten(1)
    return (shown @ textures().flatten(1).T).argmax(1)
