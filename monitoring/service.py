"""The service, as monitoring sees it: a few calls over HTTP.

Here: the calls and what is read off the answers. Not here: what they mean.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from audio_pipeline.errors import WheeltapperError
from monitoring.cause import SpectrumColumns
from monitoring.sample import Sample, drawn_window, recording_of

_PAGE = 1000


@dataclass(frozen=True)
class Production:
    """Recent predictions, one window each, oldest first.

    Attributes
    ----------
    sample
        Their drawn windows.
    scores
        float64[N], of the drawn windows.
    anomalies
        bool[N], the clips' verdicts.
    models
        str[N], what scored them.
    created
        Moments, N of them.
    encoder_sha256
        What made the vectors; None without any.
    columns
        Where the vectors hold a spectrum.
    """

    sample: Sample
    scores: NDArray[np.float64]
    anomalies: NDArray[np.bool_]
    models: NDArray[np.str_]
    created: tuple[datetime, ...]
    encoder_sha256: str | None
    columns: SpectrumColumns | None


@dataclass(frozen=True)
class AnsweredPrediction:
    """What a person said about a clip, what the model had said, and of which machine it is."""

    machine: str
    target: bool
    verdict: bool


class Service:
    """A client of serve.

    Parameters
    ----------
    address
        `http://host:port`.
    key
        Bearer key.
    """

    def __init__(self, address: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # No proxy meant for the outside world: the service is near.
        self._http = httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def production(self, since: datetime, most_windows: int) -> Production:
        """Read the newest predictions, and draw a window of each.

        Parameters
        ----------
        since
            Older ones are left out.
        most_windows
            At most about so many windows are read.

        Raises
        ------
        WheeltapperError
            The service does not answer, or refuses.
        """
        drawn: list[dict[str, Any]] = []
        read = 0
        query: dict[str, Any] = {"since": since.isoformat(), "order": "desc", "limit": _PAGE}
        while True:
            page = self._get("/predictions/vectors", query)
            read += len(page["windows"])
            for window in page["windows"]:
                if window["position"] == drawn_window(window["prediction_id"], window["windows"]):
                    window["vector"] = np.frombuffer(base64.b64decode(window["vector"]), "<f4")
                    drawn.append(window)
            if page["next_cursor"] is None or read >= most_windows:
                break
            query["cursor"] = page["next_cursor"]
        drawn.reverse()
        dimensions = page["dimensions"] or 0
        vectors = [window["vector"] for window in drawn]
        # A clip that is sent again is no other recording: its vector is the same to the last digit.
        known: dict[tuple[str, bytes], str] = {}
        recordings = [
            known.setdefault(
                (w["machine"], w["vector"].tobytes()),
                recording_of(w["machine"], w["filename"], w["prediction_id"]),
            )
            for w in drawn
        ]
        return Production(
            sample=Sample(
                vectors=np.array(vectors, np.float32).reshape(len(drawn), -1 if drawn else dimensions),
                clips=np.array([w["prediction_id"] for w in drawn], np.str_),
                machines=np.array([w["machine"] for w in drawn], np.str_),
                recordings=np.array(recordings, np.str_),
            ),
            scores=np.array([w["score"] for w in drawn], np.float64),
            anomalies=np.array([w["anomaly"] for w in drawn], bool),
            models=np.array([w["model_version"] for w in drawn], np.str_),
            created=tuple(datetime.fromisoformat(w["created"]) for w in drawn),
            encoder_sha256=page["encoder_sha256"],
            columns=SpectrumColumns.of(page["groups"]) if page["groups"] else None,
        )

    def last_result(self) -> dict[str, Any] | None:
        """Read what the look before left, None before the first."""
        found: list[dict[str, Any]] = self._get("/monitoring/results", {"limit": 1})["results"]
        return found[0] if found else None

    def audit(self, days: float) -> dict[str, Any] | None:
        """Read recall and false-alarm rate of the clips that were asked about at random."""
        found: dict[str, Any] | None = self._get("/stats", {"days": days}).get("audit")
        return found

    def answered(self, most: int) -> list[AnsweredPrediction]:
        """Read the newest answers that say what a clip is, oldest first."""
        found: list[AnsweredPrediction] = []
        query: dict[str, Any] = {"limit": _PAGE}
        while True:
            page = self._get("/feedback", query)
            found += [
                AnsweredPrediction(line["machine"], line["answer"] == "anomaly", line["predicted_anomaly"])
                for line in page["answers"]
                if line["answer"] != "unsure"
            ]
            if page["next_cursor"] is None or len(found) >= most:
                return found[:most][::-1]
            query["cursor"] = page["next_cursor"]

    def model_version(self) -> str | None:
        """Read which version serves, None when none does."""
        try:
            version: str | None = self._http.get("/health/ready").json().get("model_version")
        except (httpx.HTTPError, ValueError):
            return None
        return version

    def retrain(self, reason: str, detail: str) -> str:
        """Ask for a retraining and return the job's id."""
        return str(self._post("/retrain", {"reason": reason, "detail": detail})["job_id"])

    def leave_result(self, result: Mapping[str, Any]) -> None:
        """Leave the figures of a look."""
        self._post("/monitoring/results", result)

    def _get(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer("GET", path, params=dict(query))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer("POST", path, json=dict(body))

    def _answer(self, method: str, path: str, **sent: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own options
        try:
            answer = self._http.request(method, path, **sent)
        except httpx.HTTPError as e:
            raise WheeltapperError(
                f"The service at {self._http.base_url} does not answer ({e}): is it running? WHEELTAPPER_SERVE_URL "
                "names another."
            ) from e
        if answer.is_error:
            try:
                why = answer.json()["detail"]
            except (ValueError, KeyError, TypeError):
                why = answer.text[:200]
            raise WheeltapperError(f"The service refused {method} {path} ({answer.status_code}): {why}")
        try:
            body: dict[str, Any] = answer.json()
        except ValueError as e:
            raise WheeltapperError(
                f"What answers at {self._http.base_url} is not the service (no JSON came of {method} {path}): "
                "WHEELTAPPER_SERVE_URL names another."
            ) from e
        return body
