"""Flow Propagation, Attention Propagation, Detail Guidance and STAR Schedule in a graph."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip, run_chain, sampling
from fakes.core_behaviour import guider, prompt, sampler
from fakes.wan import AveragingVAE, random_wan

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.optical_flow.flow import estimate_clip_flows
from patchvsr_core.resample import resize
from patchvsr_core.sampling.schedules import star_schedule
from patchvsr_core.sampling.solvers import sigma_schedule

CLIP = a_clip(frames=5, height=26, width=34)
SIZE = (52, 68)


def defaults(node: Any, **changes: Any) -> dict[str, Any]:
    """Every widget of a node."""
    widgets = {socket.id: socket.default for socket in node.GET_SCHEMA().inputs if socket.is_widget}
    return {name: value for name, value in widgets.items() if value is not None} | changes


def changed(pack: Any, name: str, model: Any, **inputs: Any) -> Any:
    return run_node(pack[name], model=model, **defaults(pack[name], **inputs))[0]


def finished(pack: Any, tiny: Any, model: Any, **options: Any) -> torch.Tensor:
    """The whole graph with another model at its beginning."""
    return run_chain(
        pack, replace(tiny, model=model), CLIP, scale=2.0, window_frames=3, overlap_frames=1, **options
    ).frames


def headless(**changes: Any) -> torch.Tensor:
    models = load_models(precision="float32")
    settings = replace(
        models.defaults,
        base_layer="bicubic",
        patch_px=64,
        layout="corner",
        window_frames=3,
        overlap_frames=1,
        **changes,
    )
    return upscale(CLIP, SIZE, models, settings)


def the_plan(pack: Any, tiny: Any) -> Any:
    names = {"patch_px": 64, "scale": 2.0, "window_frames": 3, "overlap_frames": 1}
    return run_node(pack["PatchPlanner"], image=CLIP, vae=tiny.vae, **names)[0]


@pytest.fixture(scope="module")
def plain(pack, tiny):
    return finished(pack, tiny, tiny.model)


def test_flow_propagation_is_that_of_the_command_line(pack, tiny, plain):
    flow = estimate_clip_flows(resize(CLIP, SIZE).clamp(0, 1).movedim(-1, 1))
    model = changed(pack, "FlowPropagation", tiny.model, plan=the_plan(pack, tiny), flow=flow)
    frames = finished(pack, tiny, model)
    assert (frames - headless(propagation=0.5)).abs().max() < 1e-4
    assert (frames - plain).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("steps", "widgets", "settings"),
    [
        (1, {"temporal": False}, {"spatial_attention": True}),
        (2, {}, {"spatial_attention": True, "temporal_attention": True}),
        (2, {"temporal": False, "lazy": True, "layers": "0-1"}, {
            "spatial_attention": True, "lazy_attention": True, "attention_layers": "0-1",
        }),
    ],
)  # fmt: skip
def test_attention_propagation_is_that_of_the_command_line(pack, tiny, plain, steps, widgets, settings):
    model = changed(pack, "AttentionPropagation", tiny.model, **widgets)
    frames = finished(pack, tiny, model, steps=steps)
    assert (frames - headless(steps=steps, **settings)).abs().max() < 1e-4
    assert (frames - headless(steps=steps)).abs().max() > 1e-4


def test_all_off_is_bit_equal(pack, tiny, plain):
    model = changed(pack, "AttentionPropagation", tiny.model, spatial=False, temporal=False)
    assert torch.equal(finished(pack, tiny, model), plain)
    flow = estimate_clip_flows(CLIP.movedim(-1, 1))
    model = changed(pack, "FlowPropagation", tiny.model, plan=the_plan(pack, tiny), flow=flow, weight=0.0)
    assert torch.equal(finished(pack, tiny, model), plain)


def test_a_run_forgets_what_patches_remembered(pack, tiny):
    """The same graph queued twice gives the same, lazy or not."""
    model = changed(pack, "AttentionPropagation", tiny.model, lazy=True)
    chain = run_chain(pack, replace(tiny, model=model), CLIP, scale=2.0, steps=2)
    twice = [
        run_node(
            pack["PatchSampler"], **sampling(chain.merged, tiny.prompt, steps=2), latent=chain.start, plan=chain.plan
        )[0]
        for _ in range(2)
    ]
    assert torch.equal(twice[0]["samples"], twice[1]["samples"])
    assert torch.equal(twice[0]["samples"], chain.sampled["samples"])


def test_without_the_merger_it_says_what_to_connect(pack, tiny):
    model = changed(pack, "AttentionPropagation", tiny.model)
    chain = run_chain(pack, tiny, a_clip(3, 16, 16), scale=2.0)
    (controlled,) = run_node(
        pack["ApplyPatchVSR"], model=model, plan=chain.plan, patch_cond=chain.cond, adapter=tiny.adapter
    )
    latent = chain.start
    run = guider(controlled, tiny.prompt)[0]
    with pytest.raises(Exception, match="connect Joint-Modulation Merger too"):
        run.sample(torch.zeros_like(latent["samples"]), latent["samples"], sampler()[0], torch.tensor([1.0, 0.0]))


@pytest.fixture(scope="module")
def wan(pack):
    """A Wan with guidance, up to the guider."""
    vae, model = AveragingVAE(), random_wan()
    plan = run_node(pack["PatchPlanner"], image=CLIP, vae=vae, patch_px=64, scale=2.0)[0]
    cond, latent = run_node(pack["PatchEncoder"], vae=vae, image=CLIP, plan=plan)

    def sample(model: Any, cfg: float = 3.0) -> torch.Tensor:
        (model,) = run_node(pack["ApplyPatchVSR"], model=model, plan=plan, patch_cond=cond)
        (model,) = run_node(pack["JointModulationMerger"], model=model, plan=plan, patches_at_once=1)
        inputs = sampling(model, prompt("any")[0]) | {"sigmas": sigma_schedule(3, start=0.5)}
        inputs["guider"].set_conds(prompt("any")[0], prompt("other")[0])
        inputs["guider"].set_cfg(cfg)
        return run_node(pack["PatchSampler"], **inputs, latent=latent, plan=plan)[0]["samples"]

    return model, sample


def test_detail_guidance_changes_the_negative_branch(pack, wan):
    model, sample = wan
    plain = sample(model)
    off = changed(pack, "DetailGuidance", model, softening_end=1.0, rescale=0.0)
    assert torch.equal(sample(off), plain)
    on = changed(pack, "DetailGuidance", model, softening_end=2.0, rescale=0.0)
    assert (sample(on) - plain).abs().max() > 1e-3
    assert torch.equal(sample(on, cfg=1.0), sample(model, cfg=1.0)), "without guidance there is no negative branch"


def test_rescaled_guidance_has_less_contrast(pack, wan):
    model, sample = wan
    soft = changed(pack, "DetailGuidance", model, softening_end=1.0, rescale=1.0)
    assert sample(soft, cfg=8.0).std() < sample(model, cfg=8.0).std()


def test_both_nodes_keep_each_others_choices(pack, tiny):
    model = changed(pack, "DetailGuidance", changed(pack, "AttentionPropagation", tiny.model, frames=3))
    options = model.model_options["transformer_options"]["patchvsr_attention"]
    assert (options.spatial, options.frames, options.softening) == (True, 3, (1.0, 1.5))
    assert "patchvsr_attention" not in tiny.model.model_options["transformer_options"]


def test_widgets_are_checked_before_a_run(pack):
    node = pack["AttentionPropagation"]
    assert node.validate_inputs("0-3, 9") is True
    assert "numbers and ranges" in node.validate_inputs("some")
    assert "start_percent" in pack["FlowPropagation"].validate_inputs(0.9, 0.1)


def test_flow_of_another_clip_says_why(pack, tiny):
    flow = estimate_clip_flows(CLIP[:3].movedim(-1, 1))
    with pytest.raises(Exception, match="motion is that of 3 frames, but 5 are upscaled"):
        changed(pack, "FlowPropagation", tiny.model, plan=the_plan(pack, tiny), flow=flow)


def test_star_schedule_is_the_cores(pack):
    (own,) = run_node(pack["StarSchedule"], start=1.0)
    (lower,) = run_node(pack["StarSchedule"], start=0.4)
    assert torch.equal(own, star_schedule()) and len(own) == 15
    assert float(lower[0]) == pytest.approx(0.4) and len(lower) < len(own)


def test_in_comfyui_extreme_softening_is_the_mean_of_the_values(pack, wan):
    model, sample = wan
    attn, values, outputs = model.model.diffusion_model.blocks[0].self_attn, [], []
    hooks = [
        attn.v.register_forward_hook(lambda module, args, out: values.append(out)),
        attn.o.register_forward_pre_hook(lambda module, args: outputs.append(args[0])),
    ]
    soft = pack.part("patchvsr_core.hosts.comfy").attach_attention(model, softening=(1e9, 1e9))
    sample(soft)
    for hook in hooks:
        hook.remove()
    for v, out in zip(values, outputs, strict=True):
        flat = (out - v.mean(1, keepdim=True)).abs().amax((1, 2)) < 1e-5
        assert flat.tolist() == [False] * (len(v) // 2) + [True] * (len(v) // 2)


def test_in_comfyui_own_keys_appended_change_nothing(pack, tiny, monkeypatch):
    run = pack.part("patchvsr_core.propagation.attention").AttentionRun
    clip = a_clip(3, 16, 16)
    plain = run_chain(pack, tiny, clip, scale=2.0)
    assert len(plain.plan.patches) == 1
    begin = run.__init__

    def always(self, *arguments):
        begin(self, *arguments)
        self._spatial = True

    monkeypatch.setattr(run, "__init__", always)
    model = changed(pack, "AttentionPropagation", tiny.model, temporal=False)
    frames = run_chain(pack, replace(tiny, model=model), clip, scale=2.0).frames
    assert (frames - plain.frames).abs().max() < 1e-5


def test_other_solvers_get_the_propagated_prediction_itself(pack, tiny):
    """Only Euler's steps can keep their noise; the factor for it would blow up a multistep solver."""
    asked = []

    class Recording:
        def __call__(self, x0, sigma, following, step, *, noise_kept):
            asked.append((following, step, noise_kept))
            return x0

    host = pack.part("patchvsr_core.hosts.comfy")
    model = host.attach_propagation(tiny.model, Recording())
    chain = run_chain(pack, replace(tiny, model=model), CLIP, scale=2.0, steps=2)
    assert asked == [(pytest.approx(0.5, abs=0.01), 0, 1.0), (0.0, 1, 1.0)]
    solver = sampler()[0]

    def sample_other(*arguments: Any, **named: Any) -> Any:
        return sampler()[0].sampler_function(*arguments, **named)

    solver.sampler_function = sample_other
    inputs = sampling(chain.merged, tiny.prompt, steps=2) | {"sampler": solver}
    run_node(pack["PatchSampler"], **inputs, latent=chain.start, plan=chain.plan)
    assert [kept for _, _, kept in asked] == [1.0, 1.0, None, None]
    assert "patchvsr_solver" not in chain.merged.model_options["transformer_options"]


