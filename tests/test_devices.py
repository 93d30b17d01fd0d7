"""Timing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from patchvsr_core import devices


@pytest.mark.parametrize(
    ("seconds", "expected", "calls"),
    [
        ([9.0, 0.2, 0.05, 0.1], 0.05, 4),  # a busy moment, and two that were not
        ([9.0, 0.3, 0.25], 0.25, 3),  # enough after half a second
        ([9.0, 2.0], 2.0, 2),
    ],
)
def test_the_fastest_of_short_calls_counts_and_long_ones_are_not_repeated(
    seconds: list[float], expected: float, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(seconds)
    done: list[float] = []

    def time_call(work: Callable[[], object]) -> float:
        work()
        return next(left)

    monkeypatch.setattr(devices, "time_call", time_call)
    assert devices.time_warm_call(lambda: done.append(0.0)) == expected
    assert len(done) == calls
