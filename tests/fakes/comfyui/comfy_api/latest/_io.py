"""Schemas of nodes, and the entries of ``/object_info`` that the server makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any


def given(**options: Any) -> dict[str, Any]:
    """The options that were set."""
    return {name: value for name, value in options.items() if value is not None}


class Input:
    """A socket. Subclasses bind ``io_type``."""

    io_type = ""
    is_widget = False

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.id, self.optional, self.tooltip, self.default = id, optional, tooltip, None
        self.options = given(
            display_name=display_name, tooltip=tooltip, lazy=lazy, rawLink=raw_link, advanced=advanced
        ) | (extra_dict or {})

    def as_dict(self) -> dict[str, Any]:
        return dict(self.options)


class WidgetInput(Input):
    """A socket with a widget: its value may also be typed in."""

    is_widget = True

    def __init__(self, id: str, default: Any, common: dict[str, Any], **options: Any) -> None:
        socketless, force_input = common.pop("socketless", None), common.pop("force_input", None)
        super().__init__(id, **common)
        self.default = default
        self.options |= given(default=default, socketless=socketless, forceInput=force_input, **options)


class Output:
    """A socket on the right. Subclasses bind ``io_type``."""

    io_type = ""

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        self.id, self.display_name = id, display_name or id
        self.tooltip, self.is_output_list = tooltip, is_output_list


def Custom(io_type: str) -> Any:  # noqa: N802 - the real name
    """A type with ``Input``, ``Output`` and ``Type``; sockets connect when the names are equal."""
    return _bound(io_type, Input)


def _bound(io_type: str, input_class: type[Input], python_type: Any = Any) -> Any:
    bound = {"io_type": io_type}
    sockets = {"Input": type("Input", (input_class,), bound), "Output": type("Output", (Output,), bound)}
    return type(io_type.title(), (), {**bound, **sockets, "Type": python_type})


class _Boolean(WidgetInput):
    def __init__(
        self, id: str, *, default: bool | None = None, label_on: Any = None, label_off: Any = None, **common: Any
    ) -> None:
        super().__init__(id, default, common, label_on=label_on, label_off=label_off)


class _Int(WidgetInput):
    def __init__(
        self,
        id: str,
        *,
        default: int | None = None,
        min: int | None = None,
        max: int | None = None,
        step: int | None = None,
        control_after_generate: Any = None,
        display_mode: Any = None,
        **common: Any,
    ) -> None:
        control = getattr(control_after_generate, "value", control_after_generate)
        numbers = {"min": min, "max": max, "step": step, "display": display_mode}
        super().__init__(id, default, common, control_after_generate=control, **numbers)


class _Float(WidgetInput):
    def __init__(
        self,
        id: str,
        *,
        default: float | None = None,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        round: float | None = None,
        display_mode: Any = None,
        **common: Any,
    ) -> None:
        super().__init__(id, default, common, min=min, max=max, step=step, round=round, display=display_mode)


class _String(WidgetInput):
    def __init__(
        self,
        id: str,
        *,
        multiline: bool = False,
        placeholder: str | None = None,
        default: str | None = None,
        dynamic_prompts: bool | None = None,
        **common: Any,
    ) -> None:
        text = {"multiline": multiline, "placeholder": placeholder, "dynamicPrompts": dynamic_prompts}
        super().__init__(id, default, common, **text)


class _Combo(WidgetInput):
    def __init__(
        self,
        id: str,
        options: list[str],
        *,
        default: str | None = None,
        control_after_generate: Any = None,
        **common: Any,
    ) -> None:
        choices = {"multiselect": False, "options": options, "control_after_generate": control_after_generate}
        super().__init__(id, default, common, **choices)


Boolean = _bound("BOOLEAN", _Boolean, bool)
Int = _bound("INT", _Int, int)
Float = _bound("FLOAT", _Float, float)
String = _bound("STRING", _String, str)
Combo = _bound("COMBO", _Combo, str)
Image, Mask, Video, Audio = Custom("IMAGE"), Custom("MASK"), Custom("VIDEO"), Custom("AUDIO")
Model, ModelPatch, Vae, Clip = Custom("MODEL"), Custom("MODEL_PATCH"), Custom("VAE"), Custom("CLIP")
Conditioning, Latent, Noise, Guider = Custom("CONDITIONING"), Custom("LATENT"), Custom("NOISE"), Custom("GUIDER")
Sampler, Sigmas, UpscaleModel = Custom("SAMPLER"), Custom("SIGMAS"), Custom("UPSCALE_MODEL")


class FolderType(str, Enum):
    input = "input"
    output = "output"
    temp = "temp"


class Hidden(str, Enum):
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    unique_id = "UNIQUE_ID"


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"


class ControlAfterGenerate:
    fixed, increment, decrement, randomize = "fixed", "increment", "decrement", "randomize"


@dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def validate(self) -> None:
        ids = [socket.id for socket in self.inputs]
        if len(set(ids)) < len(ids):
            raise ValueError(f"Input ids must be unique: {ids}")

    def get_v1_info(self, cls: type[ComfyNode]) -> dict[str, Any]:
        """The entry of ``/object_info``."""
        inputs: dict[str, dict[str, Any]] = {"required": {}}
        for socket in self.inputs:
            group = inputs.setdefault("optional" if socket.optional else "required", {})
            group[socket.id] = [socket.io_type, socket.options]
        for wanted in self.hidden:
            inputs.setdefault("hidden", {})[wanted.name] = [wanted.value]
        if self.is_output_node:
            inputs["hidden"] = {"prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"]}
        return {
            "input": inputs,
            "input_order": {group: list(sockets) for group, sockets in inputs.items()},
            "is_input_list": self.is_input_list,
            "output": [socket.io_type for socket in self.outputs],
            "output_is_list": [socket.is_output_list for socket in self.outputs],
            "output_name": [socket.display_name or socket.io_type for socket in self.outputs],
            "output_tooltips": [socket.tooltip for socket in self.outputs],
            "output_matchtypes": None,
            "name": self.node_id,
            "display_name": self.display_name,
            "description": self.description,
            "python_module": cls.RELATIVE_PYTHON_MODULE,
            "category": self.category,
            "output_node": self.is_output_node,
            "deprecated": self.is_deprecated,
            "experimental": self.is_experimental,
            "dev_only": self.is_dev_only,
            "api_node": self.is_api_node,
            "price_badge": None,
            "search_aliases": self.search_aliases or None,
            "essentials_category": self.essentials_category,
            "has_intermediate_output": self.has_intermediate_output,
        }


class ComfyNode:
    RELATIVE_PYTHON_MODULE = "nodes"
    hidden = SimpleNamespace(prompt=None, extra_pnginfo=None, unique_id=None)

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError

    @classmethod
    def execute(cls, **kwargs: Any) -> NodeOutput:
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802 - the real name
        schema = cls.define_schema()
        schema.validate()
        return schema


class NodeOutput:
    """What ``execute`` answers: one value per output socket."""

    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args, self.ui = args, ui

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class NodeReplace:
    """Which node takes the place of one that is no more."""

    def __init__(
        self,
        new_node_id: str,
        old_node_id: str,
        old_widget_ids: list[str] | None = None,
        input_mapping: list[dict[str, Any]] | None = None,
        output_mapping: list[dict[str, int]] | None = None,
    ) -> None:
        self.new_node_id, self.old_node_id, self.old_widget_ids = new_node_id, old_node_id, old_widget_ids
        self.input_mapping, self.output_mapping = input_mapping, output_mapping
