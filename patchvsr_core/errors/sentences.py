"""Finds the template that a sentence was made from, and says the same in another language.

Messages stay ordinary f-strings, raised where the problem is. ``locales/<language>/messages.json`` has the templates
that ``tests/translations.py`` collects from them: "The clip has {0} frames.", with ``{0}`` where something is filled
in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

PLACE = re.compile(r"\{(\d+)\}")
JOINTS = ("; ", ", ", " and ", " or ")
"""What lists in messages are joined by."""
BARE = re.compile(r"\.\w+")
"""A suffix: stands in lists, and is the same in every language."""
BRACKETS = str.maketrans("", "", "()")


@dataclass(frozen=True)
class Template:
    """A sentence with places, and its translation."""

    text: str
    translation: str

    @property
    def weight(self) -> int:
        """Letters that are not filled in: of two templates that fit, the one with more of them was meant."""
        return len(PLACE.sub("", self.text))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What fits; a place may hold anything, even nothing."""
        words = PLACE.split(self.text)[::2]
        return re.compile("(.*?)".join(map(re.escape, words)), re.DOTALL)

    def values(self, text: str) -> list[str] | None:
        """What is filled in, in the order of the places; None where the text is not made from this."""
        found = self.pattern.fullmatch(text)
        return None if found is None else list(found.groups())

    def filled(self, values: list[str], own: Callable[[str], str]) -> str:
        """The translation with the values in their places; ``own`` translates a value."""
        return PLACE.sub(lambda place: own(values[int(place[1])]), self.translation)


class Sentences:
    """Of one language.

    Args:
        translations: by template; those that end with a full stop are sentences, others are filled into them.
        names: what nodes and inputs are called, by their English name or id, for messages in which one is filled in;
            a word that is the same in every language may stand for itself.
    """

    def __init__(self, translations: Mapping[str, str], names: Mapping[str, str] = MappingProxyType({})) -> None:
        self.names = names
        self.plain = {text: said for text, said in translations.items() if not PLACE.search(text)}
        templates = [Template(text, said) for text, said in translations.items() if PLACE.search(text)]
        templates.sort(key=lambda template: -template.weight)
        self.sentences = [template for template in templates if template.text.endswith(".")]
        self.phrases = [template for template in templates if not template.text.endswith(".")]

    def translate(self, sentence: str) -> str:
        """The translation; the sentence itself where there is none."""
        if sentence in self.plain:
            return self.plain[sentence]
        return self._filled([*self.sentences, *self.phrases], sentence)

    def template_of(self, sentence: str) -> str | None:
        """The template that a sentence was made from."""
        if sentence in self.plain:
            return sentence
        templates = [*self.sentences, *self.phrases]
        return next((one.text for one in templates if one.values(sentence) is not None), None)

    def _filled(self, templates: list[Template], text: str) -> str:
        for template in templates:
            values = template.values(text)
            if values is not None:
                return template.filled(values, self._value)
        return text

    def _value(self, text: str) -> str:
        """What is filled in: words of ours, a list of them, or anything else, which stays as it is."""
        if text in self.plain or text in self.names:
            return self.plain.get(text) or self.names[text]
        said = self._filled(self.phrases, text)
        return self._list(text) if said == text else said

    def _list(self, text: str) -> str:
        for joint in JOINTS:
            parts = text.split(joint)
            said = [self._value(part) for part in parts] if len(parts) > 1 else parts
            if said != parts or (len(parts) > 1 and all(map(self._is_ours, parts))):
                return self.plain.get(joint, joint).join(said)
        return text

    def _is_ours(self, part: str) -> bool:
        """Whether a part of a list is made of known words alone, such as ``h264 (.mp4``; a file's name is not."""
        return all(word in self.names or BARE.fullmatch(word) for word in part.translate(BRACKETS).split(" "))
