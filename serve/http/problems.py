"""Errors as RFC 9457 problem JSON: one shape for whatever goes wrong.

Here: which error becomes which status, and the body. Not here: raising them.
"""

from __future__ import annotations

import json
import logging
import uuid
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from audio_pipeline.errors import (
    BrokenArtifact,
    EmptyClip,
    NotAudio,
    NotFinite,
    Overloaded,
    Silent,
    TooLarge,
    TooLong,
    TooShort,
    Truncated,
    UnsupportedFormat,
    WheeltapperError,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

# 400: cannot be read as what it says it is; 413 and 415 as HTTP means them; 422: read, and no use.
_STATUS: dict[type[WheeltapperError], int] = {
    EmptyClip: 400,
    Truncated: 400,
    TooLarge: 413,
    NotAudio: 415,
    UnsupportedFormat: 415,
    NotFinite: 422,
    Silent: 422,
    TooShort: 422,
    TooLong: 422,
    BrokenArtifact: 503,
    Overloaded: 503,
}


class Problem(BaseModel):
    """The body of every answer that is no success."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str


class Refused(Exception):
    """A request that is refused for what HTTP says of it, before anything in the core is asked.

    Parameters
    ----------
    status
        HTTP status.
    code
        Machine-readable.
    detail
        The sentence.
    headers
        More headers, say, `WWW-Authenticate`.
    more
        Further members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: dict[str, str] | None = None,
        more: dict[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.more = more or {}


def problem(status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: object) -> Response:
    """Make a problem answer.

    Parameters
    ----------
    status
        HTTP status, 400 or more.
    code
        Machine-readable; part of `type`.
    detail
        The sentence a person reads.
    headers, more
        Further headers and members of the body.
    """
    body = {
        "type": f"urn:wheeltapper:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": uuid.uuid4().urn,
        **more,
    }
    return Response(json.dumps(body, ensure_ascii=False), status, headers, MEDIA_TYPE)


def problem_of(error: Exception) -> Response:
    """Turn any exception into a problem; one that nobody expected is logged under the `instance` that is answered."""
    match error:
        case Overloaded():
            return problem(503, error.code, error.message, headers={"Retry-After": str(error.retry_after_s)})
        case BrokenArtifact():
            return problem(503, error.code, error.message, headers={"Retry-After": "10"})
        case WheeltapperError():
            return problem(_STATUS.get(type(error), 400), error.code, error.message)
        case Refused():
            return problem(error.status, error.code, error.detail, headers=error.headers, **error.more)
        case OperationalError() | InterfaceError() | PoolTimeout():
            logger.error("The database failed: %s", error)
            detail = "The database does not answer: nothing was stored. Try again; if it lasts, see the service's log."
            return problem(503, "database_unavailable", detail, headers={"Retry-After": "5"})
        case DataError() | StatementError(orig=OverflowError()):
            logger.warning("The database refused a value: %s", error)
            detail = (
                "The request holds a value that the database does not take: a NUL character, or a text, number or "
                "moment beyond its range."
            )
            return problem(422, "invalid_request", detail)
        case OSError():
            logger.error("The disk failed: %s", error)
            detail = f"The clip could not be stored or read ({error.strerror}): see to the disk, then try again."
            return problem(503, "storage_unavailable", detail, headers={"Retry-After": "30"})
        case _:
            answer = problem(
                500,
                "internal_error",
                "This is a fault of the service, not of the request. It was logged under the name in 'instance'.",
            )
            logger.error("Unexpected error %s", json.loads(bytes(answer.body))["instance"], exc_info=error)
            return answer


def add_problem_handlers(app: FastAPI) -> None:
    """Let `app` answer every error as a problem."""

    async def expected(_: Request, error: Exception) -> Response:
        return problem_of(error)

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
        sentence = {404: "There is nothing at this address: see /docs.", 405: "This address does not take this method."}
        detail = str(error.detail)
        if detail == HTTPStatus(error.status_code).phrase:
            detail = sentence.get(error.status_code, detail)
        return problem(error.status_code, code, detail, headers=dict(error.headers or {}))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem(422, "invalid_request", _sentence(list(error.errors())))

    for kind in (WheeltapperError, Refused, StatementError, PoolTimeout, OSError):
        app.add_exception_handler(kind, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def _sentence(errors: list[dict[str, Any]]) -> str:
    parts = []
    for error in errors:
        place, *field = error.get("loc", ()) or ("request",)
        name = ".".join(str(part) for part in field)
        parts.append(f"{place} '{name}': {error.get('msg')}" if name else f"{place}: {error.get('msg')}")
    return f"The request cannot be used: {'; '.join(parts)}."
