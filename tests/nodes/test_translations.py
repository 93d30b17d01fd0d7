"""The nodes in other languages: nothing missing, nothing left over, and readable by the frontend."""

from __future__ import annotations

import re

import pytest
from fakes.pack import Pack
from translations import (
    LANGUAGES,
    LOCALES,
    english,
    leaves,
    missing,
    object_info,
    outdated,
    read,
    read_messages,
    wrong,
)

from patchvsr_core.run.forecast_text import ENGLISH as FORECAST

INFO = object_info()
ENGLISH = dict(leaves(english(INFO)))
TRANSLATIONS = [language for language in LANGUAGES if language != "en"]
COMPLETE = ["de", "fr", "ko", "zh", "es", "ru", "ja"]
"""Languages in which messages and help pages are all there; in the others what is missing stays English."""
SAME = 0.35
"""Part of the texts that may be as in English: names of things, such as LoRA, and short words."""
SIGNS = "{}@|$"
"""What the frontend's messages take for commands."""
SCRIPTS = {
    "zh": "[\u4e00-\u9fff]",
    "ja": "[\u3040-\u30ff\u4e00-\u9fff]",
    "ko": "[\uac00-\ud7a3]",
    "ru": "[\u0400-\u04ff]",
}


def filled(text: str) -> str:
    """Without the places that are filled in."""
    return re.sub(r"%\(\w+\)s", "", text)


def numbers(text: str) -> list[str]:
    """All numbers of a text, whatever stands between them."""
    return sorted(re.findall(r"\d+(?:[.,]\d+)?", text.replace(",", ".")))


def test_english_is_what_the_nodes_say():
    assert dict(leaves(read("en"))) == ENGLISH, "run python tests/translations.py and commit what it writes"


def test_every_input_and_output_has_a_tooltip():
    places = {place.rsplit("/", 1)[0] for place in ENGLISH if "/inputs/" in place or "/outputs/" in place}
    assert not [place for place in places if f"{place}/tooltip" not in ENGLISH]


def test_all_languages_are_there():
    assert sorted(path.name for path in LOCALES.iterdir()) == sorted(LANGUAGES)


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_nothing_is_missing_and_nothing_left_over(language):
    found = dict(leaves(read(language)))
    assert found.keys() == ENGLISH.keys()
    assert not [place for place, text in found.items() if not text.strip() or text != text.strip()]


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_it_is_of_the_english_of_today(language):
    texts = english(INFO)
    assert not [*outdated(language, texts)]
    texts["nodeDefs.json"]["PatchVSR_Blender"]["inputs"]["tiles"]["tooltip"] += " And more."
    (fault,) = outdated(language, texts)
    assert fault.startswith(f"{language}: PatchVSR_Blender is of other English texts")


@pytest.mark.parametrize("language", COMPLETE)
def test_messages_and_help_pages_are_all_there(language):
    assert not list(missing(language, english(INFO)))


@pytest.mark.parametrize("language", COMPLETE)
def test_nodes_say_the_messages_that_are_there(language, pack: Pack):
    said = pack.part("patchvsr_core.hosts.comfy.language").sentences_of(language)
    assert said is not None
    assert said.translate("Flicker") == read_messages(language)["Flicker"]


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_messages_and_help_pages_fit_their_originals(language):
    """Places, code, links and pictures are the same, names are those on the nodes, pages are not older than English."""
    assert not list(wrong(language, english(INFO)))


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_it_is_translated(language):
    found = dict(leaves(read(language)))
    sentences = [place for place, text in ENGLISH.items() if len(re.findall(r"[A-Za-z]{2,}", filled(text))) > 3]
    same = [place for place in sentences if found[place] == ENGLISH[place]]
    assert not same
    assert sum(found[place] == text for place, text in ENGLISH.items()) < SAME * len(ENGLISH)
    if language in SCRIPTS:
        assert not [place for place in sentences if not re.search(SCRIPTS[language], found[place])]


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_figures_are_those_of_the_original(language):
    found = dict(leaves(read(language)))
    wrong = {place: found[place] for place, text in ENGLISH.items() if numbers(found[place]) != numbers(text)}
    assert not wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_has_signs_that_the_frontend_takes_for_commands(language):
    assert not [place for place, text in leaves(read(language)) if any(sign in text for sign in SIGNS)]


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_the_same_name_is_translated_in_the_same_way_everywhere(language):
    """A widget that several nodes have is called the same on all of them."""
    found, names = dict(leaves(read(language))), {}
    for place, text in ENGLISH.items():
        if place.endswith("/name") and "/inputs/" in place:
            names.setdefault(text, set()).add(found[place])
    assert not {name: different for name, different in names.items() if len(different) > 1}


def places_to_fill(text: str) -> list[str]:
    return sorted(re.findall(r"%\((\w+)\)s", text))


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_what_is_filled_in_is_filled_in(language):
    """In the texts that stand on nodes before a run."""
    found = read(language)["main.json"]["patchvsr"]
    assert {name: places_to_fill(text) for name, text in found.items()} == {
        name: places_to_fill(text) for name, text in FORECAST.items()
    }
