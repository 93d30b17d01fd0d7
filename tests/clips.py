"""Small clips as files, silent or with a tone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from patchvsr_core.video import VideoWriter


def colors(frames: int, height: int, width: int) -> torch.Tensor:
    """Flat patches of colour that shift with time: hardly harmed by an encoder."""
    base = torch.rand(1, 4, 4, 3, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    big = base.repeat_interleave(-(-height // 4), 1).repeat_interleave(-(-width // 4), 2)[:, :height, :width]
    return torch.cat([big.roll(2 * k, 2) for k in range(frames)])


def write(path: Path, frames: torch.Tensor, fps: Fraction = Fraction(25), **choices: Any) -> Path:
    size = int(frames.shape[1]), int(frames.shape[2])
    with VideoWriter(path, size, range(len(frames)), 1 / fps, fps=fps, **choices) as writer:
        writer.write(frames)
    return path


def with_audio(path: Path, frames: torch.Tensor, codec: str = "aac") -> Path:
    """A video with a tone beside it."""
    silent = write(path.with_name("silent.mp4"), frames)
    seconds = len(frames) / 25
    with av.open(str(silent)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        audio = target.add_stream(codec, rate=48000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        wave = (np.sin(np.arange(int(48000 * seconds)) * 0.05) * 8000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate = 48000
        for packet in [*audio.encode(frame), *audio.encode(None)]:
            target.mux(packet)
    return path


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.dts is not None]
