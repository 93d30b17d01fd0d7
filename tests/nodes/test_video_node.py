"""Upscale Video: the whole pipeline in one node, from file to file."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import av
import pytest
import torch
from clips import with_audio, write
from fakes.chain import a_clip
from fakes.graph import run_node
from fakes.upscaler import Negative
from faulty import bars, encode, remux

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.resample import resize
from patchvsr_core.video import Picture, probe, read_clip

FRAMES = 11


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return with_audio(tmp_path / "in.mp4", a_clip(FRAMES, 26, 34))


def make(pack: Any, tiny: Any, video: Any, **changes: Any) -> Any:
    node = pack["UpscaleVideo"]
    inputs = {"model": tiny.model, "vae": tiny.vae, "positive": tiny.prompt, "adapter": tiny.adapter}
    return node.execute(**{**_defaults(node), "video": video, **inputs, "patch_px": 64, "scale": 2.0, **changes})


def _defaults(node: Any) -> dict[str, Any]:
    return {socket.id: socket.default for socket in node.GET_SCHEMA().inputs if socket.default is not None}


def as_video(path: Any, **window: float) -> Any:
    from comfy_api.latest import InputImpl

    return InputImpl.VideoFromFile(path if isinstance(path, io.BytesIO) else str(path), **window)


@pytest.mark.parametrize("propagation", [0.0, 0.5])
def test_a_file_comes_out_as_the_command_line_makes_it(
    pack: Any, tiny: Any, places: Path, source: Path, propagation: float
) -> None:
    done = make(pack, tiny, as_video(source), format="mkv", codec="ffv1", propagation=propagation)
    made = Path(done[0].get_stream_source())
    assert made == places / "video" / "PatchVSR_00001_.mkv"
    assert done.ui.as_dict()["images"][0] == {"filename": made.name, "subfolder": "video", "type": "output"}
    clip, original = read_clip(made), read_clip(source)
    seconds = [[float(t * c.time_base) for t in c.timestamps] for c in (clip, original)]
    assert seconds[0] == pytest.approx(seconds[1], abs=1e-3) and probe(made).audio_streams == 1
    models = load_models()
    settings = replace(models.defaults, patch_px=64, propagation=propagation)
    expected = upscale(original.frames, (52, 68), models, settings)
    assert (clip.frames - expected).abs().max() < 1.01 / 255
    assert not [path for path in places.rglob("*") if path.name.startswith(".")]


LOSSLESS = {"format": "mkv", "codec": "ffv1"}


def frames_of(done: Any) -> torch.Tensor:
    return read_clip(done[0].get_stream_source()).frames


def make_alone(pack: Any, source: Path, window: Any = MappingProxyType({}), **changes: Any) -> torch.Tensor:
    """With nothing connected but the video."""
    node = pack["UpscaleVideo"]
    return frames_of(
        node.execute(**{**_defaults(node), "video": as_video(source, **window), **LOSSLESS, "scale": 2.0, **changes})
    )


def test_nothing_but_a_video_is_needed(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    alone = make_alone(pack, source, detail=0.5, patch_px=64)
    assert torch.equal(alone, frames_of(make(pack, tiny, as_video(source), detail=0.5, **LOSSLESS)))


def test_a_target_by_name_outdoes_the_scale(pack: Any, places: Path, source: Path) -> None:
    made = make_alone(pack, source, target="3x", scale=2.0, size="40x0", quality="fast")
    assert made.shape[1:3] == (78, 102)


def test_fast_is_the_real_time_network_alone(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    fast = make_alone(pack, source, quality="fast", chunk_frames=4)
    expected = run_node(pack["DAPUpscale"], image=read_clip(source).frames, weights="small (shipped)", scale=2.0)[0]
    assert (fast - expected).abs().max() < 1.01 / 255, "and its state is carried from chunk to chunk"


def test_best_denoises_patches_too(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    best = make_alone(pack, source, quality="best", patch_px=64)
    assert torch.equal(best, make_alone(pack, source, quality="best", detail=0.0, patch_px=64)), (
        "as when 0 was the default"
    )
    assert not torch.equal(best, make_alone(pack, source, detail=0.5, patch_px=64))
    settings = pack.part("patchvsr_core.settings")
    asked = settings.with_quality(settings.Settings(detail=0.0), "best")
    assert asked.detail == 0.5 and asked.patch_detail > 0
    chosen = settings.Settings(detail=0.8, patch_detail=0.1)
    assert settings.with_quality(chosen, "best") == chosen == settings.with_quality(chosen, "balanced")


def test_parts_of_a_model_are_completed_or_asked_for(pack: Any, tiny: Any) -> None:
    complete, error = (
        pack.part("patchvsr_core.hosts.comfy").complete_models,
        pack.part("patchvsr_core.errors").PlanError,
    )
    filled = complete(tiny.model)
    assert filled.model is tiny.model and filled.vae is not None and filled.positive is not None
    assert complete(tiny.model, adapter=tiny.adapter).adapter is tiny.adapter
    with pytest.raises(error, match="vae, adapter without a model: connect the model"):
        complete(vae=tiny.vae, adapter=tiny.adapter)


def test_an_image_upscaler_makes_the_base_layer_and_another_one_another_job(pack: Any, tiny: Any) -> None:
    shipped = pack.part("patchvsr_core.hosts.comfy.shipped")
    job_identity = pack.part("patchvsr_core.hosts.comfy.job_identity").job_identity
    plain, other = (shipped.complete_models(upscaler=upscaler) for upscaler in (None, Negative()))
    assert plain.defaults.base_layer == "restorer" and other.defaults.base_layer == "upscaler"
    seen: list[str] = []
    settings = replace(other.defaults, fidelity_rounds=0, restore_strength=0.0)
    host = pack.part("patchvsr_core.hosts.comfy.pipeline")
    clip = a_clip(2, 20, 24)
    report = lambda stage, done, total: seen.append(stage)  # noqa: E731
    made = host.upscale_native(clip, (40, 48), other, settings, report, noise=torch.zeros)
    assert set(seen) == {"base"}, "it makes the whole picture"
    torch.testing.assert_close(made, 1 - clip.repeat_interleave(2, 1).repeat_interleave(2, 2), atol=1e-5, rtol=0)
    identities = {job_identity(models) for models in (plain, other, shipped.complete_models(upscaler=Negative()))}
    assert len(identities) == 3, "random weights, so all three differ"


def test_another_model_needs_parts_of_its_own(pack: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack.part("patchvsr_core.hosts.comfy.shipped"), "is_tiny", lambda model: False)
    complete, error = (
        pack.part("patchvsr_core.hosts.comfy").complete_models,
        pack.part("patchvsr_core.errors").PlanError,
    )
    with pytest.raises(error, match="connect vae, or nothing at all"):
        complete(tiny.model, positive=tiny.prompt)
    with pytest.raises(error, match="connect positive, or nothing at all"):
        complete(tiny.model, tiny.vae)
    assert complete(tiny.model, tiny.vae, adapter=tiny.adapter).positive is not None, "an adapter has a prompt"


def test_a_strength_map_protects_the_whole_video(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    lossless = {"format": "mkv", "codec": "ffv1", "chunk_frames": 5}
    done = make(pack, tiny, as_video(source), strength_map=torch.zeros(1, 26, 34), **lossless)
    base = resize(read_clip(source).frames, (52, 68)).clamp(0, 1)
    assert (read_clip(done[0].get_stream_source()).frames - base).abs().max() <= 1.01 / 255
    with pytest.raises(Exception, match="has 2 frames; Upscale Video takes one mask"):
        make(pack, tiny, as_video(source), strength_map=torch.zeros(2, 26, 34))


def test_chunks_progress_and_next_name(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    import comfy.utils

    seen: list[float] = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id: seen.append(value / total))
    try:
        make(pack, tiny, as_video(source), chunk_frames=5, base_layer="bicubic")
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1 and len(set(seen)) > 12
    second = make(pack, tiny, as_video(source), format="mkv", codec="ffv1", filename_prefix="deep/er/name")
    assert Path(second[0].get_stream_source()) == places / "deep" / "er" / "name_00001_.mkv"
    third = make(pack, tiny, as_video(source))
    assert Path(third[0].get_stream_source()).name == "PatchVSR_00002_.mp4"


def test_cancelled_and_queued_again(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    import comfy.model_management as management
    import comfy.utils

    whole = Path(make(pack, tiny, as_video(source), chunk_frames=5)[0].get_stream_source())
    expected = whole.read_bytes()
    whole.unlink()

    def cancel(value: int, total: int, preview: Any, node_id: Any) -> None:
        if value / total > 0.7:
            management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(cancel)
    try:
        with pytest.raises(management.InterruptProcessingException):
            make(pack, tiny, as_video(source), chunk_frames=5)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
        management.interrupt_current_processing(False)
    left = places / "video" / ".PatchVSR_00001_.mp4.patchvsr"
    assert len(list(left.glob("0*.mp4"))) >= 1 and not whole.exists()
    with pytest.raises(pack.part("patchvsr_core.errors").OutputError, match="start again"):
        make(pack, tiny, as_video(source), chunk_frames=5, detail=0.0)  # the default of before
    first = min(left.glob("0*.mp4"))
    stamp = first.stat().st_mtime_ns
    kept: list[int] = []
    comfy.utils.set_progress_bar_global_hook(
        lambda *_, **__: kept.append(first.stat().st_mtime_ns) if first.exists() else None
    )
    try:
        assert Path(make(pack, tiny, as_video(source))[0].get_stream_source()) == whole
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert set(kept) == {stamp}, "the finished chunk was not made again"
    assert whole.read_bytes() == expected and not left.exists()


def test_a_stopped_run_is_not_resumed_with_another_model(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    """Half of a file would otherwise come from one model and half from the other."""
    import comfy.model_management as management
    import comfy.utils

    def cancel(value: int, total: int, preview: Any, node_id: Any) -> None:
        if value / total > 0.7:
            management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(cancel)
    try:
        with pytest.raises(management.InterruptProcessingException):
            make(pack, tiny, as_video(source), chunk_frames=5)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
        management.interrupt_current_processing(False)
    refused = pack.part("patchvsr_core.errors").OutputError
    with pytest.raises(refused, match="start again"):
        make(pack, tiny, as_video(source), chunk_frames=5, positive=[[tiny.prompt[0][0] + 1, {}]])
    with pytest.raises(refused, match="start again"):
        make(pack, tiny, as_video(source), chunk_frames=5, adapter=None)


def test_videos_without_a_file_of_their_own(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    from_memory = make(pack, tiny, as_video(io.BytesIO(source.read_bytes())))
    assert len(read_clip(from_memory[0].get_stream_source()).frames) == FRAMES


@pytest.mark.parametrize("has_sound", [False, True])
def test_frames_of_other_nodes(pack: Any, tiny: Any, places: Path, has_sound: bool) -> None:
    wave = {"waveform": torch.rand(1, 2, 16000) - 0.5, "sample_rate": 16000}
    frames = a_clip(6, 26, 34)
    parts = SimpleNamespace(images=frames, audio=wave if has_sound else None, frame_rate=Fraction(25, 2))
    video = SimpleNamespace(get_components=lambda: parts)
    path = make(pack, tiny, video)[0].get_stream_source()
    info = probe(path)
    assert path.endswith(".mp4") and (info.fps, info.audio_streams) == (Fraction(25, 2), int(has_sound))
    assert len(read_clip(path).frames) == 6
    (kept,) = [read_clip(file) for file in (places.parent / "temp").glob("*[!d].mkv")]
    assert (kept.frames - frames).abs().max() < 0.51 / 255, "nothing is lost before the work"


@pytest.mark.parametrize("fps", [24.0, 24000 / 1001, 30000 / 1001, 16.0])
def test_frames_of_other_nodes_are_equally_far_apart(pack: Any, tiny: Any, places: Path, fps: float) -> None:
    """Core gives frame rates as floating-point numbers; a file between that counts milliseconds does not show."""
    parts = SimpleNamespace(images=a_clip(7, 26, 34), audio=None, frame_rate=Fraction(fps))
    video = SimpleNamespace(get_components=lambda: parts, get_bit_depth=lambda: 10)
    clip = read_clip(make(pack, tiny, video, quality="fast")[0].get_stream_source())
    exact = Fraction(fps).limit_denominator(1001)
    times = [time * clip.time_base for time in clip.timestamps]
    assert {later - earlier for earlier, later in pairwise(times)} == {1 / exact}
    assert (clip.info.fps, clip.info.picture.depth) == (exact, 10)


@pytest.mark.parametrize(("first", "length", "frames"), [(0.12, 0.2, (3, 8)), (0.28, 0, (7, FRAMES)), (0, 0.3, (0, 8))])
def test_a_part_of_a_file(
    pack: Any, tiny: Any, places: Path, source: Path, first: float, length: float, frames: tuple[int, int]
) -> None:
    """Those frames are upscaled that a file of them alone would have; no copy of the file is made."""
    alone = write(places / "alone.mkv", read_clip(source).frames[slice(*frames)], codec="ffv1")
    part = make_alone(pack, source, {"start_time": first, "duration": length}, quality="fast")
    assert torch.equal(part, make_alone(pack, alone, quality="fast"))
    assert not any((places.parent / "temp").iterdir())


def test_a_part_of_a_file_before_comfyui_could_tell(
    pack: Any, tiny: Any, places: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 0.23 a VIDEO has no method for its part."""
    from comfy_api.latest import InputImpl

    monkeypatch.delattr(InputImpl.VideoFromFile, "get_active_trim_window")
    whole = as_video(source)
    assert len(read_clip(make(pack, tiny, whole, quality="fast")[0].get_stream_source()).frames) == FRAMES
    part = as_video(source)
    part._VideoFromFile__duration = 0.2
    assert len(read_clip(make(pack, tiny, part, quality="fast")[0].get_stream_source()).frames) == 5


