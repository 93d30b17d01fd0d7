"""Passes on everything but video: audio, subtitles, fonts, chapters and metadata, copied where that is possible."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from torch import Tensor

from ..errors import OutputError
from .audio import AUTO, COPY, NONE, AudioTranscoder, can_copy, format_for
from .clock import Clock
from .decode import can_seek
from .encoders import SUFFIXES
from .info import picture_stream
from .local_files import local_url, open_input
from .picture_tags import for_container, keep_picture_tags
from .section import Section, is_between

log = logging.getLogger("patchvsr")
COPIED = ("subtitle", "attachment")
COVERS = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}
"""Suffixes and types of cover art by its codec."""
OVERLAP_S = 0.5
"""How far single packets may run back, as after lost packets; later the clock itself has run back."""
INTERLEAVED_S = 10
"""How far packets that lie beside each other in a file may be apart."""
PRIMING_S = 0.1
"""How much sound before the first that is heard is kept, as its decoder needs it."""
REGENERATED_TAGS = {"encoder", "duration", "major_brand", "minor_version", "compatible_brands"}
"""Tags of the file rather than its content."""


class PassthroughStreams:
    """Passes on the packets of a file's non-video streams, interleaved by time.

    Args:
        path: file to copy from.
        target: container that already has its video stream.
        suffix: of the target.
        origin: time in the file, in seconds, that becomes 0.
        section: which part of them is kept.
        audio: one of :data:`audio.CHOICES`.
        clock: how packets move where the file's clock jumps.

    Raises:
        OutputError: when the target does not support one of the streams.
    """

    notes: list[str]
    """What does not come out as it is, in sentences."""

    def __init__(
        self,
        path: Path,
        target: av.container.OutputContainer,
        suffix: str,
        *,
        origin: Fraction = Fraction(0),
        section: Section = Section(),
        clock: Clock = Clock(),
        subtitles: bool = True,
        audio: str = AUTO,
    ) -> None:
        self.source, self.path = open_input(path), path
        self.target, self.suffix, self.origin, self.clock = target, suffix, origin, clock
        self.section = section
        self.notes = []
        self._keep_covers()
        self._name_data()
        self.streams: dict[int, Any] = {}
        self.encoded: dict[int, AudioTranscoder] = {}
        self.ends: dict[int, int] = {}
        self.shifts: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        for stream in self.source.streams:
            if stream.type == "audio" and audio != NONE:
                self._add_audio(stream, audio)
            elif stream.type in COPIED and subtitles:
                self._add(stream)
        copy_metadata(self.source, target, origin, section.end)
        for picture in self.source.streams.video:
            if not picture.disposition & av.stream.Disposition.attached_pic:
                keep_picture_tags(self.source, picture, target, origin)
                break
        chosen = [self.source.streams[index] for index in self.streams]
        self._seek()
        self.packets = itertools.takewhile(self._is_near, self.source.demux(*chosen)) if chosen else iter(())
        self.pending: Any = None

    def copy_until(self, time: Fraction | None) -> None:
        """Copy packets up to ``time`` seconds; None copies the rest and closes the source."""
        while (packet := self.pending or self._next()) is not None:
            self.pending = None
            if time is not None and packet.dts * packet.time_base > time:
                self.pending = packet
                return
            index = packet.stream.index
            if index in self.encoded:
                self.target.mux([*self.encoded[index].encode(packet)])
            else:
                packet.stream = self.streams[index]
                self.target.mux(packet)
        if time is None:
            for encoded in self.encoded.values():
                self.target.mux([*encoded.encode(None)])
                if encoded.damaged:
                    log.warning("%d parts of the audio of %s are damaged and silent.", encoded.damaged, self.path.name)
            self.source.close()

    def _next(self) -> Any:
        """The next packet, with timestamps that start at 0 and never decrease, as those of joined recordings do."""
        for packet in self.packets:
            if packet.dts is None or self._is_cut(packet):
                continue
            index = packet.stream.index
            count = self.counts[index] = self.counts.get(index, -1) + 1
            moved = round((self.clock.shift(index, count) - self.origin) / packet.time_base)
            if not (self.section.is_all or self._is_chosen(packet, moved)):
                continue
            shift = moved + self.shifts.get(index, 0)
            late = self.ends.get(index, packet.dts + shift) - packet.dts - shift
            if late > 0:
                shift += late
                if late * packet.time_base > OVERLAP_S:
                    self.shifts[index] = shift - moved
            packet.dts += shift
            packet.pts = packet.dts if packet.pts is None else packet.pts + shift
            self.ends[index] = packet.dts + 1
            return packet
        return None

    def _seek(self) -> None:
        """Begin shortly before the section, where the file allows it."""
        if self.section.begin is None or self.clock.recordings > 1:
            return
        picture = picture_stream(self.path, self.source)
        before = math.floor((self.section.begin - INTERLEAVED_S) / (picture.time_base or 1))
        if before > 0 and can_seek(self.path, before):
            self.source.seek(before, stream=picture)

    def _is_near(self, packet: Any) -> bool:
        """Whether packets of the section may still follow."""
        end = self.section.end
        return end is None or packet.dts is None or packet.dts * packet.time_base <= end + INTERLEAVED_S

    def _is_chosen(self, packet: Any, moved: int) -> bool:
        """Whether a packet lies in the section; of a subtitle that reaches into it that part is kept."""
        begin_s, end_s = self.section.begin, self.section.end
        end = None if end_s is None else math.floor((end_s - self.origin) / packet.time_base)
        begin = moved + (packet.dts if packet.pts is None else packet.pts)
        if packet.stream.type == "subtitle" and packet.duration:
            shown = max(0, begin), begin + packet.duration if end is None else min(end, begin + packet.duration)
            packet.pts = packet.dts = shown[0] - moved
            packet.duration = max(0, shown[1] - shown[0])
            return packet.duration > 0
        return is_between(begin, None if begin_s is None else 0, end)

    def _is_cut(self, packet: Any) -> bool:
        """Whether an edit list leaves out a packet that is not decoded for the sound after it either."""
        if not packet.is_discard:
            return False
        end = (packet.dts + (packet.duration or 0)) * packet.time_base
        return end < self.origin - PRIMING_S or (packet.stream.index in self.ends and end > self.origin + PRIMING_S)

    def _add_audio(self, stream: Any, wanted: str) -> None:
        """Copy the stream where the target holds it, otherwise encode it unless ``wanted`` says otherwise."""
        if stream.codec_context is None:
            self._leave_out(stream)
            return
        if can_copy(self.path, stream.index, self.target.format.name):
            self._keep(stream, self.target.add_stream_from_template(stream, opaque=True))
            return
        codec = stream.codec_context.codec.canonical_name
        if wanted == COPY:
            raise OutputError(
                f"The audio of {self.path.name} ({codec}) cannot be copied into a {self.suffix} file",
                flag="use --audio auto, which encodes it, or --audio none",
            )
        chosen = format_for(stream, self.suffix)
        self.encoded[stream.index] = encoded = AudioTranscoder(stream, self.target, chosen)
        self._keep(stream, encoded.stream)
        self.notes.append(
            f"The audio of {self.path.name} ({codec}) cannot be copied into a {self.suffix} file; "
            f"it becomes {chosen.name}."
        )

    def _add(self, stream: Any) -> None:
        is_matroska = self.target.format.name == "matroska"
        if stream.type == "attachment":
            if is_matroska:
                self.target.add_attachment(stream.name, stream.mimetype, stream.data)
            return
        if stream.codec_context is None:
            self._leave_out(stream)
            return
        codec = stream.codec_context.codec.canonical_name
        if codec not in self.target.supported_codecs:
            own = self.path.suffix.lower()
            remedy = own if own in SUFFIXES and own != self.suffix else ".mkv"
            raise OutputError(
                f"The subtitles of {self.path.name} ({codec}) cannot be stored in a {self.suffix} file",
                flag=f"write to {remedy} instead or use --no-subtitles",
                node=f"set format to {remedy[1:]}, or turn keep_subtitles off",
            )
        self._keep(stream, self.target.add_stream_from_template(stream, opaque=True))

    def _keep(self, stream: Any, result: Any) -> None:
        result.metadata.update(for_container(_keep_descriptive(stream.metadata), self.target))
        result.disposition = stream.disposition
        self.streams[stream.index] = result

    def _keep_covers(self) -> None:
        """Attach cover art in Matroska; say what else is left out besides the pictures that are upscaled."""
        pictures = self.source.streams.video
        covers = [stream for stream in pictures if stream.disposition & av.stream.Disposition.attached_pic]
        if len(pictures) - len(covers) > 1:
            self.notes.append(
                f"{self.path.name} has {len(pictures) - len(covers)} video streams; only the first is upscaled."
            )
        for number, cover in enumerate(covers):
            kind = cover.codec_context.name if cover.codec_context else ""
            if self.target.format.name != "matroska" or kind not in COVERS:
                self.notes.append(f"The cover art of {self.path.name} is left out.")
                return
            suffix, mimetype = COVERS[kind]
            with open_input(self.path) as source:
                data = next(bytes(packet) for packet in source.demux(source.streams[cover.index]) if packet.size)
            self.target.add_attachment(f"cover{number or ''}.{suffix}", mimetype, data)

    def _name_data(self) -> None:
        """Say that streams of data are left out, such as a camera's motion."""
        left = [stream for stream in self.source.streams if stream.type == "data" and not _is_kept_otherwise(stream)]
        if left:
            streams = "A data stream" if len(left) == 1 else f"{len(left)} data streams"
            self.notes.append(f"{streams} of {self.path.name} cannot be kept.")

    def _leave_out(self, stream: Any) -> None:
        self.notes.append(f"Stream {stream.index} of {self.path.name} has an unsupported format and is left out.")


