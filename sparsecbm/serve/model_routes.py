"""The routes that ask the model: predict, explain, intervene."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sparsecbm.base.errors import ConfigError
from sparsecbm.explain.explainer import WITH_SUFFICIENT, ExplainOptions
from sparsecbm.explain.variants import KINDS
from sparsecbm.promote.request_options import FULL_OF_EDITS, check_patch_ids
from sparsecbm.serve.bodies import (
    ExplainAnswer,
    ExplainRequest,
    InterveneAnswer,
    InterveneRequest,
    PredictAnswer,
    PredictRequest,
)
from sparsecbm.serve.faults import DOCUMENTED
from sparsecbm.serve.questions import Question, ask_explanations, ask_interventions, ask_predictions
from sparsecbm.serve.service import service_of
from sparsecbm.serve.strict_route import StrictRoute

router = APIRouter(prefix="/v1", tags=["model"], route_class=StrictRoute, responses=DOCUMENTED)


@router.post("/predict", response_model=PredictAnswer)
async def predict(request: Request, body: PredictRequest) -> Any:
    """Predict label and concepts of texts, on request with edits, patches and explanations."""
    check_patch_ids(body.options.patches)
    if body.options.edits and body.options.explain == "full":
        raise ConfigError(FULL_OF_EDITS)
    return await _answer(request, ask_predictions(body.texts, body.options), "predictions")


@router.post("/explain", response_model=ExplainAnswer)
async def explain(request: Request, body: ExplainRequest) -> Any:
    """Explain the label of texts by words, subnetworks and concepts. This takes some hundred predictions a text."""
    check_patch_ids(body.patches)
    units = WITH_SUFFICIENT if body.parts else KINDS
    options = ExplainOptions(body.concepts, body.states, body.method, units=units)
    return await _answer(request, ask_explanations(body.texts, options, body.patches), "explanations")


@router.post("/intervene", response_model=InterveneAnswer)
async def intervene(request: Request, body: InterveneRequest) -> Any:
    """Set concepts of texts, and show what the label becomes."""
    check_patch_ids(body.patches)
    return await _answer(request, ask_interventions(body.texts, body.set, body.head, body.patches), "edits")


async def _answer(request: Request, question: Question, name: str) -> JSONResponse:
    answered = await service_of(request).answer(request, question)
    return JSONResponse({"model": asdict(answered.version), name: answered.rows})
