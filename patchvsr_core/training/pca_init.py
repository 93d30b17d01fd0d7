"""Starts the patch embeddings where learning is fast: at the principal components of real tokens.

A 16 x 16 pixel token is dominated by its brightness; what a model needs to add detail, the middle
frequencies, is a hundred times weaker and drowns in the first normalisation. Whitened principal
components give every frequency a voice from the first step on.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def principal_components(latents: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, variances, directions) of the tokens of (N, C, t, h, w) latents: (D,), (count,), (count, D)."""
    total = torch.zeros(1)
    first = second = torch.zeros(1, dtype=torch.float64)
    for latent in latents:
        n, c, t, h, w = latent.shape
        tokens = latent.reshape(n, c, t, h // 2, 2, w // 2, 2).permute(0, 2, 3, 5, 1, 4, 6).reshape(-1, 4 * c).double()
        first, second = first + tokens.sum(0), second + tokens.T @ tokens
        total = total + len(tokens)
    mean = first / total
    variances, directions = torch.linalg.eigh(second / total - torch.outer(mean, mean))
    return mean.float(), variances[-count:].flip(0).float(), directions[:, -count:].T.flip(0).float()


@torch.no_grad()
def whiten_(embedding: nn.Conv3d, components: tuple[Tensor, Tensor, Tensor], noise: float) -> None:
    """Set a patch embedding to whitened components.

    Args:
        embedding: kernel (1, 2, 2); input channels beyond the latent's keep their weights.
        noise: deviation of the noise that its input carries; weaker components are not raised above it.
    """
    mean, variances, directions = components
    channels = len(mean) // 4
    rows = directions / (variances + noise**2).sqrt()[:, None]
    embedding.weight[:, :channels] = rows.reshape(-1, channels, 1, 2, 2)
    assert embedding.bias is not None
    embedding.bias.copy_(-rows @ mean)
