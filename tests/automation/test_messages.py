"""E-mails and forms' answers in both languages; the code that n8n runs, run by Node alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import automation
from automation.assemble import assemble
from tests.automation.javascript import facts, run

MESSAGE = ("facts.js", "message.js")
WORKFLOWS = sorted((Path(automation.__file__).parent / "workflows").glob("*.json"))


def message(kind: str = "ask", pictures: bool = True, **different: Any) -> dict[str, Any]:
    return run(
        MESSAGE,
        "question(facts, kind, plainSummary(facts), { spectrogram: pictures, clip: pictures })",
        facts=facts(**different),
        kind=kind,
        pictures=pictures,
    )


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.links.append(values.get("href") or "")
        assert tag not in ("script", "link", "iframe", "form")
        if values.get("src"):
            self.sources.append(values["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("form", ["html", "text"])
def test_the_message_says_what_how_sure_why_and_what_next(form: str) -> None:
    written = message()
    shown = Page(written["html"]).text if form == "html" else written["text"]
    for said in (
        "The roof fan (fan/id_00) sounds abnormal (24 Nov 2026, 14:03).",
        "About 1 of 100 healthy clips would sound at least this odd.",
        "from 2.0 s to 3.5 s",
        "between 2.1 kHz and 4.0 kHz (+6.2 dB)",
        "a confirmed fault: rattle of 12 Nov",
        "one of 3 alarms in a row",
        "Listen at the bearing side.",
        "Stop the fan if the noise grows.",
        "a worn bearing",
        "Workshop, extension 12",
        "Real fault",
        "False alarm",
        "Not sure",
    ):
        assert said in shown, said
    assert written["to"] == "operator@localhost"
    assert written["subject"] == "Real fault or false alarm? The roof fan (fan/id_00)"


@pytest.mark.parametrize(
    ("local_time", "told"),
    [
        ("2026-11-24T14:03:00+01:00", "24 Nov 2026, 14:03\n"),
        ("2026-11-24T13:03:00.250000+00:00", "24 Nov 2026, 13:03 UTC\n"),
        ("2026-11-24T13:03:00Z", "24 Nov 2026, 13:03 UTC\n"),
    ],
)
def test_the_worlds_time_is_not_taken_for_the_plants(local_time: str, told: str) -> None:
    assert f"Heard: {told}" in message(local_time=local_time)["text"]


def test_a_stretch_that_is_the_whole_clip_is_not_told() -> None:
    assert "stands out" not in message(seconds=[{"start_s": 0.0, "end_s": 10.0}])["text"]


def test_it_is_readable_in_french() -> None:
    written = message(language="fr", p_value=0.0031, filename=None)
    shown = Page(written["html"]).text
    for said in (
        "Environ 3 enregistrements sains sur 1000",
        "de 2,0 s à 3,5 s",
        "entre 2,1 kHz et 4,0 kHz (+6,2 dB)",
        "24 nov. 2026, 14:03",
        "Vrai défaut",
        "Fausse alerte",
        "Pas sûr",
    ):
        assert said in shown, said
        assert said in written["text"], said
    assert "Vrai%20d%C3%A9faut" in written["text"]


def test_nothing_is_fetched_from_outside_and_it_fits_a_phone() -> None:
    written = message()
    page = Page(written["html"])
    assert page.sources == ["cid:spectrogram"]
    assert 'name="viewport"' in written["html"]
    assert "url(" not in written["html"]
    assert all(link.startswith("https://") for link in page.links)
    # Without pictures nothing is missing but the picture.
    bare = message(pictures=False)
    assert Page(bare["html"]).sources == []
    assert "in the portal" in bare["text"]


def test_what_others_wrote_is_shown_as_text() -> None:
    nasty = '"><script>alert(1)</script>\r\nBcc: all@example.com'
    written = message(
        machine=nasty,
        machine_name=nasty,
        filename=nasty,
        playbook={"machine_name": nasty, "likely": [nasty], "steps": [nasty], "contact": nasty},
        nearest=[{"target": None, "title": nasty}],
        sensor=[{"code": "clipping", "message": nasty}],
        portal_url="javascript:alert(1)",
    )
    assert "<script" not in written["html"]
    assert "javascript:" not in written["html"]
    assert "\n" not in written["subject"]
    assert "\r" not in written["subject"]


def test_each_answer_has_its_link_and_all_are_the_signed_one() -> None:
    links = [link for link in Page(message()["html"]).links if link.startswith("https://ask.example")]
    assert len(links) == 3
    for link in links:
        assert link.startswith("https://ask.example/form/wheeltapper-answer?question_id=q&token=t&answer=")


def test_reminder_and_escalation_say_so_and_go_to_the_right_person() -> None:
    reminder, escalation = message("remind"), message("escalate")
    assert reminder["subject"].startswith("Reminder: ")
    assert reminder["to"] == "operator@localhost"
    assert escalation["to"] == "second@localhost"
    assert "sent to Ann" in escalation["text"]
    assert len({message("ask")["id"], reminder["id"], escalation["id"]}) == 3


def test_a_routine_check_is_not_told_as_an_alarm() -> None:
    written = message(anomaly=False, reason="audit")
    assert "sounds normal" in written["text"]
    assert written["subject"].startswith("Does this sound right?")
    assert "routine check" in written["text"]


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("event", ["promoted", "kept_champion", "failed", "drift", "rolled_back"])
def test_news_of_the_model(event: str, language: str) -> None:
    told = {
        "event": event,
        "job_id": "j-1",
        "model_version": "m-2",
        "previous": "m-1",
        "reason": "20 answers",
        "detail": "pAUC 0.71 → 0.78",
        "language": language,
        "recipient": {"name": "", "email": "manager@localhost"},
        "portal_url": "https://portal.example/",
    }
    written = run(MESSAGE, "news(told)", told=told)
    assert written["to"] == "manager@localhost"
    for said in ("20 answers", "pAUC 0.71 → 0.78", "m-2", "m-1"):
        assert said in written["text"]
        assert said in Page(written["html"]).text
    assert written["id"] != run(MESSAGE, "news(told)", told={**told, "job_id": "j-2"})["id"]


def test_the_same_news_a_second_time_is_another_message_and_sent_again_is_the_same() -> None:
    back = {"event": "rolled_back", "model_version": "m-1", "previous": "m-2", "recipient": {}, "language": "en"}
    ids = [run(MESSAGE, "news(told)", told={**back, "message_id": name})["id"] for name in ("one", "two", "one")]
    assert ids[0] == ids[2] != ids[1]


def test_a_model_is_called_better_only_when_a_retrain_has_found_it_so() -> None:
    told = {"event": "promoted", "model_version": "m-2", "language": "en", "recipient": {}, "reason": "", "detail": ""}
    titles = [
        run(MESSAGE, "news(told)", told={**told, **came})["subject"]
        for came in ({"previous": "m-1", "job_id": "j"}, {"previous": "m-1"}, {"previous": None})
    ]
    assert titles == [
        "Wheeltapper: A better model is in use",
        "Wheeltapper: Another model is in use",
        "Wheeltapper: A first model is in use",
    ]


def test_a_long_clip_is_cut_to_a_megabyte_around_what_stands_out() -> None:
    script = """(() => {
      const rate = 32000, seconds = 120;
      const wav = Buffer.alloc(44 + rate * seconds);
      wav.write('RIFF', 0); wav.writeUInt32LE(wav.length - 8, 4); wav.write('WAVEfmt ', 8); wav.writeUInt32LE(16, 16);
      wav.writeUInt16LE(1, 20); wav.writeUInt16LE(1, 22); wav.writeUInt32LE(16000, 24); wav.writeUInt32LE(rate, 28);
      wav.writeUInt16LE(2, 32); wav.writeUInt16LE(16, 34); wav.write('data', 36); wav.writeUInt32LE(rate * seconds, 40);
      for (let s = 0; s < seconds; s += 1) wav.fill(s, 44 + s * rate, 44 + (s + 1) * rate);
      const cut = shortened(wav, [{ start_s: 90, end_s: 92 }]);
      const small = wav.subarray(0, 1000);
      return { size: cut.length, data: cut.readUInt32LE(40), seconds: [...new Set(cut.subarray(44))],
               same: shortened(small, []) === small, start: [...new Set(shortened(wav, []).subarray(44))][0],
               odd: shortened(Buffer.alloc(2000000), []) };
    })()"""
    cut = run(("clip.js",), script)
    assert cut["size"] <= 1024 * 1024
    assert cut["data"] == cut["size"] - 44
    assert {90, 91} <= set(cut["seconds"])
    assert cut["same"] is True
    assert cut["start"] == 0
    assert cut["odd"] is None


def test_serves_last_words_and_no_others_end_the_sending() -> None:
    codes = [200, 201, 403, 404, 409, 422, 400, 401, 408, 429, 500, 502, 503, None]
    final = run(("answer.js",), "codes.map((code) => outcome(code, 'fr').final)", codes=codes)
    assert [code for code, done in zip(codes, final, strict=True) if done] == [200, 201, 403, 404, 409, 422]


def test_the_form_is_read_as_it_was_meant() -> None:
    form = {
        "answer": " Vrai défaut ",
        "fault": " roulement\n ",
        "comment": "",
        "operator": None,
        "prediction_id": "p",
        "question_id": "q",
        "token": "t",
    }
    told = run(("answer.js",), "feedback(form)", form=form)
    assert told == {
        "prediction_id": "p",
        "question_id": "q",
        "token": "t",
        "answer": "anomaly",
        "fault": "roulement",
        "comment": None,
        "operator": None,
        "source": "email",
    }
    assert run(("answer.js",), "feedback(form).answer", form={"answer": "Perhaps"}) not in (
        "anomaly",
        "normal",
        "unsure",
    )


def test_the_forms_options_are_those_that_the_code_reads() -> None:
    workflow = json.loads(next(path for path in WORKFLOWS if path.name == "answer.json").read_text(encoding="utf-8"))
    known = run(("answer.js",), "Object.keys(ANSWERS)")
    offered = []
    for node in workflow["nodes"]:
        if node["type"].endswith(".formTrigger"):
            fields = {f["fieldName"]: f for f in node["parameters"]["formFields"]["values"]}
            offered += [option["option"] for option in fields["answer"]["fieldOptions"]["values"]]
    assert sorted(offered) == sorted(known)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_workflows_hold_the_code_as_it_is_and_no_secret(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert assemble(path) == text, "run python -m automation.assemble"
    workflow = json.loads(text)
    assert workflow["settings"]["saveDataSuccessExecution"] == "all"
    assert workflow["settings"]["executionTimeout"] == -1
    assert not re.search(r"Bearer [\w-]{8}|password\"", text)
    for node in workflow["nodes"]:
        if node["type"].endswith(".emailSend"):
            assert node["parameters"]["options"]["appendAttribution"] is False
