"""Quality of the tiny default on real clips, against bicubic and bicubic + back-projection.

The input is made from each clip by bicubic reduction, rounded to 8 bits, and damaged if asked for:

    python benchmarks/quality.py examples/sample_original.mp4 --scale 4 --frames 8
    python benchmarks/quality.py CLIPS --input clean,h264,noise --methods all --save OUT --markdown OUT/quality.md
    python benchmarks/quality.py CLIPS --perceptual WEIGHTS --others FOLDER --methods bicubic,SPAN,default
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import metrics
from other_networks import FILES, others
from pairs import INPUTS, Pair, read_pair
from pictures import Versions, contact_sheet, middle, save_versions, write_png
from tables import Table, as_text, mean, number, write_markdown

from patchvsr_core.degradation import estimate_degradation
from patchvsr_core.finish.back_projection import TOLERANCE, back_project
from patchvsr_core.finish.refine import load_refiner
from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.quality import seam_ratio
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.resample import resize
from patchvsr_core.restorer import load_restorer
from patchvsr_core.restorer.restore import restore_clip
from patchvsr_core.settings import BICUBIC, with_quality
from patchvsr_core.stages import back_project_onto_input, make_plan

Method = Callable[[Tensor, tuple[int, int], Models], Tensor]
"""(T, h, w, 3) frames and (height, width) to (T, height, width, 3) frames."""
Scores = dict[str, float]
"""By the name of a column."""

PROBABLE = {"detail": 0.0}
"""The most probable picture: what parts contribute to it is measured in dB."""
PATCHES = {"base_layer": BICUBIC, **PROBABLE}
DETAIL = {"detail": 0.53}
"""The detail mode of the patches' refiner."""
COLUMNS = {**metrics.DIGITS, "seam": 3, "s/frame": 2}
"""Digits after the decimal point."""
NOTES = f"{metrics.NOTES} seam: 1 means that patch borders do not show."
ORIGINAL_METRICS = ("VMAF-NEG", "E_warp", "edges")
"""Those that say something about the original itself."""