def test_guidance_needs_a_second_prompt(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match="connect a negative prompt"):
        make(pack, tiny, as_video(source), guidance=3.0, quality="best")
    make(pack, tiny, as_video(source), guidance=3.0, quality="best", negative=tiny.prompt)


@pytest.mark.parametrize(("strength", "views"), [(1.0, 1), (0.5, 1), (0.0, 0)])
def test_the_whole_video_is_encoded_only_where_the_adapter_attends_to_it(
    pack: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch, strength: float, views: int
) -> None:
    setup, pipeline = pack.part("patchvsr_core.stages.setup"), pack.part("patchvsr_core.hosts.comfy.pipeline")
    encode, made = setup.encode_global, []
    monkeypatch.setattr(setup, "encode_global", lambda *given: made.append(encode(*given)) or made[-1])
    models = pipeline.NativeModels(tiny.model, tiny.vae, tiny.prompt, None, tiny.adapter)
    frames, settings = (
        a_clip(2, 16, 16),
        replace(models.defaults, base_layer="bicubic", patch_px=64, global_strength=strength),
    )
    found = pipeline.upscale_native(frames, (32, 32), models, settings, lambda *_: None, noise=torch.zeros)
    assert len(made) == views
    headless = load_models(precision="float32")
    same = replace(headless.defaults, base_layer="bicubic", patch_px=64, global_strength=strength)
    expected = upscale(frames, (32, 32), headless, same, noise=torch.zeros)
    assert (found - expected).abs().max() < 1e-4


