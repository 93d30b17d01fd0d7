"""What the parts of DAP contribute, on a toy set: textures that move, trained for a few minutes per row.

Every frame of a clip shows the same texture elsewhere, 6 to 12 pixels of the input further across and down, and a
third of it is hidden behind spots: a network that finds the motion has seen before what is hidden now. Rows are those
of the paper's ablation, which on REDS has: none 28.59, attention alone 28.69, offsets 29.50, with pyramid 29.66, with
attention 29.97 dB.

    python benchmarks/dap_ablation.py --steps 300
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from tables import Table, as_text, number, write_markdown

from patchvsr_core.realtime.dap import DAP, DAPConfig
from patchvsr_core.training.losses import charbonnier

SMALL = DAPConfig(channels=24, features=16, keys=8, levels=4, points=2, blocks=1)
ROWS = {
    "full": {},
    "no attention": {"attention": False},
    "no pyramid": {"pyramid": False},
    "no offsets": {"offsets": False},
}
SIDE, SCALE, FRAMES, FARTHEST = 32, 4, 3, 48
"""Of the input's frames; and the longest step from frame to frame in pixels of the truth."""
SPOT, HIDDEN = 4, 1 / 3
"""Side of a spot in pixels of the input, and their share."""
NOTES = (
    "PSNR of the last frame. Misalignment: mean difference between a frame and what the offsets fetch from the one "
    "before."
)
HELD_OUT = 10**6
"""Seeds from here on are for measuring."""


def toy_clips(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(N, T, 3, h, w) inputs and (N, T, 3, 4 h, 4 w) truths."""
    generator = torch.Generator().manual_seed(seed)
    side, reach = SIDE * SCALE, FARTHEST * FRAMES
    whole = side + 2 * reach
    parts = [
        F.interpolate(
            torch.rand(count, 3, whole // cell, whole // cell, generator=generator), (whole, whole), mode=mode
        )
        for cell, mode in ((10, "bicubic"), (48, "bilinear"))
    ]
    textures = (0.5 + 0.5 * (parts[0] - 0.5) + 0.5 * (parts[1] - 0.5)).clamp(0, 1)
    steps = torch.randint(FARTHEST // 2, FARTHEST + 1, (count, 2), generator=generator)
    steps = steps * (2 * torch.randint(0, 2, (count, 2), generator=generator) - 1)
    clips = []
    for texture, (down, across) in zip(textures, steps.tolist(), strict=True):
        points = [(reach + k * down, reach + k * across) for k in range(FRAMES)]
        clips.append(torch.stack([texture[:, y : y + side, x : x + side] for y, x in points]))
    truth = torch.stack(clips)
    small = F.avg_pool2d(truth.flatten(0, 1), SCALE).unflatten(0, (count, FRAMES))
    spots = torch.rand(count, FRAMES, 1, SIDE // SPOT, SIDE // SPOT, generator=generator) < HIDDEN
    spots = spots.repeat_interleave(SPOT, -1).repeat_interleave(SPOT, -2)
    return torch.where(spots, 0.0, small), truth


def trained(config: DAPConfig, steps: int, batch: int = 4) -> DAP:
    """A network after so many steps; the same start and the same clips for every configuration.

    Offsets first learn alone, and twice as long, how to align frames, which costs little. Then they stay, and the rest
    learns: what rows differ in is how well they are aligned.
    """
    network = DAP(config)
    torch.manual_seed(0)
    start = DAP(SMALL).state_dict()
    network.load_state_dict({name: start[name] for name in network.state_dict()})
    learn_offsets(network, 2 * steps, batch)
    for part in (network.offsets, network.encoder):
        part.requires_grad_(False)
    _learn(network, steps, batch, lambda small, truth: charbonnier(network(small), truth))
    return network.eval()


def learn_offsets(network: DAP, steps: int, batch: int = 4) -> None:
    """Teach the offsets alone how to align a frame with the one before."""
    if network.config.offsets:
        _learn(network, steps, batch, lambda small, truth: _misaligned(network, small[:, :2]))


@torch.inference_mode()
def misalignment(network: DAP, clips: int = 32) -> float:
    """Mean difference between frames and what the offsets fetch from those before, away from the borders."""
    small, _ = toy_clips(clips, HELD_OUT)
    border = FARTHEST // SCALE
    inner = (..., slice(border, -border), slice(border, -border))
    return float((network.align(small) - small[:, 1:])[inner].abs().mean())


def _misaligned(network: DAP, small: Tensor) -> Tensor:
    return charbonnier(network.align(small), small[:, 1:])


def _learn(network: DAP, steps: int, batch: int, loss_of: Callable[[Tensor, Tensor], Tensor]) -> None:
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        loss = loss_of(*toy_clips(batch, step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        schedule.step()


@torch.inference_mode()
def score(network: DAP, clips: int = 64) -> float:
    """PSNR of the last frame, which could have learned from all, away from the borders."""
    small, truth = toy_clips(clips, HELD_OUT)
    border = FARTHEST
    inner = (slice(None), -1, slice(None), slice(border, -border), slice(border, -border))
    return float(-10 * (network(small).clamp(0, 1)[inner] - truth[inner]).square().mean().log10())


def main() -> None:
    torch.set_num_threads(1)  # sums come in one order then, and results out the same
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    options = parser.parse_args()
    rows = []
    for name, switches in ROWS.items():
        network = trained(replace(SMALL, **switches), options.steps)
        value = score(network)
        rows.append((name, number(value, 3), number(misalignment(network), 3)))
        print(f"{name}: {value:.2f} dB", file=sys.stderr, flush=True)
    table = Table(f"PSNR after {options.steps} steps", ("network", "PSNR, dB", "misalignment"), tuple(rows))
    print(as_text(table))
    if options.markdown:
        write_markdown(options.markdown, "DAP, part by part", [table], NOTES, sys.argv)


if __name__ == "__main__":
    main()
