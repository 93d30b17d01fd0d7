"""The nodes of the tiny default in their usual order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .core_behaviour import Noise, guider, sampler, sigmas
from .graph import run_node
from .pack import Pack

WIDTH, HEIGHT, FRAMES = 17, 13, 3


def a_clip(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH, channels: int = 3) -> Tensor:
    """A soft, moving pattern that stays clear of black and white."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin(0.4 * x + 0.3 * y + 0.5 * t + phase) for phase in range(channels)]
    return (0.5 + 0.25 * torch.stack(waves, dim=-1)).float()


@dataclass
class Chain:
    """Every result on the way from a clip to an enlarged clip."""

    plan: Any
    preview: Tensor
    width: int
    height: int
    cond: Any
    start: dict[str, Tensor]
    view: Any
    controlled: Any
    merged: Any
    sampled: dict[str, Tensor]
    tiles: Any
    blended: Tensor
    frames: Tensor


def run_chain(pack: Pack, tiny: Any, clip: Tensor, **options: Any) -> Chain:
    """Run all nodes.

    Args:
        options: widget values by name; each goes to the one node that has it.
    """

    def run(name: str, **inputs: Any) -> Any:
        names = {socket.id for socket in pack[name].GET_SCHEMA().inputs}
        return run_node(pack[name], **inputs, **{key: value for key, value in options.items() if key in names})

    options = {"patch_px": 64, "layout": "corner", "patches_at_once": 1, "color_fix": "none", **options}
    plan, preview, width, height = run("PatchPlanner", image=clip, vae=tiny.vae)
    cond, start = run("PatchEncoder", vae=tiny.vae, image=clip, plan=plan)
    (view,) = run("GlobalContextEncoder", vae=tiny.vae, adapter=tiny.adapter, image=clip, plan=plan)
    (controlled,) = run(
        "ApplyPatchVSR", model=tiny.model, plan=plan, patch_cond=cond, adapter=tiny.adapter, global_context=view
    )
    (merged,) = run("JointModulationMerger", model=controlled, plan=plan)
    (sampled,) = run(
        "PatchSampler", **sampling(merged, tiny.prompt, steps=options.get("steps", 1)), latent=start, plan=plan
    )
    (tiles,) = run("PatchDecoder", vae=tiny.vae, latent=sampled, plan=plan)
    (blended,) = run("Blender", tiles=tiles, image=clip)
    (frames,) = run("RefineFidelity", image=blended, source=clip)
    return Chain(plan, preview, width, height, cond, start, view, controlled, merged, sampled, tiles, blended, frames)


def sampling(model: Any, prompt: Any, *, steps: int = 1, seed: int = 0) -> dict[str, Any]:
    """The native inputs of a sampler node."""
    return {
        "noise": Noise(seed),
        "guider": guider(model, prompt)[0],
        "sampler": sampler()[0],
        "sigmas": sigmas(model, steps=steps)[0],
    }


def sample(pack: Pack, model: Any, prompt: Any, latent: Any, plan: Any, **options: Any) -> Tensor:
    """What Patch Sampler makes of a latent."""
    return run_node(pack["PatchSampler"], **sampling(model, prompt, **options), latent=latent, plan=plan)[0]["samples"]
