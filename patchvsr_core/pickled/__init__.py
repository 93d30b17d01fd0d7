"""Reads PyTorch's own checkpoint files (.pth, .pt, .ckpt) without unpickling them: nothing in them is ever run.

A pickle is a program. ``torch.load`` restricts what it may call, but has passed TorchScript archives on to another
loader, and trusts sizes that a file declares. So the opcodes of a file are interpreted here, those few that weights
need: they build dictionaries, lists, numbers, text and tensors, and everything else is refused.
"""

from .checkpoints import read_pickled

__all__ = ["read_pickled"]
