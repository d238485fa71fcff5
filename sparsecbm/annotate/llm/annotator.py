"""The annotator `llm`: asks a language model, goes on where it stopped, and turns answers into labels."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd
from filelock import FileLock

from sparsecbm.annotate.annotator import IncompleteError
from sparsecbm.annotate.concept_file import ConceptDefinition, read_concept_file
from sparsecbm.annotate.llm.budget import Budget
from sparsecbm.annotate.llm.cache import AnswerCache, cache_file
from sparsecbm.annotate.llm.client import Client, EndpointError, LongWaitError
from sparsecbm.annotate.llm.concurrency import run_bounded
from sparsecbm.annotate.llm.cutting import MARK
from sparsecbm.annotate.llm.endpoint import Endpoint, read_endpoint
from sparsecbm.annotate.llm.estimate import (
    PILOT,
    SAMPLE,
    UNCOUNTED,
    Estimate,
    estimate_run,
    sample_questions,
)
from sparsecbm.annotate.llm.examples import choose_examples
from sparsecbm.annotate.llm.notes import Notes
from sparsecbm.annotate.llm.pace import Pace
from sparsecbm.annotate.llm.pilot import count_sample, run_pilot
from sparsecbm.annotate.llm.plan import Instructions, Plan, prompt_hash, short_hash
from sparsecbm.annotate.llm.prices import find_price
from sparsecbm.annotate.llm.prompt import PromptWriter
from sparsecbm.annotate.llm.session import Asked, Prepared, Session
from sparsecbm.annotate.llm.tokens import TokenEstimator
from sparsecbm.annotate.llm.wire import Wire, make_wire
from sparsecbm.annotate.redaction import REDACTION_VERSION, Redactor
from sparsecbm.base.errors import DataError
from sparsecbm.base.faults import system_fault
from sparsecbm.base.params import Params
from sparsecbm.base.params.annotate import Annotate, Llm
from sparsecbm.base.progress import progress
from sparsecbm.base.workspace import Workspace

OUTAGE = 20  # texts in a row without an answer, after which the endpoint is taken to be down

Result = TypeVar("Result")


@dataclass
class _Course:
    """What happens in a call.

    Attributes:
        counts: those of `Notes`
        stopped: why no more questions go out
        left_out: text -> why it has no answer
        refused: texts that the endpoint refuses
    """

    counts: Counter[str]
    stopped: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


class LlmAnnotator:
    """Labels texts by a language model.

    Args:
        path: file of the answers (see `cache`)
    """

    name = "llm"
    in_parts = False  # answers are kept one by one

    def __init__(self, settings: Llm, endpoint: Endpoint, path: Path, instructions: Instructions) -> None:
        self.settings, self.endpoint, self.path, self.instructions = settings, endpoint, path, instructions
        self.learns = settings.examples > 0
        self._notes = Notes(path)

    @property
    def notes(self) -> list[str]:
        """What a person should know about the last call, in sentences."""
        return self._notes.sentences()

    @property
    def version(self) -> str:
        """Hash of model, prompt and options."""
        settings = self.settings
        prompt = prompt_hash(settings, self.instructions, ())
        return short_hash([prompt, self.endpoint.model, settings.votes, settings.examples])

    def annotate(
        self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame
    ) -> pd.DataFrame:
        """Label texts. What the file of answers holds is not asked again, so a run that was killed goes on.

        Calls take turns, in this process and in others, so that limits and budget hold.

        Raises:
            IncompleteError: the budget is spent, the endpoint asks for a long pause or is down, or some texts got no
                answer. The error carries the labels until then, and says what remains.
            ConfigError: the endpoint refuses the key, the model or the form of requests, or cannot be reached.
            DataError: the file of answers cannot be used.
        """
        plan = self.plan(texts, concepts, people)
        self._notes = Notes(self.path)
        course = _Course(self._notes.counts)
        with self.exclusive_cache() as cache:
            course.counts["lost"] = cache.give_up_lost()
            self.with_session(cache, plan, lambda loop, session: self._ask_all(loop, session, plan, course))
            labels = plan.labels(cache, course.refused, None if self.learns else self.version)
            if not self.learns:
                prompt = prompt_hash(self.settings, self.instructions, ())
                self._notes.others = cache.other_prompts(self.endpoint.model, prompt)
        done = int((labels["key"].value_counts() == len(plan.concepts)).sum())
        if done < len(plan.texts):
            raise IncompleteError(_remainder(course, done, len(plan.texts)), labels)
        return labels

    def dry_run(
        self,
        texts: pd.DataFrame,
        concepts: Sequence[ConceptDefinition],
        people: pd.DataFrame,
        count: Literal["estimate", "tokenize", "pilot"] = "estimate",
    ) -> Estimate:
        """What `annotate` would take with the same arguments.

        Args:
            count: `estimate` sends nothing, and reckons by what earlier requests to the model took; `tokenize` sends
                some prompts to the server's `/tokenize`, which runs no model; `pilot` labels some texts, which costs
                these requests, and their answers are kept

        Raises:
            ConfigError: the server does not count tokens, or as `annotate` does.
            IncompleteError: the pilot got no answers, or the budget is spent.
        """
        plan = self.plan(texts, concepts, people)
        with self.exclusive_cache() as cache:
            tokens = estimator(cache, plan)
            basis = f"what {tokens.replies:,} earlier requests took" if tokens.replies else UNCOUNTED
            if count != "estimate":
                sample = sample_questions(plan, cache, SAMPLE if count == "tokenize" else PILOT)
                tokens = TokenEstimator([], typical_answer(plan))
                work = count_sample if count == "tokenize" else run_pilot
                self.with_session(cache, plan, lambda loop, session: work(loop, session, sample, tokens))
                basis = (
                    f"the server's count of {len(sample)} prompts"
                    if count == "tokenize"
                    else (f"a pilot of {len(sample)} requests, whose answers are kept")
                )
            return estimate_run(plan, cache, self._wire(), tokens, find_price(self.settings, self.endpoint), basis)

    def estimate(self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame) -> list[str]:
        """What `annotate` would take, and what is left of the budget, in sentences; nothing is sent."""
        lines = self.dry_run(texts, concepts, people).lines()
        with self.exclusive_cache() as cache:
            budget = Budget(self.settings, find_price(self.settings, self.endpoint), cache.spending())
        return [*lines, budget.describe_remainder()]

    def plan(self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame) -> Plan:
        """What a call with these arguments asks."""
        chosen = choose_examples(texts, concepts, people, self.settings.examples)
        shown = tuple(replace(example, text=self.instructions.redact(example.text)) for example in chosen)
        unique = texts.drop_duplicates("key", ignore_index=True)
        return Plan(self.settings, self.endpoint.model, self.instructions, unique, tuple(concepts), shown)

    @contextmanager
    def exclusive_cache(self) -> Iterator[AnswerCache]:
        """The file of answers, for this call alone.

        Raises:
            DataError: it cannot be used.
        """
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise DataError(f"{lock.lock_file} cannot be locked: {system_fault(error)}") from None
        try:
            with AnswerCache(self.path) as cache:
                yield cache
        finally:
            lock.release()

    def with_session(
        self, cache: AnswerCache, plan: Plan, work: Callable[[asyncio.AbstractEventLoop, Session], Result]
    ) -> Result:
        """Do something with an open connection to the endpoint, and note what the endpoint said about itself."""
        price = find_price(self.settings, self.endpoint)
        budget = Budget(self.settings, price, cache.spending())
        earlier = cache.served(self.endpoint.model)
        loop = asyncio.new_event_loop()
        try:
            client = loop.run_until_complete(self._client())
            session = Session(self.endpoint, self._wire(), client, cache, budget, estimator(cache, plan), plan.hashes)
            try:
                return work(loop, session)
            finally:
                loop.run_until_complete(client.close())
                self._notes.counts["uncounted"] += session.uncounted
                self._notes.add_served(earlier, session.served)
        finally:
            loop.close()

    def _wire(self) -> Wire:
        return make_wire(
            self.settings, self.endpoint.model, PromptWriter(self.instructions.task, self.instructions.redact)
        )

    async def _client(self) -> Client:
        return Client(
            self.endpoint, self.settings, Pace(self.settings.requests_per_minute, self.settings.tokens_per_minute)
        )

    def _ask_all(self, loop: asyncio.AbstractEventLoop, session: Session, plan: Plan, course: _Course) -> None:
        """Ask what the cache does not know, until all is answered or the run must stop."""
        in_a_row = 0  # texts without an answer
        total = len(plan.texts) * self.settings.votes
        outcomes = run_bounded(loop, session.ask, _affordable(session, plan, course), self.settings.concurrency)
        try:
            for asked in progress(outcomes, "asking the language model", "answer", total, session.budget.describe):
                _take(asked, course)
                in_a_row = in_a_row + 1 if asked.failure is not None else 0
                if in_a_row >= OUTAGE and course.stopped is None:
                    course.stopped = f"{in_a_row} texts in a row got no answer (the last: {asked.failure})"
        except LongWaitError as error:
            course.stopped = str(error)
        except EndpointError as error:
            if not session.valid:
                raise
            course.stopped = str(error)


def make_llm_annotator(params: Params, workspace: Workspace) -> LlmAnnotator:
    """The annotator of a workspace, with the endpoint that the environment names.

    Raises:
        ConfigError: there is no endpoint, `concepts.yaml` is not valid, or the settings of redaction are not.
        MissingExtraError: texts should be redacted, and Presidio is not installed.
    """
    task = read_concept_file(workspace.concept_file).task
    workspace.writable_state()
    return LlmAnnotator(
        params.annotate.llm, read_endpoint(), cache_file(workspace), make_instructions(task, params.annotate)
    )


def make_instructions(task: str, settings: Annotate) -> Instructions:
    """The task, and the redaction that the settings ask for."""
    if not settings.redact:
        return Instructions(task)
    redactor = Redactor(settings.redact, settings.names_model)
    named = (REDACTION_VERSION, *settings.redact, settings.names_model or "")
    return Instructions(task, lambda text: redactor.redact(text).text, named)


def estimator(cache: AnswerCache, plan: Plan) -> TokenEstimator:
    """What earlier requests to the model say about its tokens."""
    return TokenEstimator(cache.history(plan.model), typical_answer(plan))


def typical_answer(plan: Plan) -> str:
    """An answer of the usual length."""
    longest = {concept.name: max(concept.states, key=len) for concept in plan.concepts}
    return json.dumps(longest, ensure_ascii=False)


def _affordable(session: Session, plan: Plan, course: _Course) -> Iterator[Prepared]:
    """The requests of all questions, until the budget is spent or the run stops for another reason."""
    for question in plan.questions(session.cache):
        if course.stopped is not None:
            return
        prepared = session.prepare(question)
        if not session.budget.allows(prepared.tokens_in, prepared.tokens_out):
            course.stopped = (
                f"the budget is spent: {session.budget.describe()} over all runs in this workspace, and the next text "
                f"would exceed {session.budget.limits()}"
            )
            return
        session.budget.reserve(prepared.tokens_in, prepared.tokens_out)
        course.counts["cut"] += question.text.endswith(MARK)
        yield prepared


def _take(asked: Asked, course: _Course) -> None:
    """Remember what became of a question."""
    if asked.failure is not None:
        course.left_out[asked.question.key] = asked.failure
    if asked.refused:
        course.refused.add(asked.question.key)
    course.counts.update(
        halved=int(asked.halved), repaired=int(asked.repaired), invalid=asked.invalid, refused=int(asked.refused)
    )


def _remainder(course: _Course, done: int, texts: int) -> str:
    """Why texts remain, and what a person can do."""
    reason = course.stopped
    if reason is None:
        (failure, _), *_ = Counter(course.left_out.values()).most_common(1) or [("no reason known", 0)]
        reason = f"{len(course.left_out):,} texts got no answer (most often: {failure})"
    return (
        f"{reason}. {done:,} of {texts:,} texts are labelled, {texts - done:,} remain; what is paid is kept, and "
        "another run goes on from here"
    )
