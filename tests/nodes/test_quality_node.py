"""Quality Report: what comes out of its sockets, and what is shown on it."""

import math

import pytest
import torch
from fakes import run_node

from patchvsr_core.quality import measure_quality


@pytest.fixture(scope="module")
def node(pack):
    return pack.part("nodes.quality").QualityReport


def test_its_outputs_are_those_of_the_core(node, chain, clip):
    text, heat, flicker, seams, drift = run_node(node, image=chain.frames, source=clip, plan=chain.plan)
    report = measure_quality(chain.frames, clip, chain.plan)
    assert text == report.as_text() and (flicker, drift) == (report.measures.flicker, report.measures.colour_drift)
    assert seams == report.measures.seam_energy > 0
    assert torch.equal(heat, report.heat_map("flicker")) and heat.shape == chain.frames.shape


@pytest.mark.parametrize("kind", ["flicker", "seams", "mismatch"])
def test_every_heat_map(node, chain, clip, kind):
    heat = run_node(node, image=chain.frames, source=clip, plan=chain.plan, heat_map=kind)[1]
    assert torch.equal(heat, measure_quality(chain.frames, clip, chain.plan).heat_map(kind))


def test_the_report_is_shown_on_the_node(node, chain, clip):
    assert node.GET_SCHEMA().is_output_node
    done = node.execute(image=chain.frames, source=clip, heat_map="mismatch")
    assert done.ui.as_dict() == {"text": (done[0],)} and "Flicker" in done[0]


def test_it_counts_frames_and_can_be_cancelled(node, chain, clip):
    import comfy.model_management as management
    import comfy.utils

    seen = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id: seen.append((value, total)))
    try:
        run_node(node, image=chain.frames, source=clip)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert seen[-1] == (3, 3)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        run_node(node, image=chain.frames, source=clip)


def test_without_a_plan_there_are_no_seams_to_show(pack, node, chain, clip):
    assert math.isnan(run_node(node, image=chain.frames, source=clip)[3])
    errors = pack.part("patchvsr_core.errors")
    with pytest.raises(errors.PlanError, match="connect the plan"):
        run_node(node, image=chain.frames, source=clip, heat_map="seams")


def test_transparency_is_left_aside(node, chain, clip):
    opaque = torch.cat([chain.frames, torch.rand_like(chain.frames[..., :1])], -1)
    text, heat, *_ = run_node(node, image=opaque, source=clip)
    assert text == run_node(node, image=chain.frames, source=clip)[0] and heat.shape[-1] == 3


def test_other_clips_are_refused_in_words(pack, node, chain, clip):
    errors = pack.part("patchvsr_core.errors")
    with pytest.raises(errors.PlanError, match="3 frames but the source has 2"):
        run_node(node, image=chain.frames, source=clip[:2])
    with pytest.raises(errors.PlanError, match="before it is resized"):
        run_node(node, image=chain.frames[:, :20], source=clip, plan=chain.plan)


def test_it_introduces_itself(node):
    schema = node.GET_SCHEMA()
    assert schema.node_id == "PatchVSR_QualityReport" and "960x540" in schema.description
    assert all(socket.tooltip for socket in [*schema.inputs, *schema.outputs])
