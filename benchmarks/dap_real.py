"""What the parts of DAP contribute on real clips: in the network that ships, and in small ones trained alike.

Every row of the first table is the shipped network with a part switched off: all of its other weights were learned with
that part. Rows of the second are networks of their own, trained for as many steps, from one start, on the same crops of
packed footage (``python -m patchvsr_core.training precompute --config dap_small``). They are the rows of the paper's
ablation, which was trained and measured on REDS:

    python benchmarks/dap_real.py CLIP... --packed PACKED --steps 400
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import metrics
from pairs import Pair, read_pair
from tables import Table, as_text, mean, number, write_markdown

from patchvsr_core.plan.target_size import SCALE
from patchvsr_core.realtime.dap import DAP, DAPConfig
from patchvsr_core.realtime.upscaler import FastUpscaler, load_network, network_path
from patchvsr_core.resample import resize
from patchvsr_core.training.config import load_config
from patchvsr_core.training.dap_task import StreamBatches
from patchvsr_core.training.losses import charbonnier

SMALL = DAPConfig(channels=24, features=16, keys=8, levels=4, points=2, blocks=2)
PARTS = ("offsets", "pyramid", "attention")
Switches = dict[str, bool | int]
NONE: Switches = dict.fromkeys(PARTS, False)
ROWS: dict[str, tuple[Switches, float]] = {
    "none": (NONE, 28.59),
    "attention": ({**NONE, "attention": True}, 28.69),
    "offsets": ({**NONE, "offsets": True}, 29.50),
    "offsets, pyramid": ({"attention": False}, 29.66),
    "offsets, pyramid, attention": ({}, 29.97),
    "twice as wide": ({"channels": 2 * SMALL.channels}, 30.49),
}
"""By name: what is switched, and the paper's PSNR on REDS, of 64 channels and at last of 128."""
SHIPPED: dict[str, Switches] = {
    "all parts": {},
    "no attention": {"attention": False},
    "no pyramid": {"pyramid": False},
    "no offsets": {"offsets": False},
    "no frames before": {},
}
ALIGN_WEIGHT = 0.5
"""Of the loss that teaches offsets to align frames, where there are any."""
RATE = 2e-3
NOTES = (
    "PSNR in dB, mean over {clips} clips of {frames} frames, x4. No frames before: every frame is the first of its "
    "shot. Trained alike: {channels} channels and {blocks} residual blocks, {steps} steps; the "
    "paper's are of 64 channels on REDS."
)


def switched(network: DAP, switches: Switches) -> DAP:
    """A network with parts switched off, which takes the others from ``network``."""
    changed = DAP(replace(network.config, **switches))
    state = network.state_dict()
    changed.load_state_dict({name: state[name] for name in changed.state_dict()})
    return changed.eval()


def cut(pair: Pair, side: int) -> Pair:
    """The middle of a clip, at most ``side`` pixels of the original high and wide."""
    height, width = (min(side, length) // SCALE * SCALE for length in pair.size)
    top, left = ((length - own) // 2 // SCALE * SCALE for length, own in zip(pair.size, (height, width), strict=True))
    small = pair.small[:, top // SCALE : (top + height) // SCALE, left // SCALE : (left + width) // SCALE]
    return Pair(pair.name, pair.truth[:, top : top + height, left : left + width], small)


def score(network: DAP | None, pairs: Sequence[Pair], *, alone: bool = False) -> list[float]:
    """PSNR by clip; of bicubic without a network. ``alone``: every frame on its own."""
    return [metrics.psnr(_upscale(network, pair, alone), pair.truth) for pair in pairs]


def _upscale(network: DAP | None, pair: Pair, alone: bool) -> Tensor:
    if network is None:
        return resize(pair.small, pair.size).clamp(0, 1)
    return FastUpscaler(network).upscale(pair.small, cuts=range(len(pair.small)) if alone else ())


def train(config: DAPConfig, packed: Path, steps: int) -> DAP:
    """A network after so many steps, on the same crops for every configuration."""
    plan = load_config("dap_small")
    data = replace(plan.data, crop_px=(96,), frames=(4,), batch=4)
    batches = StreamBatches(packed, replace(plan, data=data, dap=config))
    torch.manual_seed(0)
    network = DAP(config)
    with torch.no_grad():
        network.picture.weight.mul_(0.1)  # a new network adds little to bicubic
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        batch = batches[step]
        loss = charbonnier(network(batch.clip), batch.truth)
        if config.offsets:
            loss = loss + ALIGN_WEIGHT * charbonnier(network.align(batch.clip), batch.clip[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return network.eval()


def shipped_table(pairs: Sequence[Pair]) -> Table:
    """The shipped network, part by part."""
    network = load_network(network_path("dap"))
    assert isinstance(network, DAP)
    scores = {"bicubic": score(None, pairs)}
    for name, switches in SHIPPED.items():
        scores[name] = score(switched(network, switches), pairs, alone=name == "no frames before")
    whole = mean(scores["all parts"])
    heads = ("network", "PSNR", "against all parts", *(pair.name for pair in pairs))
    rows = [
        (name, number(mean(values), 2), number(mean(values) - whole, 2), *(number(value, 2) for value in values))
        for name, values in scores.items()
    ]
    return Table("The shipped network", heads, tuple(rows))


def trained_table(pairs: Sequence[Pair], packed: Path, steps: int) -> Table:
    """Networks trained alike, beside the paper's gains over none of the parts."""
    scores: dict[str, float] = {}
    for name, (switches, _) in ROWS.items():
        scores[name] = mean(score(train(replace(SMALL, **switches), packed, steps), pairs))
        print(f"{name}: {scores[name]:.2f} dB", file=sys.stderr, flush=True)
    theirs = {name: value for name, (_, value) in ROWS.items()}
    rows = [
        (
            name,
            number(value, 2),
            number(value - scores["none"], 2),
            number(theirs[name], 2),
            number(theirs[name] - theirs["none"], 2),
        )
        for name, value in scores.items()
    ]
    rows.insert(0, ("bicubic", number(mean(score(None, pairs)), 2), "", "", ""))
    return Table("Trained alike", ("network", "PSNR", "gain", "paper", "paper's gain"), tuple(rows))


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", help="clips to measure on, which were not trained on")
    parser.add_argument("--packed", type=Path, required=True, help="folder of packed footage to train on")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--side", type=int, default=384, help="of what is measured of a clip, px")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    options = parser.parse_args()
    pairs = [cut(read_pair(path, SCALE, options.frames, "clean"), options.side) for path in options.clips]
    tables = [shipped_table(pairs)]
    print(as_text(tables[0]), flush=True)
    tables.append(trained_table(pairs, options.packed, options.steps))
    print(as_text(tables[1]))
    if options.markdown:
        notes = NOTES.format(
            clips=len(pairs),
            frames=options.frames,
            channels=SMALL.channels,
            blocks=SMALL.blocks,
            steps=options.steps,
        )
        write_markdown(options.markdown, "DAP, part by part, on real clips", tables, notes, sys.argv)


if __name__ == "__main__":
    main()
