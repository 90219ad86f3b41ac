"""The facts of a question: everything that a message about it may say, in one answer.

Here: putting them together. Not here: the words around them (n8n), the explanation itself (`explanation`).
"""

from __future__ import annotations

import logging

from audio_pipeline.errors import WheeltapperError
from serve.answers.schemas import Band, EpisodeFacts, Facts, Near, Person, PlaybookFacts, SensorNote, Stretch
from serve.database.tables import Prediction, Question
from serve.http.problems import Refused
from serve.prediction.schemas import explanation_answer
from serve.service import Service

logger = logging.getLogger(__name__)


def facts_of(service: Service, question: Question, prediction: Prediction) -> Facts:
    """Put together what is known about a question.

    Parameters
    ----------
    service
        The running service.
    question, prediction
        As found by `questions.find` and `predictions.find`.
    """
    settings = service.settings
    advice = service.playbook.advice(prediction.machine, settings.language)
    episode = question.episode
    return Facts.model_validate(
        {
            "question_id": question.id,
            "prediction_id": prediction.id,
            "token": service.tokens.sign(question.id),
            "reason": question.reason,
            "state": question.state,
            "language": settings.language,
            "recipient": Person(name=question.recipient_name, email=question.recipient_email),
            "escalation": Person(name="", email=settings.escalation_email) if settings.escalation_email else None,
            "machine": prediction.machine,
            "machine_name": advice.name,
            "created": prediction.created,
            "local_time": prediction.created.astimezone(),
            "duration_s": prediction.clip.duration_s,
            "anomaly": prediction.anomaly,
            "score": prediction.score,
            "threshold": prediction.threshold,
            "p_value": prediction.p_value,
            "false_alarm_rate_used": prediction.rate_used,
            "filename": prediction.filename,
            **_reasons(service, prediction),
            "sensor": [SensorNote.model_validate(finding) for finding in prediction.sensor["findings"]],
            "playbook": PlaybookFacts(
                machine_name=advice.name, likely=list(advice.likely), steps=list(advice.steps), contact=advice.contact
            ),
            "episode": EpisodeFacts(
                count=episode.alarms if episode else 0,
                first=episode.first if episode else None,
                last=episode.last if episode else None,
            ),
            "form_url": service.links.form(question),
            "portal_url": service.links.portal(prediction.id),
            "audio_url": f"/predictions/{prediction.id}/audio",
            "spectrogram_url": f"/predictions/{prediction.id}/spectrogram.png?explained=true",
            "model_version": prediction.model_version,
        }
    )


def _reasons(service: Service, prediction: Prediction) -> dict[str, object]:
    """When, at which frequencies, and what it sounds like; without the recording or a model, the window that decided.

    A message about an alarm must not wait for what only adorns it.
    """
    try:
        explanation = explanation_answer(prediction.id, service.explanations.of(prediction))
    except Exception as error:  # a damaged disk among them: whatever it is, people are told of the alarm
        expected = isinstance(error, Refused | WheeltapperError | OSError)
        logger.warning("Prediction %s cannot be explained: %s", prediction.id, error, exc_info=not expected)
        window = prediction.windows[prediction.deciding_window]
        return {"seconds": [Stretch(start_s=window.start_s, end_s=window.end_s)], "bands": [], "nearest": []}
    told = explanation.model_dump(include={"seconds", "bands", "nearest"})
    return {
        "seconds": [Stretch(start_s=stretch["start_s"], end_s=stretch["end_s"]) for stretch in told["seconds"]],
        "bands": [Band(**{name: band[name] for name in Band.model_fields}) for band in told["bands"]],
        "nearest": [Near(**near) for near in told["nearest"]],
    }
