"""Sentences made of what the service answered: verdicts, p-values, errors, questions.

Here: pure functions from records to text. Not here: the sentences themselves (`texts`), showing them.

Sentences are shown as Markdown: what a stranger may have written (file names, machines, names of people, reasons) is
made plain in them. A verdict, a question's steps and rows of tables are shown as text, and keep it as it is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from portal.client import ServiceError
from portal.formats import Formats, plain
from portal.records import (
    Band,
    Drift,
    Explanation,
    Job,
    Model,
    Models,
    Neighbour,
    Prediction,
    Question,
    Receipt,
    SensorFinding,
    Summary,
)
from portal.texts import Texts

Tone = Literal["good", "bad", "warning", "quiet"]

ENDED_JOBS = frozenset({"promoted", "kept_champion", "failed"})
_BANDS_TOLD = 3
_SCORE_MOVED = 0.005  # less is not to be seen in two decimals
_AUDIBLE_DB = 1.0  # a smaller change of level is not heard: the band differs otherwise
ENDED_QUESTIONS = frozenset({"answered"})


class Line(NamedTuple):
    """A sentence and how it is meant."""

    text: str
    tone: Tone


def problem(error: ServiceError, texts: Texts) -> str:
    """Say what went wrong with a call, and what to do next."""
    if error.kind in ("refused", "gone", "conflict"):
        return refusal(error.code, error.detail, texts)
    sentence = texts(f"problem.{error.kind}")
    # An address that an older service does not have says nothing to a person.
    tell = error.detail and error.kind != "missing_route"
    return f"{sentence} {texts('problem.detail', detail=error.detail)}" if tell else sentence


def refusal(code: str, detail: str, texts: Texts) -> str:
    """Say why the service refused a clip or a request.

    The service's own sentence names the limit and the next step, in English; other languages have one for each code.
    """
    if texts.language == "en" and detail:
        return detail
    sentence = texts.get(f"refusal.{code}", "")
    return sentence or texts("problem.detail", detail=detail or code)


def finding(found: SensorFinding, texts: Texts) -> Line:
    """Say what is wrong with the recording."""
    own = "" if texts.language == "en" else texts.get(f"sensor.{found.code}", "")
    return Line(own or found.message, "bad" if found.fatal else "warning")


def verdict(prediction: Prediction, texts: Texts, formats: Formats) -> Line:
    """Say the verdict in one sentence."""
    kind = "anomaly" if prediction.anomaly else "normal"
    about = "known" if prediction.machine else "unknown"
    sentence = texts(f"verdict.{kind}.{about}", machine=formats.machine(prediction.machine))
    return Line(sentence, "bad" if prediction.anomaly else "good")


def p_value(value: float, texts: Texts, formats: Formats) -> str:
    """Say a p-value in plain words.

    Examples
    --------
    >>> p_value(0.032, Texts("en"), Formats(Texts("en")))
    'Of 100 healthy clips about 3 would sound at least this odd (p = 0.032).'
    """
    count = 100 * value
    if count >= 99.5:
        many = texts("p_value.all")
    elif count >= 1.5:
        many = texts("p_value.about", count=f"{count:.0f}")
    else:
        many = texts("p_value.one" if count >= 0.75 else "p_value.less")
    return texts("p_value.sentence", many=many, p=formats.number(value, 3))


def false_alarms(prediction: Prediction, texts: Texts, formats: Formats) -> str:
    """Say how often a healthy clip raises an alarm at this threshold, and why not less often."""
    used, asked = prediction.false_alarm_rate_used, prediction.false_alarm_rate
    sentence = texts("rate.used", rate=formats.percent(used))
    return f"{sentence} {texts('rate.asked', rate=formats.percent(asked))}" if used > asked else sentence


def direction(found: Band) -> Literal["more", "less", "same"]:
    """Tell whether a band is louder or quieter than in healthy clips, or different at the same loudness."""
    if abs(found.change_db) < _AUDIBLE_DB:
        return "same"
    return "less" if found.direction == "less" else "more"


def band(found: Band, texts: Texts, formats: Formats) -> str:
    """Say how a band of frequencies differs from healthy clips."""
    return texts(
        f"band.{direction(found)}",
        band=formats.hertz(found.low_hz, found.high_hz),
        change=formats.number(abs(found.change_db), 0 if abs(found.change_db) >= 3 else 1),
    )


def explained(explanation: Explanation, texts: Texts, formats: Formats) -> list[str]:
    """Say when and where in frequency a clip is odd."""
    lines = [texts("explanation.throughout")] if explanation.throughout else []
    return lines + [band(found, texts, formats) for found in explanation.bands[:_BANDS_TOLD]]


def neighbour(found: Neighbour, texts: Texts, formats: Formats) -> str:
    """Say what a known clip is."""
    label = {True: "neighbour.anomaly", False: "neighbour.normal", None: "neighbour.unlabelled"}[found.target]
    source = texts("neighbour.reference" if found.kind == "reference" else "neighbour.prediction")
    return texts(
        "neighbour.line",
        machine=plain(formats.machine(found.machine)),
        label=texts(label),
        source=source,
        title=plain(found.title),
    )


def answer_name(answer: str | None, texts: Texts) -> str:
    """Name an answer."""
    return texts.get(f"answer.{answer}", answer or "") if answer else ""


def question_state(question: Question, texts: Texts, formats: Formats) -> Line:
    """Say where a question is in its life, and what happens next."""
    to = ""
    if question.recipient:
        to = plain(question.recipient.name or question.recipient.email or "")
    delivery = question.delivery
    if question.state == "queued":
        if delivery and delivery.last_error:
            again = formats.clock(delivery.next_attempt) if delivery.next_attempt else texts("question.soon")
            return Line(texts("question.n8n_away", error=plain(delivery.last_error), again=again), "warning")
        key = "question.handed" if delivery and delivery.attempts else "question.queued"
        return Line(texts(key, to=to), "quiet")
    if question.state == "answered":
        by = plain(question.answered_by or texts("question.somebody"))
        return Line(texts("question.answered", by=by, answer=answer_name(question.answer, texts)), "good")
    moments = {"sent": question.sent, "reminded": question.reminded, "escalated": question.escalated}
    at = moments.get(question.state)
    sentence = texts.get(f"question.{question.state}", question.state)
    tone: Tone = "warning" if question.state in ("escalated", "expired") else "quiet"
    return Line(sentence.format(to=to, at=formats.moment(at) if at else ""), tone)


def question_steps(question: Question, texts: Texts, formats: Formats) -> list[tuple[str, str]]:
    """Tell a question's life step by step: moment, what happened."""
    happened = [(question.created, "created", "")]
    happened += [(event.at, event.event, event.detail or "") for event in question.events]
    told = {event.event for event in question.events}
    if question.answered and "answered" not in told:
        happened.append((question.answered, "answered", question.answered_by or ""))
    return [
        (formats.moment(at, seconds=True), _happened(event, detail, question.written_by, texts))
        for at, event, detail in sorted(happened, key=lambda step: step[0])
    ]


