"""Faults while people are asked: n8n killed or wiped, serve, mail server or language model away, scanners, forgers.

Here: what is done, and what must hold. Not here: the programs (`asking_running`), the table (`fault`).

What must hold, always: every question reaches its person as one message (mail programs show one Message-ID once; more
copies than one are counted and told), every answer that the form took is in serve's database, once; nobody else's is.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from automation.form import links_of
from benchmarks.faults.answers import demo_model
from benchmarks.faults.asking_running import Asking
from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.running import store_predictions, wait_for

# Where n8n is killed: in the middle of what it asks serve (before serve hears of it, or before n8n hears the answer), …
ASKING_SERVE = {
    "before the answer is told": ("on_request", "POST /feedback"),
    "after the answer was told": ("on_answer", "POST /feedback"),
    "before the facts": ("on_request", "/facts"),
    "before the picture": ("on_request", "/spectrogram.png"),
    "before the clip": ("on_request", "/audio"),
    "before 'sent' is told": ("on_request", "/events"),
    "after 'sent' was told": ("on_answer", "/events"),
}
# … and elsewhere. The first two are those of `make test`.
STEPS = (
    "before the answer is told",
    "while the mail server takes it",
    "while the model writes",
    "right after the form was taken",
    *(step for step in ASKING_SERVE if step != "before the answer is told"),
    "at a random moment",
)
_ANSWERING = ("before the answer is told", "after the answer was told", "right after the form was taken")
_ARRIVES_S = 180.0
# n8n itself tries five times, three seconds apart, to say that a message is out.
_LONGER_THAN_N8N_TRIES_S = 20.0


@cache
def asking(artifacts: Path | None) -> Asking:
    """Start the whole chain, once a process."""
    chain = Asking(artifacts or demo_model())
    chain.start()
    return chain


@cache
def _supply(artifacts: Path | None) -> Iterator[str]:
    """Predictions to ask about, without end."""

    def names() -> Iterator[str]:
        chain = asking(artifacts)
        url = f"sqlite:///{chain.service.data / 'wheeltapper.db'}"
        for seed in itertools.count(1):
            yield from store_predictions(url, artifacts or demo_model(), 50, seed)

    return names()


def _take(artifacts: Path | None, count: int) -> list[str]:
    return list(itertools.islice(_supply(artifacts), count))


def _copies(chain: Asking, questions: Sequence[str]) -> tuple[int, int, int]:
    """Count the questions without a message, with more than one, and the copies beyond the first."""
    every = chain.mail.store.mails()
    mails = [[mail for mail in every if f'content="ask-{question}"' in mail.html] for question in questions]
    return (
        sum(not found for found in mails),
        sum(len(found) > 1 for found in mails),
        sum(sum(mail.copies for mail in found) - 1 for found in mails if found),
    )


def _kill_at(chain: Asking, step: str, taken: threading.Event) -> threading.Event:
    """Let n8n be killed as soon as it comes to a step; return what is set once it is dead."""
    dead, once = threading.Event(), threading.Lock()

    def strike() -> None:
        with once:
            if not dead.is_set():
                chain.n8n.kill()
                dead.set()

    def look(what: str) -> None:
        if ASKING_SERVE[step][1] in what:
            taken.wait(10)  # the person's browser has been told that the form was taken
            strike()

    chain.model.on_asked = strike if step == "while the model writes" else None
    chain.mail.on_mail = strike if step == "while the mail server takes it" else None
    chain.between.on_request = chain.between.on_answer = None
    if step in ASKING_SERVE:
        setattr(chain.between, ASKING_SERVE[step][0], look)
    return dead


def _kill_nowhere(chain: Asking) -> None:
    chain.model.on_asked = chain.mail.on_mail = chain.between.on_request = chain.between.on_answer = None


def kill_n8n(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Kill n8n at a step of *ask* or of *answer*, in turn, start it again, and count what arrived."""
    chain = asking(artifacts)
    chance = random.Random(19)
    asked: list[str] = []
    taken = arrived = altered = elsewhere = 0
    late: list[str] = []
    for number in range(rounds):
        step = STEPS[number % len(STEPS)]
        prediction = _take(artifacts, 1)[0]
        chain.start()
        word, stored = chance.choice([("Real fault", "anomaly"), ("False alarm", "normal"), ("Not sure", "unsure")])
        given = threading.Event()
        if step in _ANSWERING:  # the message is out; n8n is killed with the answer in its hands
            question = chain.ask(prediction)
            chain.wait_sent(question)
            link = chain.link(question)
            dead = _kill_at(chain, step, given)
            chain.submit(link, word)
            taken += 1
            given.set()
        else:
            given.set()
            dead = _kill_at(chain, step, given)
            question = chain.ask(prediction)
        asked.append(question)
        if step == "at a random moment":
            time.sleep(chance.uniform(0, 4))
        elif step != "right after the form was taken":
            elsewhere += not dead.wait(90)
        _kill_nowhere(chain)
        chain.n8n.kill()
        chain.n8n.start()
        chain.n8n.wait_ready()
        try:
            if step in _ANSWERING:
                said = wait_for(lambda p=prediction: chain.answer_of(p), _ARRIVES_S, "the answer is stored")  # type: ignore[misc]
                arrived += 1
                altered += said != stored
            else:
                chain.wait_sent(question, _ARRIVES_S)
        except TimeoutError as error:
            late.append(step)
            print(f"{step}: {error}", file=sys.stderr, flush=True)
    silent, doubled, copies = _copies(chain, asked)
    return Outcome(
        passed=silent == doubled == elsewhere == altered == 0 and not late,
        rounds=rounds,
        figures={
            "steps": min(rounds, len(STEPS)),
            "questions": len(asked),
            "without a message": silent,
            "with two messages": doubled,
            "second copies of a message (same Message-ID, shown once)": copies,
            "answers that the form took": taken,
            "of them in the database": arrived - altered,
            "rounds in which something came late or not": f"{len(late)}: {', '.join(late)}" if late else 0,
            "rounds in which the step was not reached": elsewhere,
        },
    )


