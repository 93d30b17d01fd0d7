"""Divides the chunks of a job among machines: a share is a list of chunks that follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..plan.chunks import Chunk

Share = tuple[int, ...]
"""Numbers of chunks, ascending."""
MOST_PARTS = 10**4


@dataclass(frozen=True)
class Part:
    """Part ``number`` of ``count``, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_part(text: str) -> Part:
    """A part from text such as ``2/3``.

    Raises:
        ValueError: for anything else.
    """
    number, _, count = text.partition("/")
    part = Part(int(number), int(count))
    if not 1 <= part.number <= part.count <= MOST_PARTS:
        raise ValueError(f"there is no part {text}")
    return part


def plan_shares(chunks: Sequence[Chunk], count: int, *, whole_shots: bool) -> tuple[Share, ...]:
    """Give every chunk to one of ``count`` shares, in order and with about as many frames in each.

    Args:
        whole_shots: a shot stays in one share, because its chunks carry a state from one to the next.

    Returns:
        ``count`` shares, the same on every machine; some are empty where there is less to divide.
    """
    total = sum(chunk.length for chunk in chunks)
    shares: list[list[int]] = [[] for _ in range(count)]
    done = 0
    for unit in _units(chunks, whole_shots):
        length = sum(chunks[number].length for number in unit)
        middle = done + length / 2
        shares[min(count - 1, int(middle * count / total))] += unit
        done += length
    return tuple(map(tuple, shares))


def _units(chunks: Sequence[Chunk], whole_shots: bool) -> list[list[int]]:
    """What is not divided any further: shots or chunks."""
    units: list[list[int]] = []
    for number, chunk in enumerate(chunks):
        if whole_shots and chunk.continues_shot:
            units[-1].append(number)
        else:
            units.append([number])
    return units
