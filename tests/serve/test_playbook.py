"""The playbook: what the plant's people wrote, whatever state its file is in."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from audio_pipeline.errors import SettingsError
from serve.asking.playbook import SHIPPED, Playbook

MACHINES = ("fan/id_00", "pump/id_00", "slider/id_04", "valve/id_00")


def test_the_shipped_one_knows_the_demo_machines_in_both_languages(tmp_path: Path) -> None:
    playbook = Playbook(tmp_path / "none.toml")
    names = set()
    for machine in MACHINES:
        for language in ("en", "fr"):
            advice = playbook.advice(machine, language)
            assert len(advice.likely) >= 3
            assert len(advice.steps) >= 3
            assert advice.contact
            names.add(advice.name)
    assert len(names) == 8
    assert playbook.advice("", "en").name == "an unknown machine"
    assert playbook.advice("", "fr").name == "une machine inconnue"
    for table in tomllib.loads(SHIPPED.read_text()).values():
        for key in ("likely", "steps"):
            assert len(table.get(f"{key}_en", ())) == len(table.get(f"{key}_fr", ()))


def test_a_machine_takes_what_it_lacks_from_its_type_and_then_from_the_default(tmp_path: Path) -> None:
    path = tmp_path / "playbook.toml"
    path.write_text(
        """
        ["fan/id_07"]
        name_en = "Fan 7, hall B"
        contact = "Ada"
        [fan]
        name_en = "a fan"
        likely_en = ["dust"]
        [default]
        name_en = "the machine"
        steps_en = ["look"]
        """
    )
    playbook = Playbook(path)
    own = playbook.advice("fan/id_07", "en")
    assert (own.name, own.likely, own.steps, own.contact) == ("Fan 7, hall B", ("dust",), ("look",), "Ada")
    assert playbook.advice("fan/id_01", "en").name == "a fan"
    assert playbook.advice("press/id_01", "en").name == "press/id_01"
    assert playbook.advice("", "en").name == "the machine"
    assert playbook.advice("fan/id_07", "fr").name == "fan/id_07"


def test_a_changed_file_is_read_again_and_a_spoilt_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "playbook.toml"

    def write(text: str, moment: int) -> None:
        path.write_text(text)
        os.utime(path, ns=(moment, moment))

    write('[default]\ncontact = "Ada"', 10**9)
    playbook = Playbook(path)
    write('[default]\ncontact = "Bob"', 2 * 10**9)
    assert playbook.advice("x", "en").contact == "Bob"
    write("[default\n", 3 * 10**9)
    assert playbook.advice("x", "en").contact == "Bob"


@pytest.mark.parametrize(
    "text", ["[default\n", "[default]\nsteps = ['look']", "contact = 'x'", "[default]\nsteps_en = 'x'"]
)
def test_one_that_cannot_be_understood_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "playbook.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"playbook\.toml"):
        Playbook(path)
