"""`/health/live`, `/health/ready`, `/metrics`: for whoever runs the service."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import text
from starlette.responses import Response

from serve.deps import ServiceDep
from serve.http.problems import Problem, Refused
from serve.prediction.schemas import Health

router = APIRouter(tags=["operations"])


@router.get("/health/live")
async def live() -> Health:
    """Tell that the process answers."""
    return Health(status="live")


@router.get("/health/ready", responses={503: {"model": Problem}})
def ready(service: ServiceDep) -> Health:
    """Tell that a clip sent now would be judged and stored: one is scored for real, and the database is asked."""
    if service.draining.begun:
        raise Refused(503, "draining", "The service was told to stop, and ends soon: send to another.")
    scorer = service.model.check()
    with service.database.read() as session:
        session.execute(text("SELECT 1"))
    return Health(
        status="ready",
        model_version=scorer.model,
        encoder=scorer.encoder_name,
        warning=" ".join(filter(None, (service.model.problem, service.production.problem))) or None,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(service: ServiceDep) -> Response:
    """Tell Prometheus."""
    return Response(service.metrics.text(), headers={"Content-Type": service.metrics.content_type})
