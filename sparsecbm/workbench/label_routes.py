"""The page on which people label: the most useful text first, one key a state, undo."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from sparsecbm.annotate.review.outlook import concept_progress
from sparsecbm.annotate.review.queue import LEARNING_SPLIT, ReviewQueue
from sparsecbm.base.errors import ConfigError
from sparsecbm.workbench.correction_routes import author_of, remember
from sparsecbm.workbench.desk import common_values, desk_of
from sparsecbm.workbench.forms import read_form
from sparsecbm.workbench.pages import page, whole_page

UNDECIDED = "cannot decide"  # value of the choice that stores no state

router = APIRouter(include_in_schema=False)


@router.get("/label")
async def label(request: Request) -> Response:
    """The text that comes next, or a form that asks for the person's name."""
    common = common_values(request, "label")
    if not common["author"]:
        return page("who", **common)
    queue = await asyncio.to_thread(desk_of(request).reviews.queue, str(common["author"]), LEARNING_SPLIT)
    return _question(request, queue, "")


@router.post("/label/who")
async def who(request: Request) -> Response:
    """Remember the person, and go on to the first text."""
    author = author_of(await read_form(request))
    response = RedirectResponse("/label", 303)
    remember(response, author)
    return response


@router.post("/label")
async def decide(request: Request) -> Response:
    """Store the states that a person chose, and show the next text."""
    fields = await read_form(request)
    queue = _queue_of(request)
    chosen = {name.removeprefix("state."): state for name, state in fields.items() if name.startswith("state.")}
    action, key = fields.get("action", "save"), fields.get("key", "")
    if action == "undo":
        taken = queue.undo()
        told = "nothing is left to take back" if taken is None else f"taken back: {taken.concept} {taken.state or ''}"
    elif action == "skip":
        queue.skip(key, [concept.name for concept in queue.texts.concepts])
        told = "left out until you come back"
    else:
        if not chosen:
            raise ConfigError("no state is chosen; choose one, or leave the text out")
        for name, state in chosen.items():
            queue.decide(key, name, None if state == UNDECIDED else state)
        told = "kept: " + ", ".join(f"{name} {state}" for name, state in chosen.items())
    return _question(request, queue, told)


def _queue_of(request: Request) -> ReviewQueue:
    author = str(common_values(request, "label")["author"])
    if not author:
        raise ConfigError("give your name first; reload the page")
    return desk_of(request).reviews.queue(author, LEARNING_SPLIT)


def _question(request: Request, queue: ReviewQueue, told: str) -> Response:
    question = queue.next()
    definitions = {} if question is None else {name: queue.texts.concept(name) for name in question.concepts}
    said = {} if question is None else {name: queue.machine_states(question.key, name) for name in question.concepts}
    values = {
        "question": question, "definitions": definitions, "said": said, "told": told, "undecided": UNDECIDED,
        "progress": concept_progress(queue), "labelled": len(queue.session),
    }  # fmt: skip
    if whole_page(request):
        return page("label", **values, **common_values(request, "label"))
    return page("question", **values)
