from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import random_adapter, random_vae, random_wan, save

from patchvsr_core.adapter import save_adapter
from patchvsr_core.errors import AdapterError, Cancelled, ModelError, PlanError
from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser
from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.planner import LAYOUTS
from patchvsr_core.resample import resize
from patchvsr_core.sampling.schedules import star_schedule, step_count
from patchvsr_core.settings import Settings
from patchvsr_core.stages import make_plan, setup
from patchvsr_core.vae.conditional_decoder import ConditionalDecoder, ConditionalDecoderConfig, save_conditional_decoder


@pytest.fixture(scope="module")
def tiny() -> Models:
    return load_models("tiny", precision="float32")


def clip(frames: int, height: int, width: int) -> torch.Tensor:
    """A smooth moving pattern, quantised like a decoded video."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(0.4 * x + 0.3 * t), torch.cos(0.5 * y - 0.2 * t), torch.sin(0.2 * (x + y))]
    return ((torch.stack(waves, -1) * 0.4 + 0.5) * 255).round() / 255


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * (a - b).square().mean().log10())


@pytest.mark.parametrize("frames", [1, 2, 7, 16])
@pytest.mark.parametrize(("height", "width", "scale"), [(33, 23, 4), (9, 14, 3), (16, 16, 2), (5, 6, 2.5)])
def test_exact_frame_count_and_size(tiny: Models, frames: int, height: int, width: int, scale: float) -> None:
    target = round(height * scale), round(width * scale)
    source = clip(frames, height, width)
    before = source.clone()
    out = upscale(source, target, tiny, replace(tiny.defaults, base_layer="bicubic", patch_px=64))
    assert out.shape == (frames, *target, 3)
    assert out.min() >= 0 and out.max() <= 1 and out.isfinite().all()
    assert torch.equal(source, before)


def test_same_seed_same_output_and_seeds_differ(tiny: Models) -> None:
    source = clip(2, 16, 16)
    noisy = replace(tiny, base=replace(tiny.base, start_noise=0.2))
    settings = replace(tiny.defaults, base_layer="bicubic", patch_px=64, fidelity_rounds=0, refine_strength=0.0)
    first, again, other = (upscale(source, (64, 64), noisy, replace(settings, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_patches_at_once_does_not_matter(tiny: Models) -> None:
    source = clip(3, 24, 40)
    one, four = (
        upscale(source, (96, 160), tiny, replace(tiny.defaults, base_layer="bicubic", patch_px=64, patches_at_once=n))
        for n in (1, 4)
    )
    assert psnr(one, four) > 80


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_layouts_and_solvers_run(tiny: Models, layout: str, solver: str) -> None:
    source = clip(2, 24, 40)
    settings = replace(tiny.defaults, base_layer="bicubic", patch_px=64, layout=layout, solver=solver, steps=2)
    seen = []
    out = upscale(source, (96, 160), tiny, settings, lambda stage, done, n: seen.append((stage, done, n)))
    assert psnr(out, resize(source, (96, 160))) > 25
    denoise = [(done, n) for stage, done, n in seen if stage == "denoise"]
    assert denoise[-1][0] == denoise[-1][1]
    assert [done for done, _ in denoise] == sorted(done for done, _ in denoise)
    assert {stage for stage, _, _ in seen} == {"encode", "denoise", "decode", "refine", "fidelity"}


def test_result_agrees_with_the_input(tiny: Models) -> None:
    source = clip(2, 30, 44)
    out = upscale(source, (120, 176), tiny, replace(tiny.defaults, base_layer="bicubic", restore_strength=0.0))
    assert (resize(out, (30, 44)) - source).abs().max() < 1.5 / 255


def test_progress_can_stop_the_run(tiny: Models) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "denoise" and done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        upscale(
            clip(2, 24, 40),
            (96, 160),
            tiny,
            replace(tiny.defaults, base_layer="bicubic", patch_px=64, patches_at_once=1),
            stop,
        )
    assert upscale(clip(1, 8, 8), (32, 32), tiny).shape == (1, 32, 32, 3)


def test_unknown_solver(tiny: Models) -> None:
    with pytest.raises(PlanError, match="euler, heun"):
        upscale(clip(1, 8, 8), (32, 32), tiny, replace(tiny.defaults, base_layer="bicubic", solver="rk99"))


@pytest.fixture(scope="module")
def wan_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wan")
    files = {
        "model": save(random_wan(), folder / "wan.safetensors"),
        "vae": save(random_vae(), folder / "vae.safetensors"),
    }
    base = load_models(str(files["model"]), vae=files["vae"]).base
    save_adapter(random_adapter(base.spec), folder / "adapter.safetensors", torch.float32)
    return {**files, "adapter": folder / "adapter.safetensors"}


@pytest.mark.parametrize("with_adapter", [False, True])
@pytest.mark.parametrize("frames", [1, 6])
def test_a_wan_runs_headless(wan_files: dict[str, Path], with_adapter: bool, frames: int) -> None:
    models = load_models(
        str(wan_files["model"]), vae=wan_files["vae"], adapter=wan_files["adapter"] if with_adapter else None
    )
    settings = replace(
        models.defaults, base_layer="bicubic", patch_px=64, steps=2, tile_px=64, tile_overlap_px=16, window_frames=5
    )
    out = upscale(clip(frames, 13, 21), (52, 84), models, replace(settings, overlap_frames=1))
    assert out.shape == (frames, 52, 84, 3) and out.isfinite().all()
    other = upscale(clip(frames, 13, 21), (52, 84), models, replace(settings, overlap_frames=1, seed=1))
    assert not torch.equal(out, other), "the seed has a say"


def test_wan_without_start_noise_is_the_codecs_round_trip(wan_files: dict[str, Path]) -> None:
    """Started at 0, nothing is left for the model to change."""
    models = load_models(str(wan_files["model"]), vae=wan_files["vae"])
    source = clip(5, 16, 16)
    settings = replace(
        models.defaults, patch_px=64, steps=1, start=0.0, color="none", refine_strength=0.0, fidelity_rounds=0
    )
    out = upscale(source, (64, 64), models, settings)
    round_trip = models.codec.decode(models.codec.encode(resize(source, (64, 64)).clamp(0, 1))).clamp(0, 1)
    torch.testing.assert_close(out, round_trip, atol=1e-4, rtol=0)


def test_missing_parts_are_named(wan_files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--vae"):
        load_models(str(wan_files["model"]))
    with pytest.raises(ModelError, match="Device 'warp'"):
        load_models("tiny", device="warp")
    with pytest.raises(AdapterError, match="latent channels"):
        load_models("tiny", adapter=wan_files["adapter"])


def test_plan_uses_the_codecs_strides(wan_files: dict[str, Path], tiny: Models) -> None:
    models = load_models(str(wan_files["model"]), vae=wan_files["vae"])
    assert make_plan(50, (16, 16), (64, 64), models, models.defaults).canvas.latent_frames == 14
    assert make_plan(50, (16, 16), (64, 64), tiny, tiny.defaults).canvas.latent_frames == 50


def test_no_seams_where_patches_meet(tiny: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where patches contradict each other, borders have no larger gradients than before."""
    plain = replace(
        tiny.defaults, base_layer="bicubic", patch_px=64, patches_at_once=1, refine_strength=0.0, fidelity_rounds=0
    )
    picture = border_ratio(tiny, plain)
    predict = DiffusersDenoiser.__call__

    def growth(layout: str) -> float:
        offsets = torch.Generator().manual_seed(0)

        def quarrelling(self: DiffusersDenoiser, x: torch.Tensor, *rest: object) -> list[torch.Tensor]:
            return [x0 + 0.1 * torch.randn(1, generator=offsets) for x0 in predict(self, x, *rest)]

        monkeypatch.setattr(DiffusersDenoiser, "__call__", quarrelling)
        return border_ratio(tiny, replace(plain, layout=layout)) / picture

    assert growth("corner") < 1.05
    assert growth("uniform") > 1.15, "uniform weights show borders; otherwise this test could not see one"


