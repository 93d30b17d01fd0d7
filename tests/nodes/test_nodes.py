"""The nodes at work, on a stand-in for ComfyUI and with the shipped weights."""

import copy

import pytest
import torch
from fakes import Rejected, check_inputs, run_node
from fakes.chain import run_chain, sampling

WIDTH, HEIGHT, FRAMES = 17, 13, 3


def a_clip(frames=FRAMES, height=HEIGHT, width=WIDTH, channels=3):
    """A soft, moving pattern that stays clear of black and white."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(0.4 * x + 0.3 * y + 0.5 * t + phase) for phase in range(channels)]
    return (0.5 + 0.25 * torch.stack(waves, dim=-1)).float()


@pytest.fixture(scope="module")
def clip():
    return a_clip()


@pytest.fixture(scope="module")
def chain(pack, tiny, clip):
    return run_chain(pack, tiny, clip)


@pytest.fixture
def progress():
    """(done, in all) of every update of a progress bar."""
    import comfy.utils

    seen = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id=None: seen.append((value, total)))
    yield seen
    comfy.utils.set_progress_bar_global_hook(None)


def sample(pack, model, prompt, latent, plan, **options):
    return run_node(pack["PatchSampler"], **sampling(model, prompt, **options), latent=latent, plan=plan)[0]["samples"]


# What comes out


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

    from patchvsr_core.hosts.models import load_models
    from patchvsr_core.pipeline import make_plan, sample
    from patchvsr_core.settings import TINY

    models, settings = load_models("tiny"), replace(TINY, patch_px=64)
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
    (model,) = run_node(pack["JointModulationMerger"], model=tiny.model, plan=chain.plan)
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
    (bare,) = run_node(pack["JointModulationMerger"], model=bare, plan=chain.plan)
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
    assert torch.equal(run_chain(pack, tiny, with_alpha).frames, chain.frames)
    blended = [
        run_node(pack["Blender"], tiles=chain.tiles, image=image, color_fix="wavelet") for image in (clip, with_alpha)
    ]
    assert torch.equal(blended[0][0], blended[1][0])


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
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=plan)
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
        (model,) = run_node(pack["JointModulationMerger"], model=model, plan=plan)
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
    (merged,) = run_node(pack["JointModulationMerger"], model=model, plan=plan)
    text = prompt("any")[0]
    patched = sample(pack, merged, text, latent, plan, steps=3)
    inputs = sampling(model, text, steps=3)
    whole = inputs["guider"].sample(
        inputs["noise"].generate_noise(latent), latent["samples"], inputs["sampler"], inputs["sigmas"]
    )
    assert (patched - whole).abs().max() < 1e-5


# Progress, interruption, memory


def test_the_bar_counts_patches_and_ends_with_the_step(pack, tiny, chain, progress):
    sample(pack, chain.merged, tiny.prompt, chain.start, chain.plan, steps=2)
    patches = len(chain.plan.patches)
    shares = [done / total for done, total in progress]
    assert shares == sorted(shares) and shares[-1] == 1
    assert (1, 2 * patches) in progress and (patches + 1, 2 * patches) in progress and (1, 2) in progress


def test_decoding_and_encoding_report_their_tiles(pack, tiny, chain, clip, progress):
    run_node(pack["PatchDecoder"], vae=tiny.vae, latent=chain.sampled, plan=chain.plan)
    run_node(pack["PatchEncoder"], vae=tiny.vae, image=clip, plan=chain.plan)
    assert progress == [(1, 1), (1, 1)]


@pytest.mark.parametrize("stage", ["sampler", "decoder", "encoder", "blender", "refiner", "back-projection"])
def test_cancelling_raises_comfyuis_own_exception(pack, tiny, chain, clip, stage):
    import comfy.model_management as management

    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        if stage == "sampler":
            sample(pack, chain.merged, tiny.prompt, chain.start, chain.plan)
        elif stage == "decoder":
            run_node(pack["PatchDecoder"], vae=tiny.vae, latent=chain.sampled, plan=chain.plan)
        elif stage == "encoder":
            run_node(pack["PatchEncoder"], vae=tiny.vae, image=clip, plan=chain.plan)
        elif stage == "blender":
            run_node(pack["Blender"], tiles=chain.tiles, image=clip, color_fix="wavelet")
        else:
            strength = 1.0 if stage == "refiner" else 0.0
            run_node(pack["RefineFidelity"], image=chain.blended, source=clip, refine_strength=strength)


def test_fewer_patches_at_once_when_memory_runs_out(pack, tiny, clip, chain, monkeypatch):
    batches = []
    apply_model = type(tiny.model.model).apply_model

    def small_memory(self, x, *rest, **options):
        batches.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("no room")
        return apply_model(self, x, *rest, **options)

    monkeypatch.setattr(type(tiny.model.model), "apply_model", small_memory)
    (merged,) = run_node(pack["JointModulationMerger"], model=chain.controlled, plan=chain.plan, patches_at_once=4)
    result = sample(pack, merged, tiny.prompt, chain.start, chain.plan)
    assert batches == [3, 2, 1, 1, 1]
    assert (result - chain.sampled["samples"]).abs().max() < 1e-5
    batches.clear()
    sample(pack, merged, tiny.prompt, chain.start, chain.plan, steps=2)
    assert batches == [3, 2, 1, 1, 1, 1, 1, 1], "a run learns once; the next run may have more memory"


def test_a_single_patch_that_does_not_fit_is_an_error(pack, tiny, chain, monkeypatch):
    def no_memory(self, x, *rest, **options):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(type(tiny.model.model), "apply_model", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        sample(pack, chain.merged, tiny.prompt, chain.start, chain.plan)


# Pure functions: what goes in stays as it is


def frozen(value):
    """A deep copy of tensors and plain containers; other objects by what they hold."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [frozen(item) for item in value]
    return copy.copy(value)


