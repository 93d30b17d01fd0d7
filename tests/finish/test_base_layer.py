"""The base layer: where it enters, and that it is the clip it claims to be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from patchvsr_core.degradation import MeasuredDegradation
from patchvsr_core.errors import PlanError
from patchvsr_core.finish.base_layer import (
    base_layer_weight,
    blend_base_layer,
    make_base_layer,
    starts_from_base,
)
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.resample import resize
from patchvsr_core.settings import BASE_LAYERS, TINY, Settings
from patchvsr_core.vae.codec import SpaceToDepth


def test_bicubic_is_no_layer_of_its_own() -> None:
    assert make_base_layer("bicubic", torch.rand(1, 8, 8, 3), (32, 32)) is None


@pytest.mark.parametrize(("target", "made"), [((32, 40), (32, 40)), ((20, 25), (20, 25)), ((80, 100), (32, 40))])
def test_sizes(target: tuple[int, int], made: tuple[int, int]) -> None:
    """A real-time network enlarges by 4; smaller is reduced from that, larger is left to the canvas."""
    done = []
    base = make_base_layer("dap", torch.rand(2, 8, 10, 3), target, lambda k, total: done.append((k, total)))
    assert base is not None and base.shape == (2, *made, 3)
    assert done[-1] == (2, 2)


def test_it_is_the_clip_but_not_bicubic() -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
    clip = (0.5 + 0.3 * torch.sin(0.9 * x + 0.4 * y))[None, ..., None].expand(3, -1, -1, 3)
    bicubic = resize(clip, (64, 80))
    for name in BASE_LAYERS[1:-1]:  # the last one is an image upscaler of the user's
        base = make_base_layer(name, clip, (64, 80))
        assert base is not None
        inner = (slice(None), slice(8, -8), slice(8, -8))
        assert 1e-4 < (base - bicubic)[inner].abs().mean() < 0.05


def test_blending_moves_the_frames_towards_the_base_layer() -> None:
    frames, base = torch.rand(2, 4, 6, 3), torch.rand(2, 4, 6, 3)
    for weight in (0.0, 0.3, 1.0):
        torch.testing.assert_close(blend_base_layer(frames.clone(), base, weight), torch.lerp(frames, base, weight))
    with pytest.raises(PlanError, match="base layer"):
        blend_base_layer(frames, base[:, :2], 0.5)


@pytest.mark.parametrize(
    ("detail", "degradation", "weight"),
    [
        (0.0, 0.0, 0.6),
        (0.5, 0.0, 0.3),
        (0.0, 0.25, 0.45),
        (0.5, 0.5, 0.15),
        (1.0, 0.0, 0.0),
        (0.0, 1.0, 0.0),
        (0.0, 2.0, 0.0),
    ],
)
def test_other_networks_give_way_to_detail_and_degradation(detail, degradation, weight) -> None:
    assert base_layer_weight(detail=detail, degradation=degradation) == pytest.approx(weight)


def test_only_models_that_start_from_the_enlarged_input_start_from_it() -> None:
    assert not starts_from_base(SpaceToDepth())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PlanError, match="bicubic, restorer, dap, rdg"):
        Settings(base_layer="nearest")


@pytest.mark.parametrize("name", ["restorer", "dap", "rdg"])
def test_without_patches_it_is_the_whole_result(name: str) -> None:
    models = load_models("tiny", device="cpu", precision="float32")
    frames = 0.4 + 0.2 * torch.rand(3, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    plain = replace(TINY, base_layer=name, fidelity_rounds=0, restore_strength=0.0)
    stages = set()
    result = upscale(frames, (64, 96), models, plain, lambda stage, *_: stages.add(stage))
    base = make_base_layer(name, frames, (64, 96))
    assert base is not None and torch.equal(result, base.clamp(0, 1))
    assert stages == {"base"}, "nothing is encoded, denoised or decoded"


@pytest.mark.parametrize("name", ["restorer", "dap"])
def test_patch_detail_is_what_makes_the_patches_crisper(name: str) -> None:
    models = load_models("tiny", device="cpu")
    frames = 0.4 + 0.2 * torch.rand(3, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    plain = replace(TINY, base_layer=name, fidelity_rounds=0, restore_strength=0.0)
    base = upscale(frames, (64, 96), models, plain)
    probable, crisp = (
        upscale(frames, (64, 96), models, replace(plain, detail=detail, base_layer="bicubic")) for detail in (0.0, 0.6)
    )
    assert (crisp - probable).abs().max() > 0.01
    detailed = upscale(frames, (64, 96), models, replace(plain, patch_detail=0.6))
    torch.testing.assert_close(detailed, (base + crisp - probable).clamp(0, 1), atol=1e-4, rtol=0)
    softest = upscale(frames, (64, 96), models, replace(plain, patch_detail=0.6, refine_strength=0.0))
    torch.testing.assert_close(softest, base, atol=1e-6, rtol=0)


def test_the_degradation_is_told_to_the_restorer() -> None:
    told = []

    def restore(frames, size, *, degradation, **others):
        told.append(degradation)
        return resize(frames, size)

    clip = torch.rand(2, 8, 8, 3)
    found = MeasuredDegradation(0.8, is_compressed=True)
    base = make_base_layer("restorer", clip, (32, 32), degradation=found, restore=restore)
    assert told == [found] and base is not None and base.shape == (2, 32, 32, 3)
