"""``-`` as input or output: y4m and NUT streams from and to other programs.

An input is read several times and its result written at the end, so that both wait in a file: beside the output, or in
the system's temporary folder where there is none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import MediaError, OutputError, PlanError
from ..video.hidden_names import hidden_beside
from ..video.info import probe
from ..video.raw_streams import send_nut, send_y4m
from ..video.writer import check_target, explain_write_errors
from .torchrun import Launch

PIPE = "-"
NUT, Y4M = FORMATS = ("nut", "y4m")
MAGIC = {b"YUV4MPEG2": Y4M, b"nut/multimedia": NUT}
BLOCK_BYTES = 2**20


@contextmanager
def through_pipes(options: argparse.Namespace, launch: Launch) -> Iterator[argparse.Namespace]:
    """Options with files in place of pipes; the result is written to standard output at the end.

    Raises:
        MediaError: when standard input is no stream of y4m or NUT.
        OutputError: when nobody reads the result.
        PlanError: for several processes.
    """
    chosen = argparse.Namespace(**vars(options), is_piped=options.output == PIPE)
    if PIPE not in (options.input, options.output):
        yield chosen
        return
    if launch.size > 1:
        raise PlanError("Pipes work in one process; run it without torchrun, or name files.")
    with _folder_for(options.output) as folder:
        kind = options.pipe or NUT
        if options.input == PIPE:
            path = _spool(sys.stdin.buffer, folder)
            chosen.input, kind = str(path), options.pipe or path.suffix[1:]
        if options.output == PIPE:
            _check_reader(options)
            chosen.output, chosen.codec = str(folder / "stdout.mkv"), "ffv1"
        yield chosen
        if options.output == PIPE:
            _send(Path(chosen.output), Path(chosen.input), kind)


@contextmanager
def _folder_for(output: str) -> Iterator[Path]:
    """A folder for files in place of pipes, removed at the end."""
    if output == PIPE:
        with tempfile.TemporaryDirectory(prefix="patchvsr-") as temporary:
            yield Path(temporary)
        return
    check_target(Path(output))
    folder = hidden_beside(Path(output), Path(output).name, f".patchvsr.pipe{os.getpid()}")
    try:
        with explain_write_errors(folder):
            folder.mkdir(exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _spool(source: BinaryIO, folder: Path) -> Path:
    """Write standard input to a file with the suffix of its format."""
    head = b"" if source.isatty() else source.read(BLOCK_BYTES)
    kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)
    if kind is None:
        raise MediaError("Standard input has no y4m or NUT stream; pipe one in, such as that of ffmpeg -f nut -.")
    path = folder / f"stdin.{kind}"
    with explain_write_errors(path), path.open("wb") as file:
        file.write(head)
        shutil.copyfileobj(source, file, BLOCK_BYTES)
    return path


def _check_reader(options: argparse.Namespace) -> None:
    if sys.stdout.isatty():
        raise OutputError("Standard output is a terminal; pipe it into a program, or name a file.")
    if options.codec:
        print(
            f"patchvsr: --codec {options.codec} has no effect on a pipe, whose frames are not coded.", file=sys.stderr
        )


def _send(result: Path, source: Path, kind: str) -> None:
    """Write a result to standard output."""
    try:
        {NUT: send_nut, Y4M: send_y4m}[kind](result, probe(source), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(f"The program that reads the result has ended ({error.strerror or error}).") from error
