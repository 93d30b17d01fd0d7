"""The base layer: where it enters, and that it is the clip it claims to be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.finish.base_layer import BASE_WEIGHT, blend_base_layer, make_base_layer, starts_from_base
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
    for name in BASE_LAYERS[1:]:
        base = make_base_layer(name, clip, (64, 80))
        assert base is not None
        inner = (slice(None), slice(8, -8), slice(8, -8))
        assert 1e-4 < (base - bicubic)[inner].abs().mean() < 0.05


def test_mixing_is_a_mean_that_gives_way_to_detail_and_damage() -> None:
    frames, base = torch.rand(2, 4, 6, 3), torch.rand(2, 4, 6, 3)
    torch.testing.assert_close(blend_base_layer(frames.clone(), base), torch.lerp(frames, base, BASE_WEIGHT))
    torch.testing.assert_close(
        blend_base_layer(frames.clone(), base, detail=0.5), torch.lerp(frames, base, BASE_WEIGHT / 2)
    )
    torch.testing.assert_close(
        blend_base_layer(frames.clone(), base, degradation=0.5), torch.lerp(frames, base, BASE_WEIGHT / 2)
    )
    assert torch.equal(blend_base_layer(frames.clone(), base, detail=1.0), frames)
    with pytest.raises(PlanError, match="base layer"):
        blend_base_layer(frames, base[:, :2])


@pytest.mark.parametrize(
    ("detail", "degradation", "share"),
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
def test_the_share_of_the_base_layer(detail: float, degradation: float, share: float) -> None:
    frames, base = torch.zeros(2, 4, 6, 3), torch.ones(2, 4, 6, 3)
    blended = blend_base_layer(frames, base, detail=detail, degradation=degradation)
    torch.testing.assert_close(blended, torch.full_like(base, share))


def test_only_models_that_start_from_the_enlarged_input_start_from_it() -> None:
    assert not starts_from_base(SpaceToDepth())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PlanError, match="bicubic, dap, rdg"):
        Settings(base_layer="nearest")


def test_a_run_is_the_mean_of_both() -> None:
    models = load_models("tiny", device="cpu")
    frames = 0.4 + 0.2 * torch.rand(2, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    plain, with_base = (
        upscale(frames, (64, 96), models, replace(TINY, fidelity_rounds=0, restore_strength=0.0, base_layer=name))
        for name in ("bicubic", "dap")
    )
    base = make_base_layer("dap", frames, (64, 96))
    assert base is not None
    torch.testing.assert_close(with_base, torch.lerp(plain, base, BASE_WEIGHT).clamp(0, 1), atol=1e-4, rtol=0)
