"""What the plan, the latent and the model bring along needs no wire of its own."""

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip, run_chain, sampling


@pytest.fixture(scope="module")
def chain(pack, tiny):
    return run_chain(pack, tiny, a_clip())


@pytest.fixture(scope="module")
def start(pack, chain):
    """Conditions and latent, with the plan as the only wire."""
    return run_node(pack["PatchEncoder"], plan=chain.plan)


def test_the_encoders_take_clip_and_vae_from_the_plan(pack, tiny, chain, start):
    cond, latent = start
    assert torch.equal(cond.latent, chain.cond.latent) and torch.equal(latent["samples"], chain.start["samples"])
    (view,) = run_node(pack["GlobalContextEncoder"], plan=chain.plan, adapter=tiny.adapter)
    assert torch.equal(view, chain.view)


def test_the_whole_chain_gives_the_same_frames_with_the_fewest_wires(pack, tiny, chain, start):
    cond, latent = start
    widgets = {"patches_at_once": 1}
    (model,) = run_node(
        pack["ApplyPatchVSR"], model=tiny.model, patch_cond=cond, adapter=tiny.adapter, global_context=chain.view
    )
    (merged,) = run_node(pack["JointModulationMerger"], model=model, **widgets)
    (sampled,) = run_node(pack["PatchSampler"], **sampling(merged, tiny.prompt), latent=latent)
    (tiles,) = run_node(pack["PatchDecoder"], latent=sampled)
    (blended,) = run_node(pack["Blender"], tiles=tiles, color_fix="none")
    assert torch.equal(blended, chain.blended)


def test_what_is_connected_counts_more_than_what_is_carried(pack, tiny, chain):
    clip = a_clip().flip(2)
    cond, _ = run_node(pack["PatchEncoder"], plan=chain.plan, image=clip)
    assert not torch.equal(cond.latent, chain.cond.latent)


@pytest.mark.parametrize(
    ("node", "inputs", "name"),
    [
        ("PatchEncoder", {}, "plan"),
        ("GlobalContextEncoder", {}, "plan"),
        ("ApplyPatchVSR", {"model": None}, "patch_cond"),
        ("PatchDecoder", {}, "latent"),
        ("PatchDecoder", {"latent": {"samples": None}}, "plan"),
    ],
)
def test_what_arrives_by_no_way_is_named(pack, node, inputs, name):
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match=f"Nothing arrives at {name}; connect it."):
        run_node(pack[node], **inputs)


def test_one_wire_brings_all_parts_of_the_model(pack):
    *parts, whole = run_node(pack["LoadTinyDefault"])
    complete_models = pack.part("patchvsr_core.hosts.comfy").complete_models
    used = complete_models(whole=whole)
    assert all(
        one is other for one, other in zip(parts, (used.model, used.vae, used.adapter, used.positive), strict=True)
    )
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match="or disconnect model, vae"):
        complete_models(model=parts[0], vae=parts[1], whole=whole)
