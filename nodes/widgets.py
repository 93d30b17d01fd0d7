"""Widgets that several nodes have."""

from __future__ import annotations

from comfy_api.latest import io


def scale_widget() -> io.Float.Input:
    """By how much to enlarge."""
    return io.Float.Input("scale", default=4.0, min=1.0, max=16.0, step=0.1, tooltip="Enlargement factor.")


def size_widget() -> io.String.Input:
    """An exact size instead."""
    return io.String.Input(
        "size",
        default="",
        optional=True,
        advanced=True,
        tooltip="Exact output size as WIDTHxHEIGHT instead of the scale; 0 for one side keeps the aspect.",
    )
