"""`/reference…`: what healthy machines sound like: what is known, hearing it, adding recordings."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import AsyncGenerator
from pathlib import PurePosixPath

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from audio_pipeline.clip import to_wav
from audio_pipeline.errors import ReferenceDataError, TooLarge
from audio_pipeline.reference import Reference
from serve.deps import ServiceDep
from serve.http.problems import Problem, Refused
from serve.http.upload import file_name
from serve.models.schemas import JobAnswer, ReferenceAnswer, ReferenceMachine, job_answer
from serve.retraining.uploads import ARCHIVES
from serve.service import Service

router = APIRouter(prefix="/reference", tags=["reference"], responses={404: {"model": Problem}})

_SHA256 = re.compile(r"[0-9a-f]{64}")
_AROUND = 64 * 2**10  # bytes of a form that are not the file
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "A zip of recordings in one of the layouts that `wheeltapper embed` reads.",
                        }
                    },
                }
            }
        },
    }
}


@router.get("")
def read_reference_set(service: ServiceDep) -> ReferenceAnswer:
    """Read what the reference holds, machine by machine."""
    reference = _reference(service)
    machines = []
    for machine in np.unique(reference.machines):
        rows = reference.select(reference.machines == machine)
        first = np.unique(rows.clips, return_index=True)[1]
        clips = rows.select(np.isin(np.arange(len(rows)), first))
        machines.append(
            ReferenceMachine(
                machine=str(machine),
                clips=len(clips),
                windows=len(rows),
                normal=int((~clips.targets).sum()),
                anomaly=int(clips.targets.sum()),
                held_out=int(clips.held_out.sum()),
            )
        )
    return ReferenceAnswer(
        sha256=reference.sha256,
        encoder=reference.encoder_name,
        rows=len(reference),
        clips=sum(machine.clips for machine in machines),
        machines=machines,
    )


@router.get("/{clip_id}/audio", response_class=Response, responses={200: {"content": {"audio/wav": {}}}})
async def read_reference_audio(clip_id: str, service: ServiceDep) -> Response:
    """Hear a reference clip, named by the sha256 of its bytes: 16-bit WAV, 16 kHz mono."""
    wav = await service.engine.run(lambda: to_wav(_samples(service, clip_id)))
    return Response(wav, media_type="audio/wav", headers={"Cache-Control": "private, max-age=86400, immutable"})


@router.post("", status_code=202, openapi_extra=_FORM, responses={413: {"model": Problem}})
async def add_reference(request: Request, service: ServiceDep) -> JobAnswer:
    """Add recordings to the reference: a job embeds them, trains on all, and compares (`GET /retrain/{job_id}`)."""
    limit = service.settings.max_reference_bytes
    announced = request.headers.get("content-length", "")
    too_large = TooLarge(
        f"The archive is larger than {limit / 2**20:.4g} MiB, the most that is accepted "
        "(WHEELTAPPER_MAX_REFERENCE_BYTES): send it in parts, or use `wheeltapper embed` on this machine."
    )
    if announced.isdigit() and int(announced) > limit + _AROUND:
        raise too_large

    async def counted() -> AsyncGenerator[bytes, None]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit + _AROUND:
                raise too_large
            yield piece

    try:
        form = await MultiPartParser(request.headers, counted(), max_files=1, max_fields=16).parse()
    except (MultiPartException, KeyError) as error:
        detail = "The form cannot be read. Send a zip of recordings: curl -F file=@recordings.zip."
        raise Refused(400, "invalid_form", detail) from error
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refused(422, "missing_file", "The form holds no file named 'file': curl -F file=@recordings.zip.")
    try:
        return await run_in_threadpool(_keep, service, file)
    finally:
        await file.close()


def _keep(service: Service, file: UploadFile) -> JobAnswer:
    if file.file.read(4) != b"PK\x03\x04":
        raise Refused(415, "no_archive", "The file is no zip: put the folders of recordings into one.")
    file.file.seek(0)
    sent = file_name(file.filename) or "upload.zip"
    # A folder of that name is made when it is unpacked: no "..".
    stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(sent).stem)[:60].strip(".") or "upload"
    name = f"{ARCHIVES}/{uuid.uuid4().hex[:12]}/{stem}.zip"
    path = service.settings.data_dir / name
    path.parent.mkdir(parents=True)
    try:
        with path.open("xb") as kept:
            shutil.copyfileobj(file.file, kept)
        job, _ = service.retraining.ask("reference", f"New recordings: {sent}.", upload=name)
    except BaseException:  # a full disk, a database that is away: nobody else would ever take the archive away
        shutil.rmtree(path.parent, ignore_errors=True)
        raise
    return job_answer(job)


def _reference(service: Service) -> Reference:
    try:
        return service.reference.read()
    except ReferenceDataError as error:
        raise Refused(404, "no_reference", error.message) from error


def _samples(service: Service, clip_id: str) -> NDArray[np.float32]:
    clip = None
    if _SHA256.fullmatch(clip_id):
        clip = service.reference.clip(clip_id)
    if clip is None:
        detail = f"There is no reference clip '{clip_id[:100]}' whose recording is still there: see GET /reference."
        raise Refused(404, "unknown_clip", detail)
    return clip.samples
