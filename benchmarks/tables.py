"""Results as tables: on the screen, and in Markdown files that say how they were made."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import patchvsr_core
from patchvsr_core.version import VERSION

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; the first column names the rows."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float, digits: int) -> str:
    """A cell; what could not be measured (NaN) is a dash."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def mean(values: Sequence[float]) -> float:
    """Over what could be measured; NaN if nothing could."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def as_text(table: Table) -> str:
    """Columns aligned, under the title."""
    lines = [table.heads, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.heads))]
    shown = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    return "\n".join([table.title, *shown, ""])


def as_markdown(table: Table) -> str:
    """A heading and a Markdown table."""
    rule = ("---", *["---:"] * (len(table.heads) - 1))
    lines = ["| " + " | ".join(line) + " |" for line in (table.heads, rule, *table.rows)]
    return "\n".join([f"## {table.title}", "", *lines, ""])


def write_markdown(
    path: Path, title: str, tables: Sequence[Table], notes: str, arguments: Sequence[str], device: str | None = None
) -> None:
    """A file that shows the tables and the command that made them."""
    parts = [f"# {title}", "", made_by(arguments, device), "", *map(as_markdown, tables), notes]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def made_by(arguments: Sequence[str], device: str | None = None) -> str:
    """The command and what it ran with, for Markdown."""
    known = conditions(arguments, device)
    weights = ", ".join(f"{name} {digest}" for name, digest in known["weights"].items())
    versions = f"torch {known['torch']}, diffusers {known['diffusers']}"
    return f"```\n{known['command']}\n```\n\nPatchVSR {known['patchvsr']} ({weights}), {versions}, {known['device']}."


def conditions(arguments: Sequence[str], device: str | None = None) -> dict[str, Any]:
    """The command and what it ran with. Absolute paths are cut to names: they mean nothing elsewhere.

    Args:
        device: where the work was done; None: on the GPU if there is one.
    """
    program = f"python benchmarks/{Path(arguments[0]).name}"
    words = [Path(word).name if Path(word).is_absolute() else word for word in arguments[1:]]
    manifest = Path(patchvsr_core.__file__).parent / "weights" / "manifest.json"
    files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    return {
        "command": f"{program} {shlex.join(words)}".strip(),
        "patchvsr": VERSION,
        "weights": {Path(name).stem: file["sha256"][:8] for name, file in files.items()},
        "torch": torch.__version__,
        "diffusers": version("diffusers"),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    }


def device_name(device: str | None = None) -> str:
    """What a torch device is called; None: the GPU if there is one, otherwise the processor."""
    if torch.cuda.is_available() and device != "cpu":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()} with {threads} thread{'s' if threads > 1 else ''}"


def _processor() -> str:
    """Its name where Linux tells, otherwise CPU."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"CPU ({line.partition(':')[2].strip()})"
    return "CPU"
