"""The task that shows what the branches are worth: it holds what it promises."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import branches
from branches import PARTS, Network, draw_task, shuffled, textures, without


def test_the_input_does_not_show_the_textures() -> None:
    for texture in textures():
        assert texture.tile(2, 2).mean() == 0
        assert texture.square().mean() == 1
    task = draw_task(8, 3)
    missing = (task.truth - task.condition).square().mean().sqrt()
    assert missing == pytest.approx(2 * branches.AMPLITUDE, rel=0.05), "the condition has all but the texture"


def test_patches_lie_clear_of_the_legend_and_within_a_quadrant() -> None:
    tops, lefts = (draw_task(200, 1).position * branches.CANVAS).T
    for origins in (tops, lefts):
        assert ((origins % branches.HALF) + branches.PATCH <= branches.HALF).all()
    assert not ((tops < 2 * branches.LEGEND_PX) & (lefts < 2 * branches.LEGEND_PX)).any()


def test_same_seed_same_task() -> None:
    one, other = draw_task(3, 5), draw_task(3, 5)
    assert torch.equal(one.truth, other.truth)
    assert not torch.equal(one.truth, draw_task(3, 6).truth)


@pytest.mark.parametrize("part", PARTS)
def test_one_part_is_changed_at_a_time(part: str) -> None:
    task = draw_task(4, 2)
    for changed in (shuffled(task, part), without(task, part)):
        different = [name for name in vars(task) if not torch.equal(getattr(task, name), getattr(changed, name))]
        assert len(different) == 1
        assert different != ["truth"]


def test_a_few_steps_teach_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "MEASURED", 2)
    before, after = (branches.measured(branches.trained(0, steps, (), bfloat16=False), ()) for steps in (0, 40))
    assert after > before + 1


def test_an_untrained_network_answers_in_shape() -> None:
    task = draw_task(2, 0)
    assert Network()(task, torch.Generator().manual_seed(0)).shape == task.truth.shape
