"""Which node runs: none, in the stand-in."""

from __future__ import annotations

from typing import Any


def get_executing_context() -> Any:
    return None