def test_another_prompt_is_another_job(pack: Any, tiny: Any) -> None:
    job_identity = pack.part("patchvsr_core.hosts.comfy.job_identity").job_identity
    models = pack.part("patchvsr_core.hosts.comfy.pipeline").NativeModels
    other = [[tiny.prompt[0][0] + 1, {}]]
    identities = [
        job_identity(models(tiny.model, tiny.vae, tiny.prompt, None, tiny.adapter)),
        job_identity(models(tiny.model, tiny.vae, other, None, tiny.adapter)),
        job_identity(models(tiny.model, tiny.vae, tiny.prompt, other, tiny.adapter)),
        job_identity(models(tiny.model, tiny.vae, tiny.prompt, None, None)),
    ]
    assert len(set(identities)) == 4
    assert job_identity(models(tiny.model, tiny.vae, tiny.prompt, None, tiny.adapter)) == identities[0]


def test_what_a_condition_holds_beside_its_prompt_makes_another_job(pack: Any, tiny: Any) -> None:
    """Guidance, reference latents, ControlNets; while these run, they hold more than they were given."""
    job_identity = pack.part("patchvsr_core.hosts.comfy.job_identity").job_identity
    models = pack.part("patchvsr_core.hosts.comfy.pipeline").NativeModels
    net = SimpleNamespace(cond_hint_original=torch.ones(1, 3, 8, 8), strength=0.5, timestep_percent_range=(0.0, 1.0))

    def identity(model: Any = tiny.model, **extras: Any) -> str:
        return job_identity(models(model, tiny.vae, [[tiny.prompt[0][0], extras]], None, tiny.adapter))

    latents = [torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)]
    shifted = tiny.model.clone()
    shifted.object_patches = {"model_sampling": SimpleNamespace(shift=3.0)}
    more = tiny.model.clone()
    more.object_patches = {"model_sampling": SimpleNamespace(shift=5.0), "built_in": len}
    weaker = SimpleNamespace(**{**vars(net), "strength": 0.2})
    found = [
        identity(), identity(guidance=1.0), identity(guidance=30.0), identity(reference_latents=latents[:1]),
        identity(reference_latents=latents), identity(control=net), identity(control=weaker), identity(shifted),
        identity(more),
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    net.timestep_range, net.cond_hint = (0.0, 1.0), torch.zeros(1)
    assert identity(control=net) == found[5] and identity(reference_latents=latents) == found[4]


def test_choices_that_cannot_be(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    errors = pack.part("patchvsr_core.errors")
    with pytest.raises(errors.OutputError, match=r"is not supported in \.webm files"):
        make(pack, tiny, as_video(source), format="webm", codec="h264")
    with pytest.raises(errors.PlanError, match="WIDTHxHEIGHT"):
        make(pack, tiny, as_video(source), size="large")
    assert torch.is_tensor(read_clip(source).frames) and list(places.rglob("*.part*")) == []
    with pytest.raises(errors.MediaError, match="no file"):
        make(pack, tiny, as_video(source.with_name("none.mp4")))


def test_the_workflow_is_in_the_file(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    hidden = pack["UpscaleVideo"].hidden
    hidden.prompt, hidden.extra_pnginfo = {"1": {"class_type": "LoadVideo"}}, {"workflow": {"nodes": []}}
    try:
        made = [make(pack, tiny, as_video(source), format=kind)[0].get_stream_source() for kind in ("mp4", "mkv")]
    finally:
        hidden.prompt = hidden.extra_pnginfo = None
    for path in made:
        with av.open(path) as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
        assert json.loads(tags["prompt"]) == {"1": {"class_type": "LoadVideo"}}
        assert json.loads(tags["workflow"]) == {"nodes": []}


def test_it_runs_in_a_graph(pack: Any, tiny: Any, places: Path, source: Path) -> None:
    inputs = {"model": tiny.model, "vae": tiny.vae, "positive": tiny.prompt, "adapter": tiny.adapter}
    (video,) = run_node(pack["UpscaleVideo"], video=as_video(source), **inputs, scale=1.5, patch_px=64)
    info = probe(video.get_stream_source())
    assert (info.width, info.height) == (51, 39)


def test_what_is_wrong_with_the_input_is_logged_and_shown_on_the_node(
    pack: Any, tiny: Any, places: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [bars(k, 26, 34) for k in range(24)]
    source = encode(tmp_path / "in.mkv", frames, options={"x264-params": "keyint=6:scenecut=0"})
    late = remux(source, tmp_path / "late.mkv", lambda packet: packet.pts * packet.time_base > 0.14)
    done = make(pack, tiny, as_video(late))
    (shown,) = done.ui.as_dict()["text"]
    assert shown.startswith("late.mkv is truncated or damaged") and shown in caplog.messages
    assert "text" not in make(pack, tiny, as_video(source), filename_prefix="whole").ui.as_dict()


@pytest.mark.parametrize("format", ["mp4", "mkv"])
def test_hdr_and_foreign_sound_come_out_as_on_the_command_line(
    pack: Any, tiny: Any, places: Path, tmp_path: Path, format: str
) -> None:
    hdr = Picture(depth=10, matrix=9, primaries=9, transfer=18, pixel_aspect=Fraction(4, 3))
    silent = write(tmp_path / "silent.mov", a_clip(3, 32, 32), picture=hdr)
    source = tmp_path / "in.mov"
    with av.open(str(silent)) as given, av.open(str(source), "w") as target:
        video = target.add_stream_from_template(given.streams.video[0], opaque=True)
        sound = target.add_stream("pcm_s16be", rate=48000, layout="mono")
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        frame = av.AudioFrame.from_ndarray(torch.zeros(1, 5760).short().numpy(), format="s16", layout="mono")
        frame.sample_rate = 48000
        target.mux([*sound.encode(frame), *sound.encode(None)])
    made = Path(make(pack, tiny, as_video(source), format=format)[0].get_stream_source())
    assert probe(made).picture == hdr
    with av.open(str(made)) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
        assert container.streams.audio[0].duration is not None or format == "mkv"
