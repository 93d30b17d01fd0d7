"""Widgets that several nodes have."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..patchvsr_core.plan.target_size import CUSTOM, MAX_SCALE, TARGETS
from ..patchvsr_core.settings import OPTIONS, Settings

AUTO = "auto"
"""The default of the model, as the value of a choice."""
OWN = "0: what suits the model."
"""The default of the model, as the value of a number."""


def setting_widget(
    name: str,
    widget_id: str = "",
    *,
    default: Any = None,
    own: bool = False,
    tooltip: str = "",
    more: str = "",
    advanced: bool | None = None,
    optional: bool = False,
    **facts: Any,
) -> Any:
    """The widget of a setting, as its field declares it.

    Args:
        name: field of :class:`settings.Settings`.
        widget_id: where it is not the field's name; saved workflows know it.
        default: where it is not the field's.
        own: the first choice leaves the setting to the model: 0, or ``auto``.
        tooltip: instead of the option's help.
        more: said after it.
        advanced: where it is not the option's.
        facts: passed on to ComfyUI's input.
    """
    chosen = OPTIONS[name]
    value = getattr(Settings(), name) if default is None else default
    if own:
        value, more = (AUTO, more) if chosen.choices else (0, OWN)
    common = {
        "display_name": chosen.title or None,
        "tooltip": f"{tooltip or chosen.help} {more}".rstrip(),
        "advanced": (chosen.advanced if advanced is None else advanced) or None,
        "optional": optional,
        "default": value,
        **facts,
    }
    socket = widget_id or name
    if chosen.choices:
        return io.Combo.Input(socket, options=[*([AUTO] if own else []), *chosen.choices], **common)
    if isinstance(value, bool):
        return io.Boolean.Input(socket, **common)
    if isinstance(value, str):
        return io.String.Input(socket, **common)
    low, high = setting_limits(name, own=own)
    kind = io.Float if isinstance(value, float) else io.Int
    return kind.Input(socket, min=low, max=high, step=chosen.step, **common)


def setting_limits(name: str, *, own: bool = False) -> tuple[float, float]:
    """(least, greatest) value of a setting's widget; with ``own`` 0 is one too."""
    low, high = OPTIONS[name].limits
    return (0 if own else low), high


def upscaler_socket(more: str) -> Any:
    """An image upscaler that makes the base layer."""
    return io.UpscaleModel.Input(
        "upscale_model",
        optional=True,
        tooltip="From Load Upscale Model (ESRGAN, SPAN, DAT and the like): makes the base layer, frame by frame. "
        f"{more}",
    )


def scale_widget() -> io.Float.Input:
    """By how much to upscale, to two decimals: 2.25 makes 480 lines 1080."""
    return io.Float.Input(
        "scale",
        default=4.0,
        min=1.0,
        max=MAX_SCALE,
        step=0.05,
        round=0.01,
        tooltip="Upscale factor.",
    )


def target_widget() -> io.Combo.Input:
    """The size by a name that people use; ``web/target_size.js`` greys out what it makes idle."""
    return io.Combo.Input(
        "target",
        options=list(TARGETS),
        default=CUSTOM,
        optional=True,
        tooltip="Size of the result. custom: as scale says, or size where it is filled in. 720p to 8K: as large as "
        "fits into such a screen, aspect ratio kept.",
    )


def size_widget() -> io.String.Input:
    """An exact size instead."""
    return io.String.Input(
        "size",
        default="",
        optional=True,
        advanced=True,
        tooltip="Exact output size as WIDTHxHEIGHT instead of scale; 0 for one side keeps the aspect ratio.",
    )


def finishing_widgets() -> list[Any]:
    """What a refiner aims at, and how far the result has to agree with the input."""
    return [
        setting_widget("fidelity_rounds", "rounds", advanced=True),
        setting_widget("fidelity_strength", "fidelity"),
        setting_widget("detail"),
        setting_widget("restore_strength", "cleanup"),
    ]


def tile_widgets() -> list[Any]:
    """The grid on which a VAE decodes."""
    return [setting_widget("tile_px"), setting_widget("tile_overlap_px", "overlap_px")]


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
            tooltip=f"Protects faces, text and logos: black keeps {protects}, white gives the full result, grey is in "
            f"between. One mask for all frames or one per frame, of any size. {advice}".rstrip(),
        ),
        io.Float.Input(
            "map_white",
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.05,
            optional=True,
            advanced=True,
            tooltip="What white in the strength map means. 1: the result. 2: twice the detail, to boost "
            "texture; mid-grey is then the result.",
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
