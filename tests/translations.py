"""What the nodes show in other languages: names and tooltips, messages, help pages.

English is written from the schemas and from the messages in the code; what a translation lacks, has too much or has
wrong is printed, of all languages or of those that are named:

    python tests/translations.py [de ...]

Where English has changed under the same name, translations are out of date until they are declared to be of today's
English, once they are:

    python tests/translations.py --translated [de ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from fakes import ROOT, fake_comfyui, load_pack
from help_pages import nodes, page_faults, page_file
from sentences import PLACE, collect

from patchvsr_core.run.forecast_text import ENGLISH

LOCALES = ROOT / "locales"
LANGUAGES = ("en", "zh", "ja", "ko", "es", "fr", "de", "ru")
FILES = ("nodeDefs.json", "main.json")
MESSAGES = "messages.json"
"""Read by the pack alone; ComfyUI's frontend would take the places in it for commands."""
TRANSLATED_FROM = ROOT / "tests" / "fixtures" / "translated_from.json"
"""The state of the English texts of every node from which each language was translated."""
Texts = dict[str, Any]


def english(info: Mapping[str, Any]) -> dict[str, Texts]:
    """The texts of all nodes by file, as ``locales/en`` has them.

    Args:
        info: ``object_info`` of the pack.
    """
    categories = sorted({part for entry in info.values() for part in entry["category"].split("/")})
    return {
        "nodeDefs.json": {node_id: _node(entry) for node_id, entry in sorted(info.items())},
        "main.json": {"nodeCategories": {name: name for name in categories}, "patchvsr": dict(ENGLISH)},
    }


def _node(entry: Mapping[str, Any]) -> Texts:
    groups = [entry["input"].get(group, {}) for group in ("required", "optional")]
    inputs = {
        name: _present(name=(options or {}).get("display_name") or name, tooltip=(options or {}).get("tooltip"))
        for group in groups
        for name, (_, options) in group.items()
    }
    tooltips = entry.get("output_tooltips") or [None] * len(entry["output"])
    outputs = {
        str(number): _present(name=name, tooltip=tooltip)
        for number, (name, tooltip) in enumerate(zip(entry["output_name"], tooltips, strict=True))
    }
    return _present(
        display_name=entry["display_name"],
        description=entry["description"],
        inputs=inputs or None,
        outputs=outputs or None,
    )


def _present(**texts: Any) -> Texts:
    return {name: text for name, text in texts.items() if text}


def read(language: str) -> dict[str, Texts]:
    """The texts of a language by file; empty where a file is missing."""
    paths = {name: LOCALES / language / name for name in FILES}
    return {name: json.loads(path.read_text("utf-8")) if path.is_file() else {} for name, path in paths.items()}


def leaves(texts: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """(place, text) of every text, places like ``nodeDefs.json/PatchVSR_Blender/inputs/tiles/tooltip``."""
    if isinstance(texts, str):
        yield place, texts
        return
    for name, part in texts.items():
        yield from leaves(part, f"{place}/{name}".lstrip("/"))


def write(language: str, texts: Mapping[str, Texts]) -> None:
    """Write a language's files."""
    for name, content in texts.items():
        path = LOCALES / language / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")


def object_info() -> Mapping[str, Any]:
    """Of the pack in the stand-in of ComfyUI."""
    with fake_comfyui():
        return load_pack().object_info()


def read_messages(language: str) -> dict[str, str]:
    """Translations of messages by template; empty where the file is missing."""
    path = LOCALES / language / MESSAGES
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def states(texts: Mapping[str, Texts]) -> dict[str, str]:
    """A number per node and file, which changes with any of its texts."""
    parts = {**texts["nodeDefs.json"], "main.json": texts["main.json"]}
    return {
        name: hashlib.sha256("\n".join(f"{place} {text}" for place, text in leaves(part)).encode()).hexdigest()[:12]
        for name, part in parts.items()
    }


def translated_from() -> dict[str, dict[str, str]]:
    """By language, what :func:`states` was when it was translated."""
    return json.loads(TRANSLATED_FROM.read_text("utf-8")) if TRANSLATED_FROM.is_file() else {}


def outdated(language: str, texts: Mapping[str, Texts]) -> Iterator[str]:
    """Where English has changed since a language was translated, a sentence each."""
    known = translated_from().get(language, {})
    for name, state in states(texts).items():
        if known.get(name) != state:
            yield (
                f"{language}: {name} is of other English texts than today's; translate what changed in locales/en, "
                f"then run python tests/translations.py --translated {language}"
            )


def missing(language: str, texts: Mapping[str, Texts]) -> Iterator[str]:
    """What a translation lacks, a sentence each.

    Args:
        texts: in English, as :func:`english` returns them.
    """
    expected, found = dict(leaves(texts)), dict(leaves(read(language)))
    for place in sorted(expected.keys() - found.keys()):
        yield f"{language}: {place} is missing: {expected[place]}"
    for template in sorted(collect().keys() - read_messages(language).keys()):
        yield f"{language}: {MESSAGES} lacks: {template}"
    for node in nodes():
        if not page_file(node, language).is_file():
            yield f"{language}: {page_file(node, language).relative_to(ROOT)} is missing"


def wrong(language: str, texts: Mapping[str, Texts]) -> Iterator[str]:
    """What is left over, out of date or does not fit in a translation, a sentence each."""
    yield from outdated(language, texts)
    for place in sorted(dict(leaves(read(language))).keys() - dict(leaves(texts)).keys()):
        yield f"{language}: {place} is left over"
    messages = read_messages(language)
    for template, said in sorted(messages.items()):
        if template not in collect():
            yield f"{language}: {MESSAGES} has what no message is made from: {template}"
        elif sorted(PLACE.findall(template)) != sorted(PLACE.findall(said)) or not said.strip():
            yield f"{language}: {MESSAGES} must have the places of {template!r}, each once: {said!r}"
    own = read(language)["nodeDefs.json"]
    for node in nodes():
        file = page_file(node, language)
        if file.is_file():
            found = page_faults(node, language, (texts["nodeDefs.json"], own), (collect(), messages))
            yield from (f"{language}: {file.relative_to(ROOT)}: {fault}" for fault in found)


def main() -> None:
    """Write English, and say how the others differ from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", default=LANGUAGES[1:])
    parser.add_argument("--translated", action="store_true", help="declare them to be of today's English")
    options = parser.parse_args()
    texts = english(object_info())
    write("en", {**texts, MESSAGES: collect()})
    if options.translated:
        known = translated_from() | dict.fromkeys(options.languages, states(texts))
        TRANSLATED_FROM.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
    for language in options.languages:
        print(*missing(language, texts), *wrong(language, texts), sep="\n")


if __name__ == "__main__":
    main()