def test_eta_is_known_to_propagation(pack, wan):
    model, _ = wan
    enhance = pack.part("patchvsr_core.hosts.comfy.input_guidance")
    conditions = pack.part("patchvsr_core.sampling.conditions").PatchConditions(torch.zeros(1, 16, 1, 2, 2))
    ancestral = enhance.attach_enhancement(model, None, conditions, enhance.EnhanceOptions(eta=0.19))
    assert ancestral.model_options["transformer_options"]["patchvsr_eta"] == 0.19
    asked = []
    host = pack.part("patchvsr_core.hosts.comfy.propagation")
    options = {"transformer_options": {**ancestral.model_options["transformer_options"], host.SOLVER: "sample_euler"}}
    args = {"model_options": options, "sigma": torch.tensor([0.5]), "denoised": a_state(), "model": model.model}
    host._propagate(lambda x0, *_, noise_kept: asked.append(noise_kept) or x0, None, args)
    assert asked == [pytest.approx(0.9)]


def a_state():
    return torch.zeros(1, 1, 1, 1, 1)


def test_a_run_that_ends_with_noise_left_is_left_alone_there(pack, wan):
    """Heun looks at its last level too, and no step follows."""
    host = pack.part("patchvsr_core.hosts.comfy.propagation")
    levels = torch.tensor([0.9, 0.6, 0.3])
    asked, x0 = [], a_state()

    def propagation(x0, sigma, following, step, *, noise_kept):
        asked.append((sigma, following))
        return x0 + 1

    for sigma in (0.9, 0.6, 0.3):
        options = {"transformer_options": {"sample_sigmas": levels, host.SOLVER: "sample_heun"}}
        args = {"model_options": options, "sigma": torch.tensor([sigma]), "denoised": x0, "model": wan[0].model}
        answer = host._propagate(propagation, None, args)
        assert (answer is x0) == (sigma == 0.3)
    assert asked == [pytest.approx((0.9, 0.6)), pytest.approx((0.6, 0.3))]


