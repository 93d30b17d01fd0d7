"""Footage in one compact file, from which crops of clips are cut without decoding anything.

Photographs are set in motion when they are drawn. Most of them move by whole pixels of the large
picture: the truth stays as sharp as the photograph, and its reduction sees the scene at every
sub-pixel position.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import MediaError
from .config import DataConfig
from .footage import PHOTOGRAPH, VIDEO, decode_video, read_photograph
from .line_work import draw_graphic, draw_line_work

INDEX, PIXELS = "packed.json", "packed.bin"
MOST_PX = 1280
"""Longest side of what is kept."""
SEGMENT_FRAMES = 9
SEGMENTS = 4
"""At most so many excerpts of a video."""
CANDIDATES = 3
"""Windows drawn for each that is used, the one with most detail: nothing is learned from an empty sky."""
STILL = 0.1
"""Share of photographs that do not move."""
TURNING = 0.3
"""Share of those that turn and zoom as they move."""
SPEED_PX = 8.0
SHAKE_PX = 1.5
"""Deviations of a photograph's motion in pixels of the large picture: of its velocity, and of what differs from frame
to frame."""


@dataclass(frozen=True)
class Packed:
    """Where a picture or an excerpt lies in the file."""

    source: str
    offset: int
    frames: int
    height: int
    width: int

    @property
    def bytes(self) -> int:
        return self.frames * self.height * self.width * 3


def pack_footage(folder: Path, out: Path, config: DataConfig) -> None:
    """Decode the photographs and excerpts of the videos of a folder into one file.

    Raises:
        MediaError: when there is nothing to use in the folder.
    """
    files = config.select_files(sorted(folder.rglob("*")))
    out.mkdir(parents=True, exist_ok=True)
    entries: list[Packed] = []
    partial = out / f"{PIXELS}.part"
    with partial.open("wb") as target:
        for path in tqdm(files, unit="file", mininterval=10):
            for pixels in _read_excerpts(path, out / "decoded"):
                entries.append(Packed(path.name, target.tell(), *pixels.shape[:3]))
                target.write(pixels.tobytes())
    if not entries:
        raise MediaError(f"No usable video or photograph was found under {folder}; give a folder that has some.")
    partial.replace(out / PIXELS)
    (out / INDEX).write_text(json.dumps([asdict(entry) for entry in entries]) + "\n")


def _read_excerpts(path: Path, cache: Path) -> Iterator[np.ndarray]:
    """(T, H, W, 3) bytes: the photograph, or evenly spaced excerpts of a video's usable shots."""
    if path.suffix.lower() in PHOTOGRAPH:
        pixels = (read_photograph(path).numpy() * 255).round().astype(np.uint8)
        yield _limit_size(pixels[None])
    elif path.suffix.lower() in VIDEO:
        file, shots = decode_video(path, cache)
        video = np.load(file, mmap_mode="r")
        starts = [k for first, end in shots for k in range(first, end - SEGMENT_FRAMES + 1, SEGMENT_FRAMES)]
        for k in starts[:: max(1, math.ceil(len(starts) / SEGMENTS))]:
            yield _limit_size(np.asarray(video[k : k + SEGMENT_FRAMES]))
        del video
        file.unlink()


def _limit_size(frames: np.ndarray) -> np.ndarray:
    height, width = frames.shape[1:3]
    factor = MOST_PX / max(height, width)
    if factor >= 1:
        return frames
    size = (round(width * factor), round(height * factor))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


