"""Nodes connected the wrong way, or widgets driven by links: a clear sentence, never a torch error."""

import pytest
import torch
from fakes import check_inputs, run_node
from fakes.chain import run_chain, sampling
from fakes.wan import AveragingVAE, random_wan


def a_clip(frames=3, height=13, width=17):
    generator = torch.Generator().manual_seed(frames * height * width)
    return torch.rand(frames, height, width, 3, generator=generator)


@pytest.fixture(scope="module")
def chain(pack, tiny):
    return run_chain(pack, tiny, a_clip())


@pytest.fixture(scope="module")
def other(pack, tiny):
    return run_chain(pack, tiny, a_clip(3, 20, 30))


@pytest.fixture
def readable(pack):
    """Expects an error of the pack's own family, or a ValueError, and nothing out of torch's depths."""
    errors = pack.part("patchvsr_core.errors")
    return pytest.raises((errors.PatchVSRError, ValueError))


def sample(pack, tiny, model, latent, plan):
    return run_node(pack["PatchSampler"], **sampling(model, tiny.prompt), latent=latent, plan=plan)[0]["samples"]


def defaults(node):
    return {socket.id: socket.default for socket in node.GET_SCHEMA().inputs}


CHECKED = [
    ("PatchPlanner", "overlap_frames"),
    ("PatchPlanner", "window_frames"),
    ("ApplyPatchVSR", "start_percent"),
    ("JointModulationMerger", "auxiliary_end"),
    ("PatchDecoder", "tile_px"),
]


@pytest.mark.parametrize(("node", "widget"), CHECKED)
def test_a_checked_widget_may_be_linked(pack, node, widget):
    assert check_inputs(pack[node], defaults(pack[node]), linked={widget}) == []


@pytest.mark.parametrize(
    ("node", "values"),
    [
        ("PatchPlanner", {"window_frames": 1000, "overlap_frames": -5}),
        ("ApplyPatchVSR", {"start_percent": -1.0, "end_percent": 7.0}),
        ("JointModulationMerger", {"auxiliary_start": -1.0, "auxiliary_end": 7.0}),
        ("PatchDecoder", {"tile_px": 8, "overlap_px": -16}),
    ],
)
def test_checked_widgets_have_ranges_too(pack, node, values):
    assert check_inputs(pack[node], defaults(pack[node]) | values) != []


def test_the_seed_of_the_encoder_stays_put(pack):
    (seed,) = [socket for socket in pack["PatchEncoder"].GET_SCHEMA().inputs if socket.id == "noise_seed"]
    assert seed.options.get("control_after_generate") in (False, "fixed")


def test_a_condition_from_another_vae(pack, chain, readable):
    with readable:
        run_node(pack["ApplyPatchVSR"], model=random_wan(), plan=chain.plan, patch_cond=chain.cond)


def test_a_condition_of_another_plan(pack, tiny, chain, other, readable):
    with readable:
        run_node(pack["ApplyPatchVSR"], model=tiny.model, plan=other.plan, patch_cond=chain.cond)


def test_a_global_context_of_another_plan(pack, tiny, chain, readable):
    longer = run_chain(pack, tiny, a_clip(5))
    inputs = {"model": tiny.model, "plan": chain.plan, "patch_cond": chain.cond, "adapter": tiny.adapter}
    with readable:
        run_node(pack["ApplyPatchVSR"], **inputs, global_context=longer.view)


def test_a_merger_with_another_plan_than_the_control(pack, tiny, chain, other, readable):
    (model,) = run_node(pack["JointModulationMerger"], model=chain.controlled, plan=other.plan, patches_at_once=1)
    with readable:
        sample(pack, tiny, model, other.start, other.plan)


def test_applying_twice_is_applying_once_or_an_error(pack, tiny, chain):
    errors = pack.part("patchvsr_core.errors")
    inputs = {"plan": chain.plan, "patch_cond": chain.cond, "adapter": tiny.adapter, "global_context": chain.view}
    try:
        (model,) = run_node(pack["ApplyPatchVSR"], model=chain.controlled, **inputs)
    except errors.PatchVSRError:
        return
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=chain.plan, patches_at_once=1)
    assert (sample(pack, tiny, model, chain.start, chain.plan) - chain.sampled["samples"]).abs().max() < 1e-5


def test_merging_twice_is_merging_once_or_says_so(pack, tiny, chain):
    errors = pack.part("patchvsr_core.errors")
    try:
        (model,) = run_node(pack["JointModulationMerger"], model=chain.merged, plan=chain.plan, patches_at_once=1)
    except errors.PatchVSRError:
        return
    assert torch.equal(sample(pack, tiny, model, chain.start, chain.plan), chain.sampled["samples"])


def test_an_encoder_with_another_vae_than_planned(pack, tiny, readable):
    clip = a_clip(5)
    plan = run_node(pack["PatchPlanner"], image=clip, vae=tiny.vae)[0]
    with readable:
        run_node(pack["PatchEncoder"], vae=AveragingVAE(), image=clip, plan=plan)


def test_a_decoder_with_another_vae_than_the_encoder(pack, chain, readable):
    with readable:
        run_node(pack["PatchDecoder"], vae=AveragingVAE(), latent=chain.sampled, plan=chain.plan)


@pytest.mark.parametrize(("frames", "color_fix"), [(2, "wavelet"), (4, "wavelet"), (1, "adain")])
def test_a_blender_with_another_clip(pack, chain, readable, frames, color_fix):
    with readable:
        run_node(pack["Blender"], tiles=chain.tiles, image=a_clip(frames), color_fix=color_fix)


def test_a_source_larger_than_the_result(pack, chain, readable):
    with readable:
        run_node(pack["RefineFidelity"], image=a_clip(), source=chain.blended)


def test_a_size_with_spaces(pack, tiny):
    width, height = run_node(pack["PatchPlanner"], image=a_clip(), vae=tiny.vae, size="50 x 40")[2:]
    assert (width, height) == (50, 40)
