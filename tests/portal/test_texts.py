"""Every sentence is there in every language, with the same values in it, and is used."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import portal
from portal.texts import TABLES, Texts

CODE = "\n".join(
    path.read_text() for path in sorted(Path(portal.__file__).parent.glob("**/*.py")) if path.parent.name != "texts"
)
# Words that are the same in both languages, or say nothing but values.
SAME = {
    "demo.line", "field.score", "field.verdict", "field.machine", "field.sensor", "inspect.machine",
    "source.record", "models.tab.versions", "models.parent", "models.notes", "reference.anomaly", "verdict.normal",
}  # fmt: skip


def values_in(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def test_both_languages_have_the_same_keys() -> None:
    assert TABLES["en"].keys() == TABLES["fr"].keys()


@pytest.mark.parametrize("key", sorted(TABLES["en"]))
def test_a_sentence_is_translated_and_takes_the_same_values(key: str) -> None:
    english, french = TABLES["en"][key], TABLES["fr"][key]
    assert english.strip()
    assert french.strip()
    assert values_in(english) == values_in(french)
    assert (english == french) == (key in SAME)


def test_every_sentence_that_is_asked_for_exists() -> None:
    asked = set(re.findall(r'(?:texts|visit\.texts)\(\s*"([a-z_.0-9]+)"', CODE))
    asked |= {
        key
        for pair in re.findall(r'"([a-z_0-9]+(?:\.[a-z_0-9]+)+)" if .{1,80}? else "([a-z_0-9.]+)"', CODE)
        for key in pair
    }
    assert len(asked) > 100
    assert asked - TABLES["en"].keys() == set()


def test_every_sentence_is_used() -> None:
    whole = set(re.findall(r"""["']([a-z_0-9]+(?:\.[a-zA-Z_0-9]+)+)["']""", CODE))
    begun = tuple(re.findall(r"""f["']([a-z_0-9]+(?:\.[a-z_0-9]+)*\.)\{""", CODE))
    unused = {key for key in TABLES["en"] if key not in whole and not key.startswith(begun)}
    assert unused == set()


def test_a_missing_sentence_is_a_mistake_that_is_noticed() -> None:
    with pytest.raises(KeyError):
        Texts("en")("no.such.key")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_failure_of_a_call_has_a_sentence(language: str) -> None:
    from typing import get_args

    from portal.client import Kind, ServiceError
    from portal.wording import problem

    for kind in get_args(Kind):
        assert len(problem(ServiceError(kind, "Because.", "some_code"), Texts(language))) > 5  # type: ignore[arg-type]
