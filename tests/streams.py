"""Streams beside the pictures: put into a file, and compared byte by byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

SUBTITLES = b"1\n00:00:00,000 --> 00:00:00,080\nHello\n\n2\n00:00:00,120 --> 00:00:00,180\nWorld\n"


def other_facts(path: Path) -> list[Any]:
    """Of all other streams: what they are, whose they are, and every byte of them."""
    with av.open(str(path)) as container:
        facts = []
        for stream in container.streams:
            if stream.type == "video":
                continue
            name = stream.codec_context.name if stream.codec_context else stream.type
            tags = {k: v for k, v in stream.metadata.items() if k in ("language", "title", "filename")}
            facts.append((stream.type, name, tags, int(stream.disposition)))
        packets = [
            (p.stream.index, bytes(p)) for p in container.demux() if p.stream.type != "video" and p.dts is not None
        ]
        return [facts, sorted(packets, key=lambda p: p[0]), dict(container.metadata).get("title")]


def add_streams(silent: Path, path: Path, tracks: int, subtitles: bool) -> Path:
    """A video with tones of several languages, subtitles, a font and a title."""
    with av.open(str(silent)) as source, av.open(str(path), "w") as target:
        target.metadata["title"] = "A film"
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        sounds = []
        for number in range(tracks):
            sound = target.add_stream("aac", rate=48000, layout="mono")
            sound.metadata.update({"language": ["eng", "fra"][number], "title": f"track {number}"})
            sounds.append(sound)
        script = path.with_suffix(".srt")
        script.write_bytes(SUBTITLES)
        words = av.open(str(script)) if subtitles else None
        if words is not None:
            lines = target.add_stream_from_template(words.streams.subtitles[0], opaque=True)
            lines.metadata["language"] = "deu"
            target.add_attachment("font.ttf", "font/ttf", b"no real font")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
        for number, sound in enumerate(sounds):
            wave = (np.sin(np.arange(9600) * 0.05 * (1 + number)) * 8000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate = 48000
            for packet in [*sound.encode(frame), *sound.encode(None)]:
                target.mux(packet)
        if words is not None:
            for packet in words.demux():
                if packet.dts is not None:
                    packet.stream = lines
                    target.mux(packet)
            words.close()
    return path
