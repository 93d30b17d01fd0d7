"""Puts a trainer together from a configuration and the options of the command line."""

from __future__ import annotations

from argparse import Namespace

from .config import TrainConfig
from .registry import find_task
from .trainer import Trainer


def make_trainer(config: TrainConfig, options: Namespace) -> Trainer:
    """The trainer of a configuration's task, with its data and its validation.

    Args:
        options: ``data``, ``out``, ``device``, ``init``, ``validate``, and what the task needs of ``base``, ``vae`` and
            ``weights``.

    Raises:
        PatchVSRError: when something that the task needs was not given.
    """
    kind = find_task(config.task)
    run = kind.make_run(config, options)
    score = None
    if options.validate is not None and kind.make_score is not None:
        score = kind.make_score(run.task, config, options)

    def validate(step: int) -> dict[str, float]:
        assert score is not None
        return score(options.out / "validation" / f"{step:07d}.png")

    look = None if score is None else validate
    return Trainer(run.task, run.batches, config, options.out, device=options.device, init=options.init, validate=look)
