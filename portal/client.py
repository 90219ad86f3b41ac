"""The service, as the portal calls it: one typed function a call.

Here: requests, time limits, trying again where that is safe, and `ServiceError` for whatever goes wrong. Not here: what
a person reads about an error (`wording`), what is shown.

Order of use: `Service(address, key)`, then its functions, from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from portal.records import (
    Answer,
    Explanation,
    Health,
    Job,
    Models,
    Page,
    Prediction,
    Preview,
    Question,
    Receipt,
    Reference,
    Stats,
    Threshold,
)

Kind = Literal["away", "slow", "missing_route", "needs_key", "busy", "refused", "gone", "conflict", "fault"]
R = TypeVar("R", bound=BaseModel)

_CONNECT_S: Final = 3.0  # takes milliseconds or does not work
_SLOW_TIMEOUT: Final = httpx.Timeout(300.0, connect=_CONNECT_S)
_HEALTH_TIMEOUT: Final = httpx.Timeout(5.0, connect=2.0)
_TRIES: Final = 4
_LONGEST_WAIT_S: Final = 5.0
# What the service says of an address that it does not have, as opposed to a thing that it does not know.
_NO_SUCH_ROUTE: Final = frozenset({"not_found", "method_not_allowed"})


class ServiceError(Exception):
    """A call that did not succeed.

    Parameters
    ----------
    kind
        What kind of failure, for the sentence a person reads: `away` (nobody answers), `slow` (no answer in time),
        `missing_route` (the service is older than the portal), `needs_key`, `busy`, `gone` (404), `conflict` (409),
        `refused` (any other 4xx), `fault` (5xx, or an answer that cannot be understood).
    detail
        The service's own sentence, if it gave one.
    code
        The service's machine-readable code, if it gave one.
    status
        HTTP status; None without an answer.
    """

    def __init__(self, kind: Kind, detail: str = "", code: str = "", status: int | None = None) -> None:
        super().__init__(detail or kind)
        self.kind: Kind = kind
        self.detail = detail
        self.code = code
        self.status = status


class Service:
    """The service at one address.

    Parameters
    ----------
    address
        Say, `http://127.0.0.1:8080`.
    key
        Bearer key; None: calls that need one are refused by the service.
    answer_within_s
        How long to wait for an answer; one may wait behind other people's clips.

    Examples
    --------
    >>> Service("http://127.0.0.1:9", None).health()
    Traceback (most recent call last):
    ...
    portal.client.ServiceError: away
    """

    def __init__(self, address: str, key: str | None, answer_within_s: float = 30.0) -> None:
        self.address = address
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = httpx.Timeout(answer_within_s, connect=_CONNECT_S)
        # A proxy set for the outside world must not be asked for what runs here.
        self._http = httpx.Client(base_url=address, headers=headers, trust_env=False)

    # The clip and its verdict

    def health(self) -> Health:
        """Ask whether the service works; a service that cannot score answers `fault` or `busy`."""
        return self._read(Health, "/health/ready", timeout=_HEALTH_TIMEOUT, tries=1)

    def predict(self, data: bytes, filename: str, machine: str) -> Prediction:
        """Send a clip to be judged; a full queue is waited for.

        Parameters
        ----------
        data
            The file's bytes.
        filename, machine
            As the history will show them; an empty machine is unknown.
        """
        form = {"file": (filename, data, "application/octet-stream")}
        # Refused because of a full queue, a clip was not taken on: sending it again makes no second prediction.
        answer = self._send("POST", "/predict", files=form, data={"machine": machine}, again=True)
        return _parse(Prediction, answer)

    def prediction(self, prediction_id: str) -> Prediction:
        """Read one prediction."""
        # The name may come from the page's address: whatever it is, no other route is asked.
        return self._read(Prediction, f"/predictions/{quote(prediction_id, safe='')}")

    def predictions(
        self,
        *,
        machine: str | None = None,
        anomaly: bool | None = None,
        answered: bool | None = None,
        answer: str | None = None,
        search: str | None = None,
        model_version: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        order: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Read a page of the history."""
        wanted = {
            "machine": machine,
            "anomaly": anomaly,
            "answered": answered,
            "answer": answer,
            "q": search or None,
            "model_version": model_version,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
            "sort": sort,
            "order": order,
            "cursor": cursor,
            "limit": limit,
        }
        return self._read(Page, "/predictions", wanted)

    def audio(self, path: str) -> bytes:
        """Fetch a clip as WAV, by its path on the service (say `/predictions/…/audio`)."""
        if not path.startswith("/") or path.startswith("//"):
            raise ServiceError("refused", f"'{path}' is no path on the service.")
        return self._send("GET", path, again=True).content

    def explanation(self, prediction_id: str) -> Explanation:
        """Read where a clip stands out."""
        return self._read(Explanation, f"/predictions/{prediction_id}/explanation")

    # People

    def answer(
        self,
        prediction_id: str,
        answer: str,
        *,
        operator: str = "",
        comment: str = "",
        fault: str = "",
        override: bool = False,
    ) -> Answer:
        """Store what a person knows about a clip; the same answer again changes nothing.

        Parameters
        ----------
        prediction_id
            Which clip.
        answer
            `anomaly`, `normal` or `unsure`.
        operator, comment, fault
            Who says so, and what more they say; empty texts are none.
        override
            Replace another answer that stands.
        """
        body: dict[str, Any] = {"prediction_id": prediction_id, "answer": answer, "source": "portal"}
        body |= {k: v for k, v in (("operator", operator), ("comment", comment), ("fault", fault)) if v}
        if override:
            body["override"] = True
        return _parse(Answer, self._send("POST", "/feedback", json=body, again=True))

    def receipt(self, prediction_id: str) -> Receipt:
        """Read what became of an answer."""
        return self._read(Receipt, f"/feedback/{prediction_id}")

    def ask(self, prediction_id: str) -> Question:
        """Ask the operator about a clip; asked before, the question that is there is returned."""
        body = {"prediction_id": prediction_id, "reason": "manual"}
        return _parse(Question, self._send("POST", "/questions", json=body, again=True))

    def question(self, question_id: str) -> Question:
        """Read a question's life so far."""
        return self._read(Question, f"/questions/{question_id}")

    # Models and data

    def stats(self, days: int) -> Stats:
        """Read the overview's figures of the last days."""
        return self._read(Stats, "/stats", {"days": days})

    def models(self) -> Models:
        """Read every model version."""
        return self._read(Models, "/models")

    def promote(self, version: str, reason: str = "") -> None:
        """Put a version into production."""
        self._send("POST", f"/models/{version}/promote", json={"reason": reason} if reason else {})

    def roll_back(self) -> None:
        """Put the version before back into production."""
        self._send("POST", "/models/rollback", json={})

    def retrain(self, detail: str = "", mode: str | None = None) -> Job:
        """Start a retraining; the running one is returned when one runs."""
        body: dict[str, Any] = {"reason": "manual"}
        body |= {k: v for k, v in (("detail", detail), ("mode", mode)) if v}
        return _parse(Job, self._send("POST", "/retrain", json=body))

    def jobs(self, limit: int = 20) -> tuple[Job, ...]:
        """Read the last retrainings, newest first."""
        return self._read(_Jobs, "/retrain", {"limit": limit}).jobs

    def job(self, job_id: str) -> Job:
        """Read one retraining."""
        return self._read(Job, f"/retrain/{job_id}")

    def threshold(self) -> Threshold:
        """Read the false-alarm rate in force."""
        return self._read(Threshold, "/threshold")

    def preview(self, rate: float, days: int = 7) -> Preview:
        """Ask what another false-alarm rate would have meant for recent clips."""
        return self._read(Preview, "/threshold/preview", {"rate": rate, "days": days}, timeout=_SLOW_TIMEOUT)

    def set_threshold(self, rate: float, by: str = "portal") -> Threshold:
        """Set the false-alarm rate; this makes a new model version."""
        return _parse(Threshold, self._send("PUT", "/threshold", json={"rate": rate, "by": by}))

    def reference(self) -> Reference:
        """Read the reference set's size, machine by machine."""
        return self._read(Reference, "/reference")

    def add_reference(self, data: bytes, filename: str) -> str:
        """Send a zip of clips to become reference; returns the job's id."""
        form = {"file": (filename, data, "application/zip")}
        return _parse(_JobId, self._send("POST", "/reference", files=form, timeout=_SLOW_TIMEOUT)).job_id

    # How

    def _read(
        self,
        record: type[R],
        path: str,
        params: Mapping[str, Any] | None = None,
        timeout: httpx.Timeout | None = None,
        tries: int = _TRIES,
    ) -> R:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return _parse(record, self._send("GET", path, params=given, again=True, timeout=timeout, tries=tries))

    def _send(
        self,
        method: str,
        path: str,
        *,
        again: bool = False,
        tries: int = _TRIES,
        timeout: httpx.Timeout | None = None,
        **request: Any,  # noqa: ANN401 - handed on to httpx
    ) -> httpx.Response:
        """Send a request, again after a while when the service is full and `again` allows it."""
        for attempt in range(1, tries + 1):
            try:
                answer = self._http.request(method, path, timeout=timeout or self._timeout, **request)
            except httpx.TimeoutException as error:
                kind: Kind = "away" if isinstance(error, httpx.ConnectTimeout) else "slow"
                raise ServiceError(kind) from error
            except httpx.TransportError as error:
                raise ServiceError("away") from error
            if answer.is_success:
                return answer
            wait_s = _retry_after(answer)
            if not (again and answer.status_code == 503 and wait_s is not None and attempt < tries):
                break
            time.sleep(min(wait_s, _LONGEST_WAIT_S))
        raise error_of(answer)


