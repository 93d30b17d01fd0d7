"""Sound that a container cannot hold: encoded anew, at the same times."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

from .audio_times import STEP_S, SteadyTimes
from .local_files import open_input

AUTO, COPY, NONE = CHOICES = ("auto", "copy", "none")
"""Copied or else encoded; copied or refused; left out."""
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""By the number of channels, for sound whose own layout is unknown or unsupported."""
BIT_RATE, BITS_PER_SAMPLE = 96000, 6
"""Of a lossy channel, at most: hard to tell from the original."""
FILL_GAPS = f"async=1:min_hard_comp={STEP_S / 2}"
"""Silence where sound has a gap; where it overlaps, it is cut."""
TRIED_PACKETS = 4
LOSSLESS = {".mov": "pcm", ".mkv": "flac", ".mp4": "flac"}
LOSSY = {".webm": "libopus"}
NAMES = {"aac": "AAC", "libopus": "Opus", "flac": "FLAC", "pcm_s16le": "PCM", "pcm_s24le": "PCM"}


@dataclass(frozen=True)
class AudioFormat:
    """What sound becomes."""

    codec: str
    sample_format: str
    rate: int
    layout: str

    @property
    def name(self) -> str:
        """As people write it."""
        return NAMES[self.codec]


def can_copy(path: Path, index: int, format_name: str) -> bool:
    """Whether the first packets of a stream can be stored in a container as they are."""
    try:
        with open_input(path) as source, av.open(io.BytesIO(), "w", format=format_name) as target:
            template = source.streams[index]
            copy = target.add_stream_from_template(template, opaque=True)
            target.start_encoding()
            for packet in islice(
                (packet for packet in source.demux(template) if packet.dts is not None), TRIED_PACKETS
            ):
                packet.stream = copy
                target.mux(packet)
        return True
    except (av.error.FFmpegError, ValueError):
        return False


def format_for(stream: Any, suffix: str) -> AudioFormat:
    """The format of sound that cannot be copied: lossless where the sound is, otherwise Opus in WebM or AAC."""
    context = stream.codec_context
    bits = 16 if context.format is not None and context.format.bits <= 16 else 24
    channels = context.layout.nb_channels
    codec = LOSSY.get(suffix, "aac")
    if context.codec.lossless and suffix in LOSSLESS:
        codec = f"pcm_s{bits}le" if LOSSLESS[suffix] == "pcm" else LOSSLESS[suffix]
    formats = {"aac": "fltp", "libopus": "flt"}
    layout = context.layout.name
    if codec == "libopus" or layout not in LAYOUTS.values():
        layout = LAYOUTS.get(channels, "stereo")
    sample_format = formats.get(codec, "s16" if bits == 16 else "s32")
    return AudioFormat(codec, sample_format, _rate(codec, context.sample_rate), layout)


def _rate(codec: str, rate: int) -> int:
    """The nearest supported sample rate that is not lower, or the highest."""
    supported = av.Codec(codec, "w").audio_rates
    return rate if not supported else min((r for r in supported if r >= rate), default=max(supported))


class AudioTranscoder:
    """Decodes packets of a stream and encodes them; gaps in the sound become silence, so that it stays in step.

    Args:
        source: stream of an input.
        target: container that gets a stream for the result.
    """

    def __init__(self, source: Any, target: av.container.OutputContainer, chosen: AudioFormat) -> None:
        self.decoder = source.codec_context
        self.stream: Any = target.add_stream(
            chosen.codec, rate=chosen.rate, layout=chosen.layout, format=chosen.sample_format
        )
        self.damaged = 0
        self._chosen = chosen
        self._graph: Any = None
        self._times = SteadyTimes()
        encoder: Any = self.stream.codec_context
        if chosen.codec in ("aac", "libopus"):
            encoder.bit_rate = min(BIT_RATE, BITS_PER_SAMPLE * chosen.rate) * encoder.layout.nb_channels

    def encode(self, packet: Any) -> Iterator[Any]:
        """Encoded packets for one of the source, whose times are those of the result; None for the last ones."""
        try:
            frames = self.decoder.decode(packet)
        except av.error.InvalidDataError:
            self.damaged += 1
            return
        for frame in frames:
            yield from self._push(self._times.add(frame))
        if packet is None:
            yield from self._push(self._times.rest())
            if self._graph is not None:
                self._graph.push(None)
                yield from self._drain()
                yield from self.stream.encode(None)

    def _push(self, frames: Iterator[Any]) -> Iterator[Any]:
        for frame in frames:
            self._graph = self._graph or self._make_graph(frame)
            self._graph.push(frame)
            yield from self._drain()

    def _drain(self) -> Iterator[Any]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield from self.stream.encode(frame)

    def _make_graph(self, first: Any) -> Any:
        graph, chosen = Graph(), self._chosen
        layout = f"sample_fmts={chosen.sample_format}:sample_rates={chosen.rate}:channel_layouts={chosen.layout}"
        steps = [
            graph.add_abuffer(
                sample_rate=first.sample_rate,
                format=first.format.name,
                layout=first.layout.name,
                time_base=first.time_base,
            ),
            graph.add("aresample", FILL_GAPS),
            graph.add("aformat", layout),
        ]
        self.stream.codec_context.open(strict=False)
        samples = self.stream.codec_context.frame_size
        if samples:
            steps.append(graph.add("asetnsamples", f"n={samples}:p=0"))
        steps.append(graph.add("abuffersink"))
        for before, after in pairwise(steps):
            before.link_to(after)
        graph.configure()
        return graph
