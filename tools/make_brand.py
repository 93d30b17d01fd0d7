"""Makes the icon and the banner that the Comfy Registry shows, from the sample clip, with the pack's own result.

    python tools/make_brand.py [--font FOLDER]

Both show one frame twice: coarse and blue where nothing was done yet, and, in patches that overlap, what the shipped
model makes of it. Takes a minute on a CPU. FOLDER holds the typeface Inter (Debian: ``fonts-inter``).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.preview.draw import COLORS
from patchvsr_core.resample import resize
from patchvsr_core.video import read_clip

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CLIP = ROOT / "examples" / "sample_original.mp4"
FONTS = Path("/usr/share/fonts/opentype/inter")
FIRST, COUNT, SHOWN = 19, 3, 1
"""Frames that are upscaled, and which of them is shown."""
SCALE, DETAIL = 4, 1.0
LARGE = 4
"""Lines are drawn this much larger, so that their edges are smooth."""
BLUE, COLOUR_LEFT, NIGHT = (0.32, 0.39, 0.64), 0.12, (0.02, 0.035, 0.08)
"""What is not done yet: its brightness in blue, a little of its own colour, and never quite black."""
CONTRAST, MIDDLE, LIFT = 1.15, 0.45, 0.49
TAGLINE = "Video super-resolution\nto any size, without seams"
TAGLINE_COLOR = (205, 220, 245)

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True)
class Scene:
    """A picture of patches.

    Attributes:
        view: (left, top, width, height) of what is shown of the sample clip, in its pixels.
        size: (width, height) of the picture.
        cell_px: side of a pixel of what is not done yet.
        patches: those whose outline is drawn, with their kind, the last on top.
        done: places beside the patches that are done too.
        line_px, corner_px: width of an outline and radius of its corners.
    """

    view: tuple[int, int, int, int]
    size: tuple[int, int]
    cell_px: int
    patches: tuple[tuple[Box, str], ...]
    line_px: int
    corner_px: int
    done: tuple[Box, ...] = ()


ICON = Scene(
    view=(344, 24, 208, 208),
    size=(400, 400),
    cell_px=25,
    patches=(
        ((34, 34, 262, 262), "primary"),
        ((138, 138, 366, 366), "auxiliary"),
        ((138, 138, 262, 262), "corner"),
    ),
    line_px=12,
    corner_px=26,
)
BANNER = Scene(
    view=(0, 10, 735, 315),
    size=(1470, 630),
    cell_px=30,
    patches=(
        ((715, 291, 955, 531), "primary"),
        ((715, 51, 955, 291), "primary"),
        ((835, 171, 1075, 411), "auxiliary"),
        ((835, 171, 955, 291), "corner"),
    ),
    line_px=7,
    corner_px=22,
    done=((835, -60, 1600, 690),),
)


def pictures(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """A frame as it is, and restored where patches are: (height, width, 3) in [0, 1] each."""
    left, top, width, height = scene.view
    frames = read_clip(CLIP).frames[FIRST : FIRST + COUNT, top : top + height, left : left + width]
    plain = graded(resize(frames[SHOWN : SHOWN + 1], scene.size[::-1]))
    zoom = scene.size[0] / width
    first = max(0, min(box[0] for box, _ in scene.patches))
    part = frames[:, :, int(first / zoom) :]
    models = load_models("tiny", refiner="conditional", device="cpu")
    target = part.shape[1] * SCALE, part.shape[2] * SCALE
    large = upscale(part, target, models, replace(models.defaults, detail=DETAIL))[SHOWN : SHOWN + 1]
    shown = graded(resize(large, (scene.size[1], round(part.shape[2] * zoom))))
    restored = plain.copy()
    restored[:, -shown.shape[1] :] = shown
    return plain, restored


def graded(frames: Tensor) -> np.ndarray:
    """The first frame with a little more contrast."""
    return ((frames[0].numpy() - MIDDLE) * CONTRAST + LIFT).clip(0, 1)


def coarse(pixels: np.ndarray, cell_px: int) -> np.ndarray:
    """The same in large, blue cells."""
    height, width = pixels.shape[:2]
    cells = cv2.resize(pixels, (round(width / cell_px), round(height / cell_px)), interpolation=cv2.INTER_AREA)
    cells = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)
    return cells.mean(-1, keepdims=True) * BLUE + cells * COLOUR_LEFT + NIGHT


def draw(scene: Scene, shade: np.ndarray | float = 1.0) -> Image.Image:
    """The coarse picture with patches on it.

    Args:
        shade: factor of the coarse picture's brightness, one for each column or for all.
    """
    plain, restored = pictures(scene)
    boxes = [box for box, _ in scene.patches]
    done = shapes([*boxes, *scene.done], scene)[..., None]
    mixed = coarse(plain, scene.cell_px) * np.asarray(shade)[..., None] * (1 - done) + restored * done
    image = Image.fromarray((mixed.clip(0, 1) * 255).round().astype(np.uint8))
    shadow = Image.fromarray((shapes(boxes, scene, scene.line_px + 2) * 255).astype(np.uint8))
    image.paste((0, 0, 0), mask=shadow.filter(ImageFilter.GaussianBlur(scene.line_px / 2)))
    for box, kind in scene.patches:
        line = Image.fromarray((shapes([box], scene, scene.line_px) * 255).round().astype(np.uint8))
        image.paste(tuple(round(255 * value) for value in COLORS[kind]), mask=line)
    return image


def shapes(boxes: list[Box], scene: Scene, line_px: int | None = None) -> np.ndarray:
    """Rounded boxes, filled or as outlines: (height, width) in [0, 1]."""
    width, height = scene.size
    canvas = Image.new("L", (width * LARGE, height * LARGE))
    pen = ImageDraw.Draw(canvas)
    paint = {"fill": 255} if line_px is None else {"outline": 255, "width": line_px * LARGE}
    for box in boxes:
        radius = min(scene.corner_px, (box[2] - box[0]) // 10)
        pen.rounded_rectangle([side * LARGE for side in box], radius * LARGE, **paint)
    return np.asarray(canvas.resize(scene.size, Image.LANCZOS), dtype=np.float32) / 255


def banner(fonts: Path) -> Image.Image:
    """The scene with the name beside it, in the middle of the coarse part and darker there."""
    columns = np.arange(BANNER.size[0])
    image = draw(BANNER, 1 - 0.55 * (1 - np.abs(columns - 300) / 460).clip(0, 1) ** 0.7)
    pen = ImageDraw.Draw(image)

    def font(name: str, size: int) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(fonts / f"InterDisplay-{name}.otf"), size)

    left, top = 84, 212
    heavy = font("ExtraBold", 118)
    pen.text((left, top), "Patch", font=heavy, fill="white")
    pen.text((left + pen.textlength("Patch", font=heavy) + 2, top), "VSR", font=font("Light", 118), fill="white")
    pen.text((left + 4, top + 146), TAGLINE, font=font("Medium", 36), fill=TAGLINE_COLOR, spacing=10)
    return image


def main() -> None:
    """Make both pictures."""
    parser = argparse.ArgumentParser(description="Make the icon and the banner of the Comfy Registry.")
    parser.add_argument("--font", type=Path, default=FONTS, help="folder with the .otf files of Inter")
    fonts = parser.parse_args().font
    if not list(fonts.glob("InterDisplay-*.otf")):
        parser.error(f"{fonts} holds no InterDisplay-*.otf; install fonts-inter, or name its folder with --font")
    torch.set_grad_enabled(False)
    draw(ICON).save(DOCS / "icon.png", optimize=True)
    banner(fonts).save(DOCS / "banner.jpg", quality=90, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
