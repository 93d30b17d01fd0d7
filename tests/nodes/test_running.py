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
