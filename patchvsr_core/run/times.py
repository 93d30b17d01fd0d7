"""Times of earlier runs on this machine, in a small JSON file: the last few of every kind of work.

Nothing here may stop a run: a file that cannot be read or written is logged once and replaced.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from statistics import median_low
from typing import Any

from ..adapter import BaseSpec
from ..settings import RESTORER
from ..stages.families import same_codec
from .throughput import Throughput

log = logging.getLogger(__name__)

KEPT = 5
"""Runs of the same kind of work; one slow run among them changes nothing."""
LONGEST_SECONDS = 1e6
MOST_BYTES = 2**20
MOST_KINDS = 200
"""Of work on one device; those that were timed longest ago are dropped."""
SIZES = r"(?P<width>[1-9]\d{0,5})x(?P<layers>[1-9]\d{0,3})x(?P<ffn>[1-9]\d{0,5})"
"""Of a base; none is 0, as what is scaled is divided by them."""
PATCH = re.compile(rf"patch\|(?P<family>\w{{1,20}}) {SIZES}\|([1-9]\d{{0,8}})")
STAGE = re.compile(r"stage\|(?P<stage>\w{1,20})(\|(?P<family>\w{1,20}))?")
FORMERLY = {"base": RESTORER}
"""Stages that files of earlier versions know by another name."""

Runs = dict[str, dict[str, list[float]]]
"""Seconds of the last runs, oldest first, by device and kind of work; what was timed last comes last."""


class RunTimes:
    """Reads the file once, and writes it after every run.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._runs = read(path)

    def typical(self, device: str) -> dict[str, float]:
        """Seconds by kind of work: the median of the last runs, the lower one of two."""
        with self._lock:
            return {kind: median_low(seconds) for kind, seconds in self._runs.get(device, {}).items()}

    def add(self, device: str, kind: str, seconds: float) -> None:
        """Keep the time of a run; one that cannot be true is ignored."""
        if not is_time(seconds):
            return
        with self._lock:
            by_kind = self._runs.setdefault(device, {})
            by_kind[kind] = [*by_kind.pop(kind, []), seconds][-KEPT:]
            for oldest in list(by_kind)[:-MOST_KINDS]:
                del by_kind[oldest]
            self._write()

    def _write(self) -> None:
        part = self.path.with_suffix(".part")
        try:
            part.write_text(json.dumps(self._runs, indent=1), encoding="utf-8")
            part.replace(self.path)
        except OSError as error:
            log.info("PatchVSR: the times of this run could not be written (%s)", error)


def read(path: Path) -> Runs:
    """What a file holds, without entries that make no sense; nothing when it is none of ours."""
    try:
        if not path.exists():
            return {}
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as error:
        log.info("PatchVSR: %s cannot be read and is begun anew (%.200s)", path.name, error)
        return {}
    return {device: _kinds(by_kind) for device, by_kind in found.items() if isinstance(by_kind, dict)}


def is_time(seconds: Any) -> bool:
    """Whether a value can be the seconds that some work took."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return False
    return 0 < seconds < LONGEST_SECONDS  # a comparison holds for no NaN, and integers of any length can be compared


def patch_kind(family: str, spec: BaseSpec, tokens: int) -> str:
    """Names the evaluation of a patch of so many tokens by a base."""
    return f"patch|{family} {spec.width}x{spec.layers}x{spec.ffn}|{tokens}"


def stage_kind(stage: str, family: str | None = None) -> str:
    """Names a stage, timed per megapixel of the result; ``family`` where it depends on the codec."""
    return f"stage|{stage}" if family is None else f"stage|{stage}|{family}"


def throughput(times: dict[str, float], family: str) -> Throughput:
    """What :meth:`RunTimes.typical` says about a family; of its sizes, the one that ran last counts.

    A family that a codec stands for may be any that shares it, as Patch Planner sees no model: the one that ran last.
    """
    alike = same_codec(family)
    families = alike if family == alike[0] else (family,)
    patches: dict[int, float] = {}
    model, attention_tokens = "", math.inf
    for kind, seconds in reversed(times.items()):
        found = PATCH.fullmatch(kind)
        if found is None or found["family"] not in families or not kind.startswith(model):
            continue
        model = model or kind.rpartition("|")[0] + "|"
        patches[int(found[5])] = seconds
        attention_tokens = 3 * int(found["width"]) + int(found["ffn"])
    return Throughput(patches, dict(_stages(times.items(), alike)), attention_tokens=attention_tokens)


def _stages(times: Iterable[tuple[str, float]], families: Collection[str]) -> Iterable[tuple[str, float]]:
    for kind, seconds in times:
        found = STAGE.fullmatch(kind)
        if found is not None and found["family"] in (None, *families):
            yield FORMERLY.get(found["stage"], found["stage"]), seconds


def _kinds(by_kind: dict[str, Any]) -> dict[str, list[float]]:
    """Known kinds of work, with times that can be true."""
    kept: dict[str, list[float]] = {}
    for kind, seconds in by_kind.items():
        if (PATCH.fullmatch(kind) or STAGE.fullmatch(kind)) and isinstance(seconds, list):
            possible = [float(each) for each in seconds if is_time(each)][-KEPT:]
            if possible:
                kept[kind] = possible
    return kept
