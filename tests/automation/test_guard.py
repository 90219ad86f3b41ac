"""The guard lets nothing through that the facts do not hold: numbers, machines, names, advice, in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.automation.javascript import facts, run

GUARD = ("facts.js", "guard.js")
GOOD = (
    "The roof fan (fan/id_00) sounds abnormal: between 2.1 kHz and 4.0 kHz there is more sound than usual (+6.2 dB), "
    "mostly from 2.0 s to 3.5 s. About 1 of 100 healthy clips would sound at least this odd."
)
FRENCH = facts(
    language="fr",
    machine_name="le ventilateur de toit",
    playbook={
        "machine_name": "le ventilateur de toit",
        "likely": ["un roulement usé"],
        "steps": ["Écouter du côté du roulement."],
        "contact": None,
    },
)
GOOD_FRENCH = (
    "Le ventilateur de toit (fan/id_00) a un son anormal : entre 2,1 kHz et 4,0 kHz il y a plus de son que d'habitude "
    "(+6,2 dB), surtout de 2,0 s à 3,5 s. Environ 1 enregistrement sain sur 100 paraîtrait aussi étrange."
)


def judged(cases: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return run(GUARD, "cases.map(([text, facts]) => guard(text, facts))", cases=cases)


def test_texts_that_keep_to_the_facts_pass() -> None:
    calm = facts(anomaly=False, reason="audit")
    kept = [
        (GOOD, facts()),
        (GOOD_FRENCH, FRENCH),
        ("The roof fan (fan/id_00) sounds abnormal, with more sound than usual between 2.1 and 4.0 kHz.", facts()),
        ("Between 2.0 and 3.5 seconds the roof fan has an unusual sound. It is like the rattle of 12 Nov.", facts()),
        ("The roof fan sounds odd: only about one in 100 healthy clips would sound at least this odd.", facts()),
        (
            "The sound of fan/id_00 is unusual; it may come from the bearing side, where a worn bearing is heard.",
            facts(),
        ),
        ("The roof fan (fan/id_00) sounds normal. About 1 of 100 healthy clips would sound at least this odd.", calm),
        ("Le ventilateur de toit a un son inhabituel entre 2,1 et 4,0 kHz, surtout de 2,0 s à 3,5 s.", FRENCH),
    ]
    verdicts = judged(kept)
    assert [v["reasons"] for v in verdicts] == [[] for _ in kept]


SPOILT_EN = {
    "digits": "It was 8 dB louder.",
    "another value of a unit": "It stands out from 2.0 s to 4.5 s.",
    "right number, wrong unit": "It was louder by 2.1 dB.",
    "other sign": "The change is −6.2 dB.",
    "other direction": "It is quieter than before.",
    "percent": "The system is 95% sure.",
    "percent in words": "The system is ninety percent sure.",
    "words": "It was heard for seven seconds.",
    "compound words": "It went on for twenty-five minutes.",
    "words run together": "It went on for twentyfive minutes.",
    "twice": "It is twice as loud as usual.",
    "fold": "The level rose threefold.",
    "half": "About half of the clips sound so.",
    "dozen": "A dozen alarms came before.",
    "an hour": "It has been so for an hour.",
    "a hundred": "This was heard hundreds of times.",
    "roman": "It is the third alarm of type IV.",
    "superscript": "It grew by 10² times.",
    "fraction": "It is ½ louder.",
    "other digits": "It was ٣ dB louder.",
    "full-width digits": "It was ６ kHz.",
    "time": "It was heard at 15:40.",
    "date": "It was heard on 3 March.",
    "another machine of the kind": "The fan id_02 is like it.",
    "another machine": "The pump beside it is louder.",
    "part": "Its gearbox is worn.",
    "plural": "The valves are leaking.",
    "name at the beginning": "Bob heard it as well.",
    "name inside": "It was heard by Martin yesterday.",
    "name in small letters": "It was heard by martin yesterday.",
    "company": "It is a Siemens part.",
    "place": "It stands in Lyon.",
    "advice": "Please stop it immediately.",
    "advice to replace": "The part should be replaced, replace it soon.",
    "reassurance": "It is safe to go on.",
    "verdict turned round": "There is no fault in it.",
    "link": "See https://example.com for more.",
    "mail": "Write to ann@example.com about it.",
    "markup": "<b>It is loud.</b>",
    "markdown": "**It is loud.**",
    "other alphabet": "It is lоud.",  # the second letter is Cyrillic
}
SPOILT_FR = {
    "chiffres": "Le niveau a monté de 8 dB.",
    "autre sens": "Il y a moins de son que d'habitude.",
    "mots": "Cela a duré sept secondes.",
    "mots composés": "Cela a duré vingt-cinq minutes.",
    "quatre-vingts": "Le système est sûr à quatre-vingts pour cent.",
    "pour cent": "Le système est sûr à 95 %.",
    "deux fois": "C'est deux fois plus fort.",
    "moitié": "La moitié des sons sont ainsi.",
    "douzaine": "Une douzaine d'alarmes l'ont précédée.",
    "une heure": "Cela dure depuis une heure.",
    "doublé": "Le niveau a doublé.",
    "troisième": "C'est la troisième alarme.",
    "autre machine": "La pompe voisine est plus forte.",
    "autre pièce": "La courroie est usée.",
    "nom": "Dupont l'a entendu aussi.",
    "prénom": "C'est jean qui l'a entendu.",
    "ville": "La machine est à Lyon.",
    "conseil": "Il faut arrêter la machine.",
    "ordre": "Remplacez la pièce.",
    "verdict retourné": "Il n'y a rien d'anormal, aucun défaut.",
}


@pytest.mark.parametrize(("good", "known", "spoilt"), [(GOOD, facts(), SPOILT_EN), (GOOD_FRENCH, FRENCH, SPOILT_FR)])
def test_one_invented_thing_is_enough_to_be_dropped(good: str, known: dict[str, Any], spoilt: dict[str, str]) -> None:
    # The invention first, last and alone after a colon: wherever it stands.
    cases = [(f"{good} {lie}", known) for lie in spoilt.values()] + [
        (f"{lie} {good}", known) for lie in spoilt.values()
    ]
    passed = [case[0] for case, verdict in zip(cases, judged(cases), strict=True) if verdict["ok"]]
    assert passed == []


@pytest.mark.parametrize(
    "text", ["", "Odd.", GOOD[:-1], "It sounds abnormal, louder than usual, and quite unlike before.", GOOD * 5]
)
def test_what_is_no_message_about_this_machine_is_dropped(text: str) -> None:
    assert not judged([(text, facts())])[0]["ok"]


def test_a_sound_taken_for_normal_is_not_made_an_alarm() -> None:
    known = facts(anomaly=False, reason="audit")
    text = "The roof fan (fan/id_00) sounds abnormal. About 1 of 100 healthy clips would sound at least this odd."
    assert "verdict turned round" in judged([(text, known)])[0]["reasons"]


def test_a_machine_called_by_a_number_lends_its_digits_to_no_figure() -> None:
    for name in ("1", "a 1"):
        known = facts(machine=name, machine_name="", playbook={}, filename=None, nearest=[])
        text = f"{name} has an abnormal sound, more than usual at 11 Hz, and from 11{name} s on it grows louder."
        assert any("number 11" in reason for reason in judged([(text, known)])[0]["reasons"])


def test_unknown_figures_are_not_said_and_may_not_be_said() -> None:
    bare = facts(p_value=None, bands=[], seconds=[], nearest=[], episode={"count": 0, "first": None, "last": None})
    assert run(GUARD, "sentences(facts).map((s) => s.text)", facts=bare) == [
        "The roof fan (fan/id_00) sounds abnormal."
    ]
    assert not judged([(GOOD, bare)])[0]["ok"]
