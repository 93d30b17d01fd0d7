"""The ComfyUI host gives the numbers of the headless one, on the same small weights."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from small_models import random_adapter, random_wan, save

from patchvsr_core.adapter import Strengths, save_adapter
from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser
from patchvsr_core.hosts.diffusers.loading import load_base
from patchvsr_core.optical_flow.flow import ClipFlows
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.propagation.attention import AttentionRun
from patchvsr_core.propagation.attention_options import AttentionOptions
from patchvsr_core.propagation.canvas import CanvasPropagation, PropagationOptions
from patchvsr_core.sampling.conditions import Controls, PatchConditions
from patchvsr_core.sampling.joint_modulation import fuse
from patchvsr_core.sampling.solvers import apply_guidance

ROOT = Path(__file__).parents[2]
MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]  # fmt: skip
STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
       3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]  # fmt: skip


PROPAGATION = {"spatial": True, "temporal": True, "frames": 2, "softening": (1.1, 1.6)}


@pytest.mark.parametrize(
    ("patches_at_once", "lora_rank", "choices"),
    [
        (1, 0, {}),
        (3, 0, {"patch_strength": 0.5, "liem": "identity"}),
        (1, 2, {"patch_strength": 0.5, "liem": "star", "liem_strength": 0.6}),
        (3, 2, {"patch_strength": 0.0}),
        (1, 2, {"attention": PROPAGATION, "liem": "identity"}),
        (3, 2, {"attention": {**PROPAGATION, "lazy": True, "offload": True, "layers": (1,), "reach": 1.0}}),
        (2, 0, {"attention": {"softening": (1.5, 1.5)}, "rescale": 1.0}),
        (2, 2, {"attention": PROPAGATION, "propagation": 0.5, "rescale": 1.0, "liem": "star"}),
    ],
)
def test_both_hosts_agree(tmp_path: Path, patches_at_once: int, lora_rank: int, choices: dict) -> None:
    save(random_wan(text_dim=4096), tmp_path / "wan.safetensors")
    base = load_base(tmp_path / "wan.safetensors")
    adapter = random_adapter(base.spec, lora_rank=lora_rank, liem=choices.get("liem", "none"))
    save_adapter(adapter, tmp_path / "adapter.safetensors", torch.float32)
    given = {**make_inputs(patches_at_once), **choices}
    torch.save(given, tmp_path / "inputs.pt")
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    script = Path(__file__).with_name("contract.py")
    done = subprocess.run(
        [python, str(script), os.environ["COMFYUI_DIR"], str(ROOT), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    native = torch.load(tmp_path / "outputs.pt", weights_only=True)
    ours = headless(base, adapter, given)
    for ours_x0, native_x0 in zip(ours, native, strict=True):
        assert (ours_x0 - native_x0).abs().max() < 1e-4
    assert (ours[0] - normalised(given["latent"])).abs().mean() > 0.1
    for name, off in (("attention", {}), ("rescale", 0.0), ("propagation", 0.0)):
        if given[name]:
            without = headless(base, adapter, {**given, name: off})
            assert (ours[-1] - without[-1]).abs().max() > 2e-4, name


def make_inputs(patches_at_once: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(1, 16, 5, 14, 20, generator=generator)
    return {
        "frames": 15,
        "source": [26, 39],
        "target": [104, 156],
        "latent": latent,
        "view": torch.randn(1, 16, 5, 8, 8, generator=generator),
        "noise": torch.randn(latent.shape, generator=generator),
        "noise_level": 0.2,
        "seed": 5,
        "sigmas": [1.0, 0.7, 0.3, 0.0],
        "guidance": 2.5,
        "patches_at_once": patches_at_once,
        "patch_strength": 1.0,
        "liem_strength": 1.0,
        "attention": {},
        "rescale": 0.0,
        "propagation": 0.0,
        "flows": [0.3 * torch.randn(14, 2, 26, 39, generator=generator) for _ in range(2)],
    }


def normalised(latent: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 16, 1, 1, 1) for values in (MEAN, STD))
    return (latent - mean) / std


def headless(base, adapter, given: dict) -> list[torch.Tensor]:
    canvas = Canvas(given["frames"], tuple(given["source"]), tuple(given["target"]), stride_frames=4)
    plan = plan_patches(canvas, patch_px=64, window_frames=9, overlap_frames=4)
    assert len(plan.patches) > 6
    clean = normalised(given["latent"])
    augmented = PatchConditions(clean, given["noise_level"], given["seed"]).augmented_latent()
    controls = Controls(
        plan,
        clean,
        augmented=augmented,
        noise_level=given["noise_level"],
        view=normalised(given["view"]),
        adapter=adapter,
        strengths=Strengths(given["patch_strength"], liem=given["liem_strength"]),
    )
    run = AttentionRun(AttentionOptions(**given["attention"]), plan, len(given["sigmas"]) - 1)
    denoiser = DiffusersDenoiser(base, [adapter.prompt, adapter.prompt * 0.5], adapter, attention=run)
    options = PropagationOptions(given["propagation"], start=0.8)
    motion = CanvasPropagation(options, canvas, ClipFlows(*given["flows"]), pixels=False)
    x, answers = given["noise"], []
    sigmas = torch.tensor(given["sigmas"])
    with torch.no_grad():
        for step, (sigma, following) in enumerate(pairwise(sigmas)):
            predictions = fuse(denoiser, x, sigma, plan.patches, controls, attention=run, step=step)
            x0 = apply_guidance(predictions, given["guidance"], given["rescale"], x)
            if given["propagation"]:
                x0 = motion(x0, float(sigma), float(following), step)
            answers.append(x0)
            x = x0 + following / sigma * (x - x0)
    denoiser.close()
    return answers
