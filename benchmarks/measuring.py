"""Time and memory, measured so that they can be compared; results as JSON and Markdown.

Variants take turns in every round, so that a slow moment of the machine meets all of them, and are
compared round by round.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import torch
from torch._dynamo.exc import TorchDynamoException

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from tables import Table, as_text, conditions, number, write_markdown

from patchvsr_core.devices import synchronise, time_call
from patchvsr_core.run.malloc import trim_malloc

MIB = 2**20
OUT_OF_MEMORY, NOT_COMPILED = "out of memory", "not compiled"

Work = Callable[[], object]
Variant = Callable[[int], Work]
"""Told the number of the round (warm-up included), gets ready and answers with what is to be timed."""


def always(work: Work) -> Variant:
    """A variant that needs no preparation."""
    return lambda _: work


@dataclass
class Timing:
    """Seconds of every round that counts."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Of all threads of the processor."""

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def spread(self) -> float:
        """Slowest round over the fastest."""
        return max(self.wall) / min(self.wall)

    def ratio(self, reference: Timing, kind: str = "wall") -> float:
        """Median over the rounds of this one's seconds over the other's."""
        pairs = zip(getattr(self, kind), getattr(reference, kind), strict=True)
        return statistics.median(a / b for a, b in pairs)


def timed(work: Work) -> tuple[float, float]:
    """(seconds, seconds of the processor)."""
    start = time.process_time()
    wall = time_call(work)
    return wall, time.process_time() - start


def in_turn(variants: Mapping[str, Variant], rounds: int, warm_up: int = 1) -> dict[str, Timing]:
    """Time all variants ``rounds`` times, after ``warm_up`` rounds that do not count."""
    timings = {name: Timing() for name in variants}
    for index in range(warm_up + rounds):
        for name, variant in variants.items():
            wall, cpu = timed(variant(index))
            if index >= warm_up:
                timings[name].wall.append(wall)
                timings[name].cpu.append(cpu)
            progress(f"round {index + 1} of {warm_up + rounds}: {name} {wall:.3f} s")
    return timings


def peak_bytes(work: Work, device: str) -> float:
    """Memory at its peak above what was held before, of the device; NaN where the system does not tell."""
    trim_malloc()
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - held
    held = psutil.Process().memory_info()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak counts from here
    except OSError:
        return math.nan
    work()
    taken_back = max(0, held.shared - psutil.Process().memory_info().shared)  # pages of libraries, by the system
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 2**10
    return peak + taken_back - held.rss


class Watch:
    """Adds up the seconds spent in named pieces of a run; one within another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    def take(self) -> dict[str, float]:
        """Seconds by name since the last time."""
        taken, self.seconds = self.seconds, {}
        return taken

    def timing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        def watched(*arguments: Any, **options: Any) -> Any:
            with self.piece(name):
                return function(*arguments, **options)

        return watched

    @contextmanager
    def piece(self, name: str) -> Iterator[None]:
        """What happens within belongs to ``name``."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        """What went by since the last change belongs to the innermost piece."""
        synchronise()
        now = time.perf_counter()
        if self._open:
            name = self._open[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


@contextmanager
def replaced(places: Sequence[tuple[Any, str, str]], timing: Callable[[str, Any], Any]) -> Iterator[ExitStack]:
    """Functions within are measured.

    Args:
        places: where each is looked up, its name there, and the piece that its time belongs to.
        timing: the function that takes the place of one, given the piece and the function.
    """
    with ExitStack() as stack:
        for owner, attribute, name in places:
            stack.enter_context(patch.object(owner, attribute, timing(name, getattr(owner, attribute))))
        yield stack


@contextmanager
def fits(row: dict[str, Any], *keys: str) -> Iterator[None]:
    """Where memory does not suffice or there is no compiler, ``keys`` of the row say so."""
    try:
        yield
    except (torch.OutOfMemoryError, TorchDynamoException) as error:
        text = OUT_OF_MEMORY if isinstance(error, torch.OutOfMemoryError) else NOT_COMPILED
        row.update(dict.fromkeys(keys, text))
        progress(f"{text}: {error}")


@dataclass(frozen=True)
class Column:
    """One value of every row."""

    key: str
    head: str
    digits: int = 2


@dataclass(frozen=True)
class Records:
    """Rows of values, and how they are shown."""

    key: str
    """Its name in JSON."""
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]
    """By the columns' keys; others are kept in JSON alone."""

    def table(self) -> Table:
        """Cells as they are shown."""
        heads = tuple(column.head for column in self.columns)
        return Table(self.title, heads, tuple(tuple(map(self._cell(row), self.columns)) for row in self.rows))

    @staticmethod
    def _cell(row: Mapping[str, Any]) -> Callable[[Column], str]:
        def cell(column: Column) -> str:
            value = row.get(column.key, math.nan)
            return number(value, column.digits) if isinstance(value, float) else str(value)

        return cell


def add_common(parser: argparse.ArgumentParser) -> None:
    """Where the work is done, and where the results go beside the screen."""
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    parser.add_argument("--json", type=Path, help="file to write all values to")


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, with the threads as asked for."""
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


def publish(options: argparse.Namespace, title: str, parts: Sequence[Records], notes: str) -> None:
    """Show the tables, and write the files that the user asked for."""
    print(*(as_text(part.table()) for part in parts), notes, sep="\n")
    keep(options, title, parts, notes)


def keep(options: argparse.Namespace, title: str, parts: Sequence[Records], notes: str) -> None:
    """Write the files alone: what is known so far, for a run that may be stopped."""
    if options.markdown:
        tables = [part.table() for part in parts]
        write_markdown(options.markdown, title, tables, notes, sys.argv, options.device)
    if options.json:
        content = {
            "title": title,
            **conditions(sys.argv, options.device),
            "tables": {part.key: {"title": part.title, "rows": [dict(row) for row in part.rows]} for part in parts},
            "notes": notes,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_known(content), indent=1, ensure_ascii=False, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")


def _known(value: Any) -> Any:
    """The same with None in the place of what could not be measured."""
    if isinstance(value, dict):
        return {key: _known(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_known(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def progress(text: str) -> None:
    """Tell who waits."""
    print(text, file=sys.stderr, flush=True)


def size(text: str) -> tuple[int, int]:
    """(height, width) of ``WIDTHxHEIGHT``, for arguments."""
    width, height = (int(part) for part in text.lower().split("x"))
    return height, width


def named(size: tuple[int, int]) -> str:
    """``WIDTHxHEIGHT`` of (height, width)."""
    return f"{size[1]}x{size[0]}"
