"""The nodes at work, on a stand-in for ComfyUI and with the shipped weights."""

import pytest
import torch
from fakes import run_node
from fakes.chain import FRAMES, HEIGHT, WIDTH, a_clip, run_chain, sample, sampling


@pytest.mark.parametrize(
    ("frames", "height", "width", "options", "expected"),
    [
        (3, 13, 17, {"scale": 4.0}, (3, 52, 68)),
        (1, 13, 17, {"scale": 4.0}, (1, 52, 68)),
        (3, 13, 17, {"scale": 2.5}, (3, 32, 42)),
        (5, 9, 7, {"size": "31x45"}, (5, 45, 31)),
        (2, 10, 20, {"size": "0x25"}, (2, 25, 50)),
        (6, 8, 8, {"scale": 1.0, "window_frames": 3, "overlap_frames": 1}, (6, 8, 8)),
        (1, 1, 1, {"scale": 4.0}, (1, 4, 4)),
    ],
)
def test_the_chain_gives_frames_of_exactly_the_planned_size(pack, tiny, frames, height, width, options, expected):
    chain = run_chain(pack, tiny, a_clip(frames, height, width), **options)
    assert tuple(chain.frames.shape) == (*expected, 3)
    assert (chain.height, chain.width) == expected[1:]
    assert chain.frames.dtype == torch.float32
    assert torch.isfinite(chain.frames).all() and chain.frames.min() >= 0 and chain.frames.max() <= 1


@pytest.mark.parametrize("layout", ["corner", "pairwise", "uniform", "alternating"])
def test_every_layout_runs(pack, tiny, clip, layout):
    chain = run_chain(pack, tiny, clip, layout=layout, steps=2)
    assert chain.plan.layout == layout
    assert chain.frames.shape == (3, 52, 68, 3)


def test_the_result_shrunk_again_is_the_clip(chain, clip):
    planes = chain.frames.movedim(-1, 1)
    shrunk = torch.nn.functional.interpolate(planes, size=(HEIGHT, WIDTH), mode="bicubic", antialias=True)
    assert (shrunk.movedim(1, -1) - clip).abs().max() < 0.01


def test_the_model_adds_something_to_the_enlarged_clip(chain, tiny):
    assert (chain.sampled["samples"] - chain.start["samples"]).abs().max() > 1e-3


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(pack, tiny, clip, chain):
    again = run_chain(pack, tiny, clip)
    assert torch.equal(again.frames, chain.frames)
    other = sample(pack, chain.merged, tiny.prompt, chain.start, chain.plan, seed=1)
    assert not torch.equal(other, chain.sampled["samples"])


def test_both_hosts_give_the_same_numbers(pack, tiny, clip, chain):
    """ComfyUI's sampling around the native model, and the headless pipeline around diffusers' model."""
    from dataclasses import replace

    from patchvsr_core.hosts.diffusers.models import load_models
    from patchvsr_core.hosts.diffusers.pipeline import sample
    from patchvsr_core.settings import TINY
    from patchvsr_core.stages import make_plan

    models = load_models("tiny", precision="float32")  # as the node computes on a CPU
    settings = replace(TINY, patch_px=64, layout="corner")
    plan = make_plan(FRAMES, (HEIGHT, WIDTH), (HEIGHT * 4, WIDTH * 4), models, settings)
    with torch.inference_mode():
        headless = sample(clip, plan, models, settings, lambda stage, done, total: None)
    assert (chain.sampled["samples"] - headless).abs().max() < 1e-5


def test_patches_at_once_do_not_change_the_result(pack, tiny, clip, chain):
    together = run_chain(pack, tiny, clip, patches_at_once=3)
    assert (together.sampled["samples"] - chain.sampled["samples"]).abs().max() < 1e-5


def test_one_patch_needs_no_merger_but_may_have_one(pack, tiny, clip):
    """Patch Sampler asks for the merger; SamplerCustomAdvanced and KSampler would do without."""
    chain = run_chain(pack, tiny, clip, patch_px=128)
    assert len(chain.plan.patches) == 1
    direct = sample(pack, chain.controlled, tiny.prompt, chain.start, chain.plan)
    assert (direct - chain.sampled["samples"]).abs().max() < 1e-5


