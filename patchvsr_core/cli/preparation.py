"""What a command needs before the work begins: the input looked at, the networks loaded, the chunks planned."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..distributed import SINGLE, ProcessGroup
from ..errors import PlanError
from ..plan.target_size import target_size

if TYPE_CHECKING:
    from ..finish.strength_map import StrengthMap
    from ..video import VideoInfo
    from ..video.chunk_files import Encoding
    from ..video.reader import Timeline
    from .engine import Engine

FOR_DIFFUSION = ("model", "chunk_overlap")
"""Options beside settings and files that have no effect on a real-time network."""


def encoding_of(options: argparse.Namespace) -> Encoding:
    """The encoding that the options choose."""
    from ..video.chunk_files import Encoding

    return Encoding(
        crf=options.crf,
        codec=options.codec,
        depth=options.depth,
        alpha=not options.no_alpha,
        subtitles=not options.no_subtitles,
        audio=options.audio,
    )


def probe_job(
    options: argparse.Namespace, output: Path, encoding: Encoding
) -> tuple[VideoInfo, tuple[int, int], Timeline]:
    """(input, size of the result, times of its frames); raises now for what cannot be read or written."""
    from ..video import scan
    from ..video.chunk_files import check_output, image_numbers
    from ..video.sequence import check_no_stale_images, is_sequence
    from ..video.writer import check_target

    info, target = checked_input(options)
    check_target(output, info.path)
    check_output(output, target, info, encoding)
    timeline = scan(info, find_cuts=not options.no_cuts, strict=options.strict)
    for notice in timeline.notices:
        print(f"patchvsr: {notice}", file=sys.stderr)
    if is_sequence(output):
        check_no_stale_images(output, image_numbers(info, timeline))
    return info, target, timeline


def checked_input(options: argparse.Namespace) -> tuple[VideoInfo, tuple[int, int]]:
    """(input, size of the result); raises for what can be neither planned nor upscaled."""
    from ..video import probe, read_frames
    from ..video.info import with_fields, with_section

    info = with_section(with_fields(probe(options.input), options.fields), options.begin, options.end)
    target = target_size((info.height, info.width), scale=options.scale, size=options.size)
    read_frames(info.path, count=1)
    return info, target


def load_engine(
    options: argparse.Namespace, info: VideoInfo, target: tuple[int, int], group: ProcessGroup = SINGLE
) -> Engine:
    """Load what does the work."""
    if options.fast is None:
        if options.passes is not None:
            raise PlanError("Only the network rdg sees render passes; add --fast rdg, or leave --passes out.")
        from .diffusion_engine import diffusion_engine

        return diffusion_engine(info, target, vars(options), group)
    from .realtime_engine import fast_engine

    return fast_engine(
        info,
        target,
        options.fast,
        options.device,
        options.passes,
        options.precision,
        adds_to_result=vars(options).get("strength_map") is not None,
    )


def chunk_lengths(options: argparse.Namespace, engine: Engine, frames: int) -> tuple[int, int]:
    """(frames in a chunk, frames of overlap)."""
    return engine.chunks(frames, options.chunk_frames, options.chunk_overlap)


def resumable_chunks(options: argparse.Namespace, output: Path) -> tuple[int, int] | None:
    """Those of an unfinished run, unless the user chose some."""
    from ..video.journal import unfinished_chunks

    chosen = options.fresh or options.chunk_frames is not None or options.chunk_overlap is not None
    return None if chosen else unfinished_chunks(output)


def read_strength_map(options: argparse.Namespace) -> StrengthMap:
    """The map of --strength-map; that of full strength without it."""
    from ..finish.strength_map import StrengthMap
    from ..video import read_frames

    if options.strength_map is None:
        return StrengthMap()
    return StrengthMap(map=read_frames(options.strength_map, count=1)[..., :3].mean(-1))


def name_unused(options: argparse.Namespace) -> None:
    """Print which of the given options have no effect on a real-time network."""
    from ..settings import MODEL_FILES, OPTIONS, flag_of

    if options.fast is None:
        return
    flags = {name: flag_of(name, chosen) for name, chosen in OPTIONS.items()}
    flags |= {name: f"--{name.replace('_', '-')}" for name in (*MODEL_FILES, *FOR_DIFFUSION)}
    given = sorted(flag for name, flag in flags.items() if getattr(options, name, None) is not None)
    if given:
        verb = "has" if len(given) == 1 else "have"
        print(f"patchvsr: {', '.join(given)} {verb} no effect with --fast.", file=sys.stderr)
