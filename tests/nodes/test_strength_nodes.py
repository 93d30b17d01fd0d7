"""Fidelity and strength map in a graph."""

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip, run_chain, sample, sampling

from patchvsr_core.resample import resize

LEVEL = 1 / 255
CLIP = a_clip(frames=3, height=24, width=32)
SIZE = (96, 128)
MAP = torch.ones(1, *SIZE)
MAP[:, 10:70, 20:90] = 0
"""Protects a region that covers no whole patches, and reaches across several."""


@pytest.fixture(scope="module")
def whole(pack, tiny):
    return run_chain(pack, tiny, CLIP, steps=2)


def refined(pack, image, **inputs):
    return run_node(pack["RefineFidelity"], image=image, source=CLIP, **inputs)[0]


def test_protected_regions_are_the_base_layer_and_the_rest_is_unchanged(pack, tiny, whole):
    """Of the node that comes last: of Apply PatchVSR where nothing refines, of Refine & Fidelity otherwise."""
    base, inside = resize(CLIP, SIZE).clamp(0, 1), (MAP == 0).expand(3, -1, -1)
    blended = run_chain(pack, tiny, CLIP, steps=2, strength_map=MAP).blended
    frames = refined(pack, whole.blended, strength_map=MAP)
    for plain, held in ((whole.blended, blended), (whole.frames, frames)):
        assert (held - base)[inside].abs().max() <= LEVEL
        assert torch.equal(held[~inside], plain[~inside])
        assert (plain - base)[inside].abs().max() > 2 * LEVEL, "there is something to protect it from"


def test_a_map_of_the_input_s_size_protects_too(pack, tiny, whole):
    small = torch.ones(1, 24, 32)
    small[:, 6:18, 8:24] = 0
    base, outside = resize(CLIP, SIZE).clamp(0, 1), torch.ones(3, *SIZE, dtype=torch.bool)
    outside[:, 22:74, 30:98] = False
    blended = run_chain(pack, tiny, CLIP, steps=2, strength_map=small).blended
    frames = refined(pack, whole.blended, strength_map=small)
    for plain, held in ((whole.blended, blended), (whole.frames, frames)):
        assert (held - base)[:, 26:70, 34:94].abs().max() <= LEVEL
        assert torch.equal(held[outside], plain[outside])


def test_fidelity_goes_from_the_result_to_the_enlarged_input(pack, tiny, whole):
    base = resize(CLIP, SIZE).clamp(0, 1)

    def blended(fidelity):
        return run_chain(pack, tiny, CLIP, steps=2, fidelity=fidelity).blended

    torch.testing.assert_close(blended(1.0), base, atol=1e-5, rtol=0)
    assert torch.equal(blended(0.0), whole.blended)
    torch.testing.assert_close(blended(0.5), (base + whole.blended) / 2, atol=1e-5, rtol=0)


def test_two_samplers_on_two_halves_are_held_once_at_the_end(pack, tiny, whole):
    (model,) = run_node(
        pack["ApplyPatchVSR"],
        model=tiny.model,
        plan=whole.plan,
        patch_cond=whole.cond,
        adapter=tiny.adapter,
        global_context=whole.view,
        fidelity=0.5,
    )
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=whole.plan, patches_at_once=1)
    at_once = sample(pack, model, tiny.prompt, whole.start, whole.plan, steps=2)
    inputs = sampling(model, tiny.prompt, steps=2)
    sigmas, noise = inputs.pop("sigmas"), inputs.pop("noise")

    class NoNoise:
        seed = 0

        def generate_noise(self, latent):
            return torch.zeros_like(latent["samples"])

    node = pack["PatchSampler"]
    first = run_node(node, **inputs, noise=noise, sigmas=sigmas[:2], latent=whole.start, plan=whole.plan)[0]
    second = run_node(node, **inputs, noise=NoNoise(), sigmas=sigmas[1:], latent=first, plan=whole.plan)[0]
    torch.testing.assert_close(second["samples"], at_once, atol=1e-4, rtol=1e-4)


def test_the_map_of_another_clip_is_refused(pack, tiny, whole):
    with pytest.raises(Exception, match="strength map has 2 frames but the clip has 3"):
        run_chain(pack, tiny, CLIP, strength_map=torch.zeros(2, 8, 8))
    with pytest.raises(Exception, match="strength map has 2 frames but the clip has 3"):
        run_node(pack["RefineFidelity"], image=whole.blended, source=CLIP, strength_map=torch.zeros(2, 8, 8))


def test_of_refine_and_fidelity_the_base_layer_is_what_stays(pack, whole):
    base = (whole.blended + 0.1).clamp(0, 1)
    (held,) = run_node(
        pack["RefineFidelity"], image=whole.blended, source=CLIP, base_layer=base, strength_map=torch.zeros(1, 8, 8)
    )
    assert torch.equal(held, base)