def test_merger_and_control_may_come_in_either_order(pack, tiny, chain):
    (model,) = run_node(pack["JointModulationMerger"], model=tiny.model, plan=chain.plan, patches_at_once=1)
    (model,) = run_node(
        pack["ApplyPatchVSR"],
        model=model,
        plan=chain.plan,
        patch_cond=chain.cond,
        adapter=tiny.adapter,
        global_context=chain.view,
    )
    result = sample(pack, model, tiny.prompt, chain.start, chain.plan)
    assert torch.equal(result, chain.sampled["samples"])


@pytest.mark.parametrize("strength", ["patch_strength", "global_strength"])
def test_each_branch_has_its_say(pack, tiny, clip, chain, strength):
    without = run_chain(pack, tiny, clip, **{strength: 0.0})
    assert (without.sampled["samples"] - chain.sampled["samples"]).abs().max() > 1e-5


def test_outside_its_range_the_adapter_is_silent(pack, tiny, clip, chain):
    """One step at noise level 1 lies before a start at half-way."""
    late = run_chain(pack, tiny, clip, start_percent=0.5)
    (bare,) = run_node(pack["ApplyPatchVSR"], model=tiny.model, plan=chain.plan, patch_cond=chain.cond)
    (bare,) = run_node(pack["JointModulationMerger"], model=bare, plan=chain.plan, patches_at_once=1)
    silent = sample(pack, bare, tiny.prompt, chain.start, chain.plan)
    assert (late.sampled["samples"] - silent).abs().max() < 1e-6
    assert (late.sampled["samples"] - chain.sampled["samples"]).abs().max() > 1e-5


def test_an_adapter_that_stops_half_way_leaves_nothing_behind(pack, tiny, clip):
    """Two steps in one run, or one with the adapter and one without it."""
    chain = run_chain(pack, tiny, clip, patch_px=128, end_percent=0.4)
    inputs = sampling(chain.merged, tiny.prompt, steps=2)
    assert inputs["sigmas"].tolist() == [1.0, 0.5, 0.0]
    noise, start = inputs["noise"].generate_noise(chain.start), chain.start["samples"]
    both = inputs["guider"].sample(noise, start, inputs["sampler"], inputs["sigmas"])
    half = inputs["guider"].sample(noise, start, inputs["sampler"], inputs["sigmas"][:2])
    (bare,) = run_node(pack["ApplyPatchVSR"], model=tiny.model, plan=chain.plan, patch_cond=chain.cond)
    alone = sampling(bare, tiny.prompt)["guider"]
    then = alone.sample(torch.zeros_like(noise), half, inputs["sampler"], inputs["sigmas"][1:])
    assert (both - then).abs().max() < 1e-5


def test_noise_in_the_condition_depends_on_level_and_seed(pack, tiny, clip, chain):
    noisy = [run_chain(pack, tiny, clip, noise_level=0.5, noise_seed=seed).sampled["samples"] for seed in (0, 1)]
    assert not torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], chain.sampled["samples"])
    unused = run_chain(pack, tiny, clip, noise_level=0.0, noise_seed=7).sampled["samples"]
    assert torch.equal(unused, chain.sampled["samples"])


def test_a_batch_with_alpha_is_read_by_its_colours(pack, tiny, clip, chain):
    with_alpha = torch.cat([clip, torch.zeros_like(clip[..., :1])], dim=-1)
    made = run_chain(pack, tiny, with_alpha).frames
    assert torch.equal(made[..., :3], chain.frames) and not made[..., 3].any()
    blended = [
        run_node(pack["Blender"], tiles=chain.tiles, image=image, color_fix="wavelet") for image in (clip, with_alpha)
    ]
    assert torch.equal(blended[0][0], blended[1][0][..., :3])