def same(before, after):
    if isinstance(before, torch.Tensor):
        return torch.equal(before, after)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(same(*pair) for pair in zip(before, after, strict=True))
    return before is after or before == after or vars(before) == vars(after)


def state_of(model):
    names = ("model_options", "wrappers", "additional_models", "object_patches", "patches")
    return frozen([getattr(model, name) for name in names])


def test_no_node_changes_its_inputs(pack, tiny):
    clip = a_clip()  # as yet untouched by any node
    weights = frozen(dict(tiny.model.model.state_dict()))
    adapter = frozen(dict(tiny.adapter.model.state_dict()))
    tensors = {"clip": clip, "prompt": tiny.prompt}
    before, model = frozen(tensors), state_of(tiny.model)
    chain = run_chain(pack, tiny, clip, noise_level=0.2, color_fix="wavelet", steps=2)
    results = {name: frozen(getattr(chain, name)) for name in ("start", "view", "sampled", "blended")}
    tiles, controlled = [tile.clone() for tile in chain.tiles.pixels], state_of(chain.controlled)
    run_node(pack["JointModulationMerger"], model=chain.controlled, plan=chain.plan)
    sample(pack, chain.merged, tiny.prompt, chain.start, chain.plan)
    run_node(pack["PatchDecoder"], vae=tiny.vae, latent=chain.sampled, plan=chain.plan)
    run_node(pack["Blender"], tiles=chain.tiles, image=clip, window="cosine", color_fix="adain")
    run_node(pack["RefineFidelity"], image=chain.blended, source=clip, refine_strength=0.5, fidelity=0.5)
    assert same(before, tensors)
    assert same(results, {name: getattr(chain, name) for name in results})
    assert all(torch.equal(*pair) for pair in zip(tiles, chain.tiles.pixels, strict=True))
    assert same(model, state_of(tiny.model)) and same(controlled, state_of(chain.controlled))
    assert same(weights, dict(tiny.model.model.state_dict()))
    assert same(adapter, dict(tiny.adapter.model.state_dict()))


def test_the_model_is_given_back_as_it_was(chain, tiny):
    """Object patches are in place only while a guider samples."""
    time_embedding = tiny.model.model.diffusion_model.time_embedding
    assert chain.merged.object_patches and time_embedding.forward.__self__ is time_embedding


def test_other_choices_in_the_blender_leave_everything_before_it_alone(pack, tiny, clip, chain):
    other = run_chain(pack, tiny, clip, window="cosine", color_fix="adain")
    for name in ("start", "view", "sampled", "preview"):
        assert same(frozen(getattr(chain, name)), getattr(other, name)), name
    assert all(torch.equal(*pair) for pair in zip(chain.tiles.pixels, other.tiles.pixels, strict=True))
    assert not torch.equal(chain.blended, other.blended)