def bicubic(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
    return resize(small, size)


def projected(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
    return back_project(resize(small, size), small)


def single_frames(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
    settings = replace(models.defaults, **PROBABLE)
    return torch.cat([upscale(frame[None], size, models, settings) for frame in small])


def changed(**changes: Any) -> Method:
    """The pipeline with the defaults but for ``changes``."""
    return lambda small, size, models: upscale(small, size, models, replace(models.defaults, **changes))


def refined_by(path: Path, detail: float) -> Method:
    """Patches on bicubic, with the refiner in a file instead of the shipped one."""
    refiner = load_refiner(path)

    def run(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
        others = replace(models, refiner=refiner.to(models.device))
        return upscale(small, size, others, replace(models.defaults, base_layer=BICUBIC, detail=detail))

    return run


def restored_by(path: Path) -> Method:
    """The restorer in a file alone, and back-projection."""
    network = load_restorer(path)
    return lambda small, size, models: back_project(restore_clip(network, small, size), small, tolerance=TOLERANCE)


def fast(name: str) -> Method:
    """A real-time network alone, without the passes of a renderer."""
    return lambda small, size, models: load_fast(name).upscale(small, size)


def as_base_layer(method: Method) -> Method:
    """What Upscale Video makes of an image upscaler that is connected to it: its frames, brought back to the input."""

    def run(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
        degradation = estimate_degradation(models.estimator, small)
        return back_project_onto_input(method(small, size, models), small, models.defaults, degradation).clamp(0, 1)

    return run


METHODS: dict[str, Method] = {
    "bicubic": bicubic,
    "bicubic + back-projection": projected,
    "DAP small": fast("dap"),
    "RDG small": fast("rdg"),
    "detail 0": changed(**PROBABLE),
    "default": changed(),
    "detail 1": changed(detail=1.0),
    "best": lambda small, size, models: upscale(small, size, models, with_quality(models.defaults, "best")),
    "patches on bicubic": changed(**PATCHES),
    "patches on bicubic with detail": changed(**PATCHES | DETAIL),
    "2 steps": changed(**PATCHES, steps=2),
    "4 steps": changed(**PATCHES, steps=4),
    "single frames": single_frames,
    "no back-projection": changed(**PROBABLE, fidelity_rounds=0),
    "DAP as base": changed(**PROBABLE, base_layer="dap"),
    "RDG as base": changed(**PROBABLE, base_layer="rdg"),
}
USUAL = ("bicubic", "bicubic + back-projection", "DAP small", "detail 0", "default", "detail 1")
RESTORER = "restorer"
WITHOUT_PATCHES = {RESTORER, "bicubic", "bicubic + back-projection", "DAP small", "RDG small", *FILES}
WITHOUT_PATCHES |= {f"{name} as base layer" for name in FILES}
COMPARED = {
    "bicubic": "bicubic",
    "SPAN": "SPAN",
    "Real-ESRGAN x4plus": "Real-ESRGAN",
    "default": "PatchVSR",
    "detail 1": "PatchVSR, detail 1",
    "original": "original",
}
"""Methods in the comparison of a clip, and their labels."""


def measure(
    pair: Pair, methods: list[str], models: Models, known: dict[str, metrics.Metric]
) -> tuple[dict[str, Scores], Versions]:
    """(scores, middle frame) of every method and of the original."""
    scores, versions = {}, {}
    seamless = projected(pair.small, pair.size, models)
    for name in methods:
        start = time.monotonic()
        result = METHODS[name](pair.small, pair.size, models)
        seconds = (time.monotonic() - start) / len(result)
        scores[name] = {column: metric(result, pair.truth) for column, metric in known.items()}
        scores[name]["seam"] = math.nan if name in WITHOUT_PATCHES else seam(result, seamless, pair, models)
        scores[name]["s/frame"] = seconds
        versions[name] = middle(result)
        print(f"{pair.name}: {name} {scores[name]['PSNR']:.2f} dB", file=sys.stderr, flush=True)
    scores["original"] = {name: known[name](pair.truth, pair.truth) for name in ORIGINAL_METRICS if name in known}
    versions["original"] = middle(pair.truth)
    return scores, versions


def seam(result: Tensor, seamless: Tensor, pair: Pair, models: Models) -> float:
    """The seam ratio of a result of the default plan; NaN where one patch covers all."""
    source = int(pair.small.shape[1]), int(pair.small.shape[2])
    plan = make_plan(len(result), source, pair.size, models, models.defaults)
    if len({patch.origin[1:] for patch in plan.patches}) == 1:
        return math.nan
    return seam_ratio(result, seamless, plan)


def means_table(title: str, clips: dict[str, dict[str, Scores]]) -> Table:
    """Rows are methods, columns the scores that were measured, means over clips."""
    first = next(iter(clips.values()))
    columns = [column for column in COLUMNS if any(column in scores for scores in first.values())]
    rows = []
    for method in first:
        values = [mean([scores[method].get(column, math.nan) for scores in clips.values()]) for column in columns]
        rows.append((method, *(number(v, COLUMNS[c]) for v, c in zip(values, columns, strict=True))))
    return Table(title, ("method", *columns), tuple(rows))


def psnr_table(title: str, clips: dict[str, dict[str, Scores]], facts: dict[str, str]) -> Table:
    """Rows are clips with what they are, columns the PSNR of every method."""
    methods = [method for method, scores in next(iter(clips.values())).items() if "PSNR" in scores]
    rows = [
        (clip, facts[clip], *(number(scores[method]["PSNR"], COLUMNS["PSNR"]) for method in methods))
        for clip, scores in clips.items()
    ]
    return Table(title, ("PSNR, dB", "size", *methods), tuple(rows))


def run_group(options: argparse.Namespace, kind: str, models: Models) -> Iterator[Table]:
    """Measure all clips with one kind of input, save their pictures, and give the tables."""
    scores, versions, facts = {}, {}, {}
    for path in options.clips:
        pair = read_pair(path, options.scale, options.frames, kind)
        scores[pair.name], versions[pair.name] = measure(pair, options.methods, models, options.metrics)
        facts[pair.name] = f"{pair.size[1]}x{pair.size[0]}, {len(pair.truth)} frames"
        if options.save:
            stem = pair.name if kind == "clean" else f"{pair.name}_{kind}"
            save_versions(options.save, stem, versions[pair.name], COMPARED)
    if options.save:
        write_png(options.save / f"contact_sheet_x{options.scale}_{kind}.png", contact_sheet(versions))
    yield means_table(f"x{options.scale}, {kind} input: mean over {len(scores)} clip(s)", scores)
    yield psnr_table(f"x{options.scale}, {kind} input: every clip", scores, facts)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4, help="1: restore only (default: 4)")
    parser.add_argument("--frames", type=int, default=1000, help="use so many frames at most")
    parser.add_argument("--input", default="clean", help=f"damage, several with commas: {', '.join(INPUTS)}")
    parser.add_argument("--methods", default=",".join(USUAL), help=f"all, or with commas: {', '.join(METHODS)}")
    parser.add_argument("--save", type=Path, help="folder for PNGs of the middle frames and 1:1 comparisons")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    parser.add_argument("--refiner", type=Path, help="also measure patches with the refiner in this file")
    parser.add_argument("--restorer", type=Path, help="also measure the restorer in this file")
    parser.add_argument("--perceptual", type=Path, help="file of weights: also measure LPIPS and DISTS")
    parser.add_argument(
        "--without", default="", help="metrics to leave out, with commas: DISTS takes six seconds a frame"
    )
    parser.add_argument("--others", type=Path, help="folder of networks to compare with, see other_networks.py")
    options = parser.parse_args()
    options.metrics = metrics.available() | (metrics.perceptual(options.perceptual) if options.perceptual else {})
    for name in _chosen(parser, options.without, list(options.metrics)) if options.without else ():
        del options.metrics[name]
    if options.others:
        METHODS.update(others(options.others))
        METHODS.update({f"{name} as base layer": as_base_layer(METHODS[name]) for name in FILES})
    options.input = _chosen(parser, options.input, list(INPUTS))
    options.methods = list(METHODS) if options.methods == "all" else _chosen(parser, options.methods, list(METHODS))
    if options.restorer:
        METHODS[RESTORER] = restored_by(options.restorer)
        options.methods.append(RESTORER)
    if options.refiner:
        added = {
            f"patches on bicubic, {options.refiner.stem}": refined_by(options.refiner, **PROBABLE),
            f"patches on bicubic with detail, {options.refiner.stem}": refined_by(options.refiner, **DETAIL),
        }
        METHODS.update(added)
        options.methods += list(added)
    return options


def _chosen(parser: argparse.ArgumentParser, text: str, known: list[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            parser.error(f"{name!r} is unknown; choose from {', '.join(known)}")
    return names


def main() -> None:
    options = parsed()
    models = load_models("tiny")
    missing = [name for name in metrics.METRICS if name not in metrics.available()]
    if missing:
        print(f"Without {', '.join(missing)}: pip install -r benchmarks/requirements.txt", file=sys.stderr)
    tables = []
    for kind in options.input:
        for table in run_group(options, kind, models):
            print(as_text(table), flush=True)
            tables.append(table)
    print(NOTES)
    if options.markdown:
        write_markdown(options.markdown, "Quality", tables, NOTES, sys.argv)


if __name__ == "__main__":
    main()
