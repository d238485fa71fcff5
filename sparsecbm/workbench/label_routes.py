"""The page on which people label: the most useful text first, one key a state, undo."""

import asyncio
import hashlib
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from sparsecbm.annotate.review.outlook import concept_progress
from sparsecbm.annotate.review.queue import LEARNING_SPLIT, ReviewQueue
from sparsecbm.base.errors import ConfigError
from sparsecbm.workbench.correction_routes import author_of, remember
from sparsecbm.workbench.desk import Desk, common_values, desk_of
from sparsecbm.workbench.forms import read_form
from sparsecbm.workbench.pages import page, whole_page
from sparsecbm.workbench.stale import StaleError

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
    fields, desk = await read_form(request), desk_of(request)
    queue = queue_of(request)
    chosen = {name.removeprefix("state."): state for name, state in fields.items() if name.startswith("state.")}
    action, key = fields.get("action", "save"), fields.get("key", "")
    if action == "undo":
        told = _take_back(desk, queue)
    elif action == "skip":
        queue.skip(key, [concept.name for concept in queue.texts.concepts])
        told = "left out until you come back"
    else:
        if not chosen:
            raise ConfigError("no state is chosen; choose one, or leave the text out")
        told = _keep(desk, queue, key, chosen, fields.get("stamp"))
    return _question(request, queue, told)


def _keep(desk: Desk, queue: ReviewQueue, key: str, chosen: Mapping[str, str], stamp: str | None) -> str:
    """Store states of a text, in the journal, too, and say so; a form that is sent twice is stored once.

    Args:
        stamp: of the text when the page showed it
    """
    states = {name: None if state == UNDECIDED else state for name, state in chosen.items()}
    queue.check(key, states)
    told = ", ".join(f"{name} {state}" for name, state in chosen.items())
    if stamp is not None and stamp != _stamp(queue, key):
        mine = {each.concept: each.state for each in queue.decided(key) if each.author == queue.author}
        if states.items() <= mine.items():
            return f"kept before: {told}"
        others = sorted({each.author for each in queue.decided(key)} - {queue.author})
        who = ", ".join(others) or "somebody"
        raise StaleError(f"{who} labelled this text since you opened it; nothing was kept. Reload the page to go on")
    holder = queue.leases.holder(key)
    if holder not in (None, queue.author):
        raise StaleError(
            f"you had this text for longer than five minutes, and {holder} reads it now; nothing was kept. "
            "Reload the page to go on"
        )
    desk.journal.append("label", queue.author, text=key, states=states)
    queue.decide_text(key, states)
    return f"kept: {told}"


def _take_back(desk: Desk, queue: ReviewQueue) -> str:
    desk.journal.entries()  # a broken journal keeps nothing, so nothing is taken back either
    taken = queue.undo()
    if taken is None:
        return "nothing is left to take back"
    desk.journal.append("take back", queue.author, text=taken.key, states={taken.concept: taken.state})
    return f"taken back: {taken.concept} {taken.state or UNDECIDED}"


def _stamp(queue: ReviewQueue, key: str) -> str:
    """What people say of a text now, as a hash: it tells whether somebody labelled it since a page was made."""
    decided = [(each.author, each.concept, each.state, each.at) for each in queue.decided(key)]
    return hashlib.sha256(repr(decided).encode()).hexdigest()[:16]


def queue_of(request: Request) -> ReviewQueue:
    """The queue of whoever labels.

    Raises:
        ConfigError: the browser does not know the name.
    """
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
        "stamp": "" if question is None else _stamp(queue, question.key), "waiting": len(queue.waiting()),
    }  # fmt: skip
    if whole_page(request):
        splits = desk_of(request).texts.names
        return page("label", **values, splits=splits, **common_values(request, "label"))
    return page("question", **values)
