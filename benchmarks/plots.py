"""Pictures for the README out of measured results: time against pixels, and peak memory.

Needs ``pip install -r benchmarks/requirements.txt``. By itself it takes the results that are kept here.

    python benchmarks/plots.py
    python benchmarks/plots.py --results benchmarks/results/GPU --out docs
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image
from tables import ROOT

matplotlib.use("agg")  # no screen is needed

BLUE, ORANGE, GREY = "#0969da", "#d1570a", "#59636e"
DPI = 130
PALETTE = 64
"""Colours of a picture, so that it stays small."""
STYLE = {
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.grid.which": "major",
    "grid.color": "#d8dee4",
    "legend.frameon": False,
    "lines.marker": "o",
    "lines.markersize": 4,
}
OF_OTHERS = ("bicubic", "SPAN", "Real-ESRGAN x4plus")
Results = dict[str, Any]
Rows = list[dict[str, Any]]


def time_against_pixels(results: Results) -> None:
    """Of scaling.json: patched beside full-frame attention, on both axes in powers."""
    rows: Rows = results["tables"]["scaling"]["rows"]
    figure, axes = plt.subplots(figsize=(5.2, 3.4))
    for key, label, color in (("full", "attention over the whole frame", ORANGE), ("patched", "patches", BLUE)):
        known = [row for row in rows if isinstance(row[key], float)]
        pixels, seconds = ([row["pixels"] / 1e6 for row in known], [row[key] for row in known])
        axes.plot(pixels, seconds, color=color, label=label)
    axes.set(xscale="log", yscale="log", xlabel="megapixels of the clip (log)", ylabel="seconds, whole run (log)")
    axes.set_xticks([row["pixels"] / 1e6 for row in rows], [f"{row['pixels'] / 1e6:.2g}" for row in rows])
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain(axes)
    axes.legend()
    titled(figure, "Time against pixels", results)


def peak_memory(results: Results) -> None:
    """Of memory.json: against the size of the result, and against the length of the clip."""
    tables = results["tables"]
    figure, both = plt.subplots(1, 2, figsize=(7.4, 3.2))
    against_size(both[0], tables["size"]["rows"])
    against_length(both[1], tables["length"]["rows"])
    titled(figure, "Peak memory", results)


def time_against_closeness(results: Results) -> None:
    """Of peers.json: what a megapixel costs, and how close to the original it looks."""
    rows: Rows = [row for row in results["tables"]["peers"]["rows"] if isinstance(row.get("LPIPS"), float)]
    figure, axes = plt.subplots(figsize=(5.2, 3.4))
    ours = [row["name"] for row in rows if row["name"] not in OF_OTHERS]
    for row in rows:
        name, at = row["name"], (row["cpu"], row["LPIPS"])
        axes.plot(*([value] for value in at), color=BLUE if name in ours else ORANGE)
        # Names of ours stand to the right, the last one below, those of others to the left: they do not touch.
        offset, side = ((5, -11 if name == ours[-1] else 5), "left") if name in ours else ((-5, -11), "right")
        axes.annotate(name, at, offset, textcoords="offset points", fontsize=7, ha=side)
    axes.set(xscale="log", xlabel="seconds of one core for a megapixel (log)", ylabel="LPIPS, lower is closer")
    axes.set_xlim(min(row["cpu"] for row in rows) / 5, 4 * max(row["cpu"] for row in rows))
    axes.set_ylim(0, 1.15 * max(row["LPIPS"] for row in rows))
    titled(figure, "Time and closeness to the original", results)


def against_size(axes: Axes, rows: Rows) -> None:
    known = [row for row in rows if isinstance(row["beyond"], float)]
    pixels = [megapixels(row["output"]) for row in known]
    axes.plot(pixels, [row["beyond"] / 1024 for row in known], color=BLUE, label="measured, beyond weights")
    expected = [row["expected"] / 1024 for row in known]
    axes.plot(pixels, expected, color=GREY, ls="--", marker="", label="expected: frames and latents")
    for place, row in zip(pixels, known, strict=True):
        at = place, row["beyond"] / 1024
        axes.annotate(row["output"], at, (-4, 5), textcoords="offset points", ha="right", fontsize=7)
    frames = known[0]["frames"]
    axes.set(xlabel="megapixels of a frame", ylabel="GiB", title=f"tiny default, {frames} frame{'s' * (frames > 1)}")
    axes.set_xlim(-0.2 * max(pixels), None)
    axes.set_ylim(0, 1.5 * max(row["beyond"] for row in known) / 1024)
    axes.legend(loc="upper left", fontsize=8)


def against_length(axes: Axes, rows: Rows) -> None:
    axes.plot([row["frames"] for row in rows], [row["process"] / 1024 for row in rows], color=BLUE)
    axes.set(xscale="log", xlabel="frames of the clip (log)", ylabel="GiB, whole process")
    axes.set_title(f"to {rows[0]['output']}, in chunks of 21 frames")
    axes.set_xticks([row["frames"] for row in rows], [str(row["frames"]) for row in rows])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.5 * max(row["process"] for row in rows) / 1024)


def megapixels(output: str) -> float:
    width, height = map(int, output.split("x"))
    return width * height / 1e6


def plain(axes: Axes) -> None:
    """Seconds without exponents, three to a power of ten."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def titled(figure: Any, text: str, results: Results) -> None:
    figure.suptitle(text, fontweight="bold")
    figure.text(0.99, 0.01, results["device"], ha="right", color=GREY, fontsize=7)
    figure.tight_layout(rect=(0, 0.02, 1, 1))


def save(path: Path) -> None:
    """The figure, in few colours."""
    drawn = io.BytesIO()
    plt.savefig(drawn, dpi=DPI)
    plt.close()
    with Image.open(drawn) as picture:
        picture.convert("RGB").quantize(PALETTE).save(path, optimize=True)


PLOTS: dict[str, tuple[str, Callable[[Results], None]]] = {
    "time_against_pixels.png": ("scaling.json", time_against_pixels),
    "peak_memory.png": ("memory.json", peak_memory),
    "time_against_closeness.png": ("peers.json", time_against_closeness),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSONs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (source, plot) in PLOTS.items():
        path = options.results / source
        if not path.is_file():
            print(f"No {name}: {source} is not there; run benchmarks/{path.stem}.py --json {options.results / source}")
            continue
        with plt.rc_context(STYLE):
            plot(json.loads(path.read_text(encoding="utf-8")))
            save(options.out / name)
        print(f"{name}: {(options.out / name).stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