def _happened(event: str, detail: str, written_by: str | None, texts: Texts) -> str:
    words = texts.get(f"event.{event}", event)
    if event == "sent" and written_by:
        words += texts.get(f"event.written_by.{written_by}", "")
    # n8n's own reason for that is in English; of the ones that are known in advance there is a translation.
    return words + (f" ({texts.get(f'event.because.{detail}', detail)})" if detail else "")


def receipt_lines(receipt: Receipt, texts: Texts, formats: Formats) -> list[str]:
    """Tell what became of an answer."""
    given = receipt.answer
    by = plain(given.operator or texts("question.somebody"))
    lines = [
        texts("receipt.given", by=by, answer=answer_name(given.answer, texts), at=formats.moment(given.created)),
        texts("receipt.counts" if receipt.counts_for_training else "receipt.counts_not"),
    ]
    if receipt.retrain is None:
        if receipt.counts_for_training:
            lines.append(texts("receipt.no_retrain"))
    else:
        outcome = texts.get(f"receipt.retrain.{receipt.retrain.status}", receipt.retrain.status)
        lines.append(outcome.format(version=receipt.retrain.challenger or ""))
    before, now = receipt.score_before, receipt.score_now
    if before is not None and now is not None and abs(now - before) > _SCORE_MOVED:
        lines.append(
            texts(
                "receipt.moved",
                before=formats.number(before),
                now=formats.number(now),
                verdict=texts("verdict.anomaly" if receipt.anomaly_now else "verdict.normal"),
            )
        )
    turned = [n for n in receipt.neighbours if n.anomaly_before is not None and n.anomaly_now != n.anomaly_before]
    if turned:
        lines.append(texts("receipt.neighbours", turned=len(turned), of=len(receipt.neighbours)))
    return lines


