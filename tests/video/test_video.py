from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import audio_packets, colors, with_audio, write

from patchvsr_core.errors import MediaError, OutputError
from patchvsr_core.video import Picture, VideoWriter, probe, read_clip
from patchvsr_core.video.info import check_pyav
from patchvsr_core.video.reader import iter_frames
from patchvsr_core.video.remux import check_container, join


def write_with_sound(path: Path, frames: torch.Tensor, source: Path) -> Path:
    """As a job does: a piece, joined with the other streams of its source."""
    size = int(frames.shape[1]), int(frames.shape[2])
    check_container(path, size, probe(source))
    piece = write(path.with_name("piece" + path.suffix), frames)
    join([piece], path, range(len(frames)), Fraction(1, 25), Fraction(25), source)
    piece.unlink()
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_frames_survive_the_round_trip(tmp_path: Path, suffix: str) -> None:
    frames = colors(6, 64, 96)
    clip = read_clip(write(tmp_path / f"out{suffix}", frames))
    assert clip.frames.shape == frames.shape
    assert (clip.frames - frames).abs().median() < 2 / 255


@pytest.mark.parametrize("size", [(131, 173), (7, 50), (1, 1)])
def test_odd_sizes_are_exact(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = read_clip(write(tmp_path / "odd.mkv", colors(3, *size)))
    assert clip.frames.shape == (3, *size, 3)
    assert (clip.info.height, clip.info.width) == size


def test_output_is_tagged_bt709_limited(tmp_path: Path) -> None:
    with av.open(str(write(tmp_path / "out.mp4", colors(2, 32, 32)))) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


def test_values_are_rounded_not_truncated(tmp_path: Path) -> None:
    frames = torch.full((1, 32, 32, 3), 127.8 / 255)
    back = read_clip(write(tmp_path / "out.mkv", frames)).frames * 255
    assert back.mean().item() == pytest.approx(128, abs=0.5)


def test_timestamps_are_kept(tmp_path: Path) -> None:
    times = [0, 3, 4, 9]
    with VideoWriter(tmp_path / "vfr.mkv", (32, 32), times, Fraction(1, 30), fps=Fraction(30)) as writer:
        writer.write(colors(4, 32, 32))
    clip = read_clip(tmp_path / "vfr.mkv")
    seconds = [float(t * clip.time_base) for t in clip.timestamps]
    assert seconds == pytest.approx([t / 30 for t in times], abs=2e-3)


def test_audio_is_copied_packet_by_packet(tmp_path: Path) -> None:
    source = with_audio(tmp_path / "source.mp4", colors(30, 32, 32))
    out = write_with_sound(tmp_path / "out.mp4", colors(30, 64, 64), source)
    assert probe(out).audio_streams == 1
    assert audio_packets(out) == audio_packets(source)
    assert len(audio_packets(out)) > 20


@pytest.mark.parametrize(("codec", "name"), [("pcm_s16le", "out.webm"), ("libopus", "out.mov")])
def test_audio_that_cannot_be_copied_is_refused_before_the_work_where_copies_are_wanted(
    tmp_path: Path, codec: str, name: str
) -> None:
    """The muxer alone refuses the second one."""
    source = with_audio(tmp_path / "source.mkv", colors(5, 32, 32), codec=codec)
    with pytest.raises(OutputError, match="use --audio auto, which encodes it"):
        check_container(tmp_path / name, (32, 32), probe(source), audio="copy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["silent.mp4", "source.mkv"]
    check_container(tmp_path / name, (32, 32), probe(source))


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        VideoWriter(tmp_path / "out.mp4", (32, 32), range(9), Fraction(1, 25), fps=Fraction(25)) as writer,
    ):
        writer.write(colors(3, 32, 32))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_older_result_survives_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4", colors(3, 32, 32))
    before = path.read_bytes()
    with pytest.raises(RuntimeError), VideoWriter(path, (32, 32), range(9), Fraction(1, 25), fps=Fraction(25)):
        raise RuntimeError
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.mp4", None, "no file"),
        ("empty.mp4", b"", "cannot be opened"),
        ("text.mp4", b"hello world" * 50, "cannot be opened"),
    ],
)
def test_unreadable_inputs(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=words):
        probe(tmp_path / name)


