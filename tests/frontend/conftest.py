"""Browser tests end: a browser that no longer answers is ended, and the call that waits for it fails by name."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest
from fakes.fixtures import pack
from frontend.browser import end_browsers

__all__ = ["pack"]
LONGEST_S = 300.0
"""Of one test, with the fixtures that begin and end with it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    timer = threading.Timer(LONGEST_S, end_browsers)
    timer.daemon = True
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()
