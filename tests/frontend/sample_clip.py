"""A small clip with sound, drawn by formula: mountains at dusk, with a camera that pans."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 144, 96
RATE_HZ = 44100


def landscape(frame: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) picture in [0, 1]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / HEIGHT
    x = x + frame * 0.012
    picture = np.stack([0.95 - 0.75 * (1 - y), 0.55 - 0.3 * (1 - y), 0.35 + 0.3 * (1 - y)], axis=-1)
    sun = np.hypot(x - 1.1, y - 0.36)
    picture += np.clip(1 - sun * 1.6, 0, 1)[..., None] ** 2 * np.array([0.5, 0.4, 0.1])
    disc = np.clip((0.1 - sun) * HEIGHT, 0, 1)[..., None]
    picture = picture * (1 - disc) + disc * np.array([1.0, 0.93, 0.7])
    for ridge in range(4):
        near = ridge / 3
        along = x * (0.6 + near) * 5 + ridge * 9
        top = 0.45 + 0.14 * ridge + 0.07 * np.sin(along) + 0.03 * np.sin(along * 2.7) + 0.012 * np.sin(along * 9.1)
        grass = 0.012 * np.sin(along * 17 + y * 60)[..., None]
        shade = np.array([0.42, 0.3, 0.42]) * (1 - 0.8 * near) + grass
        cover = np.clip((y - top) * HEIGHT, 0, 1)[..., None]
        picture = picture * (1 - cover) + shade * cover
    return np.clip(picture, 0, 1)


def write_sample(path: Path, frames: int = 16, fps: int = 12) -> Path:
    """Write the clip as H.264 with a quiet tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "16"})
        sound = container.add_stream("aac", rate=RATE_HZ)
        video.pix_fmt, video.width, video.height = "yuv420p", WIDTH, HEIGHT
        for index in range(frames):
            picture = (landscape(index) * 255).round().astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode())
        time = np.arange(RATE_HZ * frames // fps) / RATE_HZ
        tone = (0.05 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
        for start in range(0, len(tone), 1024):
            block = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(sound.encode(block))
        container.mux(sound.encode())
    return path


if __name__ == "__main__":
    print(write_sample(Path(sys.argv[1])))
