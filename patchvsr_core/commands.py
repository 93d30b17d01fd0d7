"""What the commands of the command line do."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tqdm import tqdm

from .errors import MediaError
from .settings import Settings
from .sizes import target_size

if TYPE_CHECKING:
    from .hosts.models import Models
    from .video import VideoInfo
    from .video.pieces import Encoding

BAR = "{desc}|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}]"
UNITS = {
    "base": "frames",
    "encode": "tiles",
    "denoise": "patches x steps",
    "decode": "tiles",
    "refine": "frames",
    "fidelity": "frames",
}


@dataclass(frozen=True, eq=False)
class _Task:
    """What both commands find out first."""

    info: VideoInfo
    target: tuple[int, int]
    models: Models
    settings: Settings


def upscale(options: argparse.Namespace) -> None:
    """Make a file from a file."""
    from .video import probe, scan
    from .video.pieces import Encoding, check_output
    from .video.writer import check_target

    output = Path(options.output)
    info = probe(options.input)
    target = target_size((info.height, info.width), scale=options.scale, size=options.size)
    check_target(output, info.path)
    encoding = Encoding(
        crf=options.crf,
        codec=options.codec,
        depth=options.depth,
        alpha=not options.no_alpha,
        subtitles=not options.no_subtitles,
    )
    check_output(output, target, info, encoding)
    timeline = scan(info.path, find_cuts=not options.no_cuts)
    task = _task(options, info, target)
    from .long import Job, upscale_file
    from .memory import keep_flat
    from .pipeline import upscale as upscale_clip

    length, overlap = _chunks_to_go_on_with(options, output) or _chunks(options, task, len(timeline.timestamps))
    _announce(options, task, len(timeline.timestamps), length, overlap, encoding)
    keep_flat()
    start = time.monotonic()
    with _Bar() as bar:
        job = Job(info, output, target, task.settings, length, overlap, encoding, fresh=options.fresh)
        upscale_file(
            job,
            timeline,
            task.models,
            work=upscale_clip,
            weights=task.models.identity,
            report=bar,
            on_chunk=bar.next_chunk,
        )
    seconds = time.monotonic() - start
    print(f"{output}: {len(timeline.timestamps)} frames of {target[1]}x{target[0]} in {seconds:.0f} s")


def plan(options: argparse.Namespace) -> None:
    """Say what a run would take."""
    from .video import probe

    info = probe(options.input)
    task = _task(options, info, target_size((info.height, info.width), scale=options.scale, size=options.size))
    target, settings = task.target, task.settings
    if not info.frames:
        raise MediaError(f"{info.path.name} does not say how many frames it has; convert it to .mp4 first.")
    from .chunks import plan_chunks
    from .estimate import estimate
    from .stages import make_plan

    length, overlap = _chunks(options, task, info.frames)
    chunks = plan_chunks(info.frames, (), length, overlap)
    longest = max(chunk.length for chunk in chunks)
    patches = make_plan(longest, (info.height, info.width), target, task.models, settings)
    cost = estimate(patches, task.models, settings)
    kinds = [patch.kind for patch in patches.patches]
    frames, height, width = patches.patch_size
    print(f"input      {info.width}x{info.height}, {info.frames} frames, {float(info.fps):g} frames/s")
    print(f"output     {target[1]}x{target[0]}")
    print(f"chunks     {len(chunks)} of up to {longest} frames, and more at cuts")
    print(f"canvas     {' x '.join(map(str, patches.canvas.latent_shape))} latent cells (T x H x W) a chunk")
    print(f"patches    {len(kinds)} of {frames} x {height} x {width}, layout {patches.layout}")
    for kind in ("primary", "auxiliary", "corner"):
        print(f"           {kinds.count(kind):6d} {kind}")
    print(f"work       {cost.patches} patch evaluations a chunk in {settings.steps} steps")
    print(f"memory     about {cost.memory_bytes / 2**30:.2f} GiB beside the weights")
    print(f"time       about {cost.seconds * len(chunks):.0f} s on {task.models.device}")


def _task(options: argparse.Namespace, info: VideoInfo, target: tuple[int, int]) -> _Task:
    from .hosts.models import load_models

    files = {name: getattr(options, name) for name in ("vae", "adapter", "refiner", "decoder", "prompt", "negative")}
    models = load_models(options.model, **files, device=options.device)
    names = Settings.__dataclass_fields__
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    return _Task(info, target, models, replace(models.defaults, **given))


def _chunks(options: argparse.Namespace, task: _Task, frames: int) -> tuple[int, int]:
    """(frames in a chunk, frames of overlap)."""
    from .memory import chunk_frames

    length = options.chunk_frames
    if length is None:
        length = chunk_frames(frames, (task.info.height, task.info.width), task.target, task.models, task.settings)
    overlap = options.chunk_overlap
    return length, min(2, length // 3) if overlap is None else overlap


def _chunks_to_go_on_with(options: argparse.Namespace, output: Path) -> tuple[int, int] | None:
    """Those of an unfinished run, unless the user chose some."""
    from .video.journal import unfinished_chunks

    chosen = options.fresh or options.chunk_frames is not None or options.chunk_overlap is not None
    return None if chosen else unfinished_chunks(output)


def _announce(
    options: argparse.Namespace, task: _Task, frames: int, length: int, overlap: int, encoding: Encoding
) -> None:
    """Say what the run will take, and refuse what the disk cannot hold."""
    from .chunks import plan_chunks
    from .estimate import estimate
    from .stages import make_plan
    from .video.space import check_space, disk_bytes

    disk = disk_bytes(Path(options.output), frames, task.target, task.info, encoding)
    check_space(Path(options.output), disk)
    chunks = plan_chunks(frames, (), length, overlap)
    source = task.info.height, task.info.width
    plan = make_plan(chunks[0].length, source, task.target, task.models, task.settings)
    cost = estimate(plan, task.models, task.settings)
    print(
        f"{frames} frames to {task.target[1]}x{task.target[0]}: about {_time(cost.seconds * len(chunks))}, "
        f"{cost.memory_bytes / 2**30:.1f} GiB of memory beside the weights, {disk / 2**30:.2f} GiB of disk",
        file=sys.stderr,
    )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Bar:
    """A progress bar for each stage in turn."""

    def __enter__(self) -> _Bar:
        self.stage = self.chunk = ""
        self.bar: tqdm[None] | None = None
        return self

    def next_chunk(self, number: int, total: int) -> None:
        """Number the chunks, where there are several."""
        if number < total > 1:
            self.stage, self.chunk = "", f"chunk {number + 1}/{total} "

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.bar is None or stage != self.stage:
            self._close()
            self.stage = stage
            name = f"{self.chunk}{stage:8}"
            self.bar = tqdm(desc=name, total=total, unit=UNITS[stage], dynamic_ncols=True, bar_format=BAR)
        self.bar.update(done - self.bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            sys.stderr.flush()
