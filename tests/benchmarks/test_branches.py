"""The tasks that show what the branches are worth hold what they promise, and the tables what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import branch_tasks
import branches
from branch_tasks import CELL, COLOURS, PARTS, TASKS, Task, draw_task, shuffled, textures, without
from branches import Network, Result, tables
from einops import rearrange

every_task = pytest.mark.parametrize("name", TASKS)


@every_task
def test_the_input_shows_all_but_the_texture(name: str) -> None:
    for texture in textures():
        assert texture.tile(2, 2).mean() == 0
        assert texture.square().mean() == 1
    task = draw_task(name, 64, 3)
    missing = picture(task.truth - task.condition).abs()
    assert missing == pytest.approx(2 * branch_tasks.AMPLITUDE, abs=0.02), "neither legend nor frame in sight"


def test_patches_lie_clear_of_the_legend_and_within_a_quadrant() -> None:
    tops, lefts = (draw_task("legend", 200, 1).position * branch_tasks.CANVAS).T
    for origins in (tops, lefts):
        assert ((origins % branch_tasks.QUADRANT) + branch_tasks.PATCH <= branch_tasks.QUADRANT).all()
    assert not ((tops < 2 * branch_tasks.KEY_PX) & (lefts < 2 * branch_tasks.KEY_PX)).any()


def test_the_legend_has_the_colour_of_the_texture() -> None:
    task = draw_task("legend", 40, 7)
    view, quadrant = picture(task.view), (task.position >= 0.5).long()
    side = branch_tasks.KEY_PX // 4  # the view is a quarter of the canvas
    seen = torch.stack([view[k, side * y + 1, side * x + 1] for k, (y, x) in enumerate(quadrant.tolist())])
    assert torch.equal(nearest_colour(seen), texture_of(task))


def test_the_view_has_the_colour_where_the_mask_is() -> None:
    """Around the cells that it covers, and nowhere else in the same way."""
    task = draw_task("frames", 40, 7)
    covered = task.location[:, 0].flatten(1)
    assert torch.equal(covered.sum(1), torch.full((40,), 4.0))
    view, centre = picture(task.view), torch.tensor([[16, 16], [16, 48], [48, 16], [48, 48]])
    first = covered.argmax(1)
    at = torch.stack([first // 8 * CELL + CELL, first % 8 * CELL + CELL], 1)
    assert all((centre == one).all(1).any() for one in at), "the mask is in the middle of a quadrant"
    seen = torch.stack([view[k, y - 15, x] for k, (y, x) in enumerate(at.tolist())])
    assert torch.equal(nearest_colour(seen), texture_of(task))


@every_task
def test_same_seed_same_task(name: str) -> None:
    one, other = draw_task(name, 3, 5), draw_task(name, 3, 5)
    assert torch.equal(one.truth, other.truth)
    assert not torch.equal(one.truth, draw_task(name, 3, 6).truth)


@every_task
@pytest.mark.parametrize("part", PARTS)
def test_one_part_is_changed_at_a_time(part: str, name: str) -> None:
    task = draw_task(name, 4, 2)
    for changed in (shuffled(task, part), without(task, part)):
        different = [name for name in vars(task) if not torch.equal(getattr(task, name), getattr(changed, name))]
        assert different == [PARTS[part]]


def test_a_shuffled_mask_is_that_of_another_quadrant() -> None:
    task = draw_task("frames", 50, 4)
    moved = shuffled(task, "mask").location
    assert (task.location * moved).sum() == 0
    there = {tuple(mask.flatten().tolist()) for mask in task.location}
    assert {tuple(mask.flatten().tolist()) for mask in moved} == there


@every_task
def test_a_few_steps_teach_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "MEASURED", 2)
    monkeypatch.setattr(branches, "BATCH", 8)
    before, after = (branches.measured(branches.trained(name, 0, steps, ()), name, ()) for steps in (0, 40))
    assert after > before + 1


def test_an_untrained_network_answers_in_shape() -> None:
    task = draw_task("frames", 2, 0)
    assert Network()(task, torch.Generator().manual_seed(0)).shape == task.truth.shape


def test_tables_take_means_over_the_seeds_that_both_trainings_have() -> None:
    results = [
        Result("frames", "mask alone", 0, 10, 40.0, {"mask": 12.0}),
        Result("frames", "mask alone", 1, 10, 42.0, {"mask": 13.0}),
        Result("frames", "mask alone", 2, 10, 90.0, {"mask": 80.0}),
        Result("frames", "no position", 0, 10, 16.0, {}),
        Result("frames", "no position", 1, 10, 17.0, {}),
    ]
    worth, _, frames = tables(results)
    rows = {row[0]: row[1:] for row in worth.rows}
    assert rows["mask"] == ("frames", "2", "41.00", "12.50", "28.50", "16.50", "24.50")
    assert rows["crop"] == ("legend", "0", "-", "-", "-", "-", "-")
    assert frames.rows[0] == ("mask alone", "10", "3", "57.33", "-", "-", "-", "35.00")


def test_known_results_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[object, ...]] = []

    def pretend(*one: object) -> Result:
        done.append(one)
        return Result(*one, 1.0, {})  # type: ignore[arg-type]

    monkeypatch.setattr(branches, "result", pretend)
    file = tmp_path / "branches.json"
    for seeds in (1, 2):
        words = ["branches.py", "--steps", "5", "--seeds", str(seeds), "--tasks", "frames", "--json", str(file)]
        monkeypatch.setattr(sys, "argv", [*words, "--trainings", "all parts,mask alone"])
        branches.main()
    assert [one[1:3] for one in done] == [("all parts", 0), ("mask alone", 0), ("all parts", 1), ("mask alone", 1)]
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
