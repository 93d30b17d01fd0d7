"""In which language the artist reads: the page tells it, as the server cannot know what a browser prefers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors.sentences import Sentences
from ...run.forecast_text import ENGLISH, Words
from ...video.encoders import CODECS

try:
    from server import PromptServer
except ImportError:  # outside a server
    PromptServer = None

LOCALES = Path(__file__).parents[3] / "locales"
LANGUAGE = re.compile(r"[A-Za-z-]{2,8}")
BRACKETED = re.compile(r"[(\uff08](.+)[)\uff09]$")
"""Chinese and Japanese have brackets of their own."""
MOST_LANGUAGES = 32
MOST_PAGES = 256
LONGEST_PAGE = 64

_pages: dict[str, str] = {}
"""Language by the page that told it, the last one last."""
_reading: ContextVar[str | None] = ContextVar("reading", default=None)


def set_language(page: str, language: str) -> None:
    """Keep the language of an open page.

    Args:
        page: its client id, by which ComfyUI knows it too.
    """
    _pages.pop(page, None)
    _pages[page] = language
    while len(_pages) > MOST_PAGES:
        del _pages[next(iter(_pages))]


@contextmanager
def reading(language: str) -> Iterator[None]:
    """In the block sentences are for someone who reads this language."""
    token = _reading.set(language)
    try:
        yield
    finally:
        _reading.reset(token)


def language_of_reader() -> str:
    """Of the page whose prompt runs; before one runs, of the page that told its language last."""
    page = getattr(getattr(PromptServer, "instance", None), "client_id", None)
    last = next(reversed(_pages.values()), "en")
    return _reading.get() or _pages.get(page or "", last)


def translate(sentence: str) -> str:
    """A sentence for whoever reads it; English where it has no translation."""
    sentences = sentences_of(language_of_reader())
    return sentence if sentences is None else sentences.translate(sentence)


@lru_cache(maxsize=MOST_LANGUAGES)
def sentences_of(language: str) -> Sentences | None:
    """The messages in a language; None where there are none, or need not be."""
    found = {} if language == "en" else _read(language, "messages.json")
    return Sentences(found, _names(language)) if found else None


def _names(language: str) -> dict[str, str]:
    """What a language calls widgets and sockets, by id, which has one name on all nodes, and nodes, by English name."""
    english, nodes = _read("en", "nodeDefs.json"), _read(language, "nodeDefs.json")
    names = {codec: codec for codec in CODECS}
    for key, node in nodes.items():
        names |= {name: texts["name"] for name, texts in node.get("inputs", {}).items() if "name" in texts}
        names[_short(english[key]["display_name"])] = _short(node["display_name"])
    return names


def _short(title: str) -> str:
    """What messages call a node: what stands in brackets at the end of its title, if anything does."""
    found = BRACKETED.search(title)
    return found[1] if found else title


@lru_cache(maxsize=MOST_LANGUAGES)
def words_of(language: str) -> Words:
    """What stands on nodes in a language; English where there is none."""
    return {**ENGLISH, **_read(language, "main.json").get("patchvsr", {})}


def _read(language: str, name: str) -> Mapping[str, Any]:
    path = LOCALES / language / name
    if LANGUAGE.fullmatch(language) is None or not path.is_file():
        return {}
    return json.loads(path.read_text("utf-8"))
