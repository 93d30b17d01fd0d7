"""Single patches handed to other nodes, and put together again."""

import pytest
import torch
from fakes import Rejected, run_node, run_prompt
from fakes.chain import a_clip


@pytest.fixture(scope="module")
def enlarged(chain):
    return chain.frames


def split(pack, image, plan):
    return run_node(pack["SplitPatches"], image=image, plan=plan)


def join(pack, patches, plan, **options):
    return run_node(pack["JoinPatches"], patches=patches, plan=plan, **options)[0]


def test_split_and_join_is_the_identity(pack, chain, enlarged):
    patches, x, y = split(pack, enlarged, chain.plan)
    assert len(patches) == len(x) == len(y)
    assert {patch.shape[:1] for patch in patches} == {(3,)}
    for window in ("plan", "linear", "cosine"):
        assert (join(pack, patches, chain.plan, window=window) - enlarged).abs().max() < 1e-6


def test_positions_are_those_of_the_patches(pack, chain, enlarged):
    for patch, x, y in zip(*split(pack, enlarged, chain.plan), strict=True):
        assert torch.equal(patch[:, 0, 0], enlarged[:, y, x])


def test_any_node_can_stand_between(pack, chain, enlarged):
    """As ComfyUI runs it: once for each patch, and Join Patches once for all."""
    seen = []

    def brighter(image):
        seen.append(image.shape)
        return (image + 0.1,)

    prompt = {
        "frames": {"class_type": "Frames", "inputs": {}},
        "split": {"class_type": "PatchVSR_SplitPatches", "inputs": {"image": ["frames", 0], "plan": ["frames", 1]}},
        "work": {"class_type": "Brighter", "inputs": {"image": ["split", 0]}},
        "join": {
            "class_type": "PatchVSR_JoinPatches",
            "inputs": {"patches": ["work", 0], "plan": ["frames", 1], "window": "cosine"},
        },
    }
    core = {"Frames": lambda: (enlarged, chain.plan), "Brighter": brighter}
    outputs = run_prompt(prompt, pack.nodes, core)
    (joined,) = outputs["join"]
    assert (joined - enlarged - 0.1).abs().max() < 1e-5
    assert len(seen) == len(outputs["split"][0])


def test_the_input_clip_is_refused(pack, chain):
    errors = pack.part("patchvsr_core.errors")
    with pytest.raises(errors.PlanError, match="connect upscaled frames"):
        split(pack, a_clip(), chain.plan)


def test_a_missing_patch_is_noticed(pack, chain, enlarged):
    errors = pack.part("patchvsr_core.errors")
    patches, _, _ = split(pack, torch.cat([enlarged] * 2), chain.plan)
    with pytest.raises(errors.PlanError, match="patches but the plan has"):
        join(pack, [*patches, patches[0]], chain.plan)


def test_a_window_that_is_none_is_rejected_before_running(pack, chain, enlarged):
    with pytest.raises(Rejected, match="window"):
        join(pack, split(pack, enlarged, chain.plan)[0], chain.plan, window="round")
