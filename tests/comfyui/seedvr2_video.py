"""Runs inside ComfyUI's environment: a small SeedVR2, with ComfyUI's own VAE class for it, through Upscale Video.

Writes what ``test_seedvr2.py`` judges.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FRAMES, SOURCE = 14, (24, 32)


def main(comfyui: str, root: str, folder: str) -> None:
    sys.argv = ["main.py", "--cpu", "--use-pytorch-cross-attention", "--base-directory", folder]
    sys.path[:0] = [comfyui, root, str(Path(__file__).parent)]
    import comfy.options

    comfy.options.enable_args_parsing()
    import torch

    torch.set_grad_enabled(False)
    found = {"conditions": conditions_differ(), **streamed(Path(folder))}
    (Path(folder) / "found.json").write_text(json.dumps(found))


def small_vae() -> Any:
    """The real class with narrow layers and random weights."""
    import comfy.ldm.seedvr.vae as seedvr
    import comfy.sd
    from small_bases import fill

    seedvr.BYTEDANCE_BLOCK_OUT_CHANNELS = (32, 32, 32, 32)
    return comfy.sd.VAE(sd=fill(seedvr.VideoAutoencoderKLWrapper()).state_dict())


def conditions_differ() -> float:
    """What Upscale Video gives the model for a chunk, beside what core's own node makes of the same latent."""
    import torch
    from comfy_extras.nodes_seedvr import SeedVR2Conditioning
    from small_bases import BASES

    from patchvsr_core.hosts.comfy.pipeline import _with_input
    from patchvsr_core.hosts.comfy.shipped import complete_models

    base = BASES["seedvr2"]
    model, latent = base.load(), base.latent()
    theirs = SeedVR2Conditioning.execute(model, {"samples": latent}).result
    models = complete_models(model, small_vae())
    worst = 0.0
    for ((their_text, their_extras),), given in zip(theirs, (models.positive, models.negative), strict=True):
        ((text, extras),) = _with_input(given, SimpleNamespace(latent=latent), models)
        assert text.shape == their_text.shape and extras["condition"].shape == their_extras["condition"].shape
        worst = max(worst, float((text - their_text).abs().max()))
        worst = max(worst, float((extras["condition"] - their_extras["condition"]).abs().max()))
        assert torch.isfinite(text).all()
    return worst


def streamed(folder: Path) -> dict[str, Any]:
    """A clip in three chunks: whole, and stopped in the second chunk and queued again."""
    import comfy.model_management
    import torch
    from comfy_api.latest import InputImpl
    from small_bases import BASES

    from patchvsr_core.finish.strength_map import StrengthMap
    from patchvsr_core.hosts.comfy.shipped import complete_models
    from patchvsr_core.hosts.comfy.video import FileChoices, upscale_video
    from patchvsr_core.video import VideoWriter, read_clip
    from patchvsr_core.video.chunk_files import Encoding

    source = folder / "in.mkv"
    clip = torch.rand(FRAMES, *SOURCE, 3, generator=torch.Generator().manual_seed(0))
    with VideoWriter(source, SOURCE, range(FRAMES), Fraction(1, 24), fps=Fraction(24), codec="ffv1") as writer:
        writer.write(clip)
    models = complete_models(BASES["seedvr2"].load(), small_vae())
    settings = replace(models.defaults, patch_px=64, patches_at_once=1)
    network = models.model.model.diffusion_model
    forward, calls, stop_at = network.forward, [], [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == stop_at[0]:
            comfy.model_management.interrupt_current_processing()
        return forward(*args, **kwargs)

    network.forward = counted

    def run(prefix: str) -> Path:
        calls.clear()
        choices = FileChoices(
            scale=4.0, size=None, prefix=prefix, suffix="mkv", encoding=Encoding(codec="ffv1"), chunk=6, overlap=2,
            find_cuts=False, fresh=False, strength=StrengthMap(),
        )  # fmt: skip
        video = InputImpl.VideoFromFile(str(source))
        return upscale_video(video, models, settings, choices, notes={}, on_notice=print)

    whole = run("whole")
    in_all = len(calls)
    stop_at[0] = in_all // 2
    try:
        run("stopped")
        raise AssertionError("it was not stopped")
    except comfy.model_management.InterruptProcessingException:
        comfy.model_management.interrupt_current_processing(False)
    before, stop_at[0] = len(calls), 0
    resumed = run("stopped")
    frames = read_clip(whole).frames
    return {
        "shape": list(frames.shape),
        "calls": [in_all, before, len(calls)],
        "same_frames": bool(torch.equal(frames, read_clip(resumed).frames)),
        "same_bytes": whole.read_bytes() == resumed.read_bytes(),
        "colour": float((frames.mean((0, 1, 2)) - clip.mean((0, 1, 2))).abs().max()),
        "settings": [settings.steps, settings.color, settings.layout],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
