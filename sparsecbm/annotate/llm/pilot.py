"""What a few prompts take, counted by the server or found by sending them."""

import asyncio
from collections.abc import Sequence

from sparsecbm.annotate.annotator import IncompleteError
from sparsecbm.annotate.labels import empty_labels
from sparsecbm.annotate.llm.client import LongWaitError
from sparsecbm.annotate.llm.question import Question
from sparsecbm.annotate.llm.session import Session
from sparsecbm.annotate.llm.tokens import TokenEstimator


def count_sample(
    loop: asyncio.AbstractEventLoop, session: Session, sample: Sequence[Question], tokens: TokenEstimator
) -> None:
    """Learn from the server's count of prompts and of a typical answer; no model runs.

    Raises:
        EndpointError: the server does not count tokens.
    """
    tokens_out = loop.run_until_complete(session.client.count_answer_tokens(tokens.answer)) if sample else 0
    for question in sample:
        request = session.wire.request(question)
        counted = loop.run_until_complete(session.client.count_tokens(request))
        tokens.learn(request.size, counted, tokens_out, None)


def run_pilot(
    loop: asyncio.AbstractEventLoop, session: Session, sample: Sequence[Question], tokens: TokenEstimator
) -> None:
    """Ask some questions, one after the other, and learn from their answers, which are kept.

    Raises:
        EndpointError: the endpoint refuses the requests.
        IncompleteError: it gives no answer, or the budget is spent.
    """
    session.estimator = tokens
    for question in sample:
        prepared = session.prepare(question)
        if not session.budget.allows(prepared.tokens_in, prepared.tokens_out):
            raise IncompleteError(f"the pilot would exceed {session.budget.limits()}", empty_labels())
        session.budget.reserve(prepared.tokens_in, prepared.tokens_out)
        try:
            asked = loop.run_until_complete(session.ask(prepared))
        except LongWaitError as error:
            raise IncompleteError(str(error), empty_labels()) from None
        if asked.failure is not None:
            raise IncompleteError(f"the pilot got no answer: {asked.failure}", empty_labels())