class PackedFootage:
    """Draws clips from a packed file; what is drawn depends on the generator alone."""

    def __init__(self, folder: Path, config: DataConfig) -> None:
        if not (folder / INDEX).is_file():
            raise MediaError(f"{folder} holds no packed footage; run precompute with this --out first.")
        entries = [Packed(**values) for values in json.loads((folder / INDEX).read_text())]
        self.pixels = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r")
        self.photographs = [entry for entry in entries if entry.frames == 1]
        self.excerpts = [entry for entry in entries if entry.frames > 1]
        self.config = config
        self.photograph_shares, self.excerpt_shares = (
            self._draw_probabilities(self.photographs),
            self._draw_probabilities(self.excerpts),
        )

    def draw(self, rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
        """(T, side, side, 3) bytes of a clip, mirrored and turned at random."""
        use_photograph = not self.excerpts or (bool(self.photographs) and rng.random() < self.config.photographs)
        clip = self._draw_photograph(rng, frames, side) if use_photograph else self._draw_excerpt(rng, frames, side)
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        if rng.random() < 0.5:
            clip = clip[:, ::-1]
        if rng.random() < 0.5:
            clip = clip.transpose(0, 2, 1, 3)
        # A copy: NumPy calls a reversed axis of one frame contiguous, and torch refuses its negative stride.
        return np.array(clip[::-1] if rng.random() < 0.5 else clip, order="C")

    def _view(self, entry: Packed) -> np.ndarray:
        """A view of its pixels, (T, H, W, 3)."""
        flat = self.pixels[entry.offset : entry.offset + entry.bytes]
        return flat.reshape(entry.frames, entry.height, entry.width, 3)

    def _draw_probabilities(self, entries: list[Packed]) -> np.ndarray:
        """Sampling probability of each; frames with more detail are drawn more often."""
        detail = np.array([_measure_detail(self._view(entry)) ** 0.5 for entry in entries])
        shares = detail if detail.any() else np.ones(len(detail))  # all are plain
        return shares / shares.sum()

    def _draw_excerpt(self, rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
        video = self._view(self.excerpts[rng.choice(len(self.excerpts), p=self.excerpt_shares)])
        first = int(rng.integers(0, max(1, len(video) - frames + 1)))
        index = np.minimum(first + np.arange(frames), len(video) - 1)
        return _draw_window(rng, video[index], (side, side))

    def _draw_photograph(self, rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
        """A camera that moves over a photograph; at times another one passes in front of it."""
        clip = self._move_camera(rng, frames, side)
        if frames > 1 and rng.random() < self.config.occluders:
            clip = _add_occluder(rng, clip, self._move_camera(rng, frames, side))
        return clip

    def _move_camera(self, rng: np.random.Generator, frames: int, side: int) -> np.ndarray:
        still = self._view(self.photographs[rng.choice(len(self.photographs), p=self.photograph_shares)])
        kind = rng.random()
        if frames == 1 or kind < STILL:
            return np.repeat(self._draw_view(rng, still, (side, side))[None], frames, 0)
        path = np.cumsum(rng.normal(0, SPEED_PX, 2) + rng.normal(0, SHAKE_PX, (frames, 2)), 0)
        path = np.round(path - path.min(0)).astype(int)
        room = path.max(0)
        limit = min(still.shape[1:3]) - side
        if room.max() > limit:
            path, room = path * 0, room * 0
        turning = kind < STILL + TURNING
        margin = min(side // 8, (limit - int(room.max())) // 2) if turning else 0
        view = self._draw_view(rng, still, (side + room[0] + 2 * margin, side + room[1] + 2 * margin))
        if turning:
            return _pan_and_turn(rng, view, path + margin, side)
        return np.stack([view[y : y + side, x : x + side] for y, x in path])

    def _draw_view(self, rng: np.random.Generator, still: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """(height, width, 3) part of a photograph, at times with lines drawn over it, or a drawing in its place."""
        if self.config.graphics and rng.random() < self.config.graphics:
            return draw_graphic(rng, (int(size[0]), int(size[1])))
        view = _draw_window(rng, still, size)[0]
        lined = self.config.line_work and rng.random() < self.config.line_work
        return draw_line_work(rng, view) if lined else view


def _draw_window(rng: np.random.Generator, frames: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A part of (height, width) of the clip; at times of a clip that was reduced first, which is sharper."""
    height, width = frames.shape[1:3]
    least = max(size[0] / height, size[1] / width)
    factor = 1.0 if least >= 1 or rng.random() < 0.5 else float(rng.uniform(max(least, 0.5), 1.0))
    rows, columns = min(height, math.ceil(size[0] / factor)), min(width, math.ceil(size[1] / factor))
    part = max((_draw_part(rng, frames, rows, columns) for _ in range(CANDIDATES)), key=_measure_detail)
    if part.shape[1:3] == tuple(size):
        return np.asarray(part)
    reduced = (cv2.resize(frame, (int(size[1]), int(size[0])), interpolation=cv2.INTER_AREA) for frame in part)
    return np.stack(list(reduced))


def _draw_part(rng: np.random.Generator, frames: np.ndarray, rows: int, columns: int) -> np.ndarray:
    top, left = (int(rng.integers(0, n - m + 1)) for n, m in zip(frames.shape[1:3], (rows, columns), strict=True))
    return frames[:, top : top + rows, left : left + columns]


def _measure_detail(part: np.ndarray) -> float:
    """Mean difference between pixels near one another, of the first frame's green."""
    thin = part[0, ::3, ::3, 1].astype(np.int16)
    return float(np.abs(np.diff(thin, axis=0)).mean() + np.abs(np.diff(thin, axis=1)).mean())


def _pan_and_turn(rng: np.random.Generator, view: np.ndarray, path: np.ndarray, side: int) -> np.ndarray:
    """The camera's path with a slow turn and zoom."""
    angle, zoom = rng.normal(0, 0.4), rng.normal(0, 0.006)
    frames = []
    for k, (y, x) in enumerate(path):
        time = k - (len(path) - 1) / 2
        around = (float(x + side / 2), float(y + side / 2))
        matrix = cv2.getRotationMatrix2D(around, angle * time, math.exp(zoom * time))
        matrix[:, 2] -= (x, y)
        frames.append(cv2.warpAffine(view, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames)


def _add_occluder(rng: np.random.Generator, behind: np.ndarray, front: np.ndarray) -> np.ndarray:
    """An elliptic piece of another clip that moves across at a speed of its own."""
    side = behind.shape[1]
    middle, radii = rng.uniform(0.2, 0.8, 2) * side, rng.uniform(0.1, 0.3, 2) * side
    speed = rng.normal(0, SPEED_PX, 2)
    y, x = np.arange(side)[:, None], np.arange(side)[None, :]
    frames = []
    for k in range(len(behind)):
        centre = middle + speed * (k - (len(behind) - 1) / 2)
        distance = np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1])
        cover = np.clip((1 - distance) * radii.min(), 0, 1)[:, :, None]
        frames.append((behind[k] + cover * (front[k].astype(np.float32) - behind[k])).round().astype(np.uint8))
    return np.stack(frames)