def border_ratio(tiny: Models, settings: Settings) -> float:
    """Mean gradient across the borders of 64 px patches over that across other 8 px cells."""
    across = upscale(clip(2, 64, 64), (256, 256), tiny, settings).diff(dim=2).abs().mean((0, 1, 3))
    phase = torch.arange(255)
    return float(across[phase % 64 == 63].mean() / across[(phase % 8 == 7) & (phase % 64 != 63)].mean())


@pytest.mark.parametrize(("base_layer", "loss"), [("bicubic", 0.0), ("restorer", 0.9)])
def test_a_pattern_it_never_saw_comes_out_like_bicubic(tiny: Models, base_layer: str, loss: float) -> None:
    """Waves in colours that never occur together: the restorer, which knows footage and is crisp, may lose a little."""
    truth = resize(clip(4, 48, 64), (96, 128)).clamp(0, 1)
    source = (resize(truth, (24, 32)).clamp(0, 1) * 255).round() / 255
    made = upscale(source, (96, 128), tiny, replace(tiny.defaults, base_layer=base_layer, detail=0.0))
    assert psnr(made, truth) > psnr(resize(source, (96, 128)), truth) - loss


def test_every_system_at_once_on_a_wan(wan_files: dict[str, Path], tmp_path: Path) -> None:
    """STAR's schedule, prompts, detail guidance, attention and propagation, with an adapter."""
    files = {"vae": wan_files["vae"], "adapter": wan_files["adapter"], "refiner": "conditional"}
    prompts = {
        name: save({"p": torch.randn(3, 64)}, tmp_path / f"{name}.safetensors") for name in ("prompt", "negative")
    }
    models = load_models(str(wan_files["model"]), **files, **prompts)
    assert models.prompt.shape == (1, 3, 64)
    assert models.refiner is not None and models.defaults.refine_strength == 1, "a refiner that is named runs"
    plain = replace(
        models.defaults,
        base_layer="bicubic",
        patch_px=64,
        tile_px=64,
        tile_overlap_px=16,
        window_frames=5,
        overlap_frames=1,
    )
    plain = replace(plain, start=0.4, schedule="star", guidance=3.0, steps=1)
    assert step_count(plain) == len(star_schedule(0.4)) - 1 > 3, "the schedule sets the steps"
    changes = {
        "softening": 1.5,
        "guidance_rescale": 0.2,
        "propagation": 0.5,
        "spatial_attention": True,
        "temporal_attention": True,
    }
    source = clip(9, 13, 21)
    results = [upscale(source, (52, 84), models, replace(plain, **{k: v})) for k, v in changes.items()]
    results.append(upscale(source, (52, 84), models, replace(plain, **changes)))
    without = upscale(source, (52, 84), models, plain)
    for result, name in zip(results, [*changes, "all"], strict=True):
        assert result.shape == (9, 52, 84, 3) and result.isfinite().all()
        assert not torch.equal(result, without), name


