"""The family that the browser guesses from the name of a file is one of the table, and the right one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from patchvsr_core.stages.families import FAMILIES

SCRIPT = Path(__file__).parents[2] / "web" / "families.js"
FILES = {
    "wan_2.1_vae.safetensors": "wan",
    "wan2.2_vae.safetensors": "wan22",
    "video/seedvr2_ema_vae_fp16.safetensors": "seedvr2",
    "ema_vae_fp16.safetensors": "seedvr2",
    "ltx-video-2b-v0.9.safetensors": "ltx",
    "hunyuan_video_vae_bf16.safetensors": "hunyuan",
    "ae.safetensors": "flux",
    "flux\\flux1-schnell-fp8.safetensors": "flux",
    "qwen_image_vae.safetensors": "qwen",
    "sd_xl_base_1.0.safetensors": "sdxl",
    "sdxl_vae.safetensors": "sdxl",
    "v1-5-pruned-emaonly.safetensors": "sd15",
    "vae-ft-mse-840000-ema-pruned.safetensors": "sd15",
    "some_other.safetensors": "wan",
}


@pytest.mark.skipif(shutil.which("node") is None, reason="the script is run by Node.js")
def test_names_of_files_tell_the_family() -> None:
    code = f"{SCRIPT.read_text('utf-8')}\nconsole.log(JSON.stringify({json.dumps(list(FILES))}.map(familyOfFile)))"
    command = ["node", "--input-type=module", "--eval", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert dict(zip(FILES, json.loads(found), strict=True)) == FILES
    assert set(FILES.values()) <= set(FAMILIES)
