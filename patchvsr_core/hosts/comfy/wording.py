"""Sentences of the core in the words of ComfyUI: they name flags of the command line where a node has widgets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import PatchVSRError

WIDGETS = {
    r", or name its file with --base-layer": "",
    r"a smaller --scale or --size": "a smaller target, scale or size",
    r"a higher --crf": "a higher crf",
    r"leave them out with --audio none --no-subtitles": "turn keep_subtitles off",
    r"use --no-subtitles": "turn keep_subtitles off",
    r"use --no-alpha": "turn keep_alpha off",
    r"use --depth \d+, or another codec": "choose another codec",
    r"start again with --fresh": "set when_unfinished to start again",
    r"start again \(--fresh\)": "set when_unfinished to start again",
}
"""What to do on the command line, and on Upscale Video."""


def in_words_of_nodes(text: str) -> str:
    """A sentence with widgets instead of flags."""
    for flag, widget in WIDGETS.items():
        text = re.sub(flag, widget, text)
    return text


@contextmanager
def node_wording() -> Iterator[None]:
    """Raise the errors of the block in the words of nodes."""
    try:
        yield
    except PatchVSRError as error:
        said = in_words_of_nodes(str(error))
        if said == str(error):
            raise
        raise type(error)(said) from error
