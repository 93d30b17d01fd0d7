"""Runs inside ComfyUI's environment: a small Wan with an adapter through native sampling code.

Reads a file of inputs, writes what the model answered; ``test_contract.py`` compares.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(comfyui: str, root: str, folder: str) -> None:
    sys.argv = ["main.py", "--cpu"]
    sys.path[:0] = [comfyui, root]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.samplers
    import comfy.sd
    import torch

    from patchvsr_core.hosts import comfy as host
    from patchvsr_core.optical_flow.flow import ClipFlows
    from patchvsr_core.plan.canvas import Canvas
    from patchvsr_core.plan.planner import plan_patches
    from patchvsr_core.propagation.canvas import CanvasPropagation, PropagationOptions
    from patchvsr_core.sampling.conditions import PatchConditions

    torch.set_grad_enabled(False)
    given = torch.load(Path(folder) / "inputs.pt", weights_only=True)
    model = comfy.sd.load_diffusion_model(str(Path(folder) / "wan.safetensors"), model_options={"dtype": torch.float32})
    adapter = host.load_model_patch(Path(folder) / "adapter.safetensors", liem_strength=given["liem_strength"])
    canvas = Canvas(given["frames"], tuple(given["source"]), tuple(given["target"]), stride_frames=4)
    plan = plan_patches(canvas, patch_px=64, window_frames=9, overlap_frames=4)
    conditions = PatchConditions(given["latent"], given["noise_level"], given["seed"])
    strength = given["patch_strength"]
    model = host.attach_control(
        model, plan, conditions, model_patch=adapter, view=given["view"], patch_strength=strength
    )
    model = host.attach_joint_modulation(model, plan, host.FusionOptions(patches_at_once=given["patches_at_once"]))
    if given["rescale"]:
        model = host.attach_rescale(model, given["rescale"])
    if given["propagation"]:
        options = PropagationOptions(given["propagation"], start=0.8)
        motion = CanvasPropagation(options, canvas, ClipFlows(*given["flows"]), pixels=False)
        model = host.attach_propagation(model, motion)
    if given["attention"]:
        model = host.attach_attention(model, **given["attention"])
    guider = comfy.samplers.CFGGuider(model)
    prompt = host.prompt_conditioning(adapter)
    guider.set_conds(prompt, [[prompt[0][0] * 0.5, {}]])
    guider.set_cfg(given["guidance"])
    x0 = {}
    guider.sample(
        given["noise"],
        given["latent"],
        comfy.samplers.sampler_object("euler"),
        torch.tensor(given["sigmas"]),
        callback=lambda step, denoised, x, steps: x0.setdefault(step, denoised.clone()),
        disable_pbar=True,
        seed=0,
    )
    torch.save([x0[step] for step in sorted(x0)], Path(folder) / "outputs.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
