"""Every setting is declared once; checks, flags and widgets are made from that."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from patchvsr_core.cli.flags import add_settings
from patchvsr_core.errors import OutputError, PlanError
from patchvsr_core.finish.color_fix import FIXES
from patchvsr_core.plan.planner import LAYOUTS
from patchvsr_core.plan.split_patches import PLANNED, WINDOWS
from patchvsr_core.sampling.solvers import SOLVERS
from patchvsr_core.settings import OPTIONS, TINY, Settings, flag_of, with_new_names
from patchvsr_core.video.journal import NAMES, Journal

BOUNDED = [name for name, option in OPTIONS.items() if option.low > -math.inf]
CHOSEN = [name for name, option in OPTIONS.items() if option.choices]
FORMERLY = {option.formerly: name for name, option in OPTIONS.items() if option.formerly}


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(exit_on_error=False)
    add_settings(command)
    return command


def with_value(name: str, value: Any) -> Settings:
    return replace(Settings(guidance=2.0), **{name: value})


@pytest.mark.parametrize("name", BOUNDED)
def test_a_setting_takes_its_bounds_and_nothing_beyond(name: str) -> None:
    low, high = OPTIONS[name].low, OPTIONS[name].high
    below = low - 1 if isinstance(low, int) else math.nextafter(low, -math.inf)
    assert getattr(with_value(name, low), name) == low
    with pytest.raises(PlanError, match=f"^{name} is "):
        with_value(name, below)
    if high == math.inf:
        with_value(name, 10**9)
        return
    assert getattr(with_value(name, high), name) == high
    above = high + 1 if isinstance(high, int) else math.nextafter(high, math.inf)
    with pytest.raises(PlanError, match="it must lie between"):
        with_value(name, above)


@pytest.mark.parametrize("name", [name for name in BOUNDED if isinstance(OPTIONS[name].low, float)])
def test_what_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(PlanError):
        with_value(name, math.nan)


@pytest.mark.parametrize("name", CHOSEN)
def test_only_known_names_are_taken(name: str) -> None:
    for choice in OPTIONS[name].choices:
        assert getattr(with_value(name, choice), name) == choice
    with pytest.raises(PlanError, match="'best' is unknown; choose one of"):
        with_value(name, "best")


def test_names_are_those_of_the_functions() -> None:
    assert OPTIONS["layout"].choices == tuple(LAYOUTS)
    assert OPTIONS["solver"].choices == tuple(SOLVERS)
    assert OPTIONS["color"].choices == tuple(FIXES)
    assert {PLANNED, *OPTIONS["window"].choices} == set(WINDOWS)


def test_detail_guidance_needs_guidance() -> None:
    with pytest.raises(PlanError, match="guidance above 1"):
        Settings(softening=1.5)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_bounds_are_of_the_fields_type_and_its_default_is_within(name: str) -> None:
    option, default = OPTIONS[name], getattr(Settings(), name)
    assert option.help.endswith(".") and option.group
    for bound in (*option.limits, option.low, option.high, option.step):
        assert bound is None or abs(bound) == math.inf or type(bound) is type(default), bound
    if option.widget:
        assert option.low <= option.widget[0] <= default <= option.widget[1] <= option.high
    if isinstance(default, (int, float)) and not isinstance(default, bool) and not option.flag:
        assert option.step, "a widget needs to know by how much it grows"


@pytest.mark.parametrize("name", list(OPTIONS))
def test_every_setting_has_a_flag(name: str, parser: argparse.ArgumentParser) -> None:
    """It sets that field and nothing else, with the same text and choices."""
    option, default = OPTIONS[name], getattr(TINY, name)
    words = [flag_of(name, option)] + ([] if isinstance(default, bool) else [str(default)])
    given = {key: value for key, value in vars(parser.parse_args(words)).items() if value is not None}
    assert given == {name: True if isinstance(default, bool) else default}
    (action,) = (action for action in parser._actions if flag_of(name, option) in action.option_strings)
    assert (action.help or "").replace("%%", "%").startswith(option.help)
    assert tuple(action.choices or ()) == option.choices


def test_without_flags_all_is_left_to_the_model(parser: argparse.ArgumentParser) -> None:
    given = vars(parser.parse_args([]))
    assert given.keys() == {declared.name for declared in fields(Settings)} and set(given.values()) == {None}


@pytest.mark.parametrize(("old", "name"), FORMERLY.items())
def test_old_flags_work_and_name_the_new_one(
    old: str, name: str, parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = f"--{old.replace('_', '-')}"
    value = vars(parser.parse_args([flag, "1"]))[name]
    assert value == 1 and type(value) is type(getattr(TINY, name))
    said = capsys.readouterr()
    assert said.err == f"patchvsr: {flag} is an old name; use {flag_of(name, OPTIONS[name])}.\n" and not said.out
    assert flag not in parser.format_help()
    parser.parse_args([flag_of(name, OPTIONS[name]), "1"])
    assert capsys.readouterr().err == ""


def test_the_four_old_names() -> None:
    assert FORMERLY == {
        "economy": "skip_interval",
        "churn": "eta",
        "structure_lock": "low_frequency_guidance",
        "cleanup": "restore_strength",
    }
    assert with_new_names(Settings, {"churn": 0.2, "steps": 3}) == {"eta": 0.2, "steps": 3}


def test_the_help_can_be_printed_and_names_every_models_default(parser: argparse.ArgumentParser) -> None:
    text = " ".join(parser.format_help().split())
    assert "Denoising steps. (default: tiny 1, Wan 20, Wan without adapter 10)" in text
    assert "20 % fewer" in text and "(default: 8)" in text


def test_a_run_that_an_earlier_version_left_is_resumed(tmp_path: Path) -> None:
    """Its record has the old names."""
    facts = dict.fromkeys(NAMES, "the same") | {"chunks": [8, 2, [0]]}
    new = facts | {"settings": asdict(replace(TINY, eta=0.5, skip_interval=2))}
    names = {name: old for old, name in FORMERLY.items()}
    old = facts | {"settings": {names.get(name, name): value for name, value in new["settings"].items()}}
    Journal(tmp_path / "out.mp4", ".mkv", old)
    Journal(tmp_path / "out.mp4", ".mkv", new)
    with pytest.raises(OutputError, match="the settings changed"):
        Journal(tmp_path / "out.mp4", ".mkv", facts | {"settings": asdict(TINY)})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", "4", "a whole number"),
        ("steps", 1.5, "a whole number"),
        ("steps", True, "a whole number"),
        ("patch_px", None, "a whole number"),
        ("guidance", "high", "a number"),
        ("guidance", [1.0], "a number"),
        ("lazy_attention", 1, "True or False"),
        ("attention_layers", 3, "text"),
    ],
)
def test_a_setting_of_another_type_is_refused_in_one_sentence(name: str, value: object, words: str) -> None:
    with pytest.raises(PlanError, match=f"{name} is .*; it must be {words}"):
        Settings(**{name: value})
