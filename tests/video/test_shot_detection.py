"""Where one shot ends and the next begins."""

from __future__ import annotations

import cv2
import numpy as np

from patchvsr_core.video.shot_detection import ShotDetector


def a_place(seed: int) -> np.ndarray:
    """A large picture to move a camera over."""
    small = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    return cv2.resize(small, (600, 400), interpolation=cv2.INTER_CUBIC)


def a_pan(place: np.ndarray, frames: int, step: int = 8) -> list[np.ndarray]:
    return [place[k * step // 2 :][:200, k * step :][:, :320] for k in range(frames)]


def cuts(video: list[np.ndarray]) -> list[int]:
    finder = ShotDetector()
    return [k for k, frame in enumerate(video) if finder.begins_shot(frame)]


def test_a_cut_lies_before_the_first_frame_of_a_new_place() -> None:
    assert cuts([*a_pan(a_place(0), 6), *a_pan(a_place(1) // 2, 5), *a_pan(a_place(2), 3)]) == [6, 11]


def test_pans_flashes_fades_and_noise_are_no_cuts() -> None:
    pan = a_pan(a_place(0), 8, step=20)
    assert cuts(pan) == []
    flash = [
        np.minimum(frame.astype(int) + (110 if k == 4 else 0), 255).astype(np.uint8) for k, frame in enumerate(pan)
    ]
    assert cuts(flash) == []
    assert cuts([(frame * (1 - k / 8)).astype(np.uint8) for k, frame in enumerate(pan)]) == []
    noise = np.random.default_rng(3)
    assert cuts([np.clip(f + noise.normal(0, 12, f.shape), 0, 255).astype(np.uint8) for f in pan]) == []


def test_something_that_passes_in_front_is_no_cut() -> None:
    video = [frame.copy() for frame in a_pan(a_place(0), 10)]
    for k, frame in enumerate(video):
        cv2.circle(frame, (40 * k, 100), 60, (200, 30, 30), -1)
    assert cuts(video) == []


def test_single_colours_and_tiny_frames() -> None:
    black, white = np.zeros((90, 160, 3), np.uint8), np.full((90, 160, 3), 255, np.uint8)
    assert cuts([black, black, black]) == []
    assert cuts([black, white]) == [], "nothing in either says that it is another place"
    assert cuts([np.zeros((2, 3, 3), np.uint8)] * 3) == []


def test_a_wide_clip_has_shots_too() -> None:
    """Its thumbnails are lower than OpenCV's pyramid of patches."""
    place = cv2.resize(a_place(0)[:62], (1920, 200)), cv2.resize(a_place(1)[:62] // 2, (1920, 200))
    assert cuts([place[0]] * 4 + [place[1]] * 4) == [4]
