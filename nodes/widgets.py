"""Widgets that several nodes have."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

AUTO = "auto"
"""What suits the model, in the place of a layout."""


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


def finishing_widgets() -> list[io.Int.Input | io.Float.Input]:
    """What a refiner aims at, and how far the result has to agree with the input."""
    return [
        io.Int.Input(
            "rounds",
            default=8,
            min=0,
            max=32,
            tooltip="Rounds of back-projection, at most; 0 turns it off.",
        ),
        io.Float.Input(
            "fidelity",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="1: the result, shrunk again, is the input. Lower keeps more of what the model made.",
        ),
        io.Float.Input(
            "detail",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="What the refiner aims at: the most probable picture (0) or one as crisp as the original "
            "may have been (1). 0.5 is a good choice for viewing. It costs no time.",
        ),
        io.Float.Input(
            "cleanup",
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="Noise and compression are measured and removed. 1: as measured. Higher removes more. "
            "0 keeps them, film grain too: the result, shrunk again, is exactly the input.",
        ),
    ]


def tile_widgets() -> list[io.Int.Input]:
    """The grid on which a VAE decodes."""
    return [
        io.Int.Input(
            "tile_px",
            default=512,
            min=128,
            max=4096,
            step=64,
            tooltip="Side of a tile. Smaller tiles need less memory.",
        ),
        io.Int.Input(
            "overlap_px", default=64, min=16, max=512, step=16, tooltip="Pixels that neighbouring tiles share."
        ),
    ]


def economy_widget() -> io.Int.Input:
    """How often calm patches run."""
    return io.Int.Input(
        "economy",
        default=1,
        min=1,
        max=16,
        optional=True,
        advanced=True,
        tooltip="Patches with nothing in them (black bars, clear sky) or that stand still run only at every n-th "
        "step, n being this number; started from the input, empty ones never run. 1: all run at every step. 2 saves "
        "time on such clips.",
    )


def strength_widgets(protects: str, advice: str = "") -> list[io.Mask.Input | io.Float.Input]:
    """Where the result has to stay as the input.

    Args:
        protects: what black keeps, for the tooltip.
        advice: said at its end.
    """
    return [
        io.Mask.Input(
            "strength_map",
            optional=True,
            tooltip=f"Protects faces, text, logos: black keeps {protects}, white is the full result, grey is between. "
            f"One mask for all frames or one for each, of any size. {advice}".rstrip(),
        ),
        io.Float.Input(
            "map_white",
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="What white in the strength map stands for. 1: the result. 2: twice the detail, to boost texture; "
            "middle grey then is the result.",
        ),
    ]


def span_widgets(
    begin: str,
    end: str,
    *,
    names: tuple[str, str] = ("start_percent", "end_percent"),
    start: float = 0.0,
    advanced: bool = True,
) -> list[io.Float.Input]:
    """From which part of the denoising to which something acts.

    Args:
        begin, end: tooltips of the two.
        start: default of the first.
    """
    choices = ((names[0], start, begin), (names[1], 1.0, end))
    return [
        io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, advanced=advanced, tooltip=tooltip)
        for name, default, tooltip in choices
    ]


def span_sigmas(model: Any, start_percent: float, end_percent: float) -> tuple[float, float]:
    """The noise levels of both in the schedule of ``model``."""
    percent_to_sigma = model.get_model_object("model_sampling").percent_to_sigma
    return percent_to_sigma(start_percent), percent_to_sigma(end_percent)
