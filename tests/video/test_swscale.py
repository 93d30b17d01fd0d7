"""What converting frames holds on to: nothing of a frame that is no longer used, and no threads of its own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import colors, write

from patchvsr_core.video.reader import iter_frames, to_tensor
from patchvsr_core.video.swscale import convert

FRAMES = 12


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's collector of cycles stands still, as it may for hundreds of frames."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_decoded_frame_goes_with_its_last_use(tmp_path: Path) -> None:
    path = write(tmp_path / "in.mp4", colors(FRAMES, 32, 48))
    with without_collector():
        read = sum(1 for frame in iter_frames(path) if to_tensor(frame).shape == (32, 48, 3))
        left = [each for each in gc.get_objects() if type(each) is av.VideoFrame]
    assert read == FRAMES and not left


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux lists them")
def test_converting_starts_no_threads() -> None:
    frames = [av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24") for _ in range(FRAMES)]
    before = len(list(Path("/proc/self/task").iterdir()))
    made = [convert(frame, format="yuv420p") for frame in frames]
    assert len(made) == FRAMES and len(list(Path("/proc/self/task").iterdir())) <= before


def test_formats_and_sizes_may_alternate_and_threads_do_not_share() -> None:
    """One context serves whatever comes next; every thread has its own."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    results: list[torch.Tensor] = []

    def work() -> None:
        for _ in range(5):
            small = convert(frame, format="yuv420p", width=32, height=24)
            large = convert(frame, format="gbrp")
            assert (small.width, small.height) == (32, 24)
            assert np.array_equal(convert(large, format="rgb24").to_ndarray(), picture)
            results.append(torch.from_numpy(convert(small, format="rgb24").to_ndarray().copy()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 15 and all(torch.equal(one, results[0]) for one in results)
