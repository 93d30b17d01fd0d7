"""The real-time networks as users run them: clips, pieces of clips, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from clips import audio_packets, colors, with_audio, write
from command import call
from small_models import random_dap, random_rdg
from torch import Tensor

from patchvsr_core.__main__ import main
from patchvsr_core.cli.realtime_engine import fast_engine
from patchvsr_core.errors import MediaError, ModelError, PlanError
from patchvsr_core.optical_flow.flow import ClipFlows
from patchvsr_core.plan.chunks import plan_chunks
from patchvsr_core.realtime.dap import load_dap, save_dap
from patchvsr_core.realtime.gbuffers import RenderPasses, make_gbuffers
from patchvsr_core.realtime.rdg import load_rdg, save_rdg
from patchvsr_core.realtime.upscaler import FastUpscaler, State, load_fast, upscale_chunk
from patchvsr_core.resample import resize
from patchvsr_core.run.cost import Stream
from patchvsr_core.run.job import Job
from patchvsr_core.run.memory import streamed_frames
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.video import probe, read_clip
from patchvsr_core.video.chunk_files import Encoding
from patchvsr_core.video.reader import Timeline, read_frames, scan
from patchvsr_core.video.shot_detection import detect_cuts
from patchvsr_core.weights import FOLDER

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "sample.mp4"
NAMES = ["dap", "rdg"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small random network of each kind."""
    folder = tmp_path_factory.mktemp("networks")
    save_dap(random_dap(), folder / "a.safetensors")
    save_rdg(random_rdg(), folder / "b.safetensors")
    return {"dap": folder / "a.safetensors", "rdg": folder / "b.safetensors"}


