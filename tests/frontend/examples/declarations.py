"""What an example workflow is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

LOAD, PLAN, MODEL, SAMPLE, FINISH = "#3f789e", "#2f8f8f", "#b58b2a", "#6f6fc0", "#4a9450"
"""Colours of the groups; their titles, in the same colour, can be read in dark and light themes."""


@dataclass(frozen=True)
class File:
    """A model file that a user has to have."""

    name: str
    directory: str
    """Below ComfyUI's models folder."""
    url: str | None = None
    """Where it may be downloaded; None for a file of the user's own making."""

    @property
    def line(self) -> str:
        """For a note."""
        name = f"[{self.name}]({self.url})" if self.url else f"*{self.name}*"
        return f"- {name} in *models/{self.directory}*"


@dataclass(frozen=True)
class Node:
    """One node. A value ``@name.output`` is a link to that output of the node ``name``."""

    type: str
    inputs: dict[str, Any]
    title: str | None = None
    size: tuple[int, int] | None = None
    """(width, height) at least; room for a preview."""
    files: tuple[File, ...] = ()
    """What its widgets name."""


@dataclass(frozen=True)
class Place:
    """Where a node stands, as wide as it is told."""

    x: int
    y: int
    width: int = 235
    folded: bool = False


@dataclass(frozen=True)
class Group:
    """A titled box with columns of nodes, given by name."""

    title: str
    color: str
    columns: list[list[str]]
    box: tuple[int, int, int, int] | None = None
    """(x, y, width, height) where nodes have places of their own; else around the columns."""


@dataclass(frozen=True)
class Pack:
    """Nodes behind a single one: a subgraph."""

    title: str
    category: str
    description: str
    nodes: dict[str, Node]
    groups: list[Group]
    inputs: dict[str, list[str]]
    """Its inputs, and the ``node.input`` that each is connected to inside."""
    outputs: dict[str, str]
    """Its outputs, and the ``node.output`` that each one comes from."""
    widgets: dict[str, str]
    """Its widgets, and the ``node.widget`` that each stands for."""


@dataclass(frozen=True)
class Example:
    """One workflow."""

    name: str
    id: str
    """Of the workflow, for the frontend."""
    nodes: dict[str, Node]
    groups: list[Group]
    places: dict[str, Place] = field(default_factory=dict)
    """Of all nodes, or of none: they then stand in the columns of their groups."""
    ways: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Points that the link to ``node.input`` runs through; only with places."""
    pack: Pack | None = None
    """Stands for the nodes whose type is its title."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
