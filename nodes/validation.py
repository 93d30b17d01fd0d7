"""Checks of widgets before anything runs."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.errors import PlanError


def in_order(node: type[io.ComfyNode], *, strictly: bool = False, **values: float | None) -> bool | str:
    """Whether two widgets of ``node``, the smaller one first, are within their ranges and in order.

    ComfyUI leaves the ranges of the widgets that ``validate_inputs`` names to it, and passes
    None for those that are linked.

    Returns:
        True, or the sentence to show.
    """
    sockets = {socket.id: socket for socket in node.define_schema().inputs}
    for name, value in values.items():
        limits = sockets[name].as_dict()
        low, high = limits["min"], limits["max"]
        if value is not None and not low <= value <= high:
            return str(PlanError(f"{name} is {value}; it must lie between {low} and {high}."))
    (small_name, small), (large_name, large) = values.items()
    if small is None or large is None or small < large or (small == large and not strictly):
        return True
    if strictly:
        return str(PlanError(f"{small_name} ({small}) must be smaller than {large_name} ({large})."))
    return str(PlanError(f"{small_name} ({small}) must not exceed {large_name} ({large})."))