def test_audio_only_and_folders(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.m4a"), "w") as target:
        stream = target.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            target.mux(packet)
    with pytest.raises(MediaError, match="no video stream"):
        probe(tmp_path / "sound.m4a")
    with pytest.raises(MediaError, match="no image"):
        probe(tmp_path)


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_files_that_are_cut_off(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"good{suffix}", torch.rand(40, 64, 64, 3))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"truncated or damaged: \d+ bytes are missing"):
        read_clip(path)


def test_damage_in_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "good.mp4", torch.rand(40, 64, 64, 3))
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) * 2 // 3] = bytes(len(data) * 2 // 3 - len(data) // 3)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="damaged"):
        read_clip(path)


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), 3), ((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2)])
def test_phone_video_stands_upright(tmp_path: Path, matrix: tuple[int, int, int, int], turns: int) -> None:
    path = write(tmp_path / "phone.mp4", colors(2, 24, 40))
    flat = read_clip(path).frames
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44  # the display matrix, 16.16 fixed point
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 20] = struct.pack(">5i", a, b, 0, c, d)
    path.write_bytes(data)
    clip = read_clip(path)
    assert torch.equal(clip.frames, flat.rot90(turns, (1, 2)))
    assert (clip.info.height, clip.info.width) == tuple(clip.frames.shape[1:3])


def test_pixel_shape_is_kept(tmp_path: Path) -> None:
    aspect = Fraction(16, 11)
    wide = write(tmp_path / "wide.mp4", colors(2, 32, 32), picture=Picture(pixel_aspect=aspect))
    assert probe(wide).picture.pixel_aspect == aspect
    assert probe(write(tmp_path / "square.mp4", colors(2, 32, 32))).picture.pixel_aspect == 1


def test_a_format_without_a_decoder(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.mp4", colors(2, 32, 32))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xxxx"))
    with pytest.raises(MediaError, match="cannot be decoded"):
        probe(path)


def test_targets_are_checked_first(tmp_path: Path) -> None:
    frames = colors(1, 8, 8)
    with pytest.raises(OutputError, match=r"\.mp4, \.mov"):
        write(tmp_path / "out.avi", frames)
    with pytest.raises(OutputError, match="create it first"):
        write(tmp_path / "none" / "out.mp4", frames)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount to make a small disk")
def test_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    try:
        with pytest.raises(OutputError, match="free some space"):
            write(disk / "out.mp4", torch.rand(60, 128, 128, 3))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_pyav_that_converts_colours_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write(tmp_path / "in.mkv", colors(2, 16, 16))
    monkeypatch.setattr("av.__version__", "16.1.0")
    with pytest.raises(MediaError, match=r"PyAV 16\.1\.0 .*av>=17\.1"):
        probe(file)
    for version in ("17.1.0", "18.0.0rc1", "20.0"):
        check_pyav(version)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps files that are open")
@pytest.mark.parametrize("harm", ["delete", "replace", "shorten"])
def test_an_input_that_changes_while_it_is_read_is_named(tmp_path: Path, harm: str) -> None:
    file, other = (write(tmp_path / name, colors(frames, 16, 16)) for name, frames in (("in.mkv", 30), ("b.mkv", 3)))
    frames = iter_frames(file)
    next(frames)
    if harm == "replace":
        other.replace(file)
    elif harm == "shorten":
        os.truncate(file, 100)
    else:
        file.unlink()
    with pytest.raises(MediaError, match=r"in\.mkv was changed or removed while it was read"):
        list(frames)


def test_a_picture_too_large_for_libav_is_named_with_the_limit(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(MediaError, match=r"huge\.png .*more than 268 million pixels"):
        probe(tmp_path / "huge.png")
