"""A real-time network as the command line runs it."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..devices import AUTO, network_dtype, precision_name, resolve_device, time_call, time_warm_call
from ..errors import OutputError, PlanError
from ..plan.chunks import Chunk
from ..realtime.exr_passes import PassFiles, has_passes, open_passes
from ..realtime.upscaler import FastUpscaler, State, load_fast, upscale_chunk
from ..resample import resize
from ..run.cost import Stream, stream_memory
from ..run.memory import streamed_frames
from ..run.oom_backoff import Work
from ..video.chunk_files import Encoding, chunk_suffix, write_chunk
from ..video.hidden_names import hidden_beside
from ..video.info import VideoInfo
from ..video.reader import read_frames
from .engine import Cost

PIECE_PX = 128
"""Longest side of the part of a frame that is upscaled to measure a CPU's speed; a GPU gets a whole frame."""
PASS_VALUES = 20
"""Of a pixel of the input while its render passes are read."""
NO_PASSES = "none"
"""Leaves the passes of the input unused."""
WRITTEN_PX = 2**25
WRITTEN_FRAMES = 2
"""What is encoded to measure the speed of that, at most: the first frame of the result waits for it."""
SHORT_SECONDS = 10.0
"""Of the network. A run that takes no longer starts at once: measuring how fast it is written would be a part of it."""


@dataclass(frozen=True, eq=False)
class FastEngine:
    """See :class:`engine.Engine`."""

    info: VideoInfo
    target: tuple[int, int]
    models: FastUpscaler
    settings: None = None
    carries_state: bool = True
    passes: PassFiles | None = None
    """Render passes of the clip, one file of each frame."""
    adds_to_result: bool = False
    """Whether frames of the result are final only when their chunk is."""

    @property
    def identity(self) -> str:
        """Of the network's file, and of the passes."""
        return self.models.identity + ("" if self.passes is None else f" {self.passes.digest}")

    @property
    def precision(self) -> str:
        """See :attr:`engine.Engine.precision`."""
        return precision_name(self.models.dtype)

    @property
    def work(self) -> Work:
        """Upscales a chunk; the recurrent state is carried from chunk to chunk."""
        return partial(upscale_chunk, pass_files=self.passes)

    def chunks(self, frames: int, length: int | None, overlap: int | None) -> tuple[int, int]:
        """See :meth:`engine.Engine.chunks`; no overlap, as the state is passed on."""
        if self.passes is not None:
            self.passes.check_length(frames)
        return length or streamed_frames(frames, self._stream, self.models.device), 0

    def cost(self, chunks: Sequence[Chunk], output: Path, encoding: Encoding) -> Cost:
        """See :meth:`engine.Engine.cost`."""
        frames = read_frames(self.info.path, WRITTEN_FRAMES)
        colors = frames[..., :3].clamp(0, 1)
        network = frame_seconds(self.models, colors, self.target)
        count = sum(chunk.length for chunk in chunks)
        writing: float | None = None
        unmeasured = "a short run"
        if network * count > SHORT_SECONDS:
            writing = writing_seconds(frames, self.target, output, self.info, encoding)
            unmeasured = "no space"
        memory = stream_memory(max(chunk.length for chunk in chunks), self._stream)
        details = (
            ("network", f"{self.models.name}, {network:.3g} s a frame on {self.models.device}"),
            ("writing", f"not measured, {unmeasured}" if writing is None else f"{writing:.3g} s a frame"),
        )
        return Cost((network + (writing or 0.0)) * count, memory, details)

    @property
    def _stream(self) -> Stream:
        source = self.info.height, self.info.width
        return Stream(
            source,
            self.target,
            self.models.working_bytes(source),
            has_alpha=self.info.picture.alpha,
            pass_bytes=math.prod(source) * PASS_VALUES * torch.float32.itemsize if self.passes else 0,
            adds_to_result=self.adds_to_result,
        )


def fast_engine(
    info: VideoInfo,
    target: tuple[int, int],
    network: str,
    device: str,
    passes: str | None = None,
    precision: str = AUTO,
    *,
    adds_to_result: bool = False,
) -> FastEngine:
    """Load a network by name or path.

    Args:
        passes: multi-layer EXR files with the render passes of the clip, :data:`NO_PASSES`, or None for those that the
            input itself has.
        precision: see :func:`devices.network_dtype`; GPUs work in half precision.
        adds_to_result: see :class:`FastEngine`.

    Raises:
        ModelError, MediaError, PlanError: in one sentence.
    """
    where = resolve_device(device)
    dtype = network_dtype(where, precision, gpu=torch.float16)
    upscaler = load_fast(network, device=where, dtype=dtype)
    found = None
    if upscaler.name == "rdg" and passes is None and has_passes(info.path):
        passes = str(info.path)
    if passes not in (None, NO_PASSES):
        if upscaler.name != "rdg":
            raise PlanError("Only the network rdg sees render passes; choose --fast rdg, or leave --passes out.")
        found = open_passes(passes, (info.height, info.width)).of_section(info)
    return FastEngine(info, target, upscaler, passes=found, adds_to_result=adds_to_result)


def frame_seconds(upscaler: FastUpscaler, frames: Tensor, target: tuple[int, int]) -> float:
    """How long a frame takes, from the middle of the first (T, h, w, 3) ones, really upscaled."""
    height, width = frames.shape[1:3]
    side = PIECE_PX if upscaler.device.type == "cpu" else max(height, width)
    rows, columns = min(side, height), min(side, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    piece = frames[:2, top : top + rows, left : left + columns]
    size = round(rows * target[0] / height), round(columns * target[1] / width)
    before: State = {}
    upscaler.upscale(piece[:1], size, state=before)
    measure = time_call if upscaler.device.type == "cpu" else time_warm_call  # a CPU is warm after the first frame
    seconds = measure(lambda: upscaler.upscale(piece[-1:], size, state=dict(before)))
    return seconds * (height * width) / (rows * columns)


def writing_seconds(
    frames: Tensor, target: tuple[int, int], output: Path, info: VideoInfo, encoding: Encoding
) -> float | None:
    """How long a frame of the result takes to encode, in a folder beside the output; None where that has no space."""
    count = max(1, WRITTEN_PX // (target[0] * target[1]))
    upsampled = resize(frames[:count], target).clamp(0, 1)
    folder = hidden_beside(output, output.name, ".patchvsr.timing")
    shutil.rmtree(folder, ignore_errors=True)
    pieces = (folder / f"{number}{chunk_suffix(output)}" for number in itertools.count())
    try:
        folder.mkdir()
        return time_warm_call(lambda: write_chunk(next(pieces), upsampled, output, info, encoding)) / len(upsampled)
    except (OSError, OutputError):
        return None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
