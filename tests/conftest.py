"""Shared by all tests."""

import os

# The tensors of tests are so small that a second thread costs more than it gives; in processes that tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="run tests/faults too, which takes minutes")