def test_the_span_is_that_of_the_run_not_of_the_models_schedule(pack, wan):
    host = pack.part("patchvsr_core.hosts.comfy.propagation")
    levels = sigma_schedule(10, shift=5.0, start=0.3)
    acting = []
    for step, sigma in enumerate(levels[:-1]):
        options = {"transformer_options": {"sample_sigmas": levels}}
        args = {"model_options": options, "sigma": sigma[None], "denoised": a_state(), "model": wan[0].model}

        def act(x0, *_, noise_kept, step=step):
            acting.append(step)
            return x0

        host._propagate(act, (0.8, 1.0), args)
    assert acting == [8, 9]


def test_guidance_is_rescaled_before_anything_else(pack, wan):
    """Whichever node comes first in the graph."""
    model, _ = wan
    host = pack.part("patchvsr_core.hosts.comfy")
    for first, second in (("rescale", "propagate"), ("propagate", "rescale")):
        changed_model = model
        for what in (first, second):
            if what == "rescale":
                changed_model = host.attach_rescale(changed_model, 0.3)
            else:
                changed_model = host.attach_propagation(changed_model, None)
        functions = changed_model.model_options["sampler_post_cfg_function"]
        assert [function.func.__name__ for function in functions] == ["_rescale", "_propagate"]


