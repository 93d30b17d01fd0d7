"""Sound of every kind in every container: copied, or encoded anew in step with the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import colors, write
from faulty import times_of

from patchvsr_core.__main__ import main
from patchvsr_core.video.audio_times import SteadyTimes

BEAT_S, BEAT_LENGTH_S, RATE = 0.4, 0.05, 48000
FRAMES = 20
PICTURES = {".vob": "mpeg2video", ".m2ts": "mpeg2video", ".ts": "mpeg2video", ".flv": "flv", ".webm": "libvpx"}


def with_beat(path: Path, codec: str, rate: int, channels: int = 1, gap_s: float = 0.0) -> Path:
    """A clip of 0.8 s with a white frame and a burst of noise at :data:`BEAT_S`, dark and silent before and after."""
    frames = colors(FRAMES, 24, 32) * 0.3
    frames[round(BEAT_S * 25)] = 1
    silent = write(path.with_name("silent.mkv"), frames)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    wave = np.zeros((channels, round(FRAMES / 25 * rate)), np.int16)
    at = round(BEAT_S * rate)
    length = round(BEAT_LENGTH_S * rate)
    wave[:, at : at + length] = np.random.default_rng(0).integers(-16000, 16000, (channels, length))
    with av.open(str(silent)) as source, av.open(str(path), "w") as target:
        target.add_stream(PICTURES.get(path.suffix, "mpeg4"), rate=25)
        video = target.streams.video[0]
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        audio = target.add_stream(codec, rate=rate, layout=layout, bit_rate=128000)
        for frame in source.decode(video=0):
            target.mux(video.encode(frame.reformat(format="yuv420p")))
        size, skipped = 1024, round(gap_s * rate)
        starts = [start for start in range(0, wave.shape[1], size) if not skipped or not 4096 <= start < 4096 + skipped]
        for start in starts:
            block = np.ascontiguousarray(wave[:, start : start + size].T.reshape(1, -1))
            sound = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = rate, start, Fraction(1, rate)
            target.mux(audio.encode(sound))
        for stream in (video, audio):
            target.mux(stream.encode(None))
    return path


def heard(path: Path) -> tuple[float, float]:
    """(time of the beat after the white frame, end of the sound after the first frame), in seconds.

    The middle of the beat's energy is measured, as codecs spread its edges.
    """
    with av.open(str(path)) as container:
        lights = [(frame.to_ndarray(format="gray").mean(), frame.time) for frame in container.decode(video=0)]
    begin, flash = lights[0][1], max(lights)[1]
    assert begin is not None and flash is not None
    with av.open(str(path)) as container:
        track, time = np.zeros(4 * RATE), 0.0
        for frame in container.decode(audio=0):
            time = frame.time if frame.time is not None else time
            assert time is not None
            samples = frame.to_ndarray().astype(np.float64)
            samples = samples[0] if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)[:, 0]
            wanted = np.arange(round(len(samples) * RATE / frame.sample_rate)) * frame.sample_rate / RATE
            first = round((time - begin + 1) * RATE)
            track[first : first + len(wanted)] = np.abs(np.interp(wanted, np.arange(len(samples)), samples))
            time += len(samples) / frame.sample_rate
        ends = time - begin
    middle = (np.arange(len(track)) * track**2).sum() / (track**2).sum()
    return float(middle) / RATE - 1 - BEAT_LENGTH_S / 2 + begin - flash, ends


def upscale(source: Path, output: Path, *choices: str) -> int:
    return main(["upscale", str(source), str(output), "--fast", "dap", "--scale", "2", *choices])


KINDS = [
    ("in.wmv", "wmav2", 44100, 2, "out.mp4"),
    ("in.wmv", "wmav2", 44100, 2, "out.mkv"),
    ("in.vob", "pcm_dvd", 48000, 2, "out.mp4"),
    ("in.m2ts", "pcm_bluray", 48000, 2, "out.mkv"),
    ("in.m2ts", "pcm_bluray", 48000, 2, "out.mov"),
    ("in.avi", "adpcm_ima_wav", 22050, 1, "out.mp4"),
    ("in.avi", "pcm_mulaw", 8000, 1, "out.mp4"),
    ("in.avi", "pcm_mulaw", 8000, 1, "out.mov"),
    ("in.flv", "nellymoser", 22050, 1, "out.mkv"),
    ("in.mkv", "wavpack", 48000, 2, "out.mp4"),
    ("in.mkv", "aac", 48000, 6, "out.webm"),
    ("in.mkv", "aac", 48000, 6, "out.mp4"),
    ("in.mkv", "flac", 48000, 2, "out.webm"),
    ("in.webm", "libopus", 48000, 2, "out.mov"),
    ("in.mp4", "aac", 44100, 2, "out.mkv"),
    ("in.ts", "aac", 48000, 2, "out.mp4"),
    ("in.mp4", "libmp3lame", 44100, 2, "out.mkv"),
    ("in.avi", "libmp3lame", 22050, 1, "out.mp4"),
    ("in.vob", "ac3", 48000, 6, "out.mp4"),
    ("in.webm", "libopus", 48000, 2, "out.mkv"),
]


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels", "output"), KINDS, ids=[f"{kind[1]} {kind[4]}" for kind in KINDS]
)
def test_every_sound_goes_into_any_container_in_step(
    tmp_path: Path, name: str, codec: str, rate: int, channels: int, output: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_beat(tmp_path / name, codec, rate, channels)
    assert upscale(source, tmp_path / output) == 0
    before, after = heard(source), heard(tmp_path / output)
    assert after[0] == pytest.approx(before[0], abs=0.008)
    assert after[1] == pytest.approx(before[1], abs=0.05 + 1024 / rate)
    with av.open(str(tmp_path / output)) as container:
        stream = container.streams.audio[0]
        found = stream.codec_context.codec.canonical_name
        assert stream.codec_context.layout.nb_channels == channels
    original = av.Codec(codec, "w").canonical_name
    if found != original:
        assert f"({original}) cannot be copied into a {Path(output).suffix} file; it becomes " in caplog.text
    else:
        assert not caplog.text


@pytest.mark.parametrize(("output", "codec"), [("out.mkv", "flac"), ("out.mp4", "flac"), ("out.mov", "pcm_s16le")])
def test_lossless_sound_stays_lossless(tmp_path: Path, output: str, codec: str) -> None:
    source = with_beat(tmp_path / "in.vob", "pcm_dvd", 48000, 2)
    assert upscale(source, tmp_path / output) == 0
    waves = []
    for path in (source, tmp_path / output):
        with av.open(str(path)) as container:
            resampler = av.AudioResampler("s16", "stereo", 48000)
            frames = [done for frame in container.decode(audio=0) for done in resampler.resample(frame)]
            waves.append(np.concatenate([frame.to_ndarray() for frame in frames], 1))
    assert np.array_equal(*waves)
    with av.open(str(tmp_path / output)) as container:
        assert container.streams.audio[0].codec_context.name == codec


@pytest.mark.parametrize("gap_s", [0.03, 0.06, 0.25])
def test_a_gap_in_encoded_sound_stays_as_long(tmp_path: Path, gap_s: float) -> None:
    source = with_beat(tmp_path / "in.mkv", "pcm_s16le", 44100, gap_s=gap_s)
    assert upscale(source, tmp_path / "out.webm") == 0
    assert heard(tmp_path / "out.webm")[0] == pytest.approx(heard(source)[0], abs=0.005)


def test_timestamps_that_err_now_and_then_make_no_gaps() -> None:
    """Of WMA and MP3 in AVI, whose packets hold more or fewer samples than they say."""
    times, frames = SteadyTimes(), []
    wrong = np.random.default_rng(0).uniform(-0.04, 0.04, 100) * (np.arange(100) % 3 == 1)
    for number in range(100):
        frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
        begin = number * 1024 / RATE + (0.03 if number >= 50 else 0)
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, 1000), round((begin + wrong[number]) * 1000)
        frames += [*times.add(frame)]
    frames += [*times.rest()]
    found = [frame.pts - number * 1024 for number, frame in enumerate(frames)]
    steps = np.flatnonzero(np.diff(found)) + 1
    assert len(frames) == 100 and len(steps) == 1 and abs(steps[0] - 50) <= 1
    assert abs(found[-1] - found[0] - 0.03 * RATE) < 0.002 * RATE and abs(found[0]) < 0.002 * RATE


@pytest.mark.parametrize("output", ["out.mkv", "out.mp4"])
def test_sound_that_an_edit_list_leaves_out_does_not_come_back(tmp_path: Path, output: str) -> None:
    """As phones and ``ffmpeg -ss -c copy`` cut; only what a decoder needs before the first sound is kept."""
    whole, cut = with_beat(tmp_path / "whole.mp4", "aac", 48000), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                shift = round(Fraction(6, 25) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    assert upscale(cut, tmp_path / output) == 0
    shown = times_of(tmp_path / output)
    assert len(shown) == FRAMES - 6
    assert shown[0] - times_of(tmp_path / output, "audio")[0] < 0.15
    assert heard(tmp_path / output)[0] == pytest.approx(heard(cut)[0], abs=0.005)


@pytest.mark.parametrize("output", ["out.mkv", "out.mp4"])
def test_clocks_that_start_below_0_stay_in_step_and_nothing_is_cut(tmp_path: Path, output: str) -> None:
    """Matroska does not state the times of frames before 0."""
    whole, path = with_beat(tmp_path / "whole.mkv", "flac", 48000), tmp_path / "in.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - 320, packet.dts - 320
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    assert upscale(path, tmp_path / output) == 0
    assert len(times_of(tmp_path / output)) == FRAMES
    assert heard(tmp_path / output)[0] == pytest.approx(0, abs=0.005)
    assert times_of(tmp_path / output)[0] >= 0


def test_cover_art_and_further_pictures_are_kept_or_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, path = with_beat(tmp_path / "whole.mp4", "aac", 48000), tmp_path / "in.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        second = target.add_stream_from_template(source.streams.video[0])
        cover = target.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        (art,) = [*cover.encode(av.VideoFrame(32, 32, "yuvj420p")), *cover.encode(None)]
        target.mux(art)
        for packet in source.demux(video=0):
            for stream in (video, second) if packet.dts is not None else ():
                packet.stream = stream
                target.mux(packet)
    assert upscale(path, tmp_path / "out.mkv") == 0
    assert [record.message for record in caplog.records] == ["in.mp4 has 2 video streams; only the first is upscaled."]
    with av.open(str(tmp_path / "out.mkv")) as made:
        covers = [stream for stream in made.streams.video if stream.disposition & av.stream.Disposition.attached_pic]
        assert len(covers) == 1 and next(made.decode(covers[0])).width == 32
    assert upscale(path, tmp_path / "out.mp4") == 0
    assert "The cover art of in.mp4 is left out." in caplog.text


def test_streams_of_data_are_named_where_they_cannot_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    silent, path = write(tmp_path / "silent.mp4", colors(3, 24, 32)), tmp_path / "in.ts"
    with av.open(str(silent)) as source, av.open(str(path), "w") as target:
        video, data = target.add_stream_from_template(source.streams.video[0]), target.add_data_stream()
        for packet in source.demux(video=0):
            if packet.dts is not None:
                motion = av.Packet(b"motion")
                motion.pts = motion.dts = packet.dts
                motion.time_base, motion.stream, packet.stream = packet.time_base, data, video
                target.mux([motion, packet])
    assert upscale(path, tmp_path / "out.mkv") == 0
    assert [record.message for record in caplog.records] == ["A data stream of in.ts cannot be kept."]


def test_audio_can_be_copied_only_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = with_beat(tmp_path / "in.wmv", "wmav2", 44100)
    assert upscale(source, tmp_path / "out.mp4", "--audio", "copy") == 2
    assert "(wmav2) cannot be copied into a .mp4 file; use --audio auto, which encodes it" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()
    assert upscale(source, tmp_path / "out.mp4", "--audio", "none") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio
