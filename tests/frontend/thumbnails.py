"""Pictures of what an example makes of a clip, beside the clip itself."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from frontend.examples import Shown
from PIL import Image

from patchvsr_core.video import VideoWriter, read_clip

CLIPS = Path(__file__).parents[2] / "examples"
UPLOADED = "patchvsr_thumbnail.mkv"
PART_PX = (320, 300)
"""(width, height) of each half."""
DIVIDER_PX = 3
Prompt = dict[str, dict[str, Any]]


def before_and_after(server: str, prompt: Prompt, ids: dict[str, str], shown: Shown) -> Image.Image:
    """Run a prompt on a short clip; the input enlarged by bicubic on the left, the result on the right, both at 1:1.

    Args:
        server: address of a running ComfyUI.
        prompt: in API form.
        ids: in it, by the names that the example gives its nodes.
    """
    loader = prompt.get(ids.get("video", ""))
    if loader:
        loader["inputs"]["file"] = upload(server, CLIPS / shown.clip, shown.frames)
    outputs = run(server, prompt)
    after = last_frame(server, outputs[ids[shown.result]])
    before = frame_of_clip(shown) if loader else last_frame(server, outputs[ids[shown.source]])
    enlarged = before.resize(after.size, Image.BICUBIC)
    width, height = (min(part, side) for part, side in zip(PART_PX, after.size, strict=True))
    left, top = (
        min(max(round(at * side - part / 2), 0), side - part)
        for at, side, part in zip(shown.at, after.size, (width, height), strict=True)
    )
    picture = Image.new("RGB", (2 * width + DIVIDER_PX, height), "white")
    for column, image in ((0, enlarged), (width + DIVIDER_PX, after)):
        picture.paste(image.crop((left, top, left + width, top + height)), (column, 0))
    return picture


def frame_of_clip(shown: Shown) -> Image.Image:
    return as_image(read_clip(CLIPS / shown.clip).frames[: shown.frames][-1].numpy())


def upload(server: str, path: Path, frames: int) -> str:
    """Put the first frames of a clip, lossless, into ComfyUI's input folder; answers their name there."""
    clip = read_clip(path)
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / UPLOADED
        size = (int(clip.frames.shape[1]), int(clip.frames.shape[2]))
        with VideoWriter(
            cut, size, clip.timestamps[:frames], clip.time_base, fps=clip.info.fps, codec="ffv1"
        ) as writer:
            writer.write(clip.frames[:frames])
        boundary = uuid.uuid4().hex
        fields = f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
        file = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{UPLOADED}"\r\n\r\n'
        body = (fields + file).encode() + cut.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return json.loads(fetch(urllib.request.Request(f"{server}/upload/image", body, kind)))["name"]


def run(server: str, prompt: Prompt) -> dict[str, Any]:
    """Outputs per node of a finished prompt.

    Raises:
        RuntimeError: when it fails.
    """
    body = json.dumps({"prompt": prompt}).encode()
    number = json.loads(fetch(urllib.request.Request(f"{server}/prompt", body, {"Content-Type": "application/json"})))[
        "prompt_id"
    ]
    while True:
        entry = json.loads(fetch(f"{server}/history/{number}")).get(number)
        if entry and entry["status"]["status_str"] == "success":
            return entry["outputs"]
        if entry and entry["status"]["status_str"] == "error":
            raise RuntimeError(json.dumps(entry["status"]["messages"], indent=1))
        time.sleep(0.5)


def last_frame(server: str, output: dict[str, Any]) -> Image.Image:
    """The last picture, or the last frame of the video, that a node saved."""
    saved = output["images"][-1]
    query = urlencode({name: saved[name] for name in ("filename", "subfolder", "type")})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / saved["filename"]
        path.write_bytes(fetch(f"{server}/view?{query}"))
        if path.suffix == ".png":
            return Image.open(path).convert("RGB")
        return as_image(read_clip(path).frames[-1].numpy())


def as_image(frame: np.ndarray) -> Image.Image:
    return Image.fromarray((frame.clip(0, 1) * 255).round().astype(np.uint8))


def fetch(request: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()
