"""Shared by all tests."""

import os
import threading
from collections.abc import Generator
from typing import Any

# The tensors of tests are so small that a second thread costs more than it gives; in processes that tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from frontend.browser import end_browsers

torch.set_num_threads(1)

LONGEST_BROWSING_S = 300.0
"""Of one test in a browser, with the fixtures that begin and end with it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """A browser that no longer answers is ended, and the call that waits for it fails by name."""
    if item.get_closest_marker("browser") is None:
        return (yield)
    timer = threading.Timer(LONGEST_BROWSING_S, end_browsers)
    timer.daemon = True
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="run tests/faults too, which takes minutes")