@pytest.fixture(params=NAMES)
def path(files: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return files[request.param]


@pytest.fixture(scope="module")
def clip() -> Tensor:
    """Seven frames in motion, of no even size."""
    return read_frames(SAMPLE, 7)[:, 20:47, 40:75]


def rendered(frames: int, size: tuple[int, int]) -> RenderPasses:
    generator = torch.Generator().manual_seed(1)
    motion = [3 * torch.randn(frames - 1, 2, *size, generator=generator) for _ in range(2)]
    depth, normal, albedo = (torch.rand(frames, *size, count, generator=generator) for count in (1, 3, 3))
    return RenderPasses(ClipFlows(*motion), 9 * depth[..., 0], 2 * normal - 1, albedo)


def test_networks_are_told_apart_by_what_is_in_the_file(files: dict[str, Path], tmp_path: Path) -> None:
    for name, path in files.items():
        assert load_fast(path).name == name
    published = tmp_path / "RDG.pth"
    torch.save({"params": random_rdg().state_dict()}, published)
    assert load_fast(str(published)).name == "rdg"
    assert len({load_fast(path).identity for path in (*files.values(), published)}) == 3


def test_other_files_say_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="choose dap or rdg, or check the path"):
        load_fast(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ModelError, match="damaged"):
        load_fast(tmp_path / "text.safetensors")
    with pytest.raises(ModelError, match="neither a DAP nor an RDG"):
        load_fast(FOLDER / "tiny_refiner.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_shipped_networks_upscale_better_than_bicubic(name: str) -> None:
    original = read_frames(ROOT / "examples" / "sample_original.mp4", 4)
    small = resize(original, (original.shape[1] // 4, original.shape[2] // 4)).clamp(0, 1)
    size = (int(original.shape[1]), int(original.shape[2]))
    error = (load_fast(name).upscale(small, size) - original).square().mean()
    assert error < (resize(small, size).clamp(0, 1) - original).square().mean()


def test_dap_is_the_network_frame_by_frame(files: dict[str, Path], clip: Tensor) -> None:
    with torch.no_grad():
        expected = load_dap(files["dap"])(clip.movedim(-1, 1)[None])[0].movedim(1, -1).clamp(0, 1)
    given = clip.clone()
    made = load_fast(files["dap"]).upscale(given)
    assert (made - expected).abs().max() < 1e-6 and made.dtype == torch.float32
    assert torch.equal(given, clip)


@pytest.mark.parametrize("given", [False, True])
def test_rdg_is_the_network_with_the_buffers_of_the_whole_clip(
    files: dict[str, Path], clip: Tensor, given: bool
) -> None:
    passes = rendered(7, (27, 35)) if given else RenderPasses()
    with torch.no_grad():
        expected = load_rdg(files["rdg"])(make_gbuffers(clip, passes))[0].movedim(1, -1).clamp(0, 1)
    assert (load_fast(files["rdg"]).upscale(clip, None, passes) - expected).abs().max() < 1e-6


def test_dap_does_not_look_at_passes(files: dict[str, Path], clip: Tensor) -> None:
    upscaler = load_fast(files["dap"])
    assert torch.equal(upscaler.upscale(clip, passes=rendered(7, (27, 35))), upscaler.upscale(clip))


def test_a_clip_in_pieces_is_the_clip_at_once(path: Path, clip: Tensor) -> None:
    upscaler = load_fast(path)
    whole, state, pieces = upscaler.upscale(clip), {}, []
    for first, last in ((0, 1), (1, 4), (4, 7)):
        kept = {name: values.clone() for name, values in state.items()}  # taken out, and put back
        pieces.append(upscaler.upscale(clip[first:last], state=kept))
        state = kept
    assert (torch.cat(pieces) - whole).abs().max() < 1e-6
    forgetful = torch.cat([upscaler.upscale(clip[:4]), upscaler.upscale(clip[4:])])
    assert (forgetful[:4] - whole[:4]).abs().max() < 1e-6
    assert (forgetful[4] - whole[4]).abs().max() > 1e-3, "what is remembered matters"


def test_a_render_in_pieces_is_the_render_at_once(files: dict[str, Path], clip: Tensor) -> None:
    upscaler, passes = load_fast(files["rdg"]), rendered(7, (27, 35))
    assert passes.flows is not None and passes.depth is not None
    whole, state = upscaler.upscale(clip, None, passes), State()
    parts = [
        upscaler.upscale(
            clip[first:last],
            None,
            RenderPasses(
                passes.flows.slice(max(first - 1, 0), last),
                *(values[first:last] for values in (passes.depth, passes.normal, passes.albedo)),  # type: ignore[index]
            ),
            state=state,
        )
        for first, last in ((0, 3), (3, 7))
    ]
    assert (torch.cat(parts) - whole).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(108, 140), (50, 61), (135, 200), (27, 35)])
def test_any_size_is_resampled_from_four_times(path: Path, clip: Tensor, size: tuple[int, int]) -> None:
    upscaler = load_fast(path)
    made = upscaler.upscale(clip[:2], size)
    assert made.shape == (2, *size, 3) and made.min() >= 0 and made.max() <= 1
    assert (made - resize(upscaler.upscale(clip[:2]), size).clamp(0, 1)).abs().max() < 1e-6


def test_everything_is_forgotten_at_cuts(path: Path, clip: Tensor) -> None:
    upscaler = load_fast(path)
    apart = torch.cat([upscaler.upscale(part) for part in (clip[:2], clip[2:5], clip[5:])])
    assert torch.equal(upscaler.upscale(clip, cuts=(2, 5)), apart)
    assert not torch.equal(upscaler.upscale(clip), apart)
    state = State()
    upscaler.upscale(clip[:2], state=state)
    assert torch.equal(upscaler.upscale(clip[2:], cuts=(0,), state=state), upscaler.upscale(clip[2:]))


def test_cuts_of_a_clip_are_those_of_its_file(tmp_path: Path) -> None:
    shots = torch.cat([colors(5, 48, 64), 1 - read_frames(SAMPLE, 4)[:, :48, :64]])
    assert detect_cuts(shots) == (5,) == scan(write(tmp_path / "in.mkv", shots, codec="ffv1")).cuts


def test_passes_of_another_clip_are_refused(files: dict[str, Path], clip: Tensor) -> None:
    upscaler, passes = load_fast(files["rdg"]), rendered(7, (27, 35))
    with pytest.raises(MediaError, match="Depth has 7 frames of 35x27, the clip 6 of 35x27"):
        upscaler.upscale(clip[:6], None, passes)
    with pytest.raises(MediaError, match="motion has 7 frames of 35x27 but 6 of 35x27"):
        upscaler.upscale(clip[:6], None, RenderPasses(passes.flows))
    state = State()
    upscaler.upscale(clip[:3], state=state)
    assert passes.flows is not None
    with pytest.raises(MediaError, match="but 5 of 35x27 are needed"):
        upscaler.upscale(clip[3:], None, RenderPasses(passes.flows.slice(3, 7)), state=state)


def test_a_run_can_be_stopped_after_every_frame_and_then_remembers_nothing(path: Path, clip: Tensor) -> None:
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    state = State()
    with pytest.raises(KeyboardInterrupt):
        load_fast(path).upscale(clip, state=state, on_frame=stop)
    assert seen == [(1, 7), (2, 7)] and not state


def test_a_frame_too_large_for_memory_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream((1080, 1920), (2500, 3333), 5 * 10**9, adds_to_result=True)
    room = partial(streamed_frames, 1000, device=torch.device("cpu"))
    monkeypatch.setattr("patchvsr_core.run.memory.free_bytes", lambda device: 4 * 10**9)
    with pytest.raises(PlanError, match=r"1920x1080 needs about 4\.7 GiB .* 3\.7 GiB are free"):
        room(stream)
    monkeypatch.setattr("patchvsr_core.run.memory.free_bytes", lambda device: 10**10)
    assert room(stream) == 21, "of eight tenths, what the frame at work leaves"
    assert room(replace(stream, adds_to_result=False)) == 61, (
        "frames of a result that are encoded as they are made take no room"
    )
    monkeypatch.setattr("patchvsr_core.run.memory.free_bytes", lambda device: 10**12)
    assert room(stream) == 46 and room(Stream((1, 1), (1, 1), 1)) == 64


# Files


def a_job(source: Path, **changes: object) -> Job:
    job = Job(probe(source), source.with_name("out.mkv"), (60, 80), None, 3, 0, Encoding(codec="ffv1"))
    return replace(job, **changes)  # type: ignore[arg-type]


def run(
    job: Job, upscaler: FastUpscaler, timeline: Timeline, on_chunk: Callable[[int, int], None] = lambda *_: None
) -> None:
    upscale_file(
        job,
        timeline,
        upscaler,
        work=upscale_chunk,
        weights=upscaler.identity,
        report=lambda *_: None,
        on_chunk=on_chunk,
    )


def test_a_file_in_chunks_is_the_clip_at_once(path: Path, clip: Tensor, tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", torch.cat([clip, 1 - clip.flip(2)]), codec="ffv1")
    timeline, upscaler = replace(scan(source), cuts=(7,)), load_fast(path)
    run(a_job(source), upscaler, timeline)
    made = read_clip(tmp_path / "out.mkv").frames
    frames = read_clip(source).frames
    assert (made - upscaler.upscale(frames, (60, 80), cuts=(7,))).abs().max() <= 0.5 / 255 + 1e-6
    assert (made - upscaler.upscale(frames, (60, 80))).abs().max() > 2 / 255, "the cut matters"


@pytest.mark.parametrize("broken", [1, 2, 4])
def test_a_stopped_run_gives_the_same_file(path: Path, clip: Tensor, tmp_path: Path, broken: int) -> None:
    source = write(tmp_path / "in.mkv", torch.cat([clip, 1 - clip]), codec="ffv1")
    timeline, upscaler = replace(scan(source), cuts=(7,)), load_fast(path)
    run(a_job(source), upscaler, timeline)
    whole = (tmp_path / "out.mkv").read_bytes()
    (tmp_path / "out.mkv").unlink()

    def stop(number: int, total: int) -> None:
        assert total == 6
        if number == broken:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(a_job(source), upscaler, timeline, stop)
    begun: list[int] = []
    run(a_job(source), upscaler, timeline, lambda number, total: begun.append(number))
    assert begun[0] == broken
    assert (tmp_path / "out.mkv").read_bytes() == whole


def test_what_was_remembered_and_lost_is_made_again(path: Path, clip: Tensor, tmp_path: Path) -> None:
    source, upscaler = write(tmp_path / "in.mkv", clip, codec="ffv1"), load_fast(path)
    run(a_job(source), upscaler, scan(source))
    whole = (tmp_path / "out.mkv").read_bytes()
    (tmp_path / "out.mkv").unlink()

    def stop(number: int, total: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(a_job(source), upscaler, scan(source), stop)
    (tail,) = (tmp_path / ".out.mkv.patchvsr").glob("*.tail")
    tail.unlink()
    begun: list[int] = []
    run(a_job(source), upscaler, scan(source), lambda number, total: begun.append(number))
    assert begun[0] == 0 and (tmp_path / "out.mkv").read_bytes() == whole


def test_the_announced_time_is_that_of_the_parts_really_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.mp4", colors(9, 64, 256))
    engine = fast_engine(probe(source), (128, 512), str(path), "cpu")
    sizes: list[tuple[int, ...]] = []

    def upscale(frames: Tensor, size: tuple[int, int], state: State) -> None:
        sizes.append((*frames.shape[:3], *size))

    monkeypatch.setattr(engine.models, "upscale", upscale)
    for timer in ("time_call", "time_warm_call"):
        monkeypatch.setattr(f"patchvsr_core.cli.realtime_engine.{timer}", lambda work: (work(), 2.0)[1])
    chunks = engine.chunks(9, None, None)
    assert chunks == (9, 0) and engine.chunks(9, 4, None) == (4, 0)
    cost = engine.cost(plan_chunks(9, (), 9, 0), tmp_path / "out.mp4", Encoding())
    assert sizes == [(1, 64, 128, 128, 256)] * 2, "half a frame"
    assert cost.seconds == pytest.approx(9 * (2.0 * 2 + 2.0 / 2))


def test_a_short_run_does_not_wait_until_its_writing_was_timed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = fast_engine(probe(write(tmp_path / "in.mp4", colors(4, 32, 48))), (128, 192), str(path), "cpu")
    for seconds, said in ((0.1, "a short run"), (100.0, "no space")):
        monkeypatch.setattr("patchvsr_core.cli.realtime_engine.time_call", lambda work, seconds=seconds: seconds)
        monkeypatch.setattr("patchvsr_core.cli.realtime_engine.writing_seconds", lambda *given: None)
        cost = engine.cost(plan_chunks(4, (), 4, 0), tmp_path / "out.mp4", Encoding())
        assert cost.seconds == pytest.approx(4 * seconds)
        assert dict(cost.details)["writing"] == f"not measured, {said}"


def test_the_command_line(path: Path, tmp_path: Path) -> None:
    source = with_audio(tmp_path / "in.mp4", colors(7, 26, 34))
    done = call("upscale", source, tmp_path / "out.mp4", "--fast", path, "--scale", 3, "--chunk-frames", 3)
    assert done.returncode == 0, done.stderr
    assert "7 frames of 102x78" in done.stdout and "7 frames to 102x78: about " in done.stderr
    assert "chunk 3/3 upscale" in done.stderr
    assert read_clip(tmp_path / "out.mp4").frames.shape == (7, 78, 102, 3)
    assert audio_packets(tmp_path / "out.mp4") == audio_packets(source)
    shown = call("plan", source, "--fast", path)
    assert shown.returncode == 0, shown.stderr
    assert "136x104" in shown.stdout and "1 of up to 7 frames" in shown.stdout
    assert "s a frame on cpu" in shown.stdout and "about" in shown.stdout


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--steps", "0"], "--steps"),
        (["--seed", "7"], "--seed"),
        (["--model", "tiny", "--prompt", "p", "--spatial-attention"], "--model, --prompt, --spatial-attention"),
        (["--chunk-overlap", "2"], "--chunk-overlap"),
    ],
)
def test_options_of_other_models_are_named_and_change_nothing(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], named: str
) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 24, 32))
    fast = ["--fast", str(files["dap"]), "--scale", "2"]
    assert main(["upscale", str(source), str(tmp_path / "plain.mkv"), *fast]) == 0
    capsys.readouterr()
    assert main(["upscale", str(source), str(tmp_path / "out.mkv"), *fast, *given]) == 0
    told = capsys.readouterr().err
    verb = "have" if "," in named else "has"
    assert told.startswith(f"patchvsr: {named} {verb} no effect with --fast.\n")
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "plain.mkv").read_bytes()


def test_running_out_of_memory_says_what_to_do(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("patchvsr_core.run.video_job.upscale_file", no_room)
    source = write(tmp_path / "in.mp4", colors(2, 16, 16))
    assert main(["upscale", str(source), str(tmp_path / "out.mp4"), "--fast", str(files["dap"])]) == 2
    assert "a smaller network for --fast" in capsys.readouterr().err
