"""The page that shows two readings side by side: of two texts, or of one text by two models, or with a patch."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request, Response

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.explainer import ExplainOptions
from sparsecbm.explain.explanation import Explanation
from sparsecbm.explain.methods import DEFAULT_METHOD, QUICK_METHOD
from sparsecbm.serve.passes import QuestionPart, answer_parts
from sparsecbm.serve.questions import Question, Row, ask_explanations
from sparsecbm.serve.service import Service, service_of
from sparsecbm.workbench.comparison import compare_readings, compare_words
from sparsecbm.workbench.desk import answer, common_values, desk_of
from sparsecbm.workbench.forms import read_form
from sparsecbm.workbench.pages import page, whole_page
from sparsecbm.workbench.read_routes import first_method
from sparsecbm.workbench.readers import Reader
from sparsecbm.workbench.reading import Reading, ask_reading, reading_of

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Side:
    """A text and who reads it."""

    text: str
    reader: Reader


@router.get("/compare")
async def start(request: Request) -> Response:
    """The page with what its address names, or with the first text of the data on both sides."""
    return await _compare(request, dict(request.query_params))


@router.post("/compare")
async def compare(request: Request) -> Response:
    """Two readings, and what differs."""
    return await _compare(request, await read_form(request))


@router.post("/compare/words")
async def words(request: Request) -> Response:
    """The words of both sides, by the quick method first and then by the exact one."""
    fields = await read_form(request)
    method = fields.get("method", first_method(request))
    if method not in (QUICK_METHOD, DEFAULT_METHOD):
        raise ConfigError(unknown("method", method, (QUICK_METHOD, DEFAULT_METHOD)))
    left, right = [await _explain(request, side, method) for side in await _sides(request, fields)]
    next_method = DEFAULT_METHOD if method == QUICK_METHOD else ""
    values = {"views": compare_words(left, right), "method": method, "next_method": next_method}
    return answer(request, "compare", "compared_words", **values, truncated=left.truncated or right.truncated)


async def _compare(request: Request, fields: dict[str, str]) -> Response:
    if not fields.get("left", "").strip():
        fields = {**fields, "left": desk_of(request).texts.first()}
    sides = await _sides(request, fields)
    left, right = [await _read(request, side) for side in sides]
    values: dict[str, Any] = {
        "sides": sides, "readings": (left, right), "rows": compare_readings(left, right),
        "alike": left.text == right.text and sides[0].reader.key == sides[1].reader.key,
    }  # fmt: skip
    values["whole"] = whole_page(request)
    if values["whole"]:
        choices = await asyncio.to_thread(desk_of(request).readers.choices)
        return page("compare", **values, choices=choices, **common_values(request, "compare"))
    return page("comparison", **values)


async def _sides(request: Request, fields: dict[str, str]) -> list[Side]:
    """Both sides of a form; a right side without a text has that of the left one."""
    left = fields.get("left", "")
    if not left.strip():
        raise ConfigError("the text is empty; type or paste one")
    texts = (left, fields["right"] if fields.get("right", "").strip() else left)
    current, readers = service_of(request).batcher.current, desk_of(request).readers
    keys = [fields.get(f"{side}.reader", "") for side in ("left", "right")]
    others = {key for key in keys if key and not key.startswith("patch:")}
    if len(others) > 1:
        raise ConfigError(
            "two further models do not fit into memory beside each other; compare with the one that answers"
        )
    return [Side(text, await readers.open(key, current)) for text, key in zip(texts, keys, strict=True)]


async def _read(request: Request, side: Side) -> Reading:
    question = replace(ask_reading(side.text, {}), patches=side.reader.patches)
    row, version = await _answer(request, side.reader, question)
    return reading_of(row, version, side.reader.snapshot.model.concept_set.label.name, {})


async def _explain(request: Request, side: Side, method: str) -> Explanation:
    options = ExplainOptions(method=method, units=())
    row, _ = await _answer(request, side.reader, ask_explanations([side.text], options, side.reader.patches))
    return Explanation.from_dict(row)


async def _answer(request: Request, reader: Reader, question: Question) -> tuple[Row, str]:
    """The row for the only text of a question, and the version that gave it. Other models have passes of their own."""
    service: Service = service_of(request)
    if reader.answering:
        answered = await service.answer(request, question)
        return answered.rows[0], answered.version.version
    service.check(question.texts, question.explains)
    part = QuestionPart(question, question.texts)
    (result,) = await asyncio.to_thread(answer_parts, reader.snapshot, [part], service.limits.max_tokens)
    if isinstance(result, Exception):
        raise result
    return result[0], reader.snapshot.version.version
