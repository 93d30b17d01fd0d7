"""What propagation along the motion and through attention does to real clips, with the tiny default.

Inputs are made as in ``quality.py``. The windows of time are short, so that a clip has several.

    python benchmarks/consistency.py examples/sample_original.mp4 --frames 8
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import metrics
from pairs import Pair, read_pair
from patches import load_patches
from tables import Table, as_text, number, write_markdown

from patchvsr_core.degradation import measure_degradation
from patchvsr_core.finish.refine import refine_frames
from patchvsr_core.hosts.diffusers.models import Models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.quality import patch_colour_variance
from patchvsr_core.stages import BaseLayer, make_plan, postprocess

PLAIN = {"refine_strength": 0.0, "fidelity_rounds": 0}
"""The prediction alone, without what comes after it."""
ATTENTION = {"spatial_attention": True, "temporal_attention": True}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "flow propagation 0.25": {"propagation": 0.25},
    "SAP": {"spatial_attention": True},
    "TAP": {"temporal_attention": True},
    "2 steps": {"steps": 2},
    "2 steps, SAP + TAP": {"steps": 2, **ATTENTION},
    "2 steps, SAP lazy": {"steps": 2, "spatial_attention": True, "lazy_attention": True},
    "2 steps, SAP + TAP, flow propagation 0.25": {"steps": 2, **ATTENTION, "propagation": 0.25},
}
HEADS = ("variant", "PSNR", "E_warp", "temporal error", "prediction: PSNR", "E_warp", "patch colours", "CPU s/frame")
DIGITS = (3, 4, 4, 3, 4, 4, 2)
NOTES = (
    "PSNR in dB, higher is better; E_warp and temporal error (x1000), lower is better; the first three of the finished "
    "result, the rest of the model's prediction before refiner and back-projection. patch colours: variance between "
    "patches of the mean colour they add to the input, x1000, in squared 8-bit levels. CPU s/frame: time the processor "
    "took for the prediction, on one thread."
)


@torch.inference_mode()
def row(name: str, pair: Pair, models: Models) -> tuple[str, ...]:
    """The cells of one variant."""
    settings = replace(models.defaults, **VARIANTS[name])
    start = time.process_time()
    prediction = upscale(pair.small, pair.size, models, replace(settings, **PLAIN))
    seconds = (time.process_time() - start) / len(prediction)
    result = _finished(prediction, pair, models)
    source = int(pair.small.shape[1]), int(pair.small.shape[2])
    plan = make_plan(len(prediction), source, pair.size, models, settings)
    values = (
        metrics.psnr(result, pair.truth),
        metrics.warping_error(result, pair.truth),
        metrics.temporal_error(result, pair.truth),
        metrics.psnr(prediction, pair.truth),
        metrics.warping_error(prediction, pair.truth),
        1000 * 255**2 * float(patch_colour_variance(prediction, pair.small, plan).mean()),
        seconds,
    )
    cells = tuple(number(value, digits) for value, digits in zip(values, DIGITS, strict=True))
    print(f"{pair.name}: {name} {' '.join(cells)}", file=sys.stderr, flush=True)
    return name, *cells


def _finished(prediction: Tensor, pair: Pair, models: Models) -> Tensor:
    """Refiner and back-projection, as the pipeline has them."""
    assert models.refiner is not None
    degradation = measure_degradation(models.estimator, pair.small).scaled(models.defaults.restore_strength)
    refine, report = partial(refine_frames, models.refiner), lambda *_: None
    return postprocess(
        prediction.clone(),
        pair.small,
        models.defaults,
        report,
        models.codec,
        refine,
        BaseLayer(models.defaults, degradation, report),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8, help="use so many frames at most")
    parser.add_argument("--window-frames", type=int, default=4)
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    options = parser.parse_args()
    models = load_patches()
    defaults = replace(models.defaults, layout="corner", window_frames=options.window_frames, overlap_frames=1)
    models = replace(models, defaults=defaults)
    tables = []
    for path in options.clips:
        pair = read_pair(path, options.scale, options.frames, "clean")
        title = f"{pair.name}, x{options.scale} to {pair.size[1]}x{pair.size[0]}, {len(pair.truth)} frames"
        tables.append(Table(title, HEADS, tuple(row(name, pair, models) for name in VARIANTS)))
        print(as_text(tables[-1]), flush=True)
    print(NOTES)
    if options.markdown:
        write_markdown(options.markdown, "Consistency", tables, NOTES, sys.argv)


if __name__ == "__main__":
    main()
