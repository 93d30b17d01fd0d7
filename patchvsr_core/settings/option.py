"""How a setting is declared: once, as metadata of its field, from which flags, widgets and checks are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, TypeVar, cast

from ..errors import PlanError, phrase

Value = TypeVar("Value")
KINDS: dict[type, tuple[type, str]] = {
    bool: (bool, phrase("True or False")),
    int: (Integral, phrase("a whole number")),
    float: (Real, phrase("a number")),
    str: (str, phrase("text")),
}
"""By the type of a default: what a value has to be, and how messages call that."""
KEY = "option"
"""Of the metadata."""


@dataclass(frozen=True)
class Option:
    """What is known about a setting beside its type and default."""

    help: str
    """One text for the flag and the tooltip."""
    group: str = ""
    """Heading under which ``--help`` lists it."""
    low: float = -math.inf
    high: float = math.inf
    """Least and greatest value; other parts judge further, as the planner does patch sizes."""
    widget: tuple[float, float] | None = None
    """Range of a widget, where it is narrower than that of the setting."""
    step: float | None = None
    """By which a widget's value grows."""
    choices: tuple[str, ...] = ()
    flag: str = ""
    """On the command line; empty: made from the name of the field."""
    title: str = ""
    """What widgets are called, where their id is an older name."""
    formerly: str = ""
    """The field's name in earlier versions; its flag still works."""
    advanced: bool = False
    """Whether nodes hide the widget at first."""

    @property
    def limits(self) -> tuple[float, float]:
        """(least, greatest) value of a widget."""
        return self.widget or (self.low, self.high)

    def check(self, name: str, value: Any, default: Any = None) -> None:
        """Raise unless a setting may have this value.

        Args:
            default: a value of the type that the setting has.

        Raises:
            PlanError: for a value of another type, out of range, or none of the choices.
        """
        if not self.choices and type(default) in KINDS:
            kind, words = KINDS[type(default)]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise PlanError(f"{name} is {str(value)[:40]!r}; it must be {words}.")
        if self.choices and value not in self.choices:
            what = name.replace("_", " ").capitalize()
            raise PlanError(f"{what} {value!r} is unknown; choose one of {', '.join(self.choices)}.")
        if self.low == -math.inf or self.low <= value <= self.high:
            return
        if self.high == math.inf:
            raise PlanError(f"{name} is {value}; it must be at least {self.low}.")
        raise PlanError(f"{name} is {value}; it must lie between {self.low} and {self.high}.")


def option(default: Value, help: str, **facts: Any) -> Value:
    """Declare a field of a dataclass as a setting; see :class:`Option` for the facts."""
    return field(default=default, metadata={KEY: Option(help, **facts)})


def fraction(default: float, help: str, **facts: Any) -> float:
    """Declare a part or a strength, 0 to 1."""
    return option(default, help, low=0.0, high=1.0, step=0.05, **facts)


def noise_level_option(default: float, help: str, **facts: Any) -> float:
    """Declare a noise level of a flow, 0 (clean) to 1 (noise alone)."""
    return option(default, help, low=0.0, high=1.0, step=0.01, **facts)


def option_of(declared: Field[Any]) -> Option:
    """What a field was declared with."""
    return cast("Option", declared.metadata[KEY])


def options_of(settings: Any) -> dict[str, Option]:
    """All settings of a dataclass by the names of their fields."""
    return {declared.name: option_of(declared) for declared in fields(settings)}


def flag_of(name: str, chosen: Option) -> str:
    """The command-line flag of a field."""
    return chosen.flag or f"--{name.replace('_', '-')}"


def with_new_names(settings: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that were stored by an earlier version, under the names that fields have now."""
    new = {chosen.formerly: name for name, chosen in options_of(settings).items() if chosen.formerly}
    return {new.get(name, name): value for name, value in values.items()}
