"""One step of inference and one of training for a real Wan's adapter, with random weights: memory and time.

Nothing is downloaded: base and adapter are built at their real sizes and filled with noise.

    python benchmarks/real_size.py --config wan21_1p3b --px 512 --frames 17 --device cuda
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import Column, Records, add_common, fits, parsed, publish, timed

from patchvsr_core.adapter import MicroConditions
from patchvsr_core.hosts.diffusers.denoiser import Base, new_transformer, restore_positions
from patchvsr_core.training.adapter_task import AdapterTask
from patchvsr_core.training.config import TrainConfig, load_config
from patchvsr_core.training.latents import LatentBatch

GIB = 2**30


def random_base(config: TrainConfig, device: str) -> Base:
    """The base that a configuration is for, in bfloat16."""
    with torch.device("meta"):
        model = new_transformer(config.base)
    model = model.to(torch.bfloat16).to_empty(device=device)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    restore_positions(model)
    return Base(model.to(device).requires_grad_(False).eval())


def narrowed(config: TrainConfig, width: int, blocks: int) -> TrainConfig:
    """The same with a narrow base of few blocks, and an adapter that is narrower to the same degree."""
    part = width / config.base.width
    base = replace(config.base, width=width, layers=blocks, ffn=round(config.base.ffn * part))
    sizes = {name: round(config.adapter[name] * part) for name in ("width", "ffn")}
    branches = {name: min(config.adapter[name], blocks) for name in ("patch_blocks", "global_blocks")}
    return replace(config, base=base, adapter={**config.adapter, **sizes, **branches})


def random_batch(config: TrainConfig, frames: int, px: int, device: str) -> LatentBatch:
    """One crop of noise."""
    cells, length = px // 8, 1 + (frames - 1) // 4
    latents = [torch.randn(1, config.base.channels, length, cells, cells, device=device) for _ in range(3)]
    location = torch.zeros(1, 1, cells, cells, device=device)
    location[..., : cells // 2, : cells // 2] = 1
    return LatentBatch(*latents, location, torch.zeros(1, 2, device=device), torch.full((1,), 4.0, device=device))


def peak(device: str) -> float:
    """GiB used at most so far: of the GPU, or of the process."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def infer(task: AdapterTask, batch: LatentBatch) -> None:
    top, left = batch.position.unbind(1)
    with torch.inference_mode():
        control = task.adapter.control(
            batch.upsampled,
            MicroConditions(batch.scale, top, left, torch.zeros_like(top)),
            view=batch.view,
            location=batch.location,
        )
        task._denoiser(batch.truth, torch.tensor(0.5, device=batch.truth.device), control)


def train(task: AdapterTask, batch: LatentBatch) -> None:
    groups = [{"params": group["params"], "lr": 1e-4} for group in task.optimizer_groups()]
    optimizer = torch.optim.AdamW(groups)
    loss, _ = task(batch, torch.Generator().manual_seed(0), 0)
    loss.backward()
    optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="wan21_1p3b")
    parser.add_argument("--px", type=int, default=512, help="side of the patch")
    parser.add_argument("--frames", type=int, default=17, help="1 + a multiple of 4")
    parser.add_argument("--width", type=int, help="of a narrower base, a multiple of 128, for a trial run")
    parser.add_argument("--blocks", type=int, default=2, help="of that narrower base")
    add_common(parser)
    options = parsed(parser)
    config = load_config(options.config)
    if options.width:
        config = narrowed(config, options.width, options.blocks)
    torch.manual_seed(0)
    logging.set_verbosity_error()  # it warns of casts that random weights do not mind
    base = random_base(config, options.device)
    task = AdapterTask(config, base).to(options.device)
    sizes = [sum(p.numel() for p in module.parameters()) / 1e6 for module in (base.transformer, task.adapter)]
    title = f"{options.config}: base {sizes[0]:.0f} M, adapter {sizes[1]:.0f} M parameters; one patch of "
    title += f"{options.px} px, {options.frames} frames, on {options.device}"
    batch = random_batch(config, options.frames, options.px, options.device)
    rows = [measured(name, work, task, batch, options.device) for name, work in WORK.items()]
    publish(options, "One step at the real size", [Records("real_size", title, COLUMNS, rows)], NOTES)


WORK = {"inference": infer, "training": train}
COLUMNS = (Column("step", "step"), Column("first", "first s"), Column("seconds", "s"), Column("gib", "GiB", 1))
NOTES = (
    "One patch, without guidance. First: with what libraries do once. GiB: the peak so far, weights included; on a "
    "processor that of the whole process."
)


def measured(
    name: str, work: Callable[[AdapterTask, LatentBatch], None], task: AdapterTask, batch: LatentBatch, device: str
) -> dict[str, Any]:
    """A row; a CPU, which takes minutes, does the step once."""

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            work(task, batch)

    row: dict[str, Any] = {"step": name, "seconds": math.nan}
    with fits(row, "first", "seconds", "gib"):
        row["first"] = timed(step)[0]
        if device != "cpu":
            row["seconds"] = timed(step)[0]
        row["gib"] = peak(device)
    return row


if __name__ == "__main__":
    main()
