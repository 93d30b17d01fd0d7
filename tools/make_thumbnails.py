"""Makes the pictures in the template browser: a detail of real footage before and after, side by side at 1:1.

    python tools/make_thumbnails.py FOLDER [NAME ...]

FOLDER holds the footage that is not part of the repository, under the names below; ``CREDITS.md`` beside the pictures
says where it comes from. Before: reduced to a quarter, and enlarged again by bicubic resampling. After: what the model
that ships makes of the same frames. Where a template uses another model, the picture says so. Takes a minute on a CPU.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from help_pictures.clips import EXAMPLES, enlarged, models
from help_pictures.drawing import ROOT
from help_pictures.drawing import note as write_note

from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.realtime.exr_passes import read_passes
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.resample import resize
from patchvsr_core.settings import Settings
from patchvsr_core.video.reader import iter_frames, to_tensor

SCALE, COUNT = 4, 5
"""By how much footage is reduced, and the frames around the one that is shown."""
PART = (400, 200)
"""(height, width) of each half."""
MARGIN_PX = 56
"""Of the result around it, so that borders do not show."""
GAP_PX = 4
NOT_ITS_MODEL = "by the built-in model"


@dataclass(frozen=True)
class Footage:
    """What a picture shows."""

    file: str
    at: tuple[float, float]
    """(x, y) of the middle of the detail, fractions of the frame."""
    width: int = 960
    """Of the frame, pixels, before it is reduced to a quarter."""
    frame: int = 0
    detail: float = Settings.detail
    grain: float = 0.0
    """Deviation of the noise of a black and white print; 0: as it is, in colour."""
    note: str = ""


PICTURES = {
    "patchvsr_long_4k": Footage("sample_original.mp4", (0.49, 0.36), frame=18),
    "patchvsr_simple": Footage("ml5_pelican.mp4", (0.54, 0.42), width=720, frame=8),
    "patchvsr_ai_video": Footage("bbb_064.mp4", (0.42, 0.62), width=800, frame=18),
    "patchvsr_preview": Footage("butterfly_1.mp4", (0.46, 0.45), width=720, frame=28),
    "patchvsr_tiny": Footage("sintel_1024x436", (0.4, 0.3), width=1024),
    "patchvsr_seedvr2_4k": Footage("ax_roof_hlg.mp4", (0.52, 0.4), width=800, frame=8, note=NOT_ITS_MODEL),
    "patchvsr_seedvr2": Footage("intel_car-detection.mp4", (0.5, 0.25), width=768, frame=218, note=NOT_ITS_MODEL),
    "patchvsr_wan22_5b": Footage("sam2_05_default_juggle_0.mp4", (0.59, 0.4), width=960, frame=28, note=NOT_ITS_MODEL),
    "patchvsr_ltx": Footage("bbb_087.mp4", (0.45, 0.6), width=800, frame=18, note=NOT_ITS_MODEL),
    "patchvsr_old_film": Footage(
        "sample_original.mp4", (0.52, 0.36), width=1040, frame=33, detail=0.3, grain=0.025, note=NOT_ITS_MODEL
    ),
    "patchvsr_image_flux": Footage("BuddiesO_011_t0.jpg", (0.5, 0.55), width=640, note=NOT_ITS_MODEL),
}
RENDER, RENDER_AT = "patchvsr_render", (0.66, 0.8)


def main() -> None:
    """Make all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description="Make the pictures in the template browser.")
    parser.add_argument("folder", type=Path, help="with the footage, in any depth")
    parser.add_argument("names", nargs="*", default=[*PICTURES, RENDER], help="such as patchvsr_tiny")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    for name in arguments.names:
        shown = None if name == RENDER else PICTURES[name]
        halves = _render() if shown is None else _restored(shown, arguments.folder)
        picture = _joined(*halves, shown.note if shown else "")
        path = ROOT / "example_workflows" / f"{name}.jpg"
        cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_PROGRESSIVE, 1])


def _restored(shown: Footage, folder: Path) -> tuple[Tensor, Tensor]:
    """(400, 200, 3) before and after."""
    part = _part(_frames(shown, folder), shown.at, MARGIN_PX)
    small = resize(part, (part.shape[1] // SCALE, part.shape[2] // SCALE)).clamp(0, 1)
    if shown.grain:
        noise = torch.randn(*small.shape[:-1], 1, generator=torch.Generator().manual_seed(0))
        small = (small.mean(-1, keepdim=True) + shown.grain * noise).clamp(0, 1).expand_as(small).contiguous()
    target = (small.shape[1] * SCALE, small.shape[2] * SCALE)
    result = upscale(small, target, models(), replace(models().defaults, detail=shown.detail))
    return _middle(enlarged(small)), _middle(result)


def _frames(shown: Footage, folder: Path) -> Tensor:
    """(COUNT, H, W, 3) of the footage; a still is repeated."""
    (path,) = [*folder.rglob(shown.file), *EXAMPLES.rglob(shown.file)][:1]
    if path.is_dir():
        read = [_picture(file) for file in sorted(path.glob("*.png"))[:COUNT]]
        frames = torch.stack(read)
    elif path.suffix == ".jpg":
        frames = _picture(path).expand(COUNT, -1, -1, -1)
    else:
        wanted = itertools.islice(iter_frames(path), shown.frame, shown.frame + COUNT)
        frames = torch.stack([to_tensor(frame) for frame in wanted])
    return resize(frames, (round(frames.shape[1] * shown.width / frames.shape[2]), shown.width)).clamp(0, 1)


def _picture(path: Path) -> Tensor:
    return torch.from_numpy(cv2.imread(str(path))[..., ::-1].astype(np.float32) / 255)


def _render() -> tuple[Tensor, Tensor]:
    """The sample render by the network for renders, with all its passes."""
    image, _, passes = read_passes(EXAMPLES / "render")
    before, after = enlarged(image), load_fast("rdg").upscale(image, passes=passes)
    return _part(before, RENDER_AT, 0)[-1], _part(after, RENDER_AT, 0)[-1]


def _part(frames: Tensor, at: tuple[float, float], margin: int) -> Tensor:
    """The detail with a margin, inside the frame, in whole pixels of the reduced frame."""
    sides = [min(side + 2 * margin, full // SCALE * SCALE) for side, full in zip(PART, frames.shape[1:3], strict=True)]
    top, left = (
        min(max(round(where * full - side / 2), 0), full - side) // SCALE * SCALE
        for where, full, side in zip(at[::-1], frames.shape[1:3], sides, strict=True)
    )
    return frames[:, top : top + sides[0], left : left + sides[1]]


def _middle(frames: Tensor) -> Tensor:
    frame = frames[len(frames) // 2]
    top, left = ((full - side) // 2 for full, side in zip(frame.shape[:2], PART, strict=True))
    return frame[max(top, 0) :, max(left, 0) :][: PART[0], : PART[1]]


def _joined(before: Tensor, after: Tensor, note: str) -> np.ndarray:
    height, width = before.shape[:2]
    picture = np.full((height, 2 * width + GAP_PX, 3), 255, np.uint8)
    for left, half in ((0, before), (width + GAP_PX, after)):
        picture[:, left : left + width] = (half.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    if note:
        write_note(picture, note, (width + GAP_PX + 6, height - 8))
    return picture


if __name__ == "__main__":
    main()
