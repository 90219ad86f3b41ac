"""`GET /predictions/{id}/explanation`: which seconds, which frequencies, and what the clip sounds like."""

from __future__ import annotations

from fastapi import APIRouter

from serve.deps import PredictionDep, ServiceDep
from serve.http.problems import Problem
from serve.prediction.schemas import ExplanationAnswer, explanation_answer

router = APIRouter(prefix="/predictions", tags=["predictions"], responses={404: {"model": Problem}})


@router.get("/{prediction_id}/explanation")
async def read_explanation(prediction: PredictionDep, service: ServiceDep) -> ExplanationAnswer:
    """Explain a prediction: found by altering the clip and asking the model again."""
    return explanation_answer(prediction.id, await service.explaining.run(lambda: service.explanations.of(prediction)))
