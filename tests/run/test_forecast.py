"""What is told before a run, against what the run then is."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchvsr_core.errors import PlanError
from patchvsr_core.finish.refine import load_refiner
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.plan.planner import LAYOUTS, count_windows, plan_patches, temporal_windows
from patchvsr_core.plan.positions import list_positions
from patchvsr_core.run.cost import patch_bytes
from patchvsr_core.run.forecast import Request, forecast
from patchvsr_core.run.forecast_text import bytes_text, planner_lines, seconds_text, video_lines
from patchvsr_core.run.throughput import Throughput, tokens_of
from patchvsr_core.stages.families import FAMILIES, family_of_codec
from patchvsr_core.weights import shipped

TINY = Request(40, (176, 320), "tiny")


def plan_of(request: Request):
    family, chosen = FAMILIES[request.family], request.settings
    target = tuple(round(side * request.scale) for side in request.source)
    canvas = Canvas(request.frames, request.source, target, family.stride_px, family.stride_frames)
    return plan_patches(
        canvas,
        patch_px=chosen.patch_px,
        layout=chosen.layout,
        window_frames=chosen.window_frames,
        overlap_frames=chosen.overlap_frames,
    )


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 60),
    height=st.integers(4, 120),
    width=st.integers(4, 120),
    family=st.sampled_from(list(FAMILIES)),
    layout=st.sampled_from(list(LAYOUTS)),
    steps=st.integers(1, 5),
    guidance=st.sampled_from([1.0, 2.0]),
)
def test_the_forecast_is_the_plan(frames, height, width, family, layout, steps, guidance) -> None:
    request = Request(
        frames,
        (height, width),
        family,
        patch_px=128,
        layout=layout,
        window_frames=9,
        overlap_frames=3,
        steps=steps,
        guidance=guidance,
    )
    found, plan = forecast(request), plan_of(request)
    assert found.target == plan.canvas.target
    assert found.positions == list_positions(plan)
    assert found.windows == len({patch.origin[0] for patch in plan.patches})
    for kind, count in found.counts.items():
        assert count * found.windows == sum(patch.kind == kind for patch in plan.patches)
    evaluations = sum(len(plan.at_step(step)) for step in range(steps))
    assert found.evaluations == evaluations * (1 if guidance == 1 else 2)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("frames", [1, 7, 8, 9, 14, 15, 100])
def test_windows_are_counted_as_they_are_made(frames: int, stride: int) -> None:
    canvas = Canvas(frames, (8, 8), (32, 32), stride_frames=stride)
    for window, overlap in ((8, 2), (8, 0), (81, 16), (2, 1)):
        assert count_windows(canvas, window, overlap) == len(temporal_windows(canvas, window, overlap))


def test_memory_and_disk_in_numbers() -> None:
    found = forecast(TINY)
    assert found.target == (704, 1280)
    assert found.result_bytes == 40 * 704 * 1280 * 3 * 4
    refiner = load_refiner(shipped("tiny_refiner.safetensors"))
    with_refiner = forecast(TINY, refiner=refiner)
    assert 1.05 < with_refiner.working_bytes / found.working_bytes < 2
    assert found.result_bytes * 5 < found.working_bytes < found.result_bytes * 9
    assert found.file_bytes == round(40 * 704 * 1280 * 0.15)
    assert forecast(replace(TINY, crf=22)).file_bytes == round(40 * 704 * 1280 * 0.075)
    assert forecast(replace(TINY, codec="prores")).file_bytes == round(40 * 704 * 1280 * 0.6)


def test_what_a_patch_takes_is_what_the_shipped_model_says() -> None:
    models = load_models("tiny", precision="float32")  # a CPU may take another, which is not foreseen
    family = FAMILIES[family_of_codec(models.codec)]
    assert (family.channels, family.stride_px, family.stride_frames) == (
        models.codec.channels,
        models.codec.stride_px,
        models.codec.stride_frames,
    )
    assert family.bases[""] == models.base.spec
    expected = patch_bytes(plan_of(TINY), models.base.spec, models.base.item_bytes)
    assert forecast(TINY).patch_bytes == {"": expected}


def test_no_time_is_made_up() -> None:
    found = forecast(TINY)
    assert found.seconds is None
    assert "time: known after the first run" in planner_lines(found, guessed=False)[-1]


def test_time_is_patches_and_pixels() -> None:
    tokens = tokens_of(plan_of(TINY))
    found = forecast(TINY, Throughput({tokens: 0.5}, {"decode": 0.1, "refine": 0.3}))
    assert found.seconds == pytest.approx(found.evaluations * 0.5 + 40 * 704 * 1280 / 1e6 * 0.4)
    assert planner_lines(found, guessed=False)[-1].endswith("for 1 step (measured here)")


def test_what_would_stop_the_sampler_is_said() -> None:
    assert "takes turns and needs 2 steps" in (forecast(replace(TINY, layout="alternating")).warning or "")
    assert forecast(replace(TINY, layout="alternating", steps=2)).warning is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch_px": 100}, "multiple of 16"),
        ({"scale": 0.5}, "between 1 and 16"),
        ({"size": "10x10"}, "is smaller than the input"),
        ({"overlap_frames": 8}, "make it shorter"),
        ({"source": (4096, 4096), "patch_px": 64}, "choose a larger patch_px"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_the_planners_words(change: dict, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        forecast(replace(TINY, **change))


def test_a_long_clip_takes_no_longer_to_plan() -> None:
    assert forecast(replace(TINY, frames=10_000_000)).windows == 1_666_667


def test_a_forecast_is_json() -> None:
    assert json.loads(json.dumps(asdict(forecast(TINY))))["positions"][0]["kind"] == "primary"


def test_the_lines() -> None:
    found = forecast(replace(TINY, layout="corner"))
    assert planner_lines(found, guessed=True)[:2] == [
        "1280x704 · 45 patches (15 primary, 22 auxiliary, 8 corner) x ~7 windows",
        "result ~412 MB RAM · peak ~3.0 GB · file ~5.2 MB",
    ]
    assert planner_lines(found, guessed=False)[0].endswith("x 7 windows")
    assert video_lines(found)[1] == "file ~5.2 MB · disk while running ~10 MB"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.1 MB"), (5e6, "4.8 MB"), (2**30, "1.0 GB"), (15.4 * 2**30, "15 GB"), (2**41, "2.0 TB")],
)
def test_bytes_in_words(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1, "1 s"),
        (7.4, "7 s"),
        (33, "35 s"),
        (59, "1 min"),
        (80, "1 min 20 s"),
        (3000, "50 min"),
        (3900, "1 h 5 min"),
    ],
)
def test_seconds_in_words(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
