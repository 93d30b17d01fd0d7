"""Stream copy of everything but video: audio, subtitles, fonts, chapters and metadata."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from torch import Tensor

from ..errors import OutputError
from .encoders import SUFFIXES
from .local_files import local_url, open_input

log = logging.getLogger("patchvsr")
COPIED = ("audio", "subtitle", "attachment")
REGENERATED_TAGS = {"encoder", "duration", "major_brand", "minor_version", "compatible_brands", "creation_time"}
"""Tags of the file rather than its content."""


class PassthroughStreams:
    """Copies the packets of a file's non-video streams, interleaved by time.

    Args:
        path: file to copy from.
        target: container that already has its video stream.
        origin: time in the file, in seconds, that becomes 0.

    Raises:
        OutputError: when the target does not support one of the streams.
    """

    def __init__(
        self,
        path: Path,
        target: av.container.OutputContainer,
        *,
        origin: Fraction = Fraction(0),
        subtitles: bool = True,
    ) -> None:
        self.source = open_input(path)
        self.target, self.origin = target, origin
        self.streams: dict[int, Any] = {}
        self.ends: dict[int, int] = {}
        self.shifts: dict[int, int] = {}
        for stream in self.source.streams:
            if stream.type in COPIED and (subtitles or stream.type == "audio"):
                self._add(path, stream)
        copy_metadata(self.source, target)
        chosen = [self.source.streams[index] for index in self.streams]
        self.packets = self.source.demux(*chosen) if chosen else iter(())
        self.pending: Any = None

    def copy_until(self, time: Fraction | None) -> None:
        """Copy packets up to ``time`` seconds; None copies the rest and closes the source."""
        while (packet := self.pending or self._next()) is not None:
            self.pending = None
            if time is not None and packet.dts * packet.time_base > time:
                self.pending = packet
                return
            packet.stream = self.streams[packet.stream.index]
            self.target.mux(packet)
        if time is None:
            self.source.close()

    def _next(self) -> Any:
        """The next packet, with timestamps that start at 0 and never decrease, as those of joined recordings do."""
        for packet in self.packets:
            if packet.dts is None:
                continue
            index = packet.stream.index
            shift = self.shifts.setdefault(index, -round(self.origin / packet.time_base))
            end = self.ends.get(index)
            if end is not None and packet.dts + shift < end:
                shift = self.shifts[index] = end - packet.dts
            packet.dts += shift
            packet.pts = packet.dts if packet.pts is None else packet.pts + shift
            self.ends[index] = packet.dts + 1
            return packet
        return None

    def _add(self, path: Path, stream: Any) -> None:
        is_matroska = self.target.format.name == "matroska"
        if stream.type == "attachment":
            if is_matroska:
                self.target.add_attachment(stream.name, stream.mimetype, stream.data)
            return
        if stream.codec_context is None:
            log.warning("Stream %d of %s has an unsupported format and is left out.", stream.index, path)
            return
        codec = stream.codec_context.codec.canonical_name
        what = {"audio": "audio", "subtitle": "subtitles"}[stream.type]
        if codec not in self.target.supported_codecs and not (is_matroska and stream.type == "audio"):
            remedy = "write to .mkv instead" if path.suffix.lower() not in SUFFIXES or what == "audio" else ""
            remedy = remedy or f"write to {path.suffix} instead"
            raise OutputError(
                f"The {what} of {path.name} ({codec}) cannot be stored in a {self.target.format.name} file; {remedy}"
                f"{' or use --no-subtitles' if what == 'subtitles' else ''}."
            )
        copy = self.target.add_stream_from_template(stream, opaque=True)
        copy.metadata.update(_keep_descriptive(stream.metadata))
        copy.disposition = stream.disposition
        self.streams[stream.index] = copy


def write_audio(path: Path, wave: Tensor, rate: int) -> None:
    """Write (channels, samples) in [-1, 1] as AAC."""
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(len(wave), "stereo")
    samples = np.ascontiguousarray(wave[: 2 if layout == "stereo" else None].cpu().float().numpy())
    with av.open(local_url(path), "w") as target:
        stream = target.add_stream("aac", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def copy_metadata(source: av.container.InputContainer, target: av.container.OutputContainer) -> None:
    """Copy title, author and chapters."""
    target.metadata.update(_keep_descriptive(source.metadata))
    chapters = source.chapters() if hasattr(source, "chapters") else []  # since PyAV 15
    if chapters:
        target.set_chapters(chapters)


def _keep_descriptive(metadata: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name.lower() not in REGENERATED_TAGS}
