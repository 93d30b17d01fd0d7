"""Operations with kernels for NVIDIA GPUs, and the same in torch's own for all others.

Nothing is built or loaded before the first use on a GPU; there the kernels' results are first compared with the
reference. What keeps a kernel from running is logged once, and the reference does the work.
"""

from .blend import blend_into, gather_blend
from .placement import Axis, Lattice, Placement, placement_of
from .status import KernelStatus, kernel_status
from .warp import mix_along_flow

__all__ = [
    "Axis",
    "KernelStatus",
    "Lattice",
    "Placement",
    "blend_into",
    "gather_blend",
    "kernel_status",
    "mix_along_flow",
    "placement_of",
]
