"""Small videos with one fault each, made by PyAV."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SIZE = (48, 64)
RATE = 25
ONE = 1 << 16
IDENTITY = struct.pack(">9i", ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)
"""Of a track's display, in 16.16 numbers."""


def bars(number: int, height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """(H, W, 3) uint8: vertical bars that move by two pixels a frame, over a slope; no two frames are alike."""
    x, y = np.arange(width), np.arange(height)
    bright = ((x + 2 * number) // 8 % 2) * 150.0 + 40 + y[:, None] * 0.5
    return np.repeat(bright[..., None], 3, -1).astype(np.uint8)


def encode(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    sound: str = "",
    rate: Fraction | int = RATE,
    start_s: float = 0.0,
    times: Sequence[int] | None = None,
    interlaced: str = "",
) -> Path:
    """Encode RGB frames, with a tone of the same length if ``sound`` names a codec.

    Args:
        start_s: where the clock starts.
        times: of the frames, in frames; None for one after another.
        interlaced: "tff" or "bff" to encode and tag them as fields.
    """
    rate = Fraction(rate)
    with av.open(str(path), "w") as target:
        stream: Any = target.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = 1 / rate
        stream.options = {**({"x264-params": f"{interlaced}=1"} if interlaced else {}), **(options or {})}
        audio: Any = target.add_stream(sound, rate=48000, layout="mono") if sound else None
        packets = []
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts = (number if times is None else times[number]) + round(start_s * rate)
            frame.time_base = 1 / rate
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if audio:
            packets += _tone(audio, len(frames) / rate, start_s)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            target.mux(packet)
    return path


def _tone(stream: Any, seconds: Fraction, start_s: float) -> list[av.Packet]:
    wave = (np.sin(np.arange(int(48000 * seconds)) * 0.05) * 8000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, round(start_s * 48000), Fraction(1, 48000)
    return [*stream.encode(frame), *stream.encode(None)]


def times_of(path: Path, kind: str = "video") -> list[float]:
    """When the packets of a stream are shown, in seconds, in order."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        return sorted(float(packet.pts * packet.time_base) for packet in packets)


def remux(source: Path, path: Path, keep: Callable[[Any], bool]) -> Path:
    """Copy a file without some of its packets of pictures, as if they had been lost."""
    with av.open(str(source)) as old, av.open(str(path), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is None or (packet.stream.type == "video" and not keep(packet)):
                continue
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return path


def overwrite(path: Path, begin: float, end: float, seed: int = 0) -> Path:
    """Replace a part of a file, from one share of its length to another, by random bytes."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * begin), int(len(data) * end)
    data[first:last] = np.random.default_rng(seed).bytes(last - first)
    path.write_bytes(data)
    return path


def with_matrix(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """Write the matrix of the track into an .mp4 file, as cameras do."""
    data, matrix = path.read_bytes(), [round(part * ONE) for part in (a, b, c, d)]
    at = data.index(IDENTITY, data.index(b"tkhd"))
    packed = struct.pack(">9i", *matrix[:2], 0, *matrix[2:], 0, 0, 0, 1 << 30)
    target = path.with_name("turned.mp4")
    target.write_bytes(data[:at] + packed + data[at + 36 :])
    return target