def _is_kept_otherwise(stream: Any) -> bool:
    """Whether a stream of data holds a timecode or the titles of chapters."""
    tags = {name.lower(): value.lower() for name, value in stream.metadata.items()}
    return "timecode" in tags or any(word in tags.get("handler_name", "") for word in ("text", "subtitle"))


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


def copy_metadata(
    source: av.container.InputContainer,
    target: av.container.OutputContainer,
    origin: Fraction = Fraction(0),
    end: Fraction | None = None,
) -> None:
    """Copy title, author and chapters.

    Args:
        origin: time in the source, in seconds, that becomes 0; chapters that end before it are left out.
        end: time in it at which the last chapter ends; None: its own.
    """
    target.metadata.update(_keep_descriptive(source.metadata))
    chapters = [_moved(chapter, origin, end) for chapter in source.chapters()]
    kept: list[Any] = [chapter for chapter in chapters if chapter["end"] > chapter["start"]]
    if kept:
        target.set_chapters(kept)


def _moved(chapter: Mapping[str, Any], origin: Fraction, end: Fraction | None) -> dict[str, Any]:
    """A chapter as it lies in a file that begins at ``origin`` seconds of its own; one outside of it ends at 0."""
    begin = round(origin / chapter["time_base"])
    last = chapter["end"] if end is None else min(chapter["end"], round(end / chapter["time_base"]))
    return {**chapter, "start": max(0, chapter["start"] - begin), "end": last - begin}


def _keep_descriptive(metadata: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name.lower() not in REGENERATED_TAGS}
