"""Which frames of a window have the most detail to give to their neighbours in time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..plan.canvas import Patch

CHOICES = ("rich", "nearest", "farthest")


def select_frames(choice: str, count: int, patch: Patch, *, x0: Tensor | None, forward: bool) -> Tensor:
    """Indices of the frames that a patch gives, in order of time.

    Args:
        choice: one of :data:`CHOICES`.
        x0: (1, C, T, H, W) latest prediction of the canvas; without one the nearest frames are taken.
        forward: they go to the window after; otherwise to the one before.
    """
    length = patch.size[0]
    count = min(count, length)
    if choice == "rich" and x0 is not None:
        return detail_energy(patch.crop(x0)[0]).topk(count).indices.sort().values.cpu()
    at_end = (choice == "farthest") != forward
    return torch.arange(length - count, length) if at_end else torch.arange(count)


def detail_energy(latent: Tensor) -> Tensor:
    """(C, T, H, W) to (T,): deviation of the Laplacian, the amount of fine detail per frame."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=latent.device)
    planes = latent.float().transpose(0, 1).flatten(0, 1)[:, None]
    lacking = [max(0, len(kernel) - side) for side in latent.shape[-2:]]  # of a clip of a few pixels
    planes = F.pad(planes, (0, lacking[1], 0, lacking[0]), mode="replicate")
    edges = F.conv2d(planes, kernel[None, None])
    return edges.unflatten(0, (latent.shape[1], latent.shape[0])).flatten(1).std(1)
