"""One run against the endpoint: questions go out, answers are checked, repaired once, and kept."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sparsecbm.annotate.llm.budget import Budget
from sparsecbm.annotate.llm.cache import AnswerCache, Cost
from sparsecbm.annotate.llm.client import Client, EndpointError, NoAnswerError, RejectedError, Reply, hint
from sparsecbm.annotate.llm.endpoint import Endpoint
from sparsecbm.annotate.llm.question import Answer, Question
from sparsecbm.annotate.llm.tokens import TokenEstimator
from sparsecbm.annotate.llm.wire import Request, Wire

SHORTEST = 200  # characters; a text that is too long for the model is halved down to this
PATIENCE = 10  # answers without one valid state, after which the model is taken to be unable


@dataclass(frozen=True)
class Prepared:
    """A question, its request, and the tokens it is expected to take."""

    question: Question
    request: Request
    tokens_in: int
    tokens_out: float


@dataclass(frozen=True)
class Asked:
    """What became of a question.

    Attributes:
        failure: why there is no answer although a later run may get one; None if there is one
        refused: whether the endpoint refuses this text for good
        halved: whether the text was cut to fit the model
        repaired: whether the model was asked again for valid states
        invalid: concepts that got no valid state even so
    """

    question: Question
    failure: str | None = None
    refused: bool = False
    halved: bool = False
    repaired: bool = False
    invalid: int = 0


@dataclass
class Session:
    """What a run works with. It belongs to one thread and one event loop.

    Attributes:
        hashes: concept -> hash of its definition
        valid, invalid: answers with and without a valid state
        uncounted: replies whose tokens the endpoint did not count
    """

    endpoint: Endpoint
    wire: Wire
    client: Client
    cache: AnswerCache
    budget: Budget
    estimator: TokenEstimator
    hashes: dict[str, str]
    valid: int = 0
    invalid: int = 0
    uncounted: int = 0
    served: set[str] = field(default_factory=set)

    def prepare(self, question: Question) -> Prepared:
        """The request of a question, and what it is expected to take."""
        request = self.wire.request(question)
        return Prepared(question, request, self.estimator.tokens_in(request.size), self.estimator.tokens_out)

    async def ask(self, prepared: Prepared) -> Asked:
        """Ask, check, ask once more for what is not valid, and keep the answer.

        Raises:
            EndpointError: more requests would fail, too.
            LongWaitError: the endpoint asks for too long a pause.
        """
        question, request = prepared.question, prepared.request
        halved = False
        try:
            while True:
                try:
                    reply = await self._send(question, request)
                    break
                except NoAnswerError as error:
                    return Asked(question, failure=str(error))
                except RejectedError as error:
                    simpler = self.wire.simpler(request, str(error))
                    if simpler is not None:
                        request = simpler
                        continue
                    if error.too_long and len(question.text) >= 2 * SHORTEST:
                        question = replace(question, text=question.text[: len(question.text) // 2])
                        request, halved = self.wire.request(question), True
                        continue
                    if not self.valid:
                        raise EndpointError(
                            f"{self.endpoint.url} refuses the request: {error}{hint(str(error))}"
                        ) from None
                    return Asked(question, refused=True)
            asked = await self._complete(question, reply)
            return replace(asked, halved=halved)
        finally:
            self.budget.release(prepared.tokens_in, prepared.tokens_out)

    async def _complete(self, question: Question, reply: "_Kept") -> Asked:
        """Ask again for what is not valid; what is still missing then counts as no state."""
        answer, repaired = reply.answer, False
        if answer.faults:
            request = self.wire.repair(question, reply.body, answer.faults)
            if request is not None:
                repaired = True
                try:
                    second = await self._send(question, request)
                    answer = Answer(second.answer.cells | answer.cells)
                except (NoAnswerError, RejectedError):
                    pass
        missing = [concept for concept in question.concepts if concept.name not in answer.cells]
        if missing:
            self.cache.add_abstentions(
                self.endpoint.model, question, [self.hashes[concept.name] for concept in missing]
            )
        self._judge(bool(answer.cells))
        return Asked(question, repaired=repaired, invalid=len(missing))

    def _judge(self, valid: bool) -> None:
        """Stop if the model turns out to be unable to answer."""
        self.valid, self.invalid = self.valid + valid, self.invalid + (not valid)
        if not self.valid and self.invalid >= PATIENCE:
            raise EndpointError(
                f"none of the first {self.invalid} answers of {self.endpoint.model!r} gives a valid state, not even "
                "after asking again; take a more able model, or another annotate.llm.wire"
            )

    async def _send(self, question: Question, request: Request) -> "_Kept":
        """Send one request, and keep what it cost and its valid states."""
        request = replace(request, key=self._key(question, request))
        number = self.cache.begin(self.endpoint.model, question, request.size)
        tokens = self.estimator.tokens_in(request.size) + round(self.estimator.tokens_out)
        try:
            reply = await self.client.send(request, tokens, partial(self.wire.answer, question))
        except Exception:
            self.cache.fail(number)
            raise
        cost = self._cost(request, reply)
        self.cache.finish(number, cost, [(self.hashes[name], cell) for name, cell in reply.value.cells.items()])
        self.budget.spend(cost)
        return _Kept(reply.body, reply.value)

    def _key(self, question: Question, request: Request) -> str:
        asked = [self.hashes[concept.name] for concept in question.concepts]
        body = sorted(request.body)  # a request without what the endpoint refused is another one
        parts = [self.endpoint.model, question.prompt, question.key, question.vote, asked, request.size, body]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _cost(self, request: Request, reply: Reply[Answer]) -> Cost:
        usage = self.wire.usage(reply.body)
        if usage.tokens_in is None or usage.tokens_out is None:
            self.uncounted += 1
            tokens_in, tokens_out = self.estimator.tokens_in(request.size), round(self.estimator.tokens_out)
        else:
            tokens_in, tokens_out = usage.tokens_in, usage.tokens_out
            self.estimator.learn(request.size, tokens_in, tokens_out, reply.seconds)
        price = self.budget.price
        money = None if price is None else price.money(tokens_in, tokens_out)
        served = _served(reply.body)
        if served is not None:
            self.served.add(served)
        return Cost(tokens_in, tokens_out, money, reply.seconds, served)


@dataclass(frozen=True)
class _Kept:
    body: dict[str, Any]
    answer: Answer


def _served(body: dict[str, Any]) -> str | None:
    """What the endpoint says that it is: the version of the model and of its settings."""
    parts = [body.get("model"), body.get("system_fingerprint")]
    return "/".join(part[:100] for part in parts if isinstance(part, str) and part) or None