def test_prompts_of_another_encoder_and_lone_detail_guidance_say_why(
    wan_files: dict[str, Path], tmp_path: Path
) -> None:
    other = save({"p": torch.randn(3, 32)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="has 32 channels, the base's text 64"):
        load_models(str(wan_files["model"]), vae=wan_files["vae"], prompt=other)
    with pytest.raises(ModelError, match="no readable safetensors file with the embedding"):
        load_models(str(wan_files["model"]), vae=wan_files["vae"], negative=tmp_path / "none.safetensors")
    with pytest.raises(PlanError, match="needs a guidance above 1"):
        Settings(softening=1.5)
    with pytest.raises(PlanError, match="choose one of shifted, star"):
        Settings(schedule="cosine")


def test_a_prompt_and_the_same_as_negative_prompt_are_two_models(wan_files: dict[str, Path], tmp_path: Path) -> None:
    text = save({"p": torch.randn(3, 64)}, tmp_path / "text.safetensors")
    names = {
        load_models(str(wan_files["model"]), vae=wan_files["vae"], **{role: text}).identity
        for role in ("prompt", "negative")
    }
    assert len(names) == 2


def test_a_conditional_decoder_has_its_say(wan_files: dict[str, Path], tmp_path: Path) -> None:
    files = {"vae": wan_files["vae"], "adapter": wan_files["adapter"]}
    plain = load_models(str(wan_files["model"]), **files)
    width = plain.codec.decoder_input.out_channels
    decoder = ConditionalDecoder(ConditionalDecoderConfig(features=width))
    path = tmp_path / "decoder.safetensors"
    settings = replace(plain.defaults, patch_px=64, steps=1, tile_px=64, tile_overlap_px=16)
    source = clip(2, 13, 21)
    expected = upscale(source, (52, 84), plain, settings)
    for changed in (False, True):
        if changed:
            torch.nn.init.normal_(decoder.modulation.shift.bias)
        save_conditional_decoder(decoder, path, torch.float32)
        models = load_models(str(wan_files["model"]), **files, decoder=path)
        result = upscale(source, (52, 84), models, settings)
        assert ((result - expected).abs().max() > 1e-4) == changed
    with pytest.raises(ModelError, match="leave --decoder out"):
        load_models("tiny", decoder=path)


@pytest.mark.parametrize(("strength", "views"), [(1.0, 1), (0.5, 1), (0.0, 0)])
def test_the_whole_video_is_encoded_only_where_the_adapter_attends_to_it(
    tiny: Models, monkeypatch: pytest.MonkeyPatch, strength: float, views: int
) -> None:
    encode, made = setup.encode_global, []
    monkeypatch.setattr(setup, "encode_global", lambda *given: made.append(encode(*given)) or made[-1])
    upscale(
        clip(2, 16, 16),
        (32, 32),
        tiny,
        replace(tiny.defaults, base_layer="bicubic", patch_px=64, global_strength=strength),
    )
    assert len(made) == views
