"""Messages in the language of whoever reads them: collected from the code, found again, and said in other words."""

from __future__ import annotations

import json
import pickle
import re

import pytest
import sentences
from fakes.pack import Pack
from sentences import PLACE, UnreadableError, collect
from translations import LANGUAGES, LOCALES, MESSAGES, read_messages

from patchvsr_core.errors.sentences import Sentences

FLAG = re.compile(r"(?<![\w-])--[a-z]")
SAMPLES = ("frame_0001.exr", "17", "'a b'")
"""What is filled in, in turn."""
TEMPLATES = sorted(collect())


@pytest.fixture
def comfyui(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> Pack:
    """The pack with a German page and a message of ours in German."""
    language = pack.part("patchvsr_core.hosts.comfy.language")
    german = Sentences({"The clip has {0} frames.": "Der Clip hat {0} Bilder."})
    monkeypatch.setattr(language, "sentences_of", {"de": german}.get)
    monkeypatch.setattr(language, "_pages", {})
    return pack


def filled(template: str, values: list[str]) -> str:
    return PLACE.sub(lambda place: values[int(place[1])], template)


def values_for(template: str) -> list[str]:
    return [SAMPLES[number % len(SAMPLES)] for number in range(len(PLACE.findall(template)))]


def test_every_message_has_its_key_in_english() -> None:
    written = json.loads((LOCALES / "en" / MESSAGES).read_text("utf-8"))
    assert written == collect(), "run python tests/translations.py and commit what it writes"
    assert len(written) > 250


def test_a_message_that_is_not_written_where_it_is_raised_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sentences, "ROOT", tmp_path)
    room = tmp_path / "patchvsr_core" / "errors"
    room.mkdir(parents=True)
    (room / "exceptions.py").write_text("class PlanError(Exception): ...")
    sentences.error_classes.cache_clear()
    file = tmp_path / "one.py"
    file.write_text('raise PlanError(f"A {1 + 1} b.")')
    assert list(sentences._of_file(file)) == [("A {0} b.", "A {1 + 1} b.")]
    file.write_text("raise PlanError(made_elsewhere())")
    with pytest.raises(UnreadableError):
        list(sentences._of_file(file))
    monkeypatch.undo()
    sentences.error_classes.cache_clear()


def test_no_message_that_nodes_show_names_a_flag() -> None:
    assert not [template for template in TEMPLATES if FLAG.search(template)]


def test_every_message_is_recognised_with_what_was_filled_in() -> None:
    """Also no two are mistaken for each other: all are looked up among all."""
    told = Sentences({template: f"{template}{MARK}" for template in TEMPLATES})
    wrong = []
    for template in TEMPLATES:
        said = filled(template, values_for(template))
        if told.template_of(said) != template or told.translate(said) != said + MARK:
            wrong.append((template, told.template_of(said)))
    assert not wrong


MARK = "\u2713"


def test_what_is_filled_in_is_translated_where_it_is_ours() -> None:
    told = Sentences(
        {
            "{0} is damaged ({1}).": "{0} ist beschädigt ({1}).",
            "{0}, but {1} changed.": "{0}, aber {1} änderten sich.",
            "it breaks off": "bricht ab",
            "the settings": "die Einstellungen",
            " and ": " und ",
            "{0} after {1} s": "{0} nach {1} s",
            "{0} needs {1}.": "{0} braucht {1}.",
        },
        names={"tile_px": "Kachelgröße", "vae": "VAE"},
    )
    assert told.translate("tile_px, vae needs vae.") == "Kachelgröße, VAE braucht VAE."
    assert told.translate("a, b and c.mov is damaged (it breaks off).") == "a, b and c.mov ist beschädigt (bricht ab)."
    assert told.translate("x, but the settings and 3 after 1.5 s changed.") == (
        "x, aber die Einstellungen und 3 nach 1.5 s änderten sich."
    )
    assert told.translate("x is damaged (.mov and .mp4).") == "x ist beschädigt (.mov und .mp4)."
    assert told.translate("Nothing of ours.") == "Nothing of ours."


