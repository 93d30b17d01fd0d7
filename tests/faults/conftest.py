"""Faults on purpose: run with ``python -m pytest tests/faults --faults``; every test ends within its time limit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIMIT_SECONDS = 300
HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark everything in this folder, and skip it unless asked for."""
    skip = pytest.mark.skip(reason="takes minutes; run with --faults")
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.faults)
        if not config.getoption("--faults"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _time_limit() -> Iterator[None]:
    """A run that hangs is a fault too. Windows has no such alarm."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"the test took longer than {LIMIT_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
