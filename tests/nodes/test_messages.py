"""What the user reads when something does not fit."""

import pytest
import torch
from fakes import Rejected, check_inputs, run_node
from fakes.chain import a_clip, run_chain, sample, sampling


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


def test_an_adapter_on_a_model_that_is_no_wan(pack, tiny, chain):
    """Without the adapter any model will do."""
    other = tiny.model.clone()
    other.add_object_patch("diffusion_model", torch.nn.Identity())
    inputs = {"model": other, "plan": chain.plan, "patch_cond": chain.cond}
    run_node(pack["ApplyPatchVSR"], **inputs)
    inputs["adapter"] = tiny.adapter
    name, message = error_of(pack, lambda: run_node(pack["ApplyPatchVSR"], **inputs))
    assert name == "AdapterError" and "Identity" in message and "Wan" in message


def test_an_adapter_on_an_image_to_video_wan(pack, tiny, chain):
    from fakes.wan import random_wan

    inputs = {"model": random_wan(in_dim=36), "plan": chain.plan, "patch_cond": chain.cond, "adapter": tiny.adapter}
    name, message = error_of(pack, lambda: run_node(pack["ApplyPatchVSR"], **inputs))
    assert name == "AdapterError" and "image-to-video" in message


def test_a_vae_for_images_makes_a_batch_of_latents(pack, clip, chain):
    class ImageVAE:
        latent_channels, latent_dim = 4, 2

        def spacial_compression_encode(self):
            return 8

        def temporal_compression_decode(self):
            return None

        def encode(self, pixels):
            return torch.zeros(len(pixels), 4, pixels.shape[1] // 8, pixels.shape[2] // 8)

    cond, latent = run_node(pack["PatchEncoder"], vae=ImageVAE(), image=clip, plan=chain.plan)
    size = chain.plan.canvas.latent_shape
    assert cond.latent.shape == (1, 4, *size) and latent["samples"].shape == (size[0], 4, *size[1:])


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


@pytest.mark.parametrize(("key", "word"), [("gligen", "GLIGEN boxes"), ("control", "a ControlNet")])
def test_conditioning_that_cannot_be_cut(pack, tiny, chain, key, word):
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
    (model,) = run_node(pack["JointModulationMerger"], model=model, plan=chain.plan, patches_at_once=1)
    result = sample(pack, model, prompt, chain.start, chain.plan)
    assert torch.equal(result, chain.sampled["samples"])
