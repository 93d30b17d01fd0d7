"""Windows along time, as models are asked about them."""

from __future__ import annotations


class IndexListContextWindow:
    """The latent frames of a window."""

    def __init__(self, index_list: list[int], dim: int = 0, total_frames: int = 0) -> None:
        self.index_list, self.dim, self.total_frames = index_list, dim, total_frames
