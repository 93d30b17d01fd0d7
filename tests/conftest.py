"""Shared by all tests."""

import pytest
import torch

# The tensors of tests are so small that a second thread costs more than it gives.
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="run tests/faults too, which takes minutes")
