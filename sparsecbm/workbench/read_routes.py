"""The page on which people read a text, see why, set concepts and keep a correction."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.explainer import SUFFICIENT, ExplainOptions
from sparsecbm.explain.explanation import Explanation
from sparsecbm.explain.methods import DEFAULT_METHOD, QUICK_METHOD
from sparsecbm.explain.variants import KINDS
from sparsecbm.serve.questions import ask_explanations
from sparsecbm.serve.service import service_of
from sparsecbm.workbench.desk import answer, common_values, desk_of
from sparsecbm.workbench.forms import read_form, settings_of
from sparsecbm.workbench.pages import page, whole_page
from sparsecbm.workbench.reading import Reading, ask_reading, reading_of
from sparsecbm.workbench.slices import slice_scores
from sparsecbm.workbench.split_texts import PAGE, SLICE, TextFilter, choose

TEXT_KINDS = ("", "wrong", "misread", "unsure", "disputed")

router = APIRouter(include_in_schema=False)


@router.get("/")
async def start(request: Request) -> Response:
    """The first page: a text of the data, read and explained."""
    fields = dict(request.query_params)
    return await _read(request, {"text": fields.get("text") or desk_of(request).texts.first()})


@router.post("/read")
async def read(request: Request) -> Response:
    """A text, with some concepts set."""
    return await _read(request, await read_form(request))


async def _read(request: Request, fields: dict[str, str]) -> Response:
    reading = await reading_for(request, fields)
    original = fields.get("original") or reading.text
    earlier = None if original == reading.text else await reading_for(request, {"text": original})
    values: dict[str, Any] = {"reading": reading, "original": original, "earlier": earlier}
    values["people"] = await asyncio.to_thread(desk_of(request).texts.people_states, reading.text)
    values["whole"] = whole_page(request)
    return page("read" if values["whole"] else "reading", **values, **common_values(request, "read"))


async def reading_for(request: Request, fields: dict[str, str]) -> Reading:
    """The reading of the text in a form.

    Raises:
        ConfigError: there is no text, or a concept or state is unknown.
    """
    text, settings = fields.get("text", ""), settings_of(fields)
    if not text.strip():
        raise ConfigError("the text is empty; type or paste one, or pick one from the list")
    service = service_of(request)
    answered = await service.answer(request, ask_reading(text, settings))
    label = service.batcher.current.model.concept_set.label.name
    return reading_of(answered.rows[0], answered.version.version, label, settings)


@router.post("/words")
async def words(request: Request) -> Response:
    """The words that speak for the states that count, by the quick method first and then by the exact one."""
    fields = await read_form(request)
    method = fields.pop("method", first_method(request))
    if method not in (QUICK_METHOD, DEFAULT_METHOD):
        raise ConfigError(unknown("method", method, (QUICK_METHOD, DEFAULT_METHOD)))
    options = ExplainOptions(states=settings_of(fields), method=method, units=())
    explanation = await _explain(request, fields, options)
    if method == DEFAULT_METHOD:  # the page is complete, so the machine is free for what is likely to be asked next
        desk_of(request).texts.prepare(service_of(request).batcher)
    next_method = DEFAULT_METHOD if method == QUICK_METHOD else ""
    return answer(request, "read", "words", explanation=explanation, next_method=next_method)


@router.post("/parts")
async def parts(request: Request) -> Response:
    """What each subnetwork loses without its blocks and heads; on request the fewest parts that keep its prediction."""
    fields = await read_form(request)
    units = (SUFFICIENT,) if fields.get("fewest") else KINDS
    options = ExplainOptions(states=settings_of(fields), method=QUICK_METHOD, units=units)
    return answer(request, "read", "parts", explanation=await _explain(request, fields, options))


def first_method(request: Request) -> str:
    """The method of the first answer: a browser without scripts asks only once."""
    return DEFAULT_METHOD if whole_page(request) else QUICK_METHOD


async def _explain(request: Request, fields: dict[str, str], options: ExplainOptions) -> Explanation:
    answered = await service_of(request).answer(request, ask_explanations([fields.get("text", "")], options, ()))
    return Explanation.from_dict(answered.rows[0])


@router.get("/texts")
async def texts(request: Request) -> Response:
    """The texts of a split that a filter lets through."""
    desk, service = desk_of(request), service_of(request)
    wanted = _filter(dict(request.query_params), desk.texts.names)
    concept_set = service.batcher.current.model.concept_set
    if wanted.concept and wanted.state:
        if wanted.concept not in concept_set.names:
            raise ConfigError(unknown("concept", wanted.concept, concept_set.names))
        concept_set[wanted.concept].index(wanted.state)
    predicted = await desk.texts.predicted(service.batcher, wanted.split)
    slices = {
        name.removeprefix(SLICE): sorted(predicted[name].unique()) for name in predicted if name.startswith(SLICE)
    }
    if wanted.column and wanted.column not in slices:
        raise ConfigError(unknown("column", wanted.column, slices or [f"split {wanted.split} has none to filter by"]))
    if wanted.kind == "disputed":
        disputed = await asyncio.to_thread(desk.texts.disputed, wanted.split, concept_set.names)
        predicted = predicted.assign(disputed=disputed)
    chosen = choose(predicted, wanted)
    stop = (wanted.page + 1) * PAGE
    rows = chosen[stop - PAGE : stop].to_dict("records")
    values = {
        "rows": rows,
        "found": len(chosen),
        "wanted": wanted,
        "more": len(chosen) > stop,
        "scores": slice_scores(chosen),
        "slices": slices,
        "label_name": concept_set.label.name,
    }
    if whole_page(request):
        return page("texts", **values, splits=desk.texts.names, **common_values(request, "texts"))
    return page("text_list", **values)


def _filter(fields: dict[str, str], splits: tuple[str, ...]) -> TextFilter:
    """The filter in a query.

    Raises:
        ConfigError: an unknown split or kind, or a page that is no number.
    """
    concept, _, state = fields.get("state", "").partition("=")
    column, _, value = fields.get("slice", "").partition("=")
    split, kind, number = fields.get("split") or splits[0], fields.get("kind", ""), fields.get("page", "0")
    if split not in splits:
        raise ConfigError(unknown("split", split, splits))
    if kind not in TEXT_KINDS:
        raise ConfigError(unknown("kind", kind, TEXT_KINDS))
    if not (number.isascii() and number.isdigit() and len(number) < 8):
        raise ConfigError(f"page is {number!r}; it must be a number from 0 on")
    search, label = fields.get("search", ""), fields.get("label", "")
    return TextFilter(split, search, label, concept, state, kind, column, value, int(number))
