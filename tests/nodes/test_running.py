"""Progress, interruption, memory, and what a run leaves behind: nothing."""

import copy

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip, run_chain, sample


@pytest.fixture
def progress():
    """(done, in all) of every update of a progress bar."""
    import comfy.utils

    seen = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id=None: seen.append((value, total)))
    yield seen
    comfy.utils.set_progress_bar_global_hook(None)


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
    return before is after or before == after or same(vars(before), vars(after))


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
    run_node(pack["JointModulationMerger"], model=chain.controlled, plan=chain.plan, patches_at_once=1)
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
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=chain.plan, patches_at_once=1)
    result = sample(pack, model, tiny.prompt, chain.start, chain.plan)
    layers, calls = 6, len(chain.plan.patches)
    assert seen == {"attention": 3 * layers * calls, "block": calls}
    assert torch.equal(result, chain.sampled["samples"])


def test_as_many_patches_at_once_as_comfyui_has_room_for(pack, tiny, chain, monkeypatch):
    """A fake GPU: sampling stays on the CPU, and only the question of memory is asked about the GPU."""
    import comfy.model_management as management
    from fakes.core_behaviour import guider

    (merged,) = run_node(pack["JointModulationMerger"], model=chain.controlled, plan=chain.plan, patches_at_once=0)
    joint = merged.wrappers["prepare_sampling"]["patchvsr"][0].__self__
    patch = 4 * 192 * chain.plan.patch_size[0] * chain.plan.patch_size[1] * chain.plan.patch_size[2]
    model = guider(merged, tiny.prompt)[0].model_patcher
    shapes = []
    for free, expected in ((0, 1), (3.4 * patch, 2), (5.1 * patch, 3)):
        monkeypatch.setattr(management, "get_free_memory", lambda device, free=free: int(free))
        model.load_device = torch.device("cuda")
        joint.prepare_sampling(lambda model, shape: shapes.append(shape), model, [1, 192, 3, 8, 10])
        assert shapes.pop() == [expected, 192, *chain.plan.patch_size]
        assert joint.patches_at_once == expected


def test_features_are_kept_for_the_run_and_no_longer(pack, tiny, chain, monkeypatch):
    looked_at, held = [], []
    adapter = type(tiny.adapter.model)
    features = adapter.features

    def counted(self, condition, *rest, **named):
        looked_at.append(len(condition))
        return features(self, condition, *rest, **named)

    monkeypatch.setattr(adapter, "features", counted)
    control = chain.controlled.wrappers["apply_model"]["patchvsr"][0].__self__
    monkeypatch.setattr(
        control.controls,
        "clear_cache",
        lambda f=control.controls.clear_cache: (held.append(len(control.controls._cache)), f()),
    )
    three = sample(pack, chain.merged, tiny.prompt, chain.start, chain.plan, steps=3)
    assert sum(looked_at) == len(chain.plan.patches) == held[-1]
    assert not control.controls._cache
    assert three.isfinite().all()


def test_economy_in_the_graph_equals_the_headless_one(pack, tiny):
    """Black bars rest, and the picture between them is what it was."""
    clip = torch.zeros(2, 80, 48, 3)
    clip[:, 36:44] = torch.rand(2, 8, 48, 3, generator=torch.Generator().manual_seed(0))
    calls = {}
    apply_model = type(tiny.model.model).apply_model
    for economy in (1, 2):
        batches = calls[economy] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                type(tiny.model.model),
                "apply_model",
                lambda self, x, *rest, batches=batches, **named: (
                    batches.append(len(x)) or apply_model(self, x, *rest, **named)
                ),
            )
            result = run_chain(pack, tiny, clip, economy=economy)
        calls[economy] = (sum(batches), result.frames)
    assert calls[2][0] <= 0.7 * calls[1][0]
    assert (calls[1][1] - calls[2][1])[:, 150:170].abs().max() < 1 / 255


def test_economy_needs_to_know_the_clip(pack, tiny, chain):
    (merged,) = run_node(pack["JointModulationMerger"], model=tiny.model, plan=chain.plan, patches_at_once=1, economy=2)
    with pytest.raises(Exception, match="connect Apply PatchVSR before"):
        sample(pack, merged, tiny.prompt, chain.start, chain.plan)
