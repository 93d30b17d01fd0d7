"""The refiner: a small convolutional network that corrects decoded frames by the input.

It sees the decoded frames and the bicubically enlarged input side by side, at a quarter of the
output resolution, and adds detail and colour to the former (the idea of Upscale-A-Video's
conditional decoder, after any codec). It also sees the frames before and after, moved along the
optical flow to where their content is now; and every other block looks one frame back and ahead.
How damaged the input is it is told by a meter of its own (see :mod:`.damage`).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .damage import DamageMeter
from .errors import ModelError
from .layout import Canvas
from .planner import plan_tiles
from .progress import OnDone
from .propagation.align import aligned_window, neighbour_flows
from .resample import reflected, upsampled_window

FORMAT = "patchvsr-refiner"
CONSTANTS = 3
"""What holds for the whole clip: detail, scale, damage."""
FOLD = 4
"""Pixels along one side that are folded into channels."""
TILE_PX = 512
CHUNK_FRAMES = 24
"""How much of a clip the network sees at once, beside its reach."""


@dataclass(frozen=True)
class RefinerConfig:
    """Hyper-parameters, stored beside the weights."""

    channels: int = 64
    blocks: int = 8


class Refiner(nn.Module):
    """Decoded and enlarged frames, and aligned neighbours, to corrected frames; all in [0, 1]."""

    def __init__(self, config: RefinerConfig = RefinerConfig()) -> None:
        super().__init__()
        self.config = config
        folded = 3 * FOLD * FOLD
        self.meter = DamageMeter()
        self.head = nn.Conv2d(CONSTANTS + 4 * folded, config.channels, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(config.channels, bool(k % 2)) for k in range(config.blocks))
        self.tail = nn.Conv2d(config.channels, folded, 3, padding=1)
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)  # an untrained refiner changes nothing

    def forward(
        self, decoded: Tensor, enlarged: Tensor, neighbours: Tensor, scale: float, detail: float, damage: float
    ) -> Tensor:
        """Correct a clip.

        Args:
            decoded, enlarged: (T, 3, H, W), sides in multiples of 4.
            neighbours: (T, 6, H, W), see :func:`propagation.align.aligned_window`.
            scale: factor by which the input was enlarged.
            detail: 0 for the most probable picture, 1 for one as crisp as the original may have been.
            damage: see :func:`damage.damage_level`.

        Returns:
            (T, 3, H, W).
        """
        differences = torch.cat([decoded, neighbours], 1) - enlarged.repeat(1, 3, 1, 1)
        parts = (differences[:, :3], enlarged - 0.5, differences[:, 3:])
        x = torch.cat([F.pixel_unshuffle(part, FOLD) for part in parts], 1)
        constants = x.new_tensor([detail, math.log2(scale), damage])[:, None, None].expand(len(x), -1, *x.shape[2:])
        features = self.head(torch.cat([constants, x], 1))
        skip = features
        for block in self.blocks:
            features = block(features)
        return decoded + F.pixel_shuffle(self.tail(features + skip), FOLD)

    @property
    def reach_frames(self) -> int:
        """Frames on either side that a frame's result depends on."""
        return len(self.blocks) // 2 + 1

    @property
    def reach_px(self) -> int:
        """Pixels on either side that a pixel's result depends on, at most."""
        return FOLD * (2 * len(self.blocks) + 3)


class _Block(nn.Module):
    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.temporal = temporal
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        mixed = _with_neighbours(x) if self.temporal else x
        return x + self.conv2(F.relu(self.conv1(mixed)))


def _with_neighbours(x: Tensor) -> Tensor:
    """A quarter of the channels from the frame before, a quarter from the one after; the ends stand still."""
    quarter = x.shape[1] // 4
    before = torch.cat([x[:1, :quarter], x[:-1, :quarter]])
    after = torch.cat([x[1:, quarter : 2 * quarter], x[-1:, quarter : 2 * quarter]])
    return torch.cat([before, after, x[:, 2 * quarter :]], 1)


def working_bytes(refiner: Refiner, frames: int, size: tuple[int, int]) -> int:
    """Memory that the network itself takes in :func:`refine_frames`: the features of one tile, in a few copies."""
    length = min(frames, CHUNK_FRAMES + 2 * refiner.reach_frames)
    cells = min(size[0], TILE_PX) * min(size[1], TILE_PX) // FOLD**2
    copies = 8
    return copies * refiner.config.channels * length * cells * 4


