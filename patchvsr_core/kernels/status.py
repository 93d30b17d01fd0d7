"""Which kernels are live on a device, and why not."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .launch import BLEND, WARP

GPU_CHECKED: tuple[str, ...] = ()
"""Names of the GPUs on which the kernels were compared with the reference and timed."""


@dataclass(frozen=True)
class KernelStatus:
    """Of one file of kernels on one device."""

    name: str
    live: bool
    reason: str
    """Why it is not live; empty if it is."""
    gpu_checked: bool
    """It was compared and timed on such a GPU before; otherwise only what it does first is compared, at first use."""

    def __str__(self) -> str:
        mark = "" if self.gpu_checked else ", not GPU-checked"
        return f"{'live' if self.live else f'off ({self.reason})'}{mark}"


def kernel_status(device: torch.device) -> list[KernelStatus]:
    """Load all kernels on ``device`` and say what came of it; on other than CUDA devices there are none."""
    if device.type != "cuda":
        return [
            KernelStatus(file.name, False, f"kernels are for CUDA GPUs, not {device.type}", False)
            for file in (BLEND, WARP)
        ]
    checked = torch.cuda.get_device_name(device) in GPU_CHECKED
    reasons = {file.name: file.on(device).reason for file in (BLEND, WARP)}
    return [KernelStatus(name, not reason, reason, checked) for name, reason in reasons.items()]