def test_the_blender_gives_the_decoded_canvas_cut_to_size(chain, tiny):
    decoded = tiny.vae.decode(chain.sampled["samples"])[0]
    assert decoded.shape == (3, 64, 80, 3)
    assert (chain.blended - decoded[:, :52, :68].clamp(0, 1)).abs().max() < 1e-6


@pytest.mark.parametrize("window", ["linear", "cosine"])
def test_tiles_of_any_size_give_the_same_frames(pack, tiny, window):
    """The codec is lossless, so that a seam could only come from the blender."""
    clip = a_clip(2, 40, 55)
    plan = run_node(pack["PatchPlanner"], image=clip, vae=tiny.vae)[0]
    latent = run_node(pack["PatchEncoder"], vae=tiny.vae, image=clip, plan=plan)[1]
    results = []
    for tile_px, overlap_px, count in ((512, 64, 1), (128, 32, 4), (128, 96, 8)):
        (tiles,) = run_node(
            pack["PatchDecoder"], vae=tiny.vae, latent=latent, plan=plan, tile_px=tile_px, overlap_px=overlap_px
        )
        assert len(tiles.pixels) == count
        results.append(run_node(pack["Blender"], tiles=tiles, window=window, color_fix="none")[0])
    assert results[0].shape == (2, 160, 220, 3)
    assert (results[1] - results[0]).abs().max() < 1e-5
    assert (results[2] - results[0]).abs().max() < 1e-5


def test_the_preview_shows_the_first_frame_at_the_size_of_the_result(chain):
    assert chain.preview.shape == (1, 52, 68, 3)
    assert chain.preview.max() <= 1 and chain.preview.min() >= 0
    assert (chain.preview > 0.95).all(dim=-1).any(), "there is no white outline of a primary patch"


def test_memory_is_reserved_for_patches_not_for_the_canvas(pack, tiny, clip):
    import comfy.samplers

    comfy.samplers.reserved_shapes.clear()
    chain = run_chain(pack, tiny, clip, patches_at_once=2)
    assert comfy.samplers.reserved_shapes == [[2, 192, 3, 8, 8]]
    assert chain.plan.canvas.latent_shape == (3, 8, 10)


def test_the_adapter_is_loaded_with_the_model(chain, tiny):
    assert [tiny.adapter] in chain.merged.additional_models.values()


# Training-free: a stock model without an adapter


def test_a_stock_wan_runs_without_an_adapter(pack):
    """With Wan's own strides: 6 frames become 3 latent ones, and 6 frames again."""
    from fakes.core_behaviour import prompt
    from fakes.wan import AveragingVAE, random_wan

    clip, vae, model = a_clip(frames=6), AveragingVAE(), random_wan()
    plan, _, width, height = run_node(pack["PatchPlanner"], image=clip, vae=vae, patch_px=64)
    assert plan.canvas.latent_shape == (3, 8, 10) and len(plan.patches) > 1
    cond, latent = run_node(pack["PatchEncoder"], vae=vae, image=clip, plan=plan)
    (model,) = run_node(pack["ApplyPatchVSR"], model=model, plan=plan, patch_cond=cond)
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=plan, patches_at_once=1)
    (text,) = prompt("sharp")
    inputs = sampling(model, text, steps=2) | {"sigmas": torch.tensor([0.3, 0.1, 0.0])}
    (sampled,) = run_node(pack["PatchSampler"], **inputs, latent=latent, plan=plan)
    (tiles,) = run_node(pack["PatchDecoder"], vae=vae, latent=sampled, plan=plan)
    (frames,) = run_node(pack["Blender"], tiles=tiles, image=clip)
    assert frames.shape == (6, height, width, 3) == (6, 52, 68, 3)
    assert torch.isfinite(frames).all()


