"""Joint modulation runs every model that ComfyUI loads, as if it had been made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAMILIES = ("wan21_t2v", "wan21_i2v", "wan22_5b", "hunyuan_video", "cosmos_predict2", "qwen_image", "ltx", "seedvr2",
            "sd15", "sdxl", "flux")  # fmt: skip
ROUNDING = 2e-5
BATCHED = {"seedvr2": 2e-3}
"""Whose batches differ from single clips in ComfyUI itself, which packs them into one sequence."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    out = tmp_path_factory.mktemp("bases") / "found.json"
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    script = Path(__file__).with_name("bases.py")
    command = [python, str(script), os.environ["COMFYUI_DIR"], str(ROOT), str(out), *FAMILIES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


@pytest.mark.parametrize("family", FAMILIES)
def test_one_patch_is_the_plain_sampler(found: dict, family: str) -> None:
    checks = found[family]
    assert checks["one_patch"] == checks["one_patch_guided"] == checks["one_patch_masked"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_many_patches_are_a_loop_over_them(found: dict, family: str) -> None:
    checks = found[family]
    assert max(checks["many_patches"], checks["many_patches_guided"], checks["control_net"]) < ROUNDING
    assert checks["differs"] > 1000 * ROUNDING, "patches are worth testing only where they matter"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_patches_is_each_of_them(found: dict, family: str) -> None:
    assert found[family]["batches"] < BATCHED.get(family, ROUNDING)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_short_of_memory_or_without_batches_goes_on_with_fewer(found: dict, family: str) -> None:
    checks = found[family]
    assert max(checks["out_of_memory"], checks["takes_no_batches"]) < BATCHED.get(family, ROUNDING)


@pytest.mark.parametrize("family", FAMILIES)
def test_apply_preview_and_upscale_video_take_every_base(found: dict, family: str) -> None:
    checks = found[family]
    assert max(checks["applied"], checks["previewed"], checks["upscaled"]) < ROUNDING


@pytest.mark.parametrize("family", FAMILIES)
def test_guidance_nodes_that_call_the_model_again_change_nothing_else(found: dict, family: str) -> None:
    assert found[family]["guided_again"] < ROUNDING


@pytest.mark.parametrize("family", FAMILIES)
def test_borders_of_patches_are_softer_than_those_of_finished_tiles(found: dict, family: str) -> None:
    assert found[family]["jumps"] < 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_attend_to_one_another_as_if_by_hand(found: dict, family: str) -> None:
    checks = found[family]
    assert max(checks["softened"], checks["spatially_attended"], checks["attended_in_time"]) < 10 * ROUNDING


@pytest.mark.parametrize("family", FAMILIES)
def test_what_cannot_reach_attention_says_so(found: dict, family: str) -> None:
    assert found[family]["says_why_not"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_progress_counts_every_patch_and_cancel_stops_within_one(found: dict, family: str) -> None:
    assert found[family]["progress"] == found[family]["interrupted"] == 0


def test_what_core_has_too_is_the_same(found: dict) -> None:
    assert found["core"]["lab_is_that_of_core"] < 1e-3
    assert found["core"]["upscaler_is_that_of_core"] < 1e-5
