"""Upscale Video's output: names with dates in them, and one run for one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from clips import write
from fakes.chain import a_clip

from patchvsr_core.video.target_lock import lock_target

NOW = time.strptime("2026-03-07 09:05:08", "%Y-%m-%d %H:%M:%S")


def make(pack: Any, tiny: Any, folder: Path, **changes: Any) -> Any:
    from comfy_api.latest import InputImpl

    node, source = pack["UpscaleVideo"], write(folder.parent / "in.mp4", a_clip(11, 26, 34))
    defaults = {socket.id: socket.default for socket in node.GET_SCHEMA().inputs if socket.default is not None}
    models = {"model": tiny.model, "vae": tiny.vae, "positive": tiny.prompt, "adapter": tiny.adapter}
    video = InputImpl.VideoFromFile(str(source))
    return node.execute(**{**defaults, "video": video, **models, "patch_px": 64, "scale": 2.0, **changes})


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("video/PatchVSR", "video/PatchVSR"),
        ("%date:yyyy-MM-dd%/clip", "2026-03-07/clip"),
        ("%date:yy.M%", "%date:yy.M%"),
        ("%date:yy.M.d%", "26"),
        ("a_%date:hhmmss%_%date:d-M-yy%", "a_090508_7-3-26"),
        ("%date:h m s%", "9 5 8"),
        ("%width%_%second%", "%width%_%second%"),
    ],
)
def test_dates_are_filled_in_as_the_frontend_does_for_save_video(pack: Any, prefix: str, name: str) -> None:
    """``%width%`` and the like are left to ComfyUI; dots do what they do there."""
    assert pack.part("patchvsr_core.hosts.comfy.file_names").fill_in_date(prefix, NOW) == name


@pytest.mark.parametrize("prefix", ["%second%", "a/%hour%-%minute%", "%date:hh-mm%", "%date:yyyyMMdd%%date:ss%"])
def test_a_name_with_the_time_of_day_comes_once(pack: Any, prefix: str) -> None:
    assert pack.part("patchvsr_core.hosts.comfy.file_names").has_time_of_day(prefix)


@pytest.mark.parametrize("prefix", ["video/PatchVSR", "%date:yyyy-MM-dd%", "%year%%month%%day%", "seconds", "%width%"])
def test_other_names_come_again(pack: Any, prefix: str) -> None:
    assert not pack.part("patchvsr_core.hosts.comfy.file_names").has_time_of_day(prefix)


def test_a_stopped_run_that_cannot_come_again_leaves_nothing(pack: Any, tiny: Any, places: Path) -> None:
    import comfy.model_management as management
    import comfy.utils

    def cancel(value: int, total: int, *_: Any, **__: Any) -> None:
        if value / total > 0.7:
            management.interrupt_current_processing()

    for prefix, left in (("video/%date:hh-mm-ss%", 0), ("video/same", 1)):
        comfy.utils.set_progress_bar_global_hook(cancel)
        try:
            with pytest.raises(management.InterruptProcessingException):
                make(pack, tiny, places, chunk_frames=5, filename_prefix=prefix)
        finally:
            comfy.utils.set_progress_bar_global_hook(None)
            management.interrupt_current_processing(False)
        assert len(list((places / "video").iterdir())) == left, prefix


def test_a_file_that_another_run_writes_is_refused_in_one_sentence(pack: Any, tiny: Any, places: Path) -> None:
    error = pack.part("patchvsr_core.errors").OutputError
    (places / "video").mkdir()
    with (
        lock_target(places / "video" / "PatchVSR_00001_.mp4"),
        pytest.raises(error, match=r"another run \(process \d+\)"),
    ):
        make(pack, tiny, places)
    made = make(pack, tiny, places)
    assert Path(made[0].get_stream_source()).name == "PatchVSR_00001_.mp4"
    assert [path.name for path in (places / "video").iterdir()] == ["PatchVSR_00001_.mp4"]