def test_the_control_of_one_run_does_not_leak_into_another(pack, tiny, clip, chain):
    """Two models made from one base, used in turn."""
    other_clip = 1 - clip
    other = run_chain(pack, tiny, other_clip)
    again = sample(pack, chain.merged, tiny.prompt, chain.start, chain.plan)
    assert torch.equal(again, chain.sampled["samples"])
    assert not torch.equal(other.sampled["samples"], chain.sampled["samples"])


def test_hooks_of_other_nodes_are_still_called(pack, tiny, chain):
    """KJNodes, for one, puts its own attention and block replacements into the same slots."""
    seen = {"attention": 0, "block": 0}

    def attention(func, *args, **kwargs):
        seen["attention"] += 1
        return func(*args, **kwargs)

    def block(args, extra):
        seen["block"] += 1
        return extra["original_block"](args)

    model = tiny.model.clone()
    options = model.model_options["transformer_options"]
    options["optimized_attention_override"] = attention
    options["patches_replace"] = {"dit": {("double_block", 0): block}}
    inputs = {"plan": chain.plan, "patch_cond": chain.cond, "adapter": tiny.adapter, "global_context": chain.view}
    (model,) = run_node(pack["ApplyPatchVSR"], model=model, **inputs)
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=chain.plan)
    result = sample(pack, model, tiny.prompt, chain.start, chain.plan)
    layers, calls = 6, len(chain.plan.patches)
    assert seen == {"attention": 3 * layers * calls, "block": calls}
    assert torch.equal(result, chain.sampled["samples"])


# What the user reads when something does not fit


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (
            "PatchPlanner",
            {"window_frames": 8, "overlap_frames": 8},
            r"overlap_frames \(8\) must be smaller than window_frames",
        ),
        ("ApplyPatchVSR", {"start_percent": 0.6, "end_percent": 0.5}, r"start_percent \(0.6\) must not exceed"),
        (
            "JointModulationMerger",
            {"auxiliary_start": 0.6, "auxiliary_end": 0.5},
            r"auxiliary_start \(0.6\) must not exceed",
        ),
        ("PatchDecoder", {"tile_px": 128, "overlap_px": 128}, r"overlap_px \(128\) must be smaller than tile_px"),
    ],
)
def test_values_that_contradict_each_other_are_refused_before_the_run(pack, node, inputs, message):
    sockets = {socket.id: socket.default for socket in pack[node].GET_SCHEMA().inputs}
    problems = check_inputs(pack[node], sockets | inputs)
    assert len(problems) == 1
    with pytest.raises(Rejected, match=message):
        run_node(pack[node], **(sockets | inputs))
    assert check_inputs(pack[node], sockets) == []


def test_values_out_of_range_are_refused_before_the_run(pack):
    sockets = {socket.id: socket.default for socket in pack["PatchPlanner"].GET_SCHEMA().inputs}
    assert check_inputs(pack["PatchPlanner"], sockets | {"scale": 17.0}) == [
        "scale: Value 17.0 bigger than max of 16.0"
    ]
    assert check_inputs(pack["PatchPlanner"], sockets | {"layout": "circles"}) == ["layout: Value not in list"]


def error_of(pack, run):
    """The one sentence that a user reads: of the pack's own family, or a ValueError."""
    errors = pack.part("patchvsr_core.errors")
    with pytest.raises((errors.PatchVSRError, ValueError)) as raised:
        run()
    message = str(raised.value)
    assert message.endswith(".") and "\n" not in message and 30 < len(message) < 250, message
    return type(raised.value).__name__, message


@pytest.fixture(scope="module")
def other(pack, tiny):
    """The same nodes on a clip of another size."""
    return run_chain(pack, tiny, a_clip(3, 20, 30))


def test_an_adapter_for_another_base(pack, tiny, chain):
    from fakes.wan import random_wan

    inputs = {"model": random_wan(), "plan": chain.plan, "patch_cond": chain.cond, "adapter": tiny.adapter}
    name, message = error_of(pack, lambda: run_node(pack["ApplyPatchVSR"], **inputs))
    assert name == "AdapterError" and "192 latent channels" in message and "16" in message


