"""Estimators of motion on ComfyUI's device, among them its native OPTICAL_FLOW models."""

from __future__ import annotations

from typing import Any

import comfy.model_management
from torch import Tensor

from ...errors import ModelError
from ...optical_flow.estimators import ESTIMATORS, Estimator
from ...optical_flow.flow import ClipFlows, estimate_clip_flows
from ...optical_flow.raft import CELL_PX, estimator_from_module
from .progress import Progress

CORRELATION_BYTES = 11
"""Per pair of cells: one float32 and its coarser levels, twice while they are made."""
FEATURE_BYTES = 1024
"""Per pixel, of features and of the flow after every update."""


def measure_flows(image: Tensor, method: str, quality: str, optical_flow: Any = None) -> ClipFlows:
    """The motion of a clip; with a progress bar, and until the user cancels.

    Args:
        image: (T, H, W, 3) in [0, 1].
        method: one of :data:`ESTIMATORS`.
        quality: of ``dis``.
        optical_flow: what an OPTICAL_FLOW socket carries; for ``raft``, which needs it.

    Raises:
        ModelError: when ``raft`` has no network that it can use.
    """
    return estimate_clip_flows(image.movedim(-1, 1), _estimator(image, method, quality, optical_flow), Progress())


def _estimator(image: Tensor, method: str, quality: str, optical_flow: Any) -> Estimator:
    if method == "raft":
        return _native_raft(optical_flow, image.shape[1] * image.shape[2])
    if method == "dis":
        return ESTIMATORS[method](quality)
    if method == "pyramid":
        return ESTIMATORS[method](comfy.model_management.get_torch_device())
    return ESTIMATORS[method]()


def _native_raft(optical_flow: Any, pixels: int) -> Estimator:
    """The network of ComfyUI's Load Optical Flow Model: a patcher around torchvision's RAFT."""
    if optical_flow is None:
        raise ModelError(
            "The method raft needs a network: connect Load Optical Flow Model (ComfyUI 0.33 or newer) to optical_flow, "
            "or choose dis."
        )
    network: Any = getattr(optical_flow, "model", None)
    if not (hasattr(network, "feature_encoder") and hasattr(network, "update_block")):
        raise ModelError(
            f"The connected optical_flow is a {type(network).__name__}, not a RAFT of torchvision's; connect "
            "Load Optical Flow Model with raft_large."
        )
    memory = CORRELATION_BYTES * (pixels / CELL_PX**2) ** 2 + FEATURE_BYTES * pixels
    comfy.model_management.load_models_gpu([optical_flow], memory_required=memory)
    return estimator_from_module(network, optical_flow.load_device)
