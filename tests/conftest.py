"""Shared by all tests."""

import os
import threading
from collections.abc import Generator
from typing import Any

# The tensors of tests are so small that a second thread costs more than it gives; in processes that tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
import tqdm
from frontend.browser import end_browsers
from watch import watch

torch.set_num_threads(1)

# Its thread, which looks for bars that stand still, would collect other tests' garbage while one waits.
tqdm.tqdm.monitor_interval = 0

LONGEST_BROWSING_S, LONGEST_S = 300, 600
"""Of one test in a browser, and of any, with the fixtures that begin and end with it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """A browser that no longer answers is ended, so that the call that waits for it fails by name; then the process."""
    finished = threading.Event()
    watch(finished, LONGEST_S, lambda: os._exit(1))
    if item.get_closest_marker("browser") is not None:
        watch(finished, LONGEST_BROWSING_S, end_browsers)
    try:
        return (yield)
    finally:
        finished.set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="run tests/faults too, which takes minutes")