def test_a_model_patch_that_is_no_adapter(pack, tiny, chain):
    inputs = {"model": tiny.model, "plan": chain.plan, "patch_cond": chain.cond, "adapter": tiny.model}
    name, message = error_of(pack, lambda: run_node(pack["ApplyPatchVSR"], **inputs))
    assert name == "AdapterError" and "WAN21" in message and "Load Adapter" in message


def test_a_model_that_is_no_wan(pack, tiny, chain):
    other = tiny.model.clone()
    other.add_object_patch("diffusion_model", torch.nn.Identity())
    inputs = {"model": other, "plan": chain.plan, "patch_cond": chain.cond}
    name, message = error_of(pack, lambda: run_node(pack["ApplyPatchVSR"], **inputs))
    assert name == "AdapterError" and "Identity" in message and "Wan" in message


def test_an_image_to_video_wan(pack, chain):
    from fakes.wan import random_wan

    inputs = {"model": random_wan(in_dim=36), "plan": chain.plan, "patch_cond": chain.cond}
    name, message = error_of(pack, lambda: run_node(pack["ApplyPatchVSR"], **inputs))
    assert name == "AdapterError" and "image-to-video" in message


def test_a_vae_for_images(pack, clip, chain):
    class ImageVAE:
        latent_channels = 4

        def spacial_compression_encode(self):
            return 8

        def temporal_compression_decode(self):
            return None

        def encode(self, pixels):
            return torch.zeros(len(pixels), 4, pixels.shape[1] // 8, pixels.shape[2] // 8)

    inputs = {"vae": ImageVAE(), "image": clip, "plan": chain.plan}
    name, message = error_of(pack, lambda: run_node(pack["PatchEncoder"], **inputs))
    assert name == "ModelError" and "images, not video" in message


def test_a_latent_of_another_plan(pack, tiny, chain, other):
    name, message = error_of(pack, lambda: sample(pack, chain.merged, tiny.prompt, other.start, chain.plan))
    assert name == "PlanError" and "(3, 10, 16)" in message and "(3, 8, 10)" in message
    inputs = {"vae": tiny.vae, "latent": other.sampled, "plan": chain.plan}
    name, message = error_of(pack, lambda: run_node(pack["PatchDecoder"], **inputs))
    assert name == "PlanError" and "(3, 10, 16)" in message and "(3, 8, 10)" in message


def test_a_sampler_with_another_plan_than_the_merger(pack, tiny, chain, other):
    model = chain.merged
    for latent in (chain.start, other.start):
        name, message = error_of(pack, lambda latent=latent: sample(pack, model, tiny.prompt, latent, other.plan))
        assert name == "PlanError" and "(3, 10, 16)" in message and "(3, 8, 10)" in message


def test_several_clips_in_one_latent(pack, tiny, chain):
    twice = {"samples": torch.cat([chain.start["samples"]] * 2)}
    name, message = error_of(pack, lambda: sample(pack, chain.merged, tiny.prompt, twice, chain.plan))
    assert name == "PlanError" and "2 clips" in message


def test_a_model_without_a_merger(pack, tiny, chain):
    name, message = error_of(pack, lambda: sample(pack, tiny.model, tiny.prompt, chain.start, chain.plan))
    assert name == "PlanError" and "Joint-Modulation Merger" in message


@pytest.mark.parametrize(("key", "word"), [("mask", "a mask"), ("area", "an area"), ("control", "a ControlNet")])
def test_conditioning_that_speaks_of_the_whole_canvas(pack, tiny, chain, key, word):
    prompt = [[tokens, {**options, key: (4, 4, 0, 0)}] for tokens, options in tiny.prompt]
    name, message = error_of(pack, lambda: sample(pack, chain.merged, prompt, chain.start, chain.plan))
    assert name == "PlanError" and word in message


def test_another_schedule_on_the_tiny_default(pack, tiny, chain):
    import comfy.model_sampling

    class Shifted(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
        pass

    other = chain.merged.clone()
    other.add_object_patch("model_sampling", Shifted(other.model.model_config))
    name, message = error_of(pack, lambda: sample(pack, other, tiny.prompt, chain.start, chain.plan))
    assert name == "PlanError" and "remove the ModelSampling node" in message


def test_inputs_that_would_do_nothing(pack, tiny, chain, clip):
    _, message = error_of(pack, lambda: run_node(pack["Blender"], tiles=chain.tiles, color_fix="wavelet"))
    assert "connect it to image" in message
    inputs = {"model": tiny.model, "plan": chain.plan, "patch_cond": chain.cond, "global_context": chain.view}
    _, message = error_of(pack, lambda: run_node(pack["ApplyPatchVSR"], **inputs))
    assert "acts through an adapter" in message


def test_alternating_in_one_step(pack, tiny, clip):
    name, message = error_of(pack, lambda: run_chain(pack, tiny, clip, layout="alternating", steps=1))
    assert name == "PlanError" and "2 steps or more" in message


def test_several_patches_without_a_merger(pack, tiny, chain):
    """Also reached from KSampler, which knows nothing of a plan."""
    inputs = sampling(chain.controlled, tiny.prompt)
    noise = inputs["noise"].generate_noise(chain.start)

    def ksampler():
        inputs["guider"].sample(noise, chain.start["samples"], inputs["sampler"], inputs["sigmas"])

    for run in (ksampler, lambda: sample(pack, chain.controlled, tiny.prompt, chain.start, chain.plan)):
        name, message = error_of(pack, run)
        assert name == "PlanError" and "3 patches" in message and "Joint-Modulation Merger" in message


@pytest.mark.parametrize("size", [(3, 20, 30), (2, 13, 17), (4, 13, 17)])
def test_a_clip_of_another_size_than_planned(pack, tiny, chain, size):
    clip = a_clip(*size)
    inputs = {"vae": tiny.vae, "image": clip, "plan": chain.plan}
    for node, more in (("PatchEncoder", {}), ("GlobalContextEncoder", {"adapter": tiny.adapter})):
        name, message = error_of(pack, lambda node=node, more=more: run_node(pack[node], **inputs, **more))
        assert name == "PlanError"
        assert f"{size[0]} frames of {size[2]}x{size[1]}" in message and "3 frames of 17x13" in message


def test_a_source_with_another_number_of_frames(pack, chain, clip):
    inputs = {"image": chain.blended, "source": clip[:2]}
    name, message = error_of(pack, lambda: run_node(pack["RefineFidelity"], **inputs))
    assert name == "PlanError" and "3 frames" in message and "2" in message


@pytest.mark.parametrize("size", ["50", "axb", "0x0", "5x5", "99999x1", "-5x5"])
def test_a_size_that_cannot_be_made(pack, tiny, clip, size):
    name, message = error_of(pack, lambda: run_node(pack["PatchPlanner"], image=clip, vae=tiny.vae, size=size))
    assert name == "PlanError" and size in message


def test_a_patch_that_is_no_multiple_of_a_token(pack, tiny, clip):
    name, message = error_of(pack, lambda: run_node(pack["PatchPlanner"], image=clip, vae=tiny.vae, patch_px=72))
    assert name == "PlanError" and "72" in message and "16" in message


def test_an_adapter_file_that_is_none(pack, tmp_path, monkeypatch):
    import folder_paths

    (tmp_path / "wrong.safetensors").write_bytes(b"not an adapter")
    monkeypatch.setitem(folder_paths.folders, "model_patches", tmp_path)
    name, message = error_of(pack, lambda: run_node(pack["LoadAdapter"], adapter_name="wrong.safetensors"))
    assert name == "AdapterError" and "wrong.safetensors" in message


def test_an_adapter_from_the_users_folder(pack, tiny, clip, chain, tmp_path, monkeypatch):
    import folder_paths

    shipped = pack.part("patchvsr_core.weights").shipped("tiny_adapter.safetensors")
    (tmp_path / "mine.safetensors").write_bytes(shipped.read_bytes())
    monkeypatch.setitem(folder_paths.folders, "model_patches", tmp_path)
    adapter, prompt = run_node(pack["LoadAdapter"], adapter_name="mine.safetensors")
    assert torch.equal(prompt[0][0], tiny.prompt[0][0])
    (model,) = run_node(
        pack["ApplyPatchVSR"],
        model=tiny.model,
        plan=chain.plan,
        patch_cond=chain.cond,
        adapter=adapter,
        global_context=chain.view,
    )
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=chain.plan)
    result = sample(pack, model, prompt, chain.start, chain.plan)
    assert torch.equal(result, chain.sampled["samples"])
