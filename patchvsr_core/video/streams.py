"""What lies beside the picture: sound, subtitles, fonts, chapters and names are copied as they are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import OutputError

COPIED = ("audio", "subtitle", "attachment")
MADE_ANEW = {"encoder", "duration", "major_brand", "minor_version", "compatible_brands", "creation_time"}
"""Tags that describe the file and not the film."""


class OtherStreams:
    """Packets of a file's other streams, handed over in the order of time.

    Args:
        path: file to copy from.
        target: container that has its video stream already.

    Raises:
        OutputError: when the target cannot hold one of them.
    """

    def __init__(self, path: Path, target: av.container.OutputContainer, *, subtitles: bool = True) -> None:
        self.source = av.open(str(path))
        self.target = target
        self.streams: dict[int, Any] = {}
        for stream in self.source.streams:
            if stream.type in COPIED and (subtitles or stream.type == "audio"):
                self._add(path, stream)
        copy_names(self.source, target)
        chosen = [self.source.streams[index] for index in self.streams]
        self.packets = self.source.demux(*chosen) if chosen else iter(())
        self.pending: Any = None

    def copy_until(self, time: Fraction | None) -> None:
        """Copy what is due by ``time`` seconds; None copies the rest and closes the source."""
        while (packet := self.pending or next(self.packets, None)) is not None:
            self.pending = None
            if packet.dts is None:
                continue
            if time is not None and packet.dts * packet.time_base > time:
                self.pending = packet
                return
            packet.stream = self.streams[packet.stream.index]
            self.target.mux(packet)
        if time is None:
            self.source.close()

    def _add(self, path: Path, stream: Any) -> None:
        if stream.type == "attachment":
            if self.target.format.name == "matroska":
                self.target.add_attachment(stream.name, stream.mimetype, stream.data)
            return
        codec = stream.codec_context.codec.canonical_name
        what = {"audio": "audio", "subtitle": "subtitles"}[stream.type]
        if codec not in self.target.supported_codecs:
            other = path.suffix if stream.type == "subtitle" else ".mkv"
            raise OutputError(
                f"The {what} of {path.name} ({codec}) do not go into a {self.target.format.name} file; write to "
                f"{other} instead{' or give --no-subtitles' if what == 'subtitles' else ''}."
            )
        copy = self.target.add_stream_from_template(stream, opaque=True)
        copy.metadata.update(_of_the_film(stream.metadata))
        copy.disposition = stream.disposition
        self.streams[stream.index] = copy


def copy_names(source: av.container.InputContainer, target: av.container.OutputContainer) -> None:
    """Title, author and chapters."""
    target.metadata.update(_of_the_film(source.metadata))
    chapters = source.chapters() if hasattr(source, "chapters") else []  # PyAV has them since 15
    if chapters:
        target.set_chapters(chapters)


def _of_the_film(metadata: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name.lower() not in MADE_ANEW}