@torch.inference_mode()
def refine_frames(
    refiner: Refiner,
    frames: Tensor,
    source: Tensor,
    *,
    strength: float = 1.0,
    detail: float = 0.0,
    damage: float = 0.0,
    tile_px: int = TILE_PX,
    chunk_frames: int = CHUNK_FRAMES,
    on_frames: OnDone | None = None,
) -> Tensor:
    """Run the refiner over a whole clip in tiles and chunks, free of seams.

    Only the tile at work is moved to the refiner's device; the clips stay where they are.

    Args:
        frames: (T, H, W, 3) decoded frames in [0, 1]; not changed.
        source: (T, h, w, 3) input clip in [0, 1].
        strength: 0 (off) to 1.
        detail: 0 (most faithful) to 1 (crispest).
        damage: level of noise and compression in the input, see :func:`damage.measured_damage`; 0: clean.

    Returns:
        (T, H, W, 3) float32.
    """
    canvas = Canvas(len(frames), _hw(source), _hw(frames), stride_px=FOLD)
    out = torch.zeros_like(frames, dtype=torch.float32)
    for first in range(0, canvas.frames, chunk_frames):
        last = min(first + chunk_frames, canvas.frames)
        low, high = max(first - refiner.reach_frames, 0), min(last + refiner.reach_frames, canvas.frames)
        part = Canvas(high - low, canvas.source, canvas.target, stride_px=FOLD)
        refined = _refine_chunk(refiner, frames[low:high], source[low:high], part, (detail, damage), tile_px)
        out[first:last] = refined[first - low : last - low]
        if on_frames:
            on_frames(last, canvas.frames)
    return out if strength == 1 else torch.lerp(frames.float(), out, strength)


def _refine_chunk(
    refiner: Refiner, frames: Tensor, source: Tensor, canvas: Canvas, wishes: tuple[float, float], tile_px: int
) -> Tensor:
    """Tiles overlap by twice the network's reach and are cut in the middle: equal to one large tile."""
    weight = refiner.head.weight
    source = source.to(weight.device)
    flows = neighbour_flows(source)
    overlap = 2 * refiner.reach_px
    out = torch.zeros_like(frames, dtype=torch.float32)
    for row, column in plan_tiles(canvas, max(tile_px, 2 * overlap), overlap, "cut"):
        rows, columns = (slice(span.start * FOLD, span.stop * FOLD) for span in (row, column))
        decoded = _reflected_window(frames, rows, columns).movedim(-1, 1).to(weight)
        enlarged = upsampled_window(source, canvas, rows, columns).movedim(-1, 1).to(weight)
        neighbours = aligned_window(source, flows, canvas, rows, columns).movedim(-1, 1).to(weight)
        refined = refiner(decoded, enlarged, neighbours, canvas.scale, *wishes).to(out).movedim(1, -1)
        kept = [span.weights(out).repeat_interleave(FOLD) for span in (row, column)]
        refined *= torch.outer(*kept)[..., None]
        region = out[:, rows, columns]
        region += refined[:, : region.shape[1], : region.shape[2]]
    return out


def _reflected_window(frames: Tensor, rows: slice, columns: slice) -> Tensor:
    """A window that may reach beyond the right and lower edge, where the picture is mirrored."""
    y, x = (
        torch.from_numpy(reflected(np.arange(span.start, span.stop), length)).to(frames.device)
        for span, length in ((rows, frames.shape[1]), (columns, frames.shape[2]))
    )
    return frames[:, y][:, :, x]


def save_refiner(refiner: Refiner, path: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a refiner with its configuration."""
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in refiner.state_dict().items()}
    save_file(tensors, str(path), metadata={"format": FORMAT, "config": json.dumps(asdict(refiner.config))})


def load_refiner(path: str | Path, dtype: torch.dtype = torch.float32) -> Refiner:
    """Read a refiner file.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"There is no refiner file at {path}; check the path.")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if metadata.get("format") != FORMAT:
            raise ModelError(f"{path.name} is not a PatchVSR refiner; choose a file written by the PatchVSR trainer.")
        refiner = Refiner(RefinerConfig(**json.loads(metadata["config"])))
        refiner.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{path.name} is damaged or was edited ({reason}); get it again.") from error
    return refiner.to(dtype).requires_grad_(False).eval()


def _hw(frames: Tensor) -> tuple[int, int]:
    return int(frames.shape[1]), int(frames.shape[2])
