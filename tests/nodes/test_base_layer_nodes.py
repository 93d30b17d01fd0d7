"""The base layer in a graph: what it replaces for a Wan, and what it joins for the tiny default."""

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip
from fakes.upscaler import Negative
from fakes.wan import AveragingVAE

from patchvsr_core.finish.base_layer import MEAN_WEIGHT
from patchvsr_core.resample import resize

CLIP = a_clip(frames=5, height=16, width=24)
SIZE = (64, 96)


def encoded(pack, vae, **inputs):
    plan = run_node(pack["PatchPlanner"], image=CLIP, vae=vae, patch_px=64, scale=4.0)[0]
    return run_node(pack["PatchEncoder"], vae=vae, image=CLIP, plan=plan, **inputs)[1]["samples"]


def test_a_wan_starts_from_it(pack):
    vae = AveragingVAE()
    plain = encoded(pack, vae)
    bicubic, other = resize(CLIP, SIZE).clamp(0, 1), torch.full((5, *SIZE, 3), 0.5)
    torch.testing.assert_close(encoded(pack, vae, base_layer=bicubic), plain, atol=1e-5, rtol=0)
    assert (encoded(pack, vae, base_layer=other) - plain).abs().max() > 0.1
    with pytest.raises(Exception, match="base layer"):
        encoded(pack, vae, base_layer=bicubic[:4])


def test_an_image_upscaler_makes_it(pack):
    vae, doubled = AveragingVAE(), 1 - CLIP.repeat_interleave(2, 1).repeat_interleave(2, 2)
    found = encoded(pack, vae, upscale_model=Negative())
    torch.testing.assert_close(found, encoded(pack, vae, base_layer=doubled), atol=1e-5, rtol=0)
    assert (found - encoded(pack, vae)).abs().max() > 0.05
    with pytest.raises(Exception, match="disconnect one of them"):
        encoded(pack, vae, base_layer=doubled, upscale_model=Negative())


def test_for_the_tiny_default_it_belongs_to_the_refiner(pack, tiny):
    with pytest.raises(Exception, match="connect base_layer to Refine & Fidelity"):
        encoded(pack, tiny.vae, base_layer=resize(CLIP, SIZE))


def test_refine_and_fidelity_takes_the_mean(pack):
    node, frames = pack["RefineFidelity"], resize(CLIP, SIZE).clamp(0, 1)
    base = (frames + 0.1).clamp(0, 1)
    chosen = {"refine_strength": 1.0, "rounds": 0, "fidelity": 1.0, "detail": 0.0, "cleanup": 0.0}
    (plain,) = run_node(node, image=frames, source=CLIP, **chosen)
    (mean,) = run_node(node, image=frames, source=CLIP, base_layer=base, **chosen)
    torch.testing.assert_close(mean, torch.lerp(plain, base, MEAN_WEIGHT), atol=1e-5, rtol=0)
    kept = frames.clone()
    run_node(node, image=frames, source=CLIP, base_layer=base, **{**chosen, "refine_strength": 0.0})
    assert torch.equal(frames, kept), "what other nodes hold stays as it is"
    with pytest.raises(Exception, match="same size"):
        run_node(node, image=frames, source=CLIP, base_layer=base[:, :32], **chosen)
