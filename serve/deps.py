"""What a route may ask for, as types that read like words.

    async def predict(request: Request, service: ServiceDep) -> Response: ...

Here: the aliases. Not here: the key, which is asked for before any route is found (`edge`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from serve.database.predictions import find
from serve.database.tables import Prediction
from serve.http.problems import Refused
from serve.service import Service


async def get_service(request: Request) -> Service:
    """Give the service that this application runs (async: FastAPI calls anything else in a thread)."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def get_session(service: ServiceDep) -> Iterator[Session]:
    """Open a session for queries, for as long as the request lasts."""
    with service.database.read() as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


def get_prediction(prediction_id: uuid.UUID, service: ServiceDep) -> Prediction:
    """Find the prediction that the path names; no connection is held while its clip waits for a thread.

    Raises
    ------
    Refused
        404: there is none.
    """
    with service.database.read() as session:
        found = find(session, prediction_id)
    if found is None:
        raise Refused(404, "unknown_prediction", f"There is no prediction {prediction_id}: see GET /predictions.")
    return found


PredictionDep = Annotated[Prediction, Depends(get_prediction)]
