"""What is guessed before anything was timed, against what was measured and published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from patchvsr_core.run.forecast import Request, forecast
from patchvsr_core.run.forecast_text import video_lines, warning_line
from patchvsr_core.run.guess import THREAD_SPEED, device_speed, evaluation, least_seconds
from patchvsr_core.run.throughput import Throughput, Work
from patchvsr_core.stages.families import FAMILIES

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
FILM = Request(24 * 60 * 90, (1080, 1920), "tiny", scale=2.0, detail=0.0)
"""An hour and a half at the double size."""


def rows(name: str, table: str) -> list[dict]:
    return json.loads((RESULTS / name).read_text())["tables"][table]["rows"]


def test_the_base_of_the_tiny_default_is_guessed_as_it_was_measured() -> None:
    whole = next(row for row in rows("speed.json", "whole") if row["output"] == "1920x1080")
    piece = next(row for row in rows("speed.json", "1920x1080") if row["piece"] == "denoise: base model")
    threads = json.loads((RESULTS / "speed.json").read_text())["threads"]
    tokens = 8 * (256 // 8 // 2) ** 2
    work = Work(whole["patches"], tokens, pixels=0)
    guess = least_seconds(work, FAMILIES["tiny"].bases.values(), threads * THREAD_SPEED)
    assert guess == pytest.approx(piece["seconds"] * whole["frames"], rel=0.5)


def test_the_restorer_is_guessed_as_it_was_measured() -> None:
    (row,) = (row for row in rows("peers.json", "peers") if row["name"] == "balanced (default)")
    assert least_seconds(Work(0, 1, 10**6, base_layer="restorer"), (), THREAD_SPEED) == pytest.approx(
        row["cpu"], rel=0.2
    )


def test_an_evaluation_grows_with_the_square_where_attention_takes_most() -> None:
    base = FAMILIES["wan"].bases["1.3B"]
    assert evaluation(base, 2000) / evaluation(base, 1000) == pytest.approx(2, rel=0.1)
    assert evaluation(base, 2_000_000) / evaluation(base, 1_000_000) == pytest.approx(4, rel=0.1)


def test_the_smallest_base_counts_and_none_where_none_is_known() -> None:
    work, bases = Work(3, 4096, 0), FAMILIES["wan"].bases
    assert least_seconds(work, bases.values(), 1e13) == least_seconds(work, [bases["1.3B"]], 1e13)
    assert least_seconds(work, (), 1e13) is None


def test_every_device_has_a_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert device_speed(torch.device("cpu")) == 8 * THREAD_SPEED
    assert device_speed(torch.device("mps")) > device_speed(torch.device("cpu"))


def test_a_run_of_hours_is_pointed_out_before_anything_was_timed() -> None:
    found = forecast(FILM, speed=2 * THREAD_SPEED)
    assert found.seconds is None and "known after the first run" in video_lines(found)[-1]
    hours = round(found.guess / 3600)
    assert hours > 100
    assert warning_line(found) == f"This may take {hours} h or more: a guess, as no run was timed here yet."
    assert warning_line(found, fast=True) is None, "a real-time network is another matter"


def test_a_short_run_is_not() -> None:
    assert warning_line(forecast(replace(FILM, frames=24), speed=2 * THREAD_SPEED)) is None


def test_what_was_measured_takes_the_place_of_a_guess() -> None:
    found = forecast(FILM, Throughput(stages={"restorer": 1.0}), speed=2 * THREAD_SPEED)
    assert found.guess is None
    assert warning_line(found).startswith("This takes about")


@pytest.mark.parametrize(
    ("name", "line"),
    [("restorer", "restorer alone"), ("dap", "real-time network alone"), ("upscaler", "image upscaler alone")],
)
def test_what_makes_the_whole_picture_is_named_and_timed_by_itself(name: str, line: str) -> None:
    found = forecast(replace(FILM, base_layer=name), Throughput(stages={name: 2.0}))
    assert found.evaluations == 0 and line in video_lines(found)[0]
    assert found.seconds == pytest.approx(2 * found.result_bytes / 12e6)
    assert forecast(replace(FILM, base_layer=name), Throughput(stages={"rdg": 2.0})).seconds is None


def test_a_family_without_a_transformer_is_not_guessed() -> None:
    family = next(name for name, family in FAMILIES.items() if not family.bases)
    assert forecast(replace(FILM, family=family), speed=1e11).guess is None


def test_tokens_are_those_of_the_family() -> None:
    """LTX has a token for every cell, four times as many as others."""
    ltx = forecast(replace(FILM, family="ltx", frames=97, detail=None), speed=1.0)
    assert ltx.evaluations and ltx.guess
    cells = (97 // 8 + 1) * (768 // 32) ** 2
    assert ltx.guess / ltx.evaluations == pytest.approx(evaluation(FAMILIES["ltx"].bases["2B"], cells), rel=0.02)
