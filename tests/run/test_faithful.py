"""What goes through a job besides the pixels: everything that a video player could notice."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from clips import colors, write
from jobs import run
from streams import add_streams, other_facts
from torch import Tensor

from patchvsr_core.__main__ import main
from patchvsr_core.errors import MediaError, OutputError
from patchvsr_core.resample import resize
from patchvsr_core.run.job import Job
from patchvsr_core.settings import TINY
from patchvsr_core.video import Picture, VideoWriter, probe, read_clip
from patchvsr_core.video.chunk_files import Encoding, check_output
from patchvsr_core.video.reader import iter_frames
from patchvsr_core.video.sequence import check_no_stale_images, write_image
from patchvsr_core.video.writer import check_target


def upscaled(source: Path, output: Path, encoding: Encoding = Encoding(), chunk_frames: int = 5) -> Path:
    """Doubled by the engine, with bicubic enlargement in place of the model."""
    info = probe(source)
    target = info.height * 2, info.width * 2
    check_target(output, source)
    check_output(output, target, info, encoding)
    run(Job(info, output, target, TINY, chunk_frames, 1, encoding))
    return output


def picture_facts(path: Path) -> dict[str, Any]:
    """Of the video stream."""
    clip = read_clip(path)
    seconds = [round(float((t - clip.timestamps[0]) * clip.time_base), 2) for t in clip.timestamps]
    return {"fps": clip.info.fps, "times": seconds, "picture": clip.info.picture, "channels": clip.frames.shape[-1]}


@pytest.mark.parametrize("frames", [1, 2, 6, 7, 11])
def test_every_length(tmp_path: Path, frames: int) -> None:
    source = write(tmp_path / "in.mp4", colors(frames, 24, 32), fps=Fraction(30000, 1001))
    out = upscaled(source, tmp_path / "out.mp4")
    assert picture_facts(out) == picture_facts(source)
    assert len(read_clip(out).frames) == frames


@pytest.mark.parametrize("size", [(23, 35), (24, 35), (1, 3)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    out = upscaled(write(tmp_path / "in.mkv", colors(3, *size)), tmp_path / "out.mp4")
    assert read_clip(out).frames.shape == (3, size[0] * 2, size[1] * 2, 3)


@pytest.mark.parametrize(
    "picture",
    [
        Picture(depth=10),
        Picture(pixel_aspect=Fraction(16, 11)),
        Picture(matrix=6, primaries=6, transfer=6),
        Picture(matrix=5, primaries=5, transfer=6),
        Picture(full_range=True),
        Picture(matrix=9, primaries=9, transfer=14, depth=10),
        Picture(matrix=9, primaries=9, transfer=16, depth=10),
        Picture(matrix=9, primaries=9, transfer=18, depth=10, pixel_aspect=Fraction(4, 3)),
    ],
    ids=["10 bits", "wide pixels", "NTSC", "PAL", "full range", "BT.2020", "PQ", "HLG of wide pixels"],
)
def test_the_pictures_coding_is_kept(tmp_path: Path, picture: Picture) -> None:
    frames = colors(6, 32, 48)
    source = write(tmp_path / "in.mkv", frames, crf=4, picture=picture)
    assert probe(source).picture == picture
    assert (read_clip(source).frames - frames).abs().median() < 0.01, "read as it was written"
    for name in ("out.mkv", "out.mp4"):
        out = upscaled(source, tmp_path / name, Encoding(crf=4))
        assert picture_facts(out) == picture_facts(source)
        assert (read_clip(out).frames - resize(frames, (64, 96))).abs().median() < 0.013


def test_ten_bits_are_real(tmp_path: Path) -> None:
    """A ramp with steps finer than 8 bits has them in the result too."""
    ramp = torch.linspace(0.4, 0.45, 256).reshape(1, 1, 256, 1).expand(2, 32, -1, 3)
    source = write(tmp_path / "in.mkv", ramp, crf=0, picture=Picture(depth=10))
    for encoding, levels in ((Encoding(crf=0), 40), (Encoding(crf=0, depth=8), 15)):
        out = read_clip(upscaled(source, tmp_path / "out.mkv", encoding)).frames
        found = len((out[0, 8, :, 1] * 1023).round().unique())
        assert (found > levels) == (encoding.depth is None)
        assert (out - resize(ramp, (64, 512))).abs().max() < 3 / 255


def test_variable_frame_rate(tmp_path: Path) -> None:
    from patchvsr_core.video import VideoWriter

    times = [0, 3, 4, 9, 10, 11, 20]
    with VideoWriter(tmp_path / "in.mkv", (24, 32), times, Fraction(1, 30), fps=Fraction(30)) as writer:
        writer.write(colors(7, 24, 32))
    for name in ("out.mkv", "out.mp4"):
        out = upscaled(tmp_path / "in.mkv", tmp_path / name)
        assert picture_facts(out)["times"] == picture_facts(tmp_path / "in.mkv")["times"]


@pytest.mark.parametrize(("tracks", "subtitles"), [(0, False), (1, False), (2, False), (2, True)])
def test_other_streams_are_copied_byte_by_byte(tmp_path: Path, tracks: int, subtitles: bool) -> None:
    silent = write(tmp_path / "silent.mkv", colors(6, 24, 32))
    source = add_streams(silent, tmp_path / "in.mkv", tracks, subtitles)
    before = other_facts(source)
    assert len(before[0]) == tracks + 2 * subtitles
    assert other_facts(upscaled(source, tmp_path / "out.mkv")) == before
    if not subtitles:
        assert other_facts(upscaled(source, tmp_path / "out.mp4"))[1] == before[1]


def test_subtitles_that_do_not_fit(tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.mkv", colors(2, 24, 32))
    source = add_streams(silent, tmp_path / "in.mkv", 1, True)
    with pytest.raises(OutputError, match=r"subtitles of in\.mkv .* write to \.mkv instead or use --no-subtitles"):
        upscaled(source, tmp_path / "out.mp4")
    out = upscaled(source, tmp_path / "out.mp4", Encoding(subtitles=False))
    assert [fact[0] for fact in other_facts(out)[0]] == ["audio"]


def transparent(frames: int) -> Tensor:
    """Colours whose transparency rises from left to right."""
    matte = torch.linspace(0, 1, 48).reshape(1, 1, 48, 1).expand(frames, 32, -1, 1)
    return torch.cat([colors(frames, 32, 48), matte], -1)


def held(frames: Tensor, suffix: str) -> Tensor:
    """Without the colours of what is transparent, which an EXR does not hold."""
    return frames * (frames[..., 3:] > 0) if suffix == ".exr" else frames


@pytest.mark.parametrize(("suffix", "depth"), [(".webm", 8), (".mov", 12), (".mkv", 8), (".mkv", 10)])
def test_transparency_is_upscaled_too(tmp_path: Path, suffix: str, depth: int) -> None:
    frames = transparent(7)
    source = write(tmp_path / f"in{suffix}", frames, crf=8, picture=Picture(depth=min(depth, 10), alpha=True))
    info = probe(source)
    assert info.picture.alpha and info.picture.depth == depth
    out = read_clip(upscaled(source, tmp_path / f"out{suffix}", Encoding(crf=8)))
    assert out.info.picture.alpha and out.info.picture.depth == depth
    assert out.frames.shape == (7, 64, 96, 4)
    expected = resize(frames, (64, 96)).clamp(0, 1)
    assert (out.frames[..., 3] - expected[..., 3]).abs().mean() < 0.01
    assert (out.frames[..., :3] - expected[..., :3]).abs().mean() < 0.03


def test_transparency_is_not_lost_without_a_word(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mov", transparent(2), picture=Picture(depth=10, alpha=True))
    with pytest.raises(OutputError, match=r"write to \.mov.*--no-alpha"):
        upscaled(source, tmp_path / "out.mp4")
    assert read_clip(upscaled(source, tmp_path / "out.mp4", Encoding(alpha=False))).frames.shape[-1] == 3


@pytest.mark.parametrize(
    ("codec", "suffix"), [("hevc", ".mp4"), ("av1", ".webm"), ("prores", ".mov"), ("ffv1", ".mkv")]
)
@pytest.mark.parametrize("depth", [8, 10])
def test_codecs(tmp_path: Path, codec: str, suffix: str, depth: int) -> None:
    frames = colors(6, 64, 96)
    source = write(tmp_path / "in.mkv", frames, crf=4)
    out = upscaled(source, tmp_path / f"out{suffix}", Encoding(codec=codec, depth=depth, crf=12))
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name in (codec, "libdav1d")
    clip = read_clip(out)
    assert (clip.info.picture.depth == 8) == (depth == 8 and codec != "prores")
    assert (clip.frames - resize(frames, (128, 192)).clamp(0, 1)).abs().mean() < 0.03
    with pytest.raises(OutputError, match="write to"):
        upscaled(source, tmp_path / ("out.webm" if suffix != ".webm" else "out.mov"), Encoding(codec=codec))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_chapters_move_with_the_start_of_a_film(tmp_path: Path, suffix: str) -> None:
    """One ends before it, one begins before it."""
    spans = [(8000, 9500), (9500, 11000), (11000, 12000)]
    base, titles = Fraction(1, 1000), [{"title": f"chapter {number}"} for number in range(3)]
    with VideoWriter(tmp_path / "in.mkv", (32, 48), range(250, 300), Fraction(1, 25), fps=Fraction(25)) as writer:
        writer.container.set_chapters(
            [
                {"id": number + 1, "start": start, "end": end, "time_base": base, "metadata": titles[number]}
                for number, (start, end) in enumerate(spans)
            ]
        )
        writer.write(colors(50, 32, 48))
    assert probe(tmp_path / "in.mkv").origin == 10
    out = upscaled(tmp_path / "in.mkv", tmp_path / f"out{suffix}", chunk_frames=25)
    with av.open(str(out)) as made:
        assert made.start_time == 0
        seconds = [
            [float(chapter[end] * chapter["time_base"]) for end in ("start", "end")] for chapter in made.chapters()
        ]
        names = [chapter["metadata"]["title"] for chapter in made.chapters()]
    assert seconds == [[0, 1], [1, 2]] and names == ["chapter 1", "chapter 2"]


@pytest.mark.parametrize(("suffix", "depth", "channels"), [(".png", 8, 3), (".png", 16, 4), (".exr", 16, 4)])
def test_image_sequences(tmp_path: Path, suffix: str, depth: int, channels: int) -> None:
    frames = transparent(12)[..., :channels]
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for number, frame in enumerate(frames):
        write_image(tmp_path / "in" / f"shot_{number + 95}{suffix}", frame, depth)
    info = probe(tmp_path / "in")
    assert (info.frames, info.width, info.picture.alpha) == (12, 48, channels == 4)
    assert (held(read_clip(tmp_path / "in").frames, suffix) - held(frames, suffix)).abs().max() < 1 / 255
    out = upscaled(tmp_path / "in", tmp_path / "out" / f"big_%04d{suffix}")
    names = [file.name for file in sorted((tmp_path / "out").iterdir())]
    assert names == [f"big_{number:04d}{suffix}" for number in range(95, 107)], "numbered as the input"
    clip = read_clip(out)
    assert (held(clip.frames, suffix) - held(resize(frames, (64, 96)).clamp(0, 1), suffix)).abs().mean() < 3e-3
    assert clip.info.picture.depth == {(".png", 8): 8, (".png", 16): 16, (".exr", 16): 32}[suffix, depth]


def test_images_become_a_video_and_back(tmp_path: Path) -> None:
    frames = colors(5, 32, 48)
    for folder in ("in", "back"):
        (tmp_path / folder).mkdir()
    for number, frame in enumerate(frames):
        write_image(tmp_path / "in" / f"{number:03d}.png", frame, 8)
    video = upscaled(tmp_path / "in", tmp_path / "video.mp4")
    assert picture_facts(video)["fps"] == 24 and len(read_clip(video).frames) == 5
    upscaled(video, tmp_path / "back")
    assert [file.name for file in sorted((tmp_path / "back").iterdir())] == [f"frame_{k:05d}.png" for k in range(1, 6)]


def test_lights_brighter_than_white_stay(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    frame = torch.full((16, 16, 3), 0.5)
    frame[4:12, 4:12] = 1.6
    for number in range(2):
        write_image(tmp_path / "in" / f"{number}.exr", frame)
    out = read_clip(upscaled(tmp_path / "in", tmp_path / "out" / "%d.exr")).frames
    assert out[0, 16, 16].mean().item() == pytest.approx(1.6, abs=0.02)


def test_sequences_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no image in"):
        probe(tmp_path)
    write_image(tmp_path / "a_1.png", torch.rand(8, 8, 3))
    write_image(tmp_path / "a_2.exr", torch.rand(8, 8, 3))
    with pytest.raises(MediaError, match=r"has \.exr and \.png files"):
        probe(tmp_path)
    assert probe(tmp_path / "a_%d.png").frames == 1
    with pytest.raises(OutputError, match="the folder of the input"):
        check_target(tmp_path / "b_%d.png", tmp_path / "a_%d.png")
    with pytest.raises(OutputError, match=r"use \.png or \.exr"):
        check_target(tmp_path / "b_%d.jpg")
    write_image(tmp_path / "a_3.png", torch.rand(8, 12, 3))
    with pytest.raises(MediaError, match="changes its resolution"):
        list(iter_frames(tmp_path / "a_%d.png"))


def test_images_of_a_longer_result_are_not_left_among_the_new_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, count in (("in", 2), ("out", 3)):
        (tmp_path / folder).mkdir()
        for number in range(1, count + 1):
            write_image(tmp_path / folder / f"frame_{number:05d}.png", torch.rand(16, 16, 3))
    before = (tmp_path / "out" / "frame_00001.png").read_bytes()
    assert main(["upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--scale", "1"]) == 2
    assert "would not replace, such as frame_00003.png; delete" in capsys.readouterr().err
    assert (tmp_path / "out" / "frame_00001.png").read_bytes() == before
    (tmp_path / "out" / "frame_00003.png").unlink()
    check_no_stale_images(tmp_path / "out", [1, 2])


def test_a_clock_that_starts_late_or_runs_back(tmp_path: Path) -> None:
    """As broadcasts and joined recordings have it: results begin at 0, and sound stays with the picture."""
    frames = colors(10, 32, 48)
    silent = write(tmp_path / "silent.mp4", frames)
    with av.open(str(silent)) as source, av.open(str(tmp_path / "part.ts"), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("mp2", rate=48000, layout="mono")
        wave = (np.sin(np.arange(19200) * 0.05) * 8000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 3 * 48000, Fraction(1, 48000)
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts += round(3 / packet.time_base)
                packet.dts += round(3 / packet.time_base)
                packet.stream = video
                target.mux(packet)
        for packet in [*sound.encode(frame), *sound.encode(None)]:
            target.mux(packet)
    part = (tmp_path / "part.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(part * 2)
    for name, count in (("part.ts", 10), ("joined.ts", 20)):
        info = probe(tmp_path / name)
        assert 2.5 < info.origin < 3.2
        out = upscaled(tmp_path / name, tmp_path / "out.mkv")
        clip = read_clip(out)
        assert len(clip.frames) == count
        assert float(clip.timestamps[0] * clip.time_base) < 0.2
        with av.open(str(out)) as container:
            times = [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None]
        assert times[0] < 0.2 and times == sorted(times) and times[-1] < count / 25 + 0.3


def test_recordings_whose_last_frame_is_held_are_whole(tmp_path: Path) -> None:
    from patchvsr_core.video import VideoWriter

    times = [75, 76, 77, 78, 79, 200]
    with VideoWriter(tmp_path / "in.mkv", (24, 32), times, Fraction(1, 25), fps=Fraction(25)) as writer:
        writer.write(colors(6, 24, 32))
    shown = picture_facts(upscaled(tmp_path / "in.mkv", tmp_path / "out.mkv"))["times"]
    assert shown == [0, 0.04, 0.08, 0.12, 0.16, 5.0]


def test_frames_with_and_without_transparency_mix(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for number, channels in enumerate((4, 3, 4)):
        write_image(tmp_path / f"{number}.png", torch.rand(8, 8, channels))
    out = read_clip(upscaled(tmp_path / "%d.png", tmp_path / "out" / "%d.png")).frames
    assert out.shape == (3, 16, 16, 4) and (out[1, ..., 3] == 1).all()


def test_names_of_images_stay(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for number in (8, 9, 12):
        write_image(tmp_path / f"shot_{number:04d}_v2.png", torch.rand(8, 8, 3))
    upscaled(tmp_path / "shot_%04d_v2.png", tmp_path / "out" / "100%_%03d.png")
    assert [file.name for file in sorted((tmp_path / "out").iterdir())] == [f"100%_{k:03d}.png" for k in (8, 9, 12)]
    odd = write(tmp_path / "my%20dog.mp4", colors(2, 8, 8))
    assert len(read_clip(odd).frames) == 2
    with pytest.raises(OutputError, match="create it first"):
        check_target(tmp_path / "none" / "%d.png", tmp_path / "shot_%04d_v2.png")


def test_a_stopped_image_sequence_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from patchvsr_core.video import chunk_files

    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for number in range(12):
        write_image(tmp_path / "in" / f"{number:02d}.png", torch.rand(8, 8, 3))
    count = iter(range(100))

    def stops(*arguments: Any, **choices: Any) -> None:
        if next(count) == 6:
            raise KeyboardInterrupt
        write_image(*arguments, **choices)

    with monkeypatch.context() as patched:
        patched.setattr(chunk_files, "write_image", stops)
        with pytest.raises(KeyboardInterrupt):
            upscaled(tmp_path / "in", tmp_path / "out")
    upscaled(tmp_path / "in", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 12


def test_names_in_another_alphabet_do_not_stop_it(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.avi"), "w") as target:
        target.metadata["title"] = "Cafe #"
        stream = target.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for picture in (av.VideoFrame(32, 24, "yuv420p"), None):
            target.mux(stream.encode(picture))
    data = (tmp_path / "in.avi").read_bytes()
    (tmp_path / "in.avi").write_bytes(data.replace(b"Cafe #", b"Caf\xe9 #"))
    assert len(read_clip(upscaled(tmp_path / "in.avi", tmp_path / "out.mkv")).frames) == 1
