"""What the parts of the shipped adapter are worth on pictures of a lens that is worse towards the corners.

The input is made through a lens whose blur, darkening and colour fringes grow with the square of the distance from
the centre. What was lost depends on where a patch lies, so the crop condition and the location mask could help at the
corners. PSNR is against the picture without the lens, in the centre and at the corners. Small patches know little but
their own input; the shipped adapter was not trained on such inputs.

    python benchmarks/lens.py examples/sample_original.mp4 --markdown lens.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import metrics
from ablations import PLAIN, moved
from pairs import Pair, first_frames, reduced
from patches import load_patches
from quality import Method, bicubic, changed
from tables import Table, as_text, mean, number, write_markdown

from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.canvas import PatchPlan

BLUR, DARKER, FRINGE = 3.0, 0.4, 0.006
"""At the corner: deviation in px, share of the light that is lost, shift of red and blue as a share of the distance."""
LEVELS = 7
"""Pictures of growing blur between which every pixel is interpolated."""
ZONES = {"whole picture": (0.0, 1.1), "centre": (0.0, 0.4), "corners": (0.75, 1.1)}
"""Distances from the centre; the corner has 1."""
NOTES = (
    "PSNR in dB against the picture without the lens. Shuffled: the adapter is given the position of another patch, in "
    "the crop condition, in the location mask, or in both. Base alone: without restorer, refiner and back-projection."
)


def distance(height: int, width: int) -> Tensor:
    """(H, W) from the centre of a picture, 1 in its corners."""
    rows, columns = (torch.linspace(-1, 1, side) for side in (height, width))
    diagonal = float(height**2 + width**2)
    return ((rows[:, None] * height) ** 2 + (columns * width) ** 2).div(diagonal).sqrt()


def through_lens(frames: Tensor, darker: float = DARKER) -> Tensor:
    """(T, H, W, 3) frames as the lens shows them; ``darker``: share of the light that the corners lose."""
    planes = frames.movedim(-1, 1)
    far = distance(*frames.shape[1:3]).square()
    soft = _blurred(_fringed(planes, far), far)
    return (soft * (1 - darker * far)).movedim(1, -1)


def _fringed(planes: Tensor, far: Tensor) -> Tensor:
    """Red drawn outward and blue inward."""
    rows, columns = (torch.linspace(-1, 1, side) for side in far.shape)
    grid = torch.stack([columns.expand(far.shape), rows[:, None].expand(far.shape)], -1)
    shifted = []
    for channel, way in enumerate((-1, 0, 1)):
        at = (grid * (1 + way * FRINGE * far[..., None])).expand(len(planes), -1, -1, -1)
        one = planes[:, channel : channel + 1]
        shifted.append(F.grid_sample(one, at, "bicubic", "border", align_corners=True) if way else one)
    return torch.cat(shifted, 1).clamp(0, 1)


def _blurred(planes: Tensor, far: Tensor) -> Tensor:
    """Every pixel from the two pictures of the stack whose blur is nearest to its own."""
    stack = torch.stack([_gaussian(planes, BLUR * level / (LEVELS - 1)) for level in range(LEVELS)])
    levels = torch.arange(LEVELS)[:, None, None]
    weights = (1 - (far * (LEVELS - 1) - levels).abs()).clamp(min=0)
    return (stack * weights[:, None, None]).sum(0)


def _gaussian(planes: Tensor, deviation: float) -> Tensor:
    if deviation == 0:
        return planes
    reach = int(3 * deviation) + 1
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation).square())
    kernel = (kernel / kernel.sum()).expand(planes.shape[1], 1, 1, -1)
    padded = F.pad(planes, (reach,) * 4, "reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=len(kernel)), kernel.mT, groups=len(kernel))


def lens_pair(path: Path, scale: int, frames: int, darker: float) -> Pair:
    """The clip as it was, and its reduction as the lens shows it."""
    truth = first_frames(path, frames)
    return Pair(path.stem, reduced(truth, scale)[0], reduced(through_lens(truth, darker), scale)[1])


def zone_psnr(frames: Tensor, truth: Tensor) -> list[float]:
    """Decibels in each of the zones."""
    far = distance(*truth.shape[1:3])
    inside = [(far >= low) & (far < high) for low, high in ZONES.values()]
    return [metrics.psnr(frames[:, zone], truth[:, zone]) for zone in inside]


def positions_shuffled(*names: str) -> Method:
    """The adapter is given another patch's position by the named methods of the plan."""

    def run(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
        with ExitStack() as changes:
            for name in names:
                changes.enter_context(patch.object(PatchPlan, name, _of_others(name)))
            return upscale(small, size, models)

    return run


def _of_others(name: str):
    true = getattr(PatchPlan, name)
    return lambda plan, patches, *rest: true(plan, moved(plan, patches), *rest)


VARIANTS: dict[str, Method] = {
    "all parts": changed(),
    "crop shuffled": positions_shuffled("crop_positions"),
    "mask shuffled": positions_shuffled("locations"),
    "both shuffled": positions_shuffled("crop_positions", "locations"),
    "global branch off": changed(global_strength=0.0),
    "patch branch off": changed(patch_strength=0.0),
    "adapter off": lambda small, size, models: upscale(small, size, replace(models, adapter=None)),
}


def variants(patch_px: int) -> Iterator[tuple[str, Method, Models]]:
    """(name, method, models): with the restorer and all of ``patch_detail``, and the base alone."""
    whole, alone = load_models("tiny"), load_patches()
    plan = {"layout": "corner", "patch_px": patch_px}
    whole = replace(whole, defaults=replace(whole.defaults, **plan, patch_detail=1.0))
    alone = replace(alone, defaults=replace(alone.defaults, **plan, **PLAIN))
    yield "bicubic", bicubic, whole
    yield "no patches", changed(patch_detail=0.0), whole
    for name, method in VARIANTS.items():
        yield name, method, whole
    for name, method in VARIANTS.items():
        yield f"base alone, {name}", method, alone


def row(name: str, method: Method, pairs: Sequence[Pair], models: Models) -> tuple[str, ...]:
    """The cells of one variant, means over clips."""
    scores = [zone_psnr(method(pair.small, pair.size, models), pair.truth) for pair in pairs]
    cells = [number(mean(column), 3) for column in zip(*scores, strict=True)]
    print(name, *cells, file=sys.stderr, flush=True)
    return name, *cells


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--patch-px", type=int, default=64)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    tables = []
    for title, darker in (("blur, fringes and vignette", DARKER), ("blur and fringes alone", 0.0)):
        pairs = [lens_pair(path, options.scale, options.frames, darker) for path in options.clips]
        rows = tuple(row(name, method, pairs, models) for name, method, models in variants(options.patch_px))
        tables.append(Table(f"{title}, mean over {len(pairs)} clip(s)", ("variant", *ZONES), rows))
    notes = f"x{options.scale}, patches of {options.patch_px} px, {options.frames} frame(s). {NOTES}"
    print(*map(as_text, tables), notes, sep="\n")
    if options.markdown:
        write_markdown(options.markdown, "Through a lens", tables, notes, sys.argv)


if __name__ == "__main__":
    main()
