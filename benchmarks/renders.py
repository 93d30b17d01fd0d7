"""RDG on rendered clips, with and without their G-buffers, beside bicubic and DAP; of a file of its authors too.

Scenes are rendered with photographs as textures, which should not be those that a network was trained on:

    python benchmarks/renders.py PHOTOGRAPHS --only 'pop-os_01*,sam2img_*,pierotof_*' --scenes 12

An input's pixel is what 4, 16 or 64 samples of a renderer show, of which few alias. Every scene is measured with
several levels of noise in its light, as a path tracer's; the passes of the materials have none. ``--game`` adds a clip
of a game with motion and depth, see ``mobss.py``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import metrics
import mobss
from pictures import Versions, contact_sheet, middle, write_png
from tables import Table, as_text, mean, number, write_markdown

from patchvsr_core.finish.back_projection import back_project
from patchvsr_core.realtime.upscaler import FastUpscaler, load_fast
from patchvsr_core.resample import resize
from patchvsr_core.training.rdg_task import read_photographs
from patchvsr_core.training.renders import RenderedClip, light_noise, render_clip

Method = Callable[[RenderedClip], Tensor]
NOTES = (
    "PSNR in dB, mean over scenes and levels of noise. Every row is the same scenes; passes that a row lacks are "
    "estimated from the frames."
)
LEVELS = (0.0, 0.1, 0.2, 0.3)
"""Relative deviations of the light of a pixel."""
FIRST_SEED = 1_000_000
"""Far from the seeds of training."""


def methods(others: Sequence[Path]) -> dict[str, Method]:
    """By the name of their row; ``others`` are files of further RDG networks."""
    rdg, dap = load_fast("rdg"), load_fast("dap")

    def with_passes(network: FastUpscaler, **missing: None) -> Method:
        return lambda clip: network.upscale(clip.small, passes=replace(clip.passes(), **missing))

    found: dict[str, Method] = {
        "bicubic": lambda clip: resize(clip.small, _size(clip)),
        "bicubic + back-projection": lambda clip: back_project(resize(clip.small, _size(clip)), clip.small),
        "DAP small": lambda clip: dap.upscale(clip.small),
        "RDG small, all passes": with_passes(rdg),
        "RDG small, no motion": with_passes(rdg, flows=None),
        "RDG small, no albedo": with_passes(rdg, albedo=None),
        "RDG small, no depth, no normal": with_passes(rdg, depth=None, normal=None),
        "RDG small, no passes": lambda clip: rdg.upscale(clip.small),
    }
    for path in others:
        network = load_fast(path)
        found[f"{path.stem}, all passes"] = with_passes(network)
        found[f"{path.stem}, no albedo"] = with_passes(network, albedo=None)
        found[f"{path.stem}, no passes"] = lambda clip, network=network: network.upscale(clip.small)  # type: ignore[misc]
    return found


def rendered(options: argparse.Namespace) -> list[RenderedClip]:
    """The scenes, without noise."""
    files = sorted(options.photographs.rglob("*"))
    patterns = options.only.split(",") if options.only else ["*"]
    textures = read_photographs([path for path in files if any(path.match(pattern) for pattern in patterns)])
    size = (options.side, options.side)
    seeds = range(FIRST_SEED, FIRST_SEED + options.scenes)
    return [render_clip(np.random.default_rng(seed), textures, options.frames, size) for seed in seeds]


def measure(clips: Sequence[RenderedClip], chosen: dict[str, Method]) -> tuple[Table, dict[str, Versions]]:
    """PSNR of every method, of all scenes at all levels of noise; and middle frames at the level in the middle."""
    scores: dict[str, dict[float, list[float]]] = {name: {level: [] for level in LEVELS} for name in chosen}
    versions: dict[str, Versions] = {}
    for index, clip in enumerate(clips):
        for level in LEVELS:
            noisy = replace(clip, small=light_noise(clip.small, level, np.random.default_rng(FIRST_SEED + index)))
            shown: Versions = {}
            for name, method in chosen.items():
                result = method(noisy)
                scores[name][level].append(metrics.psnr(result, clip.truth))
                shown[name] = middle(result)
            if level == LEVELS[1]:
                versions[f"scene {index + 1}"] = {**shown, "original": middle(clip.truth)}
        print(f"scene {index + 1} of {len(clips)}", file=sys.stderr, flush=True)
    means = {name: {level: mean(values) for level, values in levels.items()} for name, levels in scores.items()}
    overall = {name: mean(list(levels.values())) for name, levels in means.items()}
    rows = [
        (
            name,
            number(overall[name], 2),
            number(overall[name] - overall["bicubic"], 2),
            *(number(value, 2) for value in levels.values()),
        )
        for name, levels in means.items()
    ]
    heads = ("method", "PSNR", "over bicubic", *(f"noise {level}" for level in LEVELS))
    return Table(f"x4, {len(clips)} scenes of {clips[0].truth.shape[2]} px", heads, tuple(rows)), versions


def measure_game(folder: Path, frames: int, others: Sequence[Path]) -> Table:
    """PSNR of a game's clip, whose passes are motion and depth alone."""
    truth, small, passes = mobss.read_clip(folder, frames)
    size = (int(truth.shape[1]), int(truth.shape[2]))
    upsampled = resize(small, size)
    results = {"bicubic": upsampled, "bicubic + back-projection": back_project(upsampled, small)}
    results["DAP small"] = load_fast("dap").upscale(small, size)
    for name, network in {"RDG small": load_fast("rdg"), **{path.stem: load_fast(path) for path in others}}.items():
        results[f"{name}, all passes"] = network.upscale(small, size, passes)
        results[f"{name}, no passes"] = network.upscale(small, size)
    scores = {name: metrics.psnr(result.clamp(0, 1), truth) for name, result in results.items()}
    rows = [(name, number(score, 2), number(score - scores["bicubic"], 2)) for name, score in scores.items()]
    return Table(f"x4, a game, {frames} frames of {size[1]}x{size[0]}", ("method", "PSNR", "over bicubic"), tuple(rows))


def _size(clip: RenderedClip) -> tuple[int, int]:
    return int(clip.truth.shape[1]), int(clip.truth.shape[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder of photographs for textures")
    parser.add_argument("--only", help="patterns of their names, with commas")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--side", type=int, default=256, help="of the true frames, px")
    parser.add_argument("--other", type=Path, nargs="*", default=(), help="more RDG files, such as RDG_Small.pth")
    parser.add_argument("--game", type=Path, help="folder with a clip of MobSS")
    parser.add_argument("--save", type=Path, help="folder for a sheet of crops at 1:1")
    parser.add_argument("--markdown", type=Path, help="file to write the table to, and that of a game to ..._game.md")
    options = parser.parse_args()
    table, versions = measure(rendered(options), methods(options.other))
    tables = {"": table}
    if options.game:
        tables["_game"] = measure_game(options.game, options.frames, options.other)
    for one in tables.values():
        print(as_text(one))
    if options.save:
        write_png(options.save / "renders.png", contact_sheet(versions))
    if options.markdown:
        for suffix, one in tables.items():
            path = options.markdown.with_stem(f"{options.markdown.stem}{suffix}")
            write_markdown(path, "Renders" if not suffix else "A game", [one], NOTES, sys.argv)


if __name__ == "__main__":
    main()
