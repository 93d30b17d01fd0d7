"""Bases of other families: what their diffusion models weigh, and how soft borders of patches are on each.

Runs in ComfyUI's environment. Sizes are counted on networks of the published sizes whose numbers are never allocated;
borders are those of small random models, as in ``tests/comfyui``.

    python benchmarks/bases.py /path/to/ComfyUI --markdown benchmarks/results/bases.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent), str(ROOT / "tests" / "comfyui")]

NOTES = (
    "GB are 10^9 bytes: parameters x 2 for fp16 and bf16, x 1 for fp8, without text encoders, VAE and scales; files of "
    "fp8 keep some layers in 16 bits. Jump: every patch is given a colour of its own, and the largest step between "
    "neighbouring cells is set beside that of finished tiles which are cross-faded over an eighth of their side, the "
    "mean of 6 draws. Random model: the run in patches less the run of the whole canvas, for SeedVR2; energy of the "
    "steps of this difference across a line between cells, means along 8 cells, beside that of cross-faded tiles."
)
SIDE, CELLS, DRAWS = 32, 60, 3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comfyui", help="folder of ComfyUI")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    chosen = parser.parse_args(arguments)
    sys.argv = ["main.py", "--cpu", "--use-pytorch-cross-attention"]
    sys.path.insert(0, chosen.comfyui)
    import comfy.options

    comfy.options.enable_args_parsing()
    import torch
    from comfyui_version import __version__
    from tables import Table, as_markdown, as_text

    torch.set_grad_enabled(False)
    tables = [
        Table("Diffusion models", ("model", "parameters, 10^9", "fp16, GB", "fp8, GB"), tuple(size_rows())),
        Table("Largest step at borders of patches, beside cross-faded tiles", ("base", "jump"), tuple(jump_rows())),
        Table("SeedVR2 with random weights", ("layout", "largest", "median", "difference, %"), tuple(random_rows())),
    ]
    print("\n".join(map(as_text, tables)))
    if chosen.markdown:
        command = f"python benchmarks/bases.py ComfyUI --markdown {chosen.markdown}"
        made_by = f"```\n{command}\n```\n\nComfyUI {__version__}, torch {torch.__version__}, on a CPU."
        parts = ["# Bases of other families", "", made_by, "", *map(as_markdown, tables), NOTES, ""]
        chosen.markdown.write_text("\n".join(parts), encoding="utf-8")


def networks() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """By name, what makes the diffusion model of a published size from (device, dtype, operations)."""
    from comfy.ldm.cosmos.predict2 import MiniTrainDIT
    from comfy.ldm.flux.model import Flux
    from comfy.ldm.hunyuan_video.model import HunyuanVideo
    from comfy.ldm.lightricks.model import LTXVModel
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel
    from comfy.ldm.seedvr.model import NaDiT
    from comfy.ldm.wan.model import WanModel
    from small_bases import BASES, UNET

    def wan(width: int, heads: int, layers: int, ffn: int, channels: int = 16) -> Callable[..., Any]:
        sizes = {"dim": width, "ffn_dim": ffn, "num_heads": heads, "num_layers": layers}
        return lambda make: WanModel(model_type="t2v", in_dim=channels, out_dim=channels, **sizes, **make)

    def seedvr2(**sizes: Any) -> Callable[..., Any]:
        return lambda make: NaDiT(image_model="seedvr2", norm_eps=1e-5, **sizes, **make)

    def with_sizes(network: Any, base: str, **sizes: Any) -> Callable[..., Any]:
        config = {name: value for name, value in BASES[base].unet.items() if name != "image_model"}
        return lambda make: network(**{**config, **sizes}, **make)

    def unet(depth: list[int], out: list[int], middle: int, **sizes: Any) -> Callable[..., Any]:
        blocks = {"num_res_blocks": [2] * len(sizes["channel_mult"]), "model_channels": 320}
        depths = {"transformer_depth": depth, "transformer_depth_output": out, "transformer_depth_middle": middle}
        return lambda make: UNetModel(**{**UNET, **blocks, **depths, **sizes}, **make)

    two_billion = {"model_channels": 2048, "num_heads": 16, "num_blocks": 28}
    fourteen_billion = {"model_channels": 5120, "num_heads": 40, "num_blocks": 36}
    cosmos = {"crossattn_emb_channels": 1024, "adaln_lora_dim": 256}
    wide = {"hidden_size": 3072, "num_heads": 24, "mlp_ratio": 4.0, "vec_in_dim": 768, "context_in_dim": 4096}
    return {
        "Wan 2.1 1.3B": wan(1536, 12, 30, 8960),
        "Wan 2.1 14B": wan(5120, 40, 40, 13824),
        "Wan 2.2 5B": wan(3072, 24, 30, 14336, 48),
        "SeedVR2 3B": seedvr2(vid_dim=2560, heads=20, num_layers=32, mlp_type="swiglu", vid_out_norm=True),
        "SeedVR2 7B": seedvr2(
            vid_dim=3072, heads=24, num_layers=36, mm_layers=36, rope_type="rope3d", rope_dim=64, mlp_type="normal"
        ),
        "HunyuanVideo 13B": with_sizes(HunyuanVideo, "hunyuan_video", depth=20, depth_single_blocks=40, **wide),
        "LTX-Video 2B": lambda make: LTXVModel(**make),
        "Cosmos Predict2 2B": with_sizes(MiniTrainDIT, "cosmos_predict2", **two_billion, **cosmos),
        "Cosmos Predict2 14B": with_sizes(MiniTrainDIT, "cosmos_predict2", **fourteen_billion, **cosmos),
        "Qwen-Image 20B": lambda make: QwenImageTransformer2DModel(in_channels=64, num_layers=60, **make),
        "Flux.1 schnell": with_sizes(Flux, "flux", depth=19, depth_single_blocks=38, guidance_embed=False, **wide),
        "SDXL": unet(
            [0, 0, 2, 2, 10, 10], [0, 0, 0, 2, 2, 2, 10, 10, 10], 10, channel_mult=[1, 2, 4], context_dim=2048,
            num_classes="sequential", adm_in_channels=2816, use_linear_in_transformer=True, num_head_channels=64,
        ),
        "Stable Diffusion 1.5": unet(
            [1] * 6 + [0] * 2, [1] * 9 + [0] * 3, 1, channel_mult=[1, 2, 4, 4], context_dim=768, num_heads=8,
            use_linear_in_transformer=False, adm_in_channels=None,
        ),
    }  # fmt: skip


def size_rows() -> list[tuple[str, ...]]:
    import comfy.ops
    import torch

    rows = []
    for name, network in networks().items():
        made = network({"device": "meta", "dtype": torch.float16, "operations": comfy.ops.disable_weight_init})
        billions = sum(weight.numel() for weight in made.state_dict().values()) / 1e9
        rows.append((name, f"{billions:.2f}", f"{2 * billions:.1f}", f"{billions:.1f}"))
    return rows


def jump_rows() -> list[tuple[str, ...]]:
    from base_checks import jumps
    from small_bases import BASES

    return [(name, f"{jumps(base):.2f}") for name, base in BASES.items()]


def random_rows() -> list[tuple[str, ...]]:
    """What patches change about the run of a whole canvas by a model with random weights."""
    import torch

    found: dict[str, list[tuple[float, ...]]] = {}
    for draw in range(DRAWS):
        for name, difference, spread in differences(torch.Generator().manual_seed(draw)):
            lines = torch.cat([line_energies(difference, axis) for axis in (-1, -2)])
            numbers = (float(lines.max()), float(lines.median()), 100 * float(difference.std()) / spread)
            found.setdefault(name, []).append(numbers)
    means = {name: [sum(column) / DRAWS for column in zip(*draws, strict=True)] for name, draws in found.items()}
    tiles = means["cross-faded tiles"]
    return [
        (name, f"{largest / tiles[0]:.2f}", f"{median / tiles[1]:.2f}", f"{percent:.2f}")
        for name, (largest, median, percent) in means.items()
    ]


def differences(generator: Any) -> Any:
    """(name, difference to the run of the whole canvas, spread of that run) by layout, and for finished tiles."""
    import torch
    from base_checks import STRIDE
    from small_bases import BASES

    from patchvsr_core.hosts.comfy import FusionOptions, attach_joint_modulation
    from patchvsr_core.plan.canvas import Canvas
    from patchvsr_core.plan.planner import plan_patches, tile_axis

    model = BASES["seedvr2"].load()
    latent, noise, condition = (
        torch.randn(1, channels, 3, CELLS, CELLS, generator=generator) for channels in (16, 16, 17)
    )
    whole = sample(model, latent, noise, condition)
    canvas = Canvas(9, (24, 24), (CELLS * STRIDE,) * 2, STRIDE, 4)
    for layout in ("corner", "overlapping"):
        plan = plan_patches(canvas, patch_px=SIDE * STRIDE, layout=layout, window_frames=9, overlap_frames=0)
        fused = sample(attach_joint_modulation(model, plan, FusionOptions(1)), latent, noise, condition)
        yield layout, fused - whole, float(whole.std())
    faded = torch.zeros_like(whole)
    spans = tile_axis(CELLS, SIDE, SIDE // 8)
    for row in spans:
        for column in spans:
            tile = (..., row.cells, column.cells)
            made = sample(model, latent[tile], noise[tile], condition[tile])
            faded[tile] += made * torch.outer(row.weights(made), column.weights(made))
    yield "cross-faded tiles", faded - whole, float(whole.std())


def sample(model: Any, latent: Any, noise: Any, condition: Any) -> Any:
    import comfy.samplers
    import torch
    from small_bases import BASES

    prompts = BASES["seedvr2"].prompts(latent)
    for ((_, extras),) in prompts:
        extras["condition"] = condition
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*prompts)
    euler = comfy.samplers.sampler_object("euler")
    return guider.sample(noise, latent, euler, torch.tensor([1.0, 0.0]), disable_pbar=True, seed=0)


def line_energies(difference: Any, axis: int) -> Any:
    """Of steps across every line between cells; a seam keeps its sign along the line."""
    steps = difference[0].diff(dim=axis).movedim(axis, -1)
    whole = steps.shape[2] // 8 * 8
    return steps[:, :, :whole].unflatten(2, (-1, 8)).mean(3).square().mean((0, 1, 2))


if __name__ == "__main__":
    main()