def test_errors_speak_the_language_of_the_page_whose_prompt_runs(comfyui: Pack, monkeypatch) -> None:
    from server import PromptServer

    errors, desk = comfyui.part("patchvsr_core.errors"), comfyui.part("nodes.desk")
    error = errors.PlanError(f"The clip has {3} frames.")
    assert str(error) == "The clip has 3 frames."
    assert desk.keep_language(json.dumps({"page": "one", "language": "de"}))
    assert str(error) == "Der Clip hat 3 Bilder.", "the page that told its language last"
    assert desk.keep_language(json.dumps({"page": "two", "language": "en"}))
    assert str(error) == "The clip has 3 frames."
    monkeypatch.setattr(PromptServer.instance, "client_id", "one", raising=False)
    assert str(error) == "Der Clip hat 3 Bilder."
    assert error.problem == "The clip has 3 frames.", "what programs compare stays"


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"page": "a", "language": "../.."}', '{"page": 1, "language": "de"}', '{"page": "a"}']
)
def test_what_is_no_language_of_a_page_is_not_kept(comfyui: Pack, body: str) -> None:
    assert not comfyui.part("nodes.desk").keep_language(body)
    assert not comfyui.part("nodes.desk").keep_language(json.dumps({"page": "x" * 65, "language": "de"}))
    assert not comfyui.part("patchvsr_core.hosts.comfy.language")._pages


def test_no_number_of_pages_fills_the_memory(comfyui: Pack) -> None:
    language = comfyui.part("patchvsr_core.hosts.comfy.language")
    for number in range(2 * language.MOST_PAGES):
        language.set_language(str(number), "de")
    assert len(language._pages) == language.MOST_PAGES


def test_remedies_are_those_of_where_the_message_is_read(pack: Pack) -> None:
    from patchvsr_core.errors import OutputError

    inside = pack.part("patchvsr_core.errors").OutputError
    for kind, remedy in ((OutputError, "use --no-alpha"), (inside, "turn keep_alpha off")):
        error = kind("It has transparency", flag="use --no-alpha", node="turn keep_alpha off")
        assert str(error) == f"It has transparency; {remedy}."
    copy = pickle.loads(pickle.dumps(OutputError("A", flag="b", node="c")))
    assert (copy.problem, copy.flag, copy.node) == ("A", "b", "c")


@pytest.mark.parametrize("language", [language for language in LANGUAGES[1:] if read_messages(language)])
def test_the_file_of_a_language_is_what_errors_speak(pack: Pack, language: str) -> None:
    errors, told = pack.part("patchvsr_core.errors"), pack.part("patchvsr_core.hosts.comfy.language")
    template = "{0} has no video stream; choose a video file."
    with told.reading(language):
        assert str(errors.MediaError(filled(template, ["a.mov"]))) == filled(
            read_messages(language)[template], ["a.mov"]
        )


@pytest.mark.parametrize("language", [language for language in LANGUAGES[1:] if read_messages(language)])
def test_a_translation_puts_the_same_values_in(language: str) -> None:
    said = read_messages(language)
    told = Sentences(said)
    for template in said:
        values = [f"<{number}>" for number in range(len(PLACE.findall(template)))]
        assert all(value in told.translate(filled(template, values)) for value in values), template


NAMED = {
    "de": ("Fusion mit gemeinsamer Modulation", "Patch-Vorschau", "h264 (.mp4 oder .mov) oder av1"),
    "fr": ("Fusion par modulation conjointe", "Aperçu d\u2019un patch", "h264 (.mp4 ou .mov) ou av1"),
    "zh": ("联合调制融合器", "分块预览", "h264 (.mp4 或 .mov) 或 av1"),
}


@pytest.mark.parametrize("language", NAMED)
def test_names_of_nodes_and_words_of_lists_are_translated_too(pack: Pack, language: str) -> None:
    merger, preview, codecs = NAMED[language]
    told = pack.part("patchvsr_core.hosts.comfy.language").sentences_of(language)
    assert merger in told.translate(
        "The model already went through Joint-Modulation Merger; connect the model from before it."
    )
    assert told.names["Patch Preview"] == preview
    assert codecs in told.translate("choose the codec h264 (.mp4 or .mov) or av1")
    assert "cats and dogs.mov" in told.translate("cats and dogs.mov has no video stream; choose a video file.")


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_node_that_messages_name_is_known(pack: Pack, language: str) -> None:
    """In words that are filled in; in the text of a message its translation names them."""
    told = pack.part("patchvsr_core.hosts.comfy.language").sentences_of(language)
    titles = json.loads((LOCALES / "en" / "nodeDefs.json").read_text("utf-8"))
    for name in ("Joint-Modulation Merger", "Apply PatchVSR", "DAP Upscale", "RDG Upscale"):
        assert any(name in node["display_name"] for node in titles.values()), "it is still called so"
        assert told.names[name]