class _Jobs(BaseModel):
    jobs: tuple[Job, ...]


class _JobId(BaseModel):
    job_id: str


def error_of(answer: httpx.Response) -> ServiceError:
    """Tell an unsuccessful answer as an error."""
    code, detail = "", ""
    try:
        body = answer.json()
        code, detail = str(body.get("code", "")), str(body.get("detail", ""))
    except (ValueError, AttributeError):
        pass  # something between us and the service answered; its page is of no use to a person
    status = answer.status_code
    kind: Kind
    if status in (404, 405) and code in _NO_SUCH_ROUTE:
        kind = "missing_route"
    elif status in (401, 403):
        kind = "needs_key"
    elif status == 404:
        kind = "gone"
    elif status == 409:
        kind = "conflict"
    elif status in (429, 503):
        kind = "busy"
    else:
        kind = "refused" if status < 500 else "fault"
    return ServiceError(kind, detail, code, status)


def _parse(record: type[R], answer: httpx.Response) -> R:
    try:
        return record.model_validate_json(answer.content)
    except ValidationError as error:
        # Not the service we know: say which member, so that an engineer sees it.
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        detail = f"{answer.request.method} {answer.request.url.path}: {where}: {first['msg']}"
        raise ServiceError("fault", detail, "unreadable", answer.status_code) from error


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        return float(answer.headers["retry-after"])
    except (KeyError, ValueError):
        return None
