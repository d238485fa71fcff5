"""A review in the terminal: one text after the other, one key a label."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sparsecbm.cli.printing import review as printing
from sparsecbm.cli.state_keys import CANNOT_DECIDE, MACHINES, QUIT, SKIP, UNDO, state_keys

if TYPE_CHECKING:
    from sparsecbm.annotate.review.queue import Question, ReviewQueue

REPORT_EVERY = 25  # labels


def review_cells(queue: "ReviewQueue", keys: Iterator[str], limit: int | None, report: Callable[[], None]) -> None:
    """Ask until nothing is left, the input ends, the limit is reached or the person quits.

    Args:
        limit: number of labels
        report: prints what labels bought; called after every `REPORT_EVERY` labels
    """
    for concept in queue.texts.concepts:
        state_keys(tuple(concept.states))  # too many states are told before the first text
    while limit is None or len(queue.session) < limit:
        question = queue.next()
        if question is None:
            printing.show_end(queue)
            break
        printing.show_text(question)
        before = len(queue.session) // REPORT_EVERY
        if not _label_text(queue, question, keys, limit):
            break
        if len(queue.session) // REPORT_EVERY > before:
            report()


def _label_text(queue: "ReviewQueue", question: "Question", keys: Iterator[str], limit: int | None) -> bool:
    """Ask for each concept of a text; False to end the review."""
    for name in question.concepts:
        if limit is not None and len(queue.session) >= limit:
            return True
        concept = queue.texts.concept(name)
        by_key = {key: state for state, pressed in state_keys(tuple(concept.states)).items() for key in pressed}
        printing.show_concept(concept)
        while True:
            key = next(keys, QUIT).lower()
            if key in by_key or key == CANNOT_DECIDE:
                queue.decide(question.key, name, by_key.get(key))
                printing.show_decision(name, by_key.get(key))
                break
            if key == SKIP:
                queue.skip(question.key, [name])
                printing.show_skipped(name)
                break
            if key == UNDO:
                printing.show_undone(queue.undo())
                return True
            if key == QUIT:
                return False
            if key == MACHINES:
                printing.show_machines(queue, question, concept)
            else:
                printing.show_wrong_key(key, by_key)
    return True