def job_outcome(job: Job, texts: Texts, formats: Formats) -> Line:
    """Say what a retraining came to, or how far it is."""
    sentence = texts.get(f"job.{job.status}", job.status)
    tones: dict[str, Tone] = {"promoted": "good", "failed": "bad"}
    line = sentence.format(challenger=job.challenger or "", champion=job.champion or "")
    compared = job.comparison
    if compared and compared.champion is not None and compared.challenger is not None:
        line += " " + texts(
            "job.compared",
            metric=compared.metric,
            champion=formats.number(compared.champion, 3),
            challenger=formats.number(compared.challenger, 3),
            rows=compared.rows,
        )
    elif job.message:
        line += f" {job.message}"
    return Line(line, tones.get(job.status, "quiet"))


def line_state(line: Summary | Prediction, texts: Texts) -> str:
    """Say in a word or two what people said about a prediction, or that they were asked."""
    if line.answer:
        return answer_name(line.answer, texts)
    return texts.get(f"asked.{line.question.state}", line.question.state) if line.question else ""


def drift(found: Drift, texts: Texts) -> Line:
    """Say whether recent sound differs from the reference's."""
    tones: dict[str, Tone] = {"ok": "good", "drift": "warning"}
    sentence = texts.get(f"drift.{found.status}", found.status)
    if found.status == "drift":
        sentence += " " + texts.get(f"drift.cause.{found.cause}", "")
    if found.message and texts.language == "en":
        sentence += f" {plain(found.message)}"
    return Line(sentence.strip(), tones.get(found.status, "quiet"))


def history_of(model: Model, texts: Texts, formats: Formats) -> list[tuple[str, str]]:
    """Tell what was done with a version: moment, what, by whom, why."""
    lines = []
    for entry in model.history:
        words = texts.get(f"ledger.{entry.action}", entry.action)
        words += "".join(f" · {plain(text)}" for text in (entry.by, entry.reason) if text)
        lines.append((formats.moment(entry.at), words))
    return lines


def ledger(models: Models, texts: Texts, formats: Formats) -> list[dict[str, str]]:
    """Tell what was done with all versions, newest first, as rows of a table."""
    entries = sorted(
        ((entry, model.version) for model in models.models for entry in model.history),
        key=lambda pair: pair[0].at,
        reverse=True,
    )
    return [
        {
            texts("field.created"): formats.moment(entry.at),
            texts("field.model"): version,
            texts("ledger.action"): texts.get(f"ledger.{entry.action}", entry.action),
            texts("ledger.by"): entry.by or "–",
            texts("ledger.reason"): entry.reason or "–",
        }
        for entry, version in entries
    ]


def notes(found: object) -> str:
    """Join a manifest's notes."""
    return " · ".join(str(note) for note in found) if isinstance(found, list | tuple) else str(found or "")


def metrics(found: object, formats: Formats) -> dict[str, str]:
    """Flatten a manifest's metrics into names and figures; lists and what is unknown are left out."""
    if not isinstance(found, dict):
        return {}
    flat: dict[str, str] = {}
    for code, value in found.items():
        name = str(code).replace("_", " ")
        if isinstance(value, dict):
            flat |= {f"{name} {inner}": figure for inner, figure in metrics(value, formats).items()}
        elif isinstance(value, bool):
            continue
        elif isinstance(value, int):
            flat[name] = str(value)
        elif isinstance(value, float):
            flat[name] = formats.number(value, 3)
    return flat
