"""Reading a clip out of a request, JSON or multipart, in bounded memory.

Here: bytes off the wire, and what they must look like. Not here: whether they are audio (`audio_pipeline.clip`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from audio_pipeline.errors import Overloaded, TooLarge
from serve.http.problems import Refused

MACHINE_PATTERN = r"^[^\x00-\x1f\x7f]{0,200}$"
_SILENCE_S = 30.0  # a sender that sends nothing for so long is given up
_AROUND = 64 * 2**10  # bytes of a request that are not the clip: field names, boundaries, quotes
_MAX_FIELDS = 16
_HOW = 'Send JSON {"audio_base64": …}, or a form: curl -F file=@clip.wav.'


@dataclass(frozen=True)
class Upload:
    """A clip as somebody sent it.

    Attributes
    ----------
    audio
        The file's bytes.
    filename
        Its name without folders, None when the sender gave none.
    machine
        `type/section`, empty when unknown.
    """

    audio: bytes
    filename: str | None
    machine: str


class PredictRequest(BaseModel):
    """The body of `POST /predict` as JSON."""

    audio_base64: str = Field(description="The file's bytes, base64 (RFC 4648).")
    filename: str | None = Field(None, max_length=1000, description="Shown in the history.")
    machine: str | None = Field(None, pattern=MACHINE_PATTERN, description="type/section, say fan/id_04.")


class HeldBytes:
    """Counts the bytes of all requests in memory, so that many senders together cannot fill it.

    Used on the event loop only.

    Parameters
    ----------
    limit
        Most bytes at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    @contextmanager
    def counting(self) -> Iterator[Callable[[int], None]]:
        """Give a function that counts bytes in; all of them are let go at the end."""
        mine = 0

        def count(size: int) -> None:
            nonlocal mine
            if self.held + size > self.limit:
                raise Overloaded("Other requests fill the memory set aside for clips: try again.", retry_after_s=2)
            self.held += size
            mine += size

        try:
            yield count
        finally:
            self.held -= mine


async def read_upload(request: Request, max_bytes: int, count: Callable[[int], None]) -> Callable[[], Upload]:
    """Read a request's body; give what is left to do, which may take a while, as a function for a worker.

    Parameters
    ----------
    request
        JSON or multipart.
    max_bytes
        Of the clip. A longer body is refused while it comes in.
    count
        Called with the size of each piece that is kept.

    Raises
    ------
    TooLarge
        The body is longer than such a clip can make it.
    Refused
        It is neither JSON nor a form with a file, or stops coming. The function raises it too.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        body = bytearray()
        async for piece in _pieces(request, max_bytes * 4 // 3 + _AROUND, max_bytes, count):
            body += piece
        return lambda: _from_json(body)
    if kind == "multipart/form-data":
        upload = await _from_form(request, _pieces(request, max_bytes + _AROUND, max_bytes, count))
        return lambda: upload
    said = f"'{kind}' cannot be read here" if kind else "The request has no Content-Type"
    raise Refused(415, "unsupported_media_type", f"{said}. {_HOW}", {"Accept": "application/json, multipart/form-data"})


async def _pieces(
    request: Request, max_body: int, max_bytes: int, count: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    too_large = TooLarge(
        f"The clip is larger than {max_bytes / 2**20:.4g} MiB, the most that is accepted: send a shorter piece of it."
    )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_body:
        raise too_large
    stream = aiter(request.stream())
    size = 0
    while True:
        try:
            async with asyncio.timeout(_SILENCE_S):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            detail = f"No more of the clip came for {_SILENCE_S:.0f} s, it was given up: send it again."
            raise Refused(408, "request_timeout", detail, {"Connection": "close"}) from error
        size += len(piece)
        if size > max_body:
            raise too_large
        count(len(piece))
        yield piece


class _InMemory(MultiPartParser):
    """Starlette's parser without its temporary files: the body is bounded, and needed whole."""

    spool_max_size = 0  # SpooledTemporaryFile's "never"


async def _from_form(request: Request, pieces: AsyncGenerator[bytes, None]) -> Upload:
    try:
        form = await _InMemory(request.headers, pieces, max_files=1, max_fields=_MAX_FIELDS).parse()
    except MultiPartException as error:
        raise Refused(400, "invalid_form", f"The form cannot be read: {error.message.rstrip('.')}. {_HOW}") from error
    file, machine = form.get("file"), form.get("machine", "")
    if not isinstance(file, UploadFile):
        found = f"it has {', '.join(repr(name) for name in form)}" if form else "it is empty"
        raise Refused(422, "missing_file", f"The form holds no file named 'file' ({found}). {_HOW}")
    try:
        checked = PredictRequest(audio_base64="", filename=file.filename, machine=str(machine))
    except ValidationError as error:
        raise _refused(error) from error
    return Upload(await file.read(), file_name(checked.filename), (checked.machine or "").strip())


def _from_json(body: bytearray) -> Upload:
    try:
        sent = PredictRequest.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from error
    try:
        audio = _decode_base64(sent.audio_base64)
    except (binascii.Error, ValueError) as error:
        detail = (
            f"audio_base64 is no base64 ({error}): send the file's bytes, encoded as RFC 4648 says, and no data: URL."
        )
        raise Refused(400, "invalid_base64", detail) from error
    return Upload(audio, file_name(sent.filename), (sent.machine or "").strip())


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        # `base64 clip.wav` breaks lines: welcome, but not worth a copy of every text that has none.
        joined = "".join(text.split())
        if len(joined) == len(text):
            raise
        return base64.b64decode(joined, validate=True)


def _refused(error: ValidationError) -> Refused:
    first = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return Refused(400, "invalid_json", f"The body is no JSON: {first['msg']}. {_HOW}")
    field = ".".join(str(part) for part in first["loc"])
    return Refused(422, "invalid_request", f"{field or 'The body'}: {first['msg']}. {_HOW}")


def file_name(name: str | None) -> str | None:
    """Return what a sender called a file, without folders and what cannot be printed; None: nothing is left of it."""
    if not name:
        return None
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(c for c in last if c.isprintable())[:255] or None
