"""Calls a benchmark as its command line does."""

from __future__ import annotations

import sys

import pytest


def call(module: object, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [str(module.__file__), *map(str, arguments)])  # type: ignore[attr-defined]
    module.main()  # type: ignore[attr-defined]
