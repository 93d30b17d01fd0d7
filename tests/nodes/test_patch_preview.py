"""Patch Preview: the patch of the whole run, without the rest of it."""

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip, run_chain, sampling
from fakes.core_behaviour import Noise, guider, prompt, sampler
from fakes.wan import AveragingVAE, random_wan

from patchvsr_core.plan.positions import list_positions
from patchvsr_core.preview.compare import CAPTION_PX, GAP_PX
from patchvsr_core.resample import resize

LEVEL = 1 / 255
CLIP = a_clip(frames=11, height=32, width=48)
CLIP += 0.2 * (torch.rand(CLIP.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
SIZE = (128, 192)
FADE_PX = 16
"""Across so much, patches of 64 px fuse in this layout; what comes after the model reaches a little further."""


@pytest.fixture(scope="module")
def whole(pack, tiny):
    return run_chain(pack, tiny, CLIP, patch_px=64, layout="overlapping", window_frames=6)


def preview(pack, tiny, whole, *, steps=1, **chosen):
    inputs = {"patch": 1, "frames": 2, **chosen}
    parts = sampling(whole.merged, tiny.prompt, steps=steps)
    return run_node(
        pack["PatchPreview"], **parts, latent=whole.start, plan=whole.plan, vae=tiny.vae, source=CLIP, **inputs
    )


def cut(frames, place, first=0, count=2):
    rows, columns = slice(place.y, place.y + place.height), slice(place.x, place.x + place.width)
    return frames[first : first + count, rows, columns]


@pytest.mark.parametrize("first", [0, 4, 9])
def test_it_is_the_patch_of_the_whole_run_away_from_fused_borders(pack, tiny, whole, first):
    """At the seam of two windows of time too."""
    number = 6
    place = list_positions(whole.plan)[number - 1]
    _, result, said = preview(pack, tiny, whole, patch=number, first_frame=first)
    full = cut(whole.frames, place, first)
    assert said == number and result.shape == full.shape
    inner = slice(FADE_PX, -FADE_PX)
    assert (result - full)[:, inner, inner].abs().max() <= LEVEL
    bicubic = cut(resize(CLIP, SIZE), place, first)
    assert (bicubic - full)[:, inner, inner].abs().max() > 10 * LEVEL, "there is something to see"


def test_with_its_neighbours_it_is_the_patch_of_the_whole_run_everywhere(pack, tiny, whole):
    place = list_positions(whole.plan)[5]
    bare = {"refine_strength": 0.0, "rounds": 0}
    alone, together = (
        preview(pack, tiny, whole, patch=6, neighbours=neighbours, **bare)[1] - cut(whole.blended, place)
        for neighbours in (False, True)
    )
    assert together.abs().max() <= 1e-5
    assert alone.abs().max() > LEVEL / 2, "without them its fused borders differ"
    finished = preview(pack, tiny, whole, patch=6, neighbours=True)[1]
    assert (finished - cut(whole.frames, place)).abs().max() <= LEVEL


def test_only_what_is_needed_runs(pack, tiny, whole):
    seen = []
    model = whole.merged.clone()

    def counted(executor, x, *rest, **named):
        seen.append(len(x))
        return executor(x, *rest, **named)

    model.add_wrapper_with_key("apply_model", "test", counted)
    parts = sampling(model, tiny.prompt)
    inputs = {"latent": whole.start, "plan": whole.plan, "vae": tiny.vae, "source": CLIP}
    inputs |= {"refine_strength": 0.0}
    run_node(pack["PatchPreview"], **parts, **inputs, patch=1, frames=1)
    assert sum(seen) == 1
    seen.clear()
    run_node(pack["PatchPreview"], **parts, **inputs, patch=1, frames=1, first_frame=6)
    assert sum(seen) == 2, "both windows of time in which the frame lies"
    assert "patchvsr_focus" not in parts["guider"].model_options["transformer_options"], "the guider is as it was"


@pytest.mark.parametrize(("strength", "says_so"), [(1.0, True), (0.0, False)])
def test_it_says_what_the_refiner_does_to_another_model(pack, tiny, whole, caplog, monkeypatch, strength, says_so):
    monkeypatch.setattr(pack.part("nodes.looking"), "is_tiny", lambda model: False)
    preview(pack, tiny, whole, patch=1, refine_strength=strength)
    assert ("sharp already" in caplog.text) == says_so


def test_the_pictures_stand_side_by_side(pack, tiny, whole):
    comparison, result, _ = preview(pack, tiny, whole, patch=2)
    frames, height, width, _ = result.shape
    assert comparison.shape == (frames, height + CAPTION_PX, 3 * width + 2 * GAP_PX, 3)
    pictures = comparison[:, CAPTION_PX:]
    place = list_positions(whole.plan)[1]
    assert torch.equal(pictures[:, :, -width:], result)
    middle = pictures[:, :, width + GAP_PX : 2 * width + GAP_PX]
    torch.testing.assert_close(middle, cut(resize(CLIP, SIZE).clamp(0, 1), place))
    squares = cut(CLIP.repeat_interleave(4, 1).repeat_interleave(4, 2), place)
    assert torch.equal(pictures[:, :, :width], squares)
    assert comparison[:, :CAPTION_PX, :100].max() > 0.5, "a name is written above"


def test_left_to_choose_it_takes_the_richest(pack, tiny, whole):
    flat = CLIP * 0.02 + 0.5
    place = list_positions(whole.plan)[7]
    rows, columns = slice(place.y // 4 + 4, place.y // 4 + 12), slice(place.x // 4 + 4, place.x // 4 + 12)
    flat[:, rows, columns] = CLIP[:, rows, columns]
    other = run_chain(pack, tiny, flat, patch_px=64, layout="overlapping", window_frames=6)
    parts = sampling(other.merged, tiny.prompt)
    inputs = {"latent": other.start, "plan": other.plan, "vae": tiny.vae, "source": flat}
    assert run_node(pack["PatchPreview"], **parts, **inputs, patch=0, frames=1)[2] == 8


@pytest.mark.parametrize("layout", ["corner", "alternating"])
def test_with_several_steps_the_middle_of_a_patch_is_right(pack, tiny, layout):
    whole = run_chain(pack, tiny, CLIP, patch_px=64, layout=layout, window_frames=6, steps=2)
    full = cut(whole.frames, list_positions(whole.plan)[0])
    _, result, _ = preview(pack, tiny, whole, patch=1, steps=2, neighbours=True)
    corner = (slice(None), slice(0, 20), slice(0, 20))  # of the frame: nothing is fused there
    assert (result - full)[corner].abs().max() <= 2 * LEVEL


def test_mistakes_are_named(pack, tiny, whole):
    with pytest.raises(Exception, match="no patch 99; choose a number from 1 to"):
        preview(pack, tiny, whole, patch=99)
    with pytest.raises(Exception, match="11 frames, so there is no frame 11"):
        preview(pack, tiny, whole, first_frame=11)
    with pytest.raises(Exception, match="connect Joint-Modulation Merger"):
        parts = sampling(whole.controlled, tiny.prompt)
        run_node(pack["PatchPreview"], **parts, latent=whole.start, plan=whole.plan, vae=tiny.vae, source=CLIP, patch=1)


def test_of_a_wan_too(pack):
    """Several frames to a latent one, noise at the start, guidance, and colours of whole frames."""
    vae, prompts = AveragingVAE(), (prompt("any")[0], prompt("other")[0])
    clip = CLIP[:, :32, :32]
    (plan, *_) = run_node(pack["PatchPlanner"], image=clip, vae=vae, patch_px=64, layout="corner", window_frames=9)
    cond, start = run_node(pack["PatchEncoder"], vae=vae, image=clip, plan=plan)
    (model,) = run_node(pack["ApplyPatchVSR"], model=random_wan(), plan=plan, patch_cond=cond)
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=plan, patches_at_once=2)
    run = {"noise": Noise(5), "guider": guider(model, *prompts, cfg=2.0)[0], "sampler": sampler()[0]}
    run |= {"sigmas": torch.tensor([0.3, 0.0]), "latent": start, "plan": plan}
    (sampled,) = run_node(pack["PatchSampler"], **run)
    (tiles,) = run_node(pack["PatchDecoder"], vae=vae, latent=sampled, plan=plan)
    (frames,) = run_node(pack["Blender"], tiles=tiles, image=clip, color_fix="wavelet")
    chosen = {"patch": 1, "first_frame": 6, "frames": 3, "neighbours": True, "refine_strength": 0.0, "rounds": 0}
    _, result, _ = run_node(pack["PatchPreview"], **run, vae=vae, source=clip, **chosen)
    full = cut(frames, list_positions(plan)[0], 6, 3)
    bicubic = cut(resize(clip, (128, 128)), list_positions(plan)[0], 6, 3)
    assert (result - full)[:, :32, :32].abs().max() <= 2 * LEVEL, "colours follow the whole frame a little"
    assert (bicubic - full)[:, :32, :32].abs().max() > 20 * LEVEL