def test_structure_lock_holds_a_stock_wan_to_its_input(pack):
    from fakes.core_behaviour import prompt
    from fakes.wan import AveragingVAE, random_wan

    clip, vae, wan = a_clip(frames=5), AveragingVAE(), random_wan()
    plan = run_node(pack["PatchPlanner"], image=clip, vae=vae, patch_px=64)[0]
    cond, latent = run_node(pack["PatchEncoder"], vae=vae, image=clip, plan=plan)
    distances = []
    for lock in (0.0, 0.5, 1.0):
        (model,) = run_node(pack["ApplyPatchVSR"], model=wan, plan=plan, patch_cond=cond, structure_lock=lock)
        (model,) = run_node(pack["JointModulationMerger"], model=model, plan=plan, patches_at_once=1)
        inputs = sampling(model, prompt("any")[0]) | {"sigmas": torch.tensor([0.3, 0.0])}
        sampled = run_node(pack["PatchSampler"], **inputs, latent=latent, plan=plan)[0]["samples"]
        low = torch.nn.functional.avg_pool3d(sampled - latent["samples"], (1, 8, 10))
        distances.append(low.abs().mean().item())
    assert distances[1] == pytest.approx(distances[0] / 2, rel=0.05)
    assert distances[2] < distances[0] / 10


def test_a_pointwise_model_gives_the_same_patched_and_whole(pack):
    """Where every cell is treated on its own, joint modulation must be invisible."""
    from fakes.core_behaviour import prompt
    from fakes.wan import AveragingVAE, random_wan

    clip, vae, model = a_clip(frames=5), AveragingVAE(), random_wan()
    model.model.apply_model = lambda x, t, **rest: 0.3 * x - 0.1
    plan = run_node(pack["PatchPlanner"], image=clip, vae=vae, patch_px=64)[0]
    latent = run_node(pack["PatchEncoder"], vae=vae, image=clip, plan=plan)[1]
    (merged,) = run_node(pack["JointModulationMerger"], model=model, plan=plan, patches_at_once=1)
    text = prompt("any")[0]
    patched = sample(pack, merged, text, latent, plan, steps=3)
    inputs = sampling(model, text, steps=3)
    whole = inputs["guider"].sample(
        inputs["noise"].generate_noise(latent), latent["samples"], inputs["sampler"], inputs["sigmas"]
    )
    assert (patched - whole).abs().max() < 1e-5


def test_the_layout_suits_the_model_unless_chosen(pack, tiny, clip):
    from patchvsr_core.stages import layout_for

    def layout(**choice):
        return run_node(pack["PatchPlanner"], image=clip, vae=tiny.vae, patch_px=64, **choice)[0].layout

    assert layout() == "overlapping" and layout(layout="pairwise") == "pairwise"
    wan = type("Codec", (), {"channels": 16, "stride_px": 8, "stride_frames": 4, "is_lossless": False})()
    assert layout_for(wan) == "corner"


def test_noise_is_mixed_into_the_latent_or_into_the_pixels(pack):
    """An old workflow, whose encoder has no choice of it, keeps the latent."""
    from fakes.wan import AveragingVAE

    encode = pack.part("patchvsr_core.vae.encode")
    clip, vae = a_clip(frames=5), AveragingVAE()
    plan = run_node(pack["PatchPlanner"], image=clip, vae=vae, patch_px=64)[0]
    inputs = {"vae": vae, "image": clip, "plan": plan, "noise_level": 0.12, "noise_seed": 3}
    old, latent, pixels = (
        run_node(pack["PatchEncoder"], **inputs, **form)[0]
        for form in ({}, {"noise_form": "latent"}, {"noise_form": "lr_pixels"})
    )
    mixed = encode.augment_noise(old.latent, 0.12, 3)
    assert torch.equal(old.augmented_latent(), mixed) and torch.equal(latent.augmented_latent(), mixed)
    assert torch.equal(pixels.latent, old.latent)
    noisy = encode.noise_pixels(clip, 0.12, 3)
    assert torch.equal(pixels.augmented_latent(), encode.encode_canvas(pixels.codec, noisy, plan.canvas, clip=False))
    clean = run_node(pack["PatchEncoder"], **{**inputs, "noise_level": 0.0}, noise_form="lr_pixels")[0]
    assert torch.equal(clean.augmented_latent(), clean.latent)