def wiped(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Delete n8n's database while questions are open, start it (it imports the workflows), answer by the old links."""
    chain = asking(artifacts)
    kept = 0
    for _ in range(rounds):
        prediction = _take(artifacts, 1)[0]
        chain.start()
        question = chain.ask(prediction)
        chain.wait_sent(question)
        link = links_of(chain.mail.about(question)[0])
        chain.n8n.kill()
        chain.n8n.wipe()
        chain.n8n.start()
        chain.n8n.wait_ready()
        form = next(one for one in link if "/form/" in one and "Real%20fault" in one)
        page = chain.page(chain.submit(form, ""))
        kept += "is recorded" in page and chain.answer_of(prediction) == "anomaly"
    return Outcome(kept == rounds, rounds, {"old links that still worked": kept})


def serve_away(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Take serve away for longer than n8n tries, just as a message is out; answer meanwhile; kill n8n as well."""
    chain = asking(artifacts)
    pages = stored = 0
    asked = []
    for number in range(rounds):
        told, prediction = _take(artifacts, 2)
        chain.start()
        question = chain.ask(prediction)
        chain.wait_sent(question)
        link = chain.link(question)
        gone = threading.Event()

        def leave(what: str, gone: threading.Event = gone) -> None:
            if "/events" in what and not gone.is_set():
                chain.service.kill()
                gone.set()

        chain.between.on_request = leave
        asked.append(chain.ask(told))
        assert gone.wait(180), "n8n never told serve that the message is out"
        chain.between.on_request = None
        waiting = chain.submit(link, "False alarm")
        pages += "Received, being delivered" in chain.page(waiting)
        time.sleep(_LONGER_THAN_N8N_TRIES_S)
        if number % 2 == 0:
            chain.n8n.kill()
        chain.start()
        stored += wait_for(lambda p=prediction: chain.answer_of(p), 240, "the answer was delivered") == "normal"  # type: ignore[misc]
    for question in asked:
        chain.wait_sent(question, 400)  # the claim of the killed service has to run out first
    silent, doubled, copies = _copies(chain, asked)
    return Outcome(
        pages == stored == rounds and silent == doubled == 0,
        rounds,
        {
            "pages that said 'received, being delivered'": pages,
            "answers that arrived": stored,
            "messages that serve was not told of at first": len(asked),
            "of them without a message, or with two": silent + doubled,
            "second copies of a message (same Message-ID, shown once)": copies,
        },
    )


def mail_away(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Ask while the mail server is away: serve knows, and the message goes out once the server is back."""
    chain = asking(artifacts)
    chain.start()
    questions = []
    told = 0
    for _ in range(rounds):
        chain.mail.stop()
        question = chain.ask(_take(artifacts, 1)[0])
        questions.append(question)
        wait_for(
            lambda q=question: any(e["event"] == "failed" for e in chain.question(q).get("events", ())),  # type: ignore[misc]
            120,
            "serve knows that the mail server is away",
        )
        told += 1
        chain.mail.start()
        chain.wait_sent(question, 240)
    silent, doubled, copies = _copies(chain, questions)
    return Outcome(
        silent == doubled == copies == 0,
        rounds,
        {
            "times serve was told": told,
            "messages that did not go out later": silent,
            "messages twice": doubled + copies,
        },
    )


def model_manners(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Ask while the language model keeps to the facts, invents, talks nonsense, fails, is slow, is away."""
    chain = asking(artifacts)
    chain.start()
    wrong: list[str] = []
    manners = [("keeps", 0.0, "llm"), ("invents", 0.0, "template"), ("nonsense", 0.0, "template"),
               ("refuses", 0.0, "template"), ("keeps", 8.0, "template"), ("away", 0.0, "template")]  # fmt: skip
    for number in range(rounds):
        manner, delay, writer = manners[number % len(manners)]
        chain.model.manner, chain.model.delay_s = manner, delay
        if manner == "away":
            chain.model.stop()
        question = chain.ask(_take(artifacts, 1)[0])
        try:
            written = chain.wait_sent(question)["written_by"]
        finally:
            chain.model.manner, chain.model.delay_s = "keeps", 0.0
            if manner == "away":
                chain.model.start()
        text = chain.mail.about(question)[0].text
        if written != writer or "47" in text.partition("http")[0]:
            wrong.append(f"{manner}, {delay} s: {written}")
    return Outcome(
        not wrong, rounds, {"messages written by the wrong one": len(wrong), "which": ", ".join(wrong) or "none"}
    )


def storm(rounds: int, artifacts: Path | None = None, count: int = 200) -> Outcome:
    """Ask so many questions at once."""
    chain = asking(artifacts)
    chain.start()
    slowest = 0.0
    silent = doubled = copies = 0
    for _ in range(rounds):
        begun = time.monotonic()
        questions = [chain.ask(prediction) for prediction in _take(artifacts, count)]
        for question in questions:
            chain.wait_sent(question, 60 + 15 * count)
        slowest = max(slowest, time.monotonic() - begun)
        found = _copies(chain, questions)
        silent, doubled, copies = silent + found[0], doubled + found[1], copies + found[2]
    return Outcome(
        silent == doubled == copies == 0,
        rounds,
        {
            "questions at once": count,
            "without a message": silent,
            "with two messages": doubled + copies,
            "seconds until the last was out": round(slowest),
        },
    )


def scanners(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Open every link of a message ten times by GET and by HEAD, as mail scanners do."""
    chain = asking(artifacts)
    chain.start()
    opened = changed = 0
    for _ in range(rounds):
        prediction = _take(artifacts, 1)[0]
        question = chain.ask(prediction)
        chain.wait_sent(question)
        links = [link for link in links_of(chain.mail.about(question)[0]) if link.startswith(chain.public)]
        assert len(links) >= 3, links
        for link, method, _ in itertools.product(links, ("GET", "HEAD"), range(10)):
            opened += chain.fetch(link, method=method)[0] == 200
        time.sleep(1)
        changed += chain.answer_of(prediction) is not None or chain.question(question)["state"] != "sent"
    return Outcome(changed == 0 and opened > 0, rounds, {"links opened": opened, "answers that came of it": changed})


def forged(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Answer with tokens that are invented, altered, missing, of another question, or for another prediction."""
    chain = asking(artifacts)
    chain.start()
    tried = refused = stored = 0
    for _ in range(rounds):
        mine, other = _take(artifacts, 2)
        links = {}
        for prediction in (mine, other):
            question = chain.ask(prediction)
            links[prediction] = chain.link(question)
        token = links[mine].partition("token=")[2].partition("&")[0]
        theirs = links[other].partition("token=")[2].partition("&")[0]
        altered = ("A" if token[5] != "A" else "B").join((token[:5], token[6:]))
        for fields in (
            {"token": "invented"},
            {"token": altered},
            {"token": ""},
            {"token": theirs},
            {"prediction_id": other},
            {"token": token[:-4]},
        ):
            tried += 1
            refused += "This link is not valid" in chain.page(chain.submit(links[mine], **fields))
        stored += sum(chain.answer_of(prediction) is not None for prediction in (mine, other))
    return Outcome(
        refused == tried and stored == 0,
        rounds,
        {"forged answers": tried, "told that the link is not valid": refused, "stored": stored},
    )


def second_answers(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Answer, then again the same, then the opposite: the first answer stands, as one row."""
    chain = asking(artifacts)
    chain.start()
    pages = changed = rows = 0
    for number in range(rounds):
        prediction = _take(artifacts, 1)[0]
        question = chain.ask(prediction)
        link = chain.link(question)
        words = [("Real fault", "anomaly"), ("False alarm", "normal")]
        (word, stored), (opposite, _) = words if number % 2 == 0 else words[::-1]
        before = len(chain.rows())
        for given, expected in (
            (word, "your answer is recorded"),
            (word, "was recorded already"),
            (opposite, "Another answer stands"),
        ):
            pages += expected in chain.page(chain.submit(link, given))
        wait_for(lambda n=before: len(chain.rows()) > n, 60, "the answer is in the table")  # type: ignore[misc]
        changed += chain.answer_of(prediction) != stored
        rows += len(chain.rows()) - before
    return Outcome(
        pages == 3 * rounds and changed == 0 and rows == rounds,
        rounds,
        {"pages that told the truth": pages, "first answers that did not stand": changed, "rows in the table": rows},
    )


def late_answers(rounds: int, artifacts: Path | None = None) -> Outcome:
    """Answer a question that has expired: the answer counts."""
    chain = asking(artifacts)
    chain.start()
    counted = 0
    for _ in range(rounds):
        prediction = _take(artifacts, 1)[0]
        question = chain.ask(prediction)
        chain.wait_sent(question)
        assert chain.service.ask("POST", f"/questions/{question}/events", {"event": "expired"})[0] in (200, 201)
        assert chain.question(question)["state"] == "expired"
        page = chain.page(chain.submit(chain.link(question), "False alarm"))
        counted += (
            "your answer is recorded" in page
            and chain.answer_of(prediction) == "normal"
            and chain.question(question)["state"] == "answered"
        )
    return Outcome(counted == rounds, rounds, {"late answers that counted": counted})


FAULTS = {
    "kill-n8n": Fault(
        "n8n is killed at each step of *ask* and *answer* in turn and started again; each question must reach its "
        "person once, each answer that the form took must be stored",
        3 * len(STEPS),
        kill_n8n,
    ),
    "wipe-n8n": Fault("n8n's database is deleted while questions are open; their links must go on working", 2, wiped),
    "serve-away": Fault(
        "serve is away for longer than n8n tries, from the moment that a message is out; an answer is given meanwhile, "
        "n8n is killed too every second time; both must be known when they are back",
        3,
        serve_away,
    ),
    "mail-away": Fault("questions are asked while the mail server is away; they must go out later, once", 2, mail_away),
    "model-manners": Fault(
        "the language model keeps to the facts, invents a number, answers no JSON, fails, is too slow, is away; only "
        "the first may be sent",
        12,
        model_manners,
    ),
    "storm": Fault("two hundred questions are asked at once", 1, storm),
    "scanners": Fault(
        "every link of a message is opened ten times by GET and by HEAD; nothing may change", 3, scanners
    ),
    "forged": Fault(
        "answers are sent with invented, altered, missing and borrowed tokens; none may be stored", 3, forged
    ),
    "second-answers": Fault(
        "a person answers, answers the same again, then the opposite; the first answer stands, as one row",
        5,
        second_answers,
    ),
    "late-answers": Fault("a question that has expired is answered; the answer counts", 5, late_answers),
}
