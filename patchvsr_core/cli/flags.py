"""The flags of the settings, made from their declarations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..settings import BASE_LAYERS, OPTIONS, TINY, UPSCALER, WAN, WAN_PLAIN, Option, Settings, flag_of

TYPES = {"int": int, "float": float, "str": str}
"""Of the fields' values, by their annotations."""


class NamesOrFile(tuple[str, ...]):
    """Choices of a flag that also takes the path of a file, as ``--base-layer`` does that of an image upscaler."""

    def __contains__(self, value: object) -> bool:
        return super().__contains__(value) or Path(str(value)).is_file()


class RenamedFlag(argparse.Action):
    """An old flag: does what the new one does, and names it on stderr."""

    def __init__(self, option_strings: Sequence[str], dest: str, new: str = "", **facts: Any) -> None:
        super().__init__(option_strings, dest, **facts)
        self.new = new

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        print(f"patchvsr: {option_string} is an old name; use {self.new}.", file=sys.stderr)
        setattr(namespace, self.dest, values)


def add_settings(command: argparse.ArgumentParser) -> None:
    """Add a flag for every setting; where it is not given its value is None, and the model's own counts."""
    groups: dict[str, Any] = {}
    for declared in fields(Settings):
        chosen = OPTIONS[declared.name]
        if chosen.group not in groups:
            groups[chosen.group] = command.add_argument_group(chosen.group)
        _add_flag(groups[chosen.group], declared.name, str(declared.type), chosen)


def chosen_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the user chose, by their names; the file of an image upscaler is the base layer ``upscaler``.

    Args:
        options: of the command line, None where nothing was chosen.
    """
    given = {name: options[name] for name in OPTIONS if options.get(name) is not None}
    if given.get("base_layer", UPSCALER) not in BASE_LAYERS:
        given["base_layer"] = UPSCALER
    return given


def _add_flag(group: Any, name: str, kind: str, chosen: Option) -> None:
    text = f"{chosen.help} ({_default(name)})".replace("%", "%%")
    flag = flag_of(name, chosen)
    if kind == "bool":
        group.add_argument(flag, dest=name, action="store_true", default=None, help=chosen.help.replace("%", "%%"))
        return
    values: dict[str, Any] = {"choices": chosen.choices} if chosen.choices else {"type": TYPES[kind]}
    if name == "base_layer":
        values = {"choices": NamesOrFile(chosen.choices), "metavar": f"{{{','.join(chosen.choices)}}}|FILE"}
    group.add_argument(flag, dest=name, help=text, **values)
    if chosen.formerly:
        old = flag_of(chosen.formerly, Option(""))
        group.add_argument(old, dest=name, action=RenamedFlag, new=flag, help=argparse.SUPPRESS, **values)


def _default(name: str) -> str:
    """What counts without the flag; models may differ."""
    tiny, wan, plain = (getattr(settings, name) for settings in (TINY, WAN, WAN_PLAIN))
    if tiny == wan == plain:
        return f"default: {tiny}"
    if wan == plain:
        return f"default: tiny {tiny}, Wan {wan}"
    return f"default: tiny {tiny}, Wan {wan}, Wan without adapter {plain}"
