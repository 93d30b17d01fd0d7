"""Exceptions. Every message gives the value, the rule that it violates and the remedy."""

from __future__ import annotations

from collections.abc import Callable


class PatchVSRError(Exception):
    """Base class of problems that users can fix; the message is one sentence written for them.

    Args:
        problem: the whole sentence; without remedy and full stop where the remedy depends on where it is read.
        flag: remedy on the command line.
        node: remedy inside ComfyUI; a problem with a ``flag`` alone cannot occur there.
    """

    def __init__(self, problem: str, flag: str = "", node: str = "") -> None:
        super().__init__(*((problem, flag, node) if flag else (problem,)))  # what it is pickled by
        self.problem, self.flag, self.node = problem, flag, node

    def __str__(self) -> str:
        remedy = (_words and self.node) or self.flag
        return say(f"{self.problem}; {remedy}." if remedy else self.problem)


class PlanError(PatchVSRError):
    """An invalid size, scale or layout."""


class ModelError(PatchVSRError):
    """A base model, VAE or refiner that cannot be used."""


class AdapterError(ModelError):
    """An adapter file that is damaged or made for another base model."""


class MediaError(PatchVSRError):
    """An input that cannot be decoded."""


class OutputError(PatchVSRError):
    """An output that cannot be written."""


class ProcessGroupError(PatchVSRError):
    """Another process of the group exited."""


class Cancelled(PatchVSRError):
    """The user cancelled the run."""


_words: list[Callable[[str], str]] = []
"""Empty on the command line; inside a host with an interface, what translates a sentence for whoever reads it."""


def speak_inside_comfyui(words: Callable[[str], str]) -> None:
    """From now on messages name the remedies of nodes, in the words of a host.

    Args:
        words: returns an English sentence in the language of whoever reads it.
    """
    _words[:] = [words]


def say(sentence: str) -> str:
    """A sentence in the language of whoever reads it; English unless a host has other words."""
    return _words[0](sentence) if _words else sentence


def phrase(text: str) -> str:
    """Mark a notice, or words that are filled into a message, for translation; they are translated where shown."""
    return text