def test_negative_conditions_are_known_by_name(pack):
    """A guider of three prompts passes them in another order."""
    host = pack.part("patchvsr_core.hosts.comfy.attention")

    class Dual:
        conds = {"negative": [{"uuid": "n"}], "middle": [{"uuid": "m"}], "positive": [{"uuid": "p"}]}

    options = {"cond_or_uncond": [0, 1, 2], "uuids": ["n", "m", "p"], host.NEGATIVES: host.negatives_of(Dual())}
    assert [c.negative for c in host._conditions(options)] == [True, False, False]
    by_place = {"cond_or_uncond": [1, 0], "uuids": ["a", "b"], host.NEGATIVES: host.negatives_of(object())}
    assert [c.negative for c in host._conditions(by_place)] == [True, False]


def test_out_of_memory_moves_what_patches_remember_off_the_gpu(pack, tiny, caplog):
    import logging

    caplog.set_level(logging.INFO)
    model = changed(pack, "AttentionPropagation", tiny.model, temporal=False)
    plain = run_chain(pack, replace(tiny, model=model), CLIP, scale=2.0)
    (chained,) = (plain.merged.wrappers["calc_cond_batch"]["patchvsr"],)
    joint = chained[0].__self__
    calls, real = [], joint._with_back_off

    def failing(run, kept):
        def once():
            calls.append(kept.attention)
            if len(calls) == 1:
                kept.attention = pack.part("patchvsr_core.propagation.attention").AttentionRun(
                    model.model_options["transformer_options"]["patchvsr_attention"], plain.plan, 1
                )
                raise torch.OutOfMemoryError("no memory")
            return run()

        return real(once, kept)

    joint._with_back_off = failing
    inputs = sampling(plain.merged, tiny.prompt)
    out = run_node(pack["PatchSampler"], **inputs, latent=plain.start, plan=plain.plan)[0]["samples"]
    assert len(calls) == 2 and calls[1].options.offload
    assert "in main memory" in caplog.text
    assert (out - plain.sampled["samples"]).abs().max() < 1e-6


def test_upscale_video_refuses_a_model_with_the_motion_of_one_clip(pack, tiny):
    flow = estimate_clip_flows(CLIP.movedim(-1, 1))
    model = changed(pack, "FlowPropagation", tiny.model, plan=the_plan(pack, tiny), flow=flow)
    host = pack.part("patchvsr_core.hosts.comfy.propagation")
    with pytest.raises(Exception, match="use Upscale Video's own propagation"):
        host.check_no_propagation(model)
    host.check_no_propagation(tiny.model)


def test_layers_that_the_model_lacks_are_refused(pack, tiny):
    with pytest.raises(Exception, match="This model has the blocks 0-5"):
        changed(pack, "AttentionPropagation", tiny.model, layers="30-39")


def test_without_motion_it_says_what_to_connect(pack, tiny):
    """As Load Render Passes gives it for files without a Vector pass."""
    with pytest.raises(Exception, match="connect Optical Flow"):
        changed(pack, "FlowPropagation", tiny.model, plan=the_plan(pack, tiny), flow=None)
