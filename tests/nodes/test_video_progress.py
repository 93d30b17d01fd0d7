"""What Upscale Video shows while it works."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture
def shown(pack: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with (part, preview) of every update and all texts."""
    import comfy.utils

    module = pack.part("patchvsr_core.hosts.comfy.video_progress")
    seen, said = [], []
    monkeypatch.setattr(module, "say", said.append)
    monkeypatch.setattr(module, "SAY_SECONDS", 0.0)
    comfy.utils.set_progress_bar_global_hook(
        lambda value, total, preview, node_id: seen.append((value / total, preview))
    )
    yield SimpleNamespace(module=module, seen=seen, said=said)
    comfy.utils.set_progress_bar_global_hook(None)


@pytest.mark.parametrize(
    ("spans", "stages"),
    [
        ("DENOISED", ["encode", "denoise", "decode", "refine", "base", "refine", "fidelity"]),
        ("FROM_BASE", ["base", "encode", "denoise", "decode", "refine", "fidelity"]),
        ("RESTORED", ["base", "fidelity"]),
        ("STREAMED", ["upscale"]),
    ],
)
def test_the_bar_only_moves_on_and_no_stage_takes_it_all_at_once(shown: Any, spans: str, stages: list[str]) -> None:
    bar = shown.module.VideoProgress(20, getattr(shown.module, spans))
    for chunk in (0, 1):
        bar.next_chunk(chunk, 2)
        for stage in stages:
            for done in range(5):
                bar(stage, done, 4)
    bar.next_chunk(2, 2)
    parts = [part for part, _ in shown.seen]
    assert parts == sorted(parts) and parts[0] == 0 and parts[-1] == 1
    assert max(after - before for before, after in pairwise(parts)) < 0.15


def test_it_says_chunk_frame_and_time_left(shown: Any) -> None:
    bar = shown.module.VideoProgress(120, shown.module.STREAMED)
    bar.next_chunk(1, 4)  # an earlier run made the first
    assert shown.said == ["chunk 2/4 · frame 30/120"]
    began, first = bar.begun
    bar("upscale", 1, 2)
    assert shown.said[-1].startswith("chunk 2/4 · frame 45/120 · ")
    assert bar.text(began + 10) == "chunk 2/4 · frame 45/120 · 50 s left", "of an eighth in 10 s, five are left"
    assert first == 0.25


@pytest.mark.parametrize("hands_on", [False, True])
def test_the_middle_frame_is_shown_when_it_is_there(shown: Any, hands_on: bool) -> None:
    """Whether the work returns its frames, or hands them on as they are made."""
    bar = shown.module.VideoProgress(3, shown.module.STREAMED)
    frames = torch.stack([torch.full((40, 2000, 3), shade) for shade in (0.0, 0.5, 1.0)])
    taken: list[Any] = []

    def work(given: Any, *, chunk_state: Any) -> Any:
        for frame in given if hands_on else ():
            chunk_state.on_final(frame)
        return given[:0] if hands_on else given

    state = shown.module.ChunkState(on_final=taken.append if hands_on else None)
    made = bar.showing(work)(frames, chunk_state=state)
    assert (len(made), len(taken)) == ((0, 3) if hands_on else (3, 0))
    ((kind, picture, size),) = [preview for _, preview in shown.seen if preview is not None]
    assert (kind, size) == ("JPEG", 512) and max(picture.size) <= 1024
    assert picture.getpixel((0, 0)) == (128, 128, 128)
