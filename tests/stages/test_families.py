"""The table of model families: every row is complete, and models and codecs find theirs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.sampling.joint_modulation import check_steps
from patchvsr_core.settings import TINY, WAN, WAN_PLAIN
from patchvsr_core.stages import defaults_for, layout_for, plan_canvas
from patchvsr_core.stages.families import FAMILIES, family_of_codec, family_of_model, same_codec
from patchvsr_core.vae.codec import SpaceToDepth


@pytest.mark.parametrize("name", FAMILIES)
def test_the_defaults_of_every_family_make_a_plan(name: str) -> None:
    family = FAMILIES[name]
    for settings in (family.settings, family.without_adapter):
        frames = 1 if family.stills else 40
        canvas = Canvas(frames, (270, 480), (1080, 1920), family.stride_px, family.stride_frames)
        plan = plan_canvas(canvas, settings)
        check_steps(plan, settings.steps)
        assert not family.images or plan.patch_size[0] == 1, "frames of an image model do not know one another"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_refiner_sharpens_no_frames_but_the_soft_ones_of_the_tiny_default(name: str) -> None:
    family = FAMILIES[name]
    for settings in (family.settings, family.without_adapter):
        assert settings.refine_strength == (1.0 if name == "tiny" else 0.0)


@pytest.mark.parametrize(
    ("classes", "images", "name"),
    [
        (["WAN21"], False, "wan"),
        (["WAN21_Vace", "WAN21"], False, "wan"),
        (["WAN22", "WAN21", "BaseModel"], False, "wan22"),
        (["SeedVR2", "BaseModel"], False, "seedvr2"),
        (["Flux2", "Flux", "BaseModel"], True, "flux"),
        (["BaseModel"], True, "sd15"),
        (["SD3", "BaseModel"], True, "image"),
        (["GenmoMochi", "BaseModel"], False, "video"),
    ],
)
def test_a_model_is_told_by_its_class_or_the_nearest_that_it_derives_from(classes, images, name) -> None:
    assert family_of_model(classes, images=images) == name


@pytest.mark.parametrize(
    ("sizes", "network", "name"),
    [
        ((16, 8, 4), "WanVAE", "wan"),
        ((16, 8, 4), "VideoAutoencoderKLWrapper", "seedvr2"),
        ((16, 8, 4), "AutoencoderKL", "hunyuan"),
        ((16, 8, 4), "", "wan"),
        ((48, 16, 4), "WanVAE", "wan22"),
        ((128, 32, 8), "VideoVAE", "ltx"),
        ((16, 8, 1), "AutoencoderKL", "flux"),
        ((4, 8, 1), "AutoencoderKL", "sdxl"),
        ((12, 8, 6), "VideoVAE", "video"),
        ((128, 16, 1), "MageVAE", "image"),
    ],
)
def test_a_codec_is_told_by_its_sizes_and_its_network(sizes, network, name) -> None:
    channels, stride_px, stride_frames = sizes
    codec = SimpleNamespace(
        channels=channels, stride_px=stride_px, stride_frames=stride_frames, network=network, is_lossless=False
    )
    assert family_of_codec(codec) == name


def test_what_suited_the_models_of_before_still_does() -> None:
    assert FAMILIES["tiny"].settings is TINY and defaults_for(SpaceToDepth()) is TINY
    for name in ("wan", "wan22"):
        assert FAMILIES[name].settings is WAN and FAMILIES[name].without_adapter is WAN_PLAIN
    assert layout_for(SimpleNamespace(channels=16, stride_px=8, stride_frames=4)) == "corner"


def test_lengths_without_padding_follow_from_the_stride() -> None:
    frames = {name: family.frames for name, family in FAMILIES.items()}
    assert frames["wan"] == frames["seedvr2"] == "4n+1" and frames["ltx"] == "8n+1"
    assert frames["flux"] == frames["tiny"] == "any" and frames["qwen"] == "1"


def test_families_that_share_a_codec_are_found_from_each_of_them() -> None:
    assert same_codec("wan") == same_codec("cosmos") == same_codec("qwen") == ("wan", "cosmos", "qwen")
    assert same_codec("sd15") == ("sdxl", "sd15")
    alone = ("tiny", "wan22", "seedvr2", "hunyuan", "ltx", "flux")
    assert [same_codec(name) for name in alone] == [(name,) for name in alone]
