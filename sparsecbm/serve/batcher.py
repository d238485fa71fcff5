"""Requests in, answers out: a bounded queue in front of one model and one thread that runs it.

When the model is free, it takes the short questions that wait, at once. So a lone question never waits, and many
questions share forward passes. Long ones (many texts, or explanations) are answered in parts, one between two batches.
"""

import asyncio
import gc
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.promote.request_limits import release_memory
from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.passes import QuestionPart, Result, answer_parts
from sparsecbm.serve.questions import Question, Row
from sparsecbm.serve.snapshot import ModelVersion, Snapshot
from sparsecbm.serve.telemetry import Telemetry

PART = 32  # texts that are predicted at once
BATCH = 128  # texts that are taken from the queue at once, so that none waits for the answers of all others
EXPLAINED = 32  # predictions that take about as long as an explanation, or less


class BusyError(SparseCBMError):
    """Too many texts wait already.

    Attributes:
        seconds: after which the queue is probably empty
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many texts wait for an answer; ask again in {seconds} s")
        self.seconds = seconds


class LateError(SparseCBMError):
    """A request was not answered in time."""


@dataclass(frozen=True)
class Answered:
    """A row for each text, and the version that gave them all."""

    version: ModelVersion
    rows: list[Row]


@dataclass(eq=False)
class _Job:
    """A question in the queue.

    Attributes:
        snapshot: that answers all its parts; None until the first one
        rows: of the parts that are answered
    """

    question: Question
    future: "asyncio.Future[Answered]"
    snapshot: Snapshot | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def size(self) -> int:
        return 1 if self.question.explains else PART

    @property
    def cost(self) -> int:
        """Predictions that would take as long."""
        return len(self.question.texts) * (EXPLAINED if self.question.explains else 1)

    def next_part(self) -> QuestionPart:
        start = len(self.rows)
        return QuestionPart(self.question, self.question.texts[start : start + self.size])


class Batcher:
    """Answers questions with the current snapshot. All methods belong to one event loop."""

    def __init__(self, snapshot: Snapshot, limits: ServiceLimits, telemetry: Telemetry) -> None:
        self._current = snapshot
        self._limits = limits
        self._telemetry = telemetry
        self._short: deque[_Job] = deque()
        self._long: deque[_Job] = deque()
        self._queued = 0
        self._seconds = 0.01  # that a prediction took lately, on average
        self._begun: float | None = None  # when the model began its present batch
        self._work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "inference")
        telemetry.serves(snapshot.version)

    @property
    def current(self) -> Snapshot:
        """The snapshot that answers the next batch."""
        return self._current

    @property
    def stalled(self) -> bool:
        """Whether the model has worked on one batch for longer than a request may take."""
        return self._begun is not None and time.perf_counter() - self._begun > self._limits.answer_seconds

    def switch(self, snapshot: Snapshot) -> None:
        """Answer with another snapshot from the next batch on; a question that has begun keeps the old one."""
        self._current = snapshot
        self._telemetry.serves(snapshot.version)

    async def ask(self, question: Question) -> Answered:
        """Answer a question.

        Raises:
            BusyError: too many texts wait; a question of any size is accepted if none does.
            LateError: the time is over.
            SparseCBMError: the model cannot answer this question.
        """
        job = _Job(question, asyncio.get_running_loop().create_future())
        if self._queued and self._queued + job.cost > self._limits.max_queued:
            raise BusyError(min(60, math.ceil(self._queued * self._seconds)))
        self._count(job.cost)
        (self._short if job.cost <= job.size else self._long).append(job)
        self._work.set()
        try:
            return await asyncio.wait_for(job.future, self._limits.answer_seconds)
        except TimeoutError:
            raise LateError(f"there was no answer within {self._limits.answer_seconds} s") from None
        finally:
            self._count(-job.cost)

    async def run(self) -> None:
        """Answer questions until the task is cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._short or self._long:
                await self._answer(self._current, self._take())
                if self._long:
                    await self._answer_part(self._long.popleft())

    async def free_memory(self) -> None:
        """Collect what a replaced snapshot leaves behind, once the batch that it answers now has ended."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, int)  # nothing: it waits for that batch, whose task then lets go
        await loop.run_in_executor(self._thread, _collect)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _take(self) -> list[_Job]:
        """Short questions of up to `BATCH` texts, in the order in which they came."""
        jobs: list[_Job] = []
        texts = 0
        while self._short and texts < BATCH:
            job = self._short.popleft()
            if not job.future.done():  # else nobody waits any more
                jobs.append(job)
                texts += job.cost
        return jobs

    async def _answer_part(self, job: _Job) -> None:
        if job.future.done():  # nobody waits any more
            return
        job.snapshot = job.snapshot or self._current
        await self._answer(job.snapshot, [job])
        if not job.future.done():
            self._long.append(job)

    async def _answer(self, snapshot: Snapshot, jobs: list[_Job]) -> None:
        """Answer the next part of each job."""
        if not jobs:
            return
        parts = [job.next_part() for job in jobs]
        begun = self._begun = time.perf_counter()
        run = partial(answer_parts, snapshot, parts, self._limits.max_tokens)
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except Exception as error:  # the next batch may succeed
            results = [error] * len(jobs)
        finally:
            self._begun = None
        seconds, texts = time.perf_counter() - begun, sum(len(part.texts) for part in parts)
        if not any(job.question.explains for job in jobs):
            self._seconds += 0.1 * (seconds / texts - self._seconds)
        self._telemetry.ran(texts, seconds)
        for job, result in zip(jobs, results, strict=True):
            _settle(job, snapshot.version, result)

    def _count(self, texts: int) -> None:
        self._queued += texts
        self._telemetry.queued.set(self._queued)


def _settle(job: _Job, version: ModelVersion, result: Result) -> None:
    """Note a part's rows; the last part answers the question, and a fault ends it."""
    if job.future.done():
        return
    if isinstance(result, Exception):
        job.future.set_exception(result)
        return
    job.rows += result
    if len(job.rows) == len(job.question.texts):
        job.future.set_result(Answered(version, job.rows))


def _collect() -> None:
    gc.collect()
    release_memory()
