"""Opening a video opens that file only."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from patchvsr_core.cli.preparation import read_strength_map
from patchvsr_core.errors import MediaError
from patchvsr_core.video import probe, read_clip
from patchvsr_core.video.local_files import POINTERS


def write_gif(path: Path, frames: int, side: int = 32) -> Path:
    with av.open(f"file:{path}", "w", format="gif") as target:
        stream = target.add_stream("gif", rate=10)
        stream.width = stream.height = side
        stream.pix_fmt = "rgb8"
        for k in range(frames):
            picture = np.full((side, side, 3), k % 256, np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture).reformat(format="rgb8")))
        target.mux(stream.encode(None))
    return path


def write_transport_stream(path: Path) -> Path:
    with av.open(str(path), "w", format="mpegts") as target:
        stream = target.add_stream("mpeg2video", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        noise = np.random.default_rng(0)  # as an empty picture is too small for libav to know the format
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8))
            target.mux(stream.encode(picture.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    return path


PLAYLISTS = {
    "clip.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "clip.mp4": "ffconcat version 1.0\nfile secret.ts\n",
    "clip.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_no_other_file(tmp_path: Path, name: str) -> None:
    secret = write_transport_stream(tmp_path / "secret.ts")
    assert len(read_clip(secret).frames) == 5
    (tmp_path / name).write_text(PLAYLISTS[name])
    with pytest.raises(MediaError, match=r"cannot be opened as video .*playlists are not read"):
        probe(tmp_path / name)


@pytest.mark.parametrize("name", ["Film: part 1.gif", "concat:a.gif", "subfile,,start,0,end,9,,:a.gif", "data:a.gif"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no colons in names")
def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_gif(Path(name), 2)
    assert len(read_clip(name).frames) == 2


def test_every_format_that_libav_follows_elsewhere_is_left_out() -> None:
    assert {"hls", "concat", "dash", "sdp", "rtsp"} <= POINTERS & av.formats_available


def test_a_strength_map_reads_one_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small GIF holds any number of large frames."""
    converted = []

    def count(frame: av.VideoFrame, alpha: bool | None = None) -> torch.Tensor:
        converted.append(frame)
        return torch.zeros(frame.height, frame.width, 3)

    monkeypatch.setattr("patchvsr_core.video.reader.to_tensor", count)
    strength = read_strength_map(Namespace(strength_map=write_gif(tmp_path / "many.gif", 300)))
    assert isinstance(strength.map, torch.Tensor) and strength.map.shape == (1, 32, 32)
    assert len(converted) == 1


def test_everything_that_reads_a_file_opens_it_here() -> None:
    root = Path(__file__).resolve().parents[2]
    files = [file for folder in ("patchvsr_core", "nodes") for file in (root / folder).rglob("*.py")]
    bare = [file.name for file in files if "av.open(str(" in file.read_text(encoding="utf-8")]
    assert bare == [], "use open_input, or local_url for output"
