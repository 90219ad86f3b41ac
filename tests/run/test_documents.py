"""What the documents point to is there: files, headings, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wheeltapper.cli import COMMANDS
from wheeltapper.lessons import LESSONS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
_CALL = re.compile(r"(?<![\w/.-])(?<!-n )wheeltapper[ \n]+([a-z][\w-]*)(?:[ \n]+([a-z][\w-]*))?")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{document.name} links to {link}"
        if heading:
            assert heading in headings(target), f"{document.name} links to {link}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_are_there(document: Path) -> None:
    for code in _CODE.findall(document.read_text(encoding="utf-8")):
        for command, what in _CALL.findall(code):
            assert command in COMMANDS, f"{document.name}: wheeltapper {command}"
            if command == "lesson" and what:
                assert what in LESSONS, f"{document.name}: wheeltapper lesson {what}"


def headings(document: Path) -> set[str]:
    """The names by which GitHub links to a document's headings."""
    lines = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}
