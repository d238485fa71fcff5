"""The queue: questions that wait share passes, a lone one never waits, and the bounds hold."""

import asyncio
import dataclasses
import gc
import weakref

import pytest

from sparsecbm.promote.request_options import Options
from sparsecbm.serve import batcher as batcher_module
from sparsecbm.serve.batcher import Batcher, BusyError, LateError
from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.passes import answer_parts
from sparsecbm.serve.questions import Question, ask_predictions
from sparsecbm.serve.telemetry import Telemetry

PLAIN = ask_predictions(["the food was good"], Options())


class Recorded:
    """Counts the texts of each batch, and holds the first one until it is let go."""

    def __init__(self, monkeypatch, held: asyncio.Event | None = None):
        self.sizes: list[list[int]] = []
        self.versions: list[str] = []
        monkeypatch.setattr(batcher_module, "answer_parts", self)

    def __call__(self, snapshot, parts, max_tokens):
        self.sizes.append([len(part.texts) for part in parts])
        self.versions.append(snapshot.version.version)
        return answer_parts(snapshot, parts, max_tokens)


def run(snapshot, scenario, limits=ServiceLimits()):  # noqa: B008 (frozen)
    """Run a coroutine function with a working batcher."""

    async def main():
        batcher = Batcher(snapshot, limits, Telemetry())
        worker = asyncio.create_task(batcher.run())
        try:
            return await scenario(batcher)
        finally:
            worker.cancel()
            batcher.close()

    return asyncio.run(main())


def slow(seconds: float) -> Question:
    """A question whose answer takes a while."""

    def answer(model, texts, logits):
        import time

        time.sleep(seconds)
        return [{}] * len(texts)

    return Question(("slow",), (), answer)


def test_a_lone_question_is_answered_at_once_and_those_that_came_meanwhile_together(snapshot, monkeypatch):
    recorded = Recorded(monkeypatch)

    async def scenario(batcher):
        first = asyncio.create_task(batcher.ask(slow(0.2)))
        await asyncio.sleep(0.05)  # the model has begun with it
        await asyncio.gather(first, *(batcher.ask(PLAIN) for _ in range(5)))

    run(snapshot, scenario)
    assert recorded.sizes == [[1], [1] * 5]


def test_a_long_question_is_answered_in_parts_between_the_batches_of_others(snapshot, monkeypatch):
    recorded = Recorded(monkeypatch)
    long = ask_predictions(["the food was good"] * 70, Options())

    async def scenario(batcher):
        answers = await asyncio.gather(batcher.ask(long), batcher.ask(PLAIN), batcher.ask(PLAIN))
        return [len(answer.rows) for answer in answers]

    assert run(snapshot, scenario) == [70, 1, 1]
    assert recorded.sizes == [[1, 1], [32], [32], [6]]


def test_a_full_queue_refuses_and_says_when_to_ask_again(snapshot):
    async def scenario(batcher):
        first = asyncio.create_task(batcher.ask(slow(0.1)))
        others = [asyncio.create_task(batcher.ask(PLAIN)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(BusyError, match="ask again in 1 s") as refusal:
            await batcher.ask(PLAIN)
        await asyncio.gather(first, *others)
        await batcher.ask(PLAIN)  # there is room again
        return refusal.value.seconds

    assert run(snapshot, scenario, ServiceLimits(max_queued=3)) == 1


def test_one_question_larger_than_the_queue_is_accepted_if_nothing_waits(snapshot):
    large = ask_predictions(["a"] * 10, Options())
    answer = run(snapshot, lambda batcher: batcher.ask(large), ServiceLimits(max_queued=3))
    assert len(answer.rows) == 10


def test_a_late_answer_is_an_error_and_nobody_computes_for_those_who_left(snapshot, monkeypatch):
    recorded = Recorded(monkeypatch)

    async def scenario(batcher):
        blocking = asyncio.create_task(batcher.ask(slow(1.3)))
        await asyncio.sleep(0.05)
        with pytest.raises(LateError, match="within 1 s"):
            await batcher.ask(PLAIN)
        with pytest.raises(LateError):
            await blocking
        return await batcher.ask(PLAIN)

    assert len(run(snapshot, scenario, ServiceLimits(answer_seconds=1)).rows) == 1
    assert recorded.sizes == [[1], [1]]


def test_a_fault_of_one_question_is_the_fault_of_no_other(snapshot):
    def fail(model, texts, logits):
        raise ZeroDivisionError

    async def scenario(batcher):
        questions = [PLAIN, Question(("a",), (), fail), PLAIN, Question(("a",), ("no such patch",), fail)]
        return await asyncio.gather(*map(batcher.ask, questions), return_exceptions=True)

    first, failed, second, unpatched = run(snapshot, scenario)
    assert isinstance(failed, ZeroDivisionError) and "unknown patch" in str(unpatched)
    assert first.rows == second.rows


def test_a_text_that_breaks_the_pass_breaks_no_other(snapshot, monkeypatch):
    from sparsecbm.serve import passes

    encode = passes.encode

    def fragile(tokenizer, texts, max_length):
        if "poison" in texts:
            raise RuntimeError("the pass failed")
        return encode(tokenizer, texts, max_length)

    monkeypatch.setattr(passes, "encode", fragile)

    async def scenario(batcher):
        questions = [PLAIN, ask_predictions(["poison"], Options()), PLAIN]
        return await asyncio.gather(*map(batcher.ask, questions), return_exceptions=True)

    first, failed, second = run(snapshot, scenario)
    assert isinstance(failed, RuntimeError)
    assert len(first.rows) == len(second.rows) == 1


def test_a_switch_takes_effect_between_two_batches_and_the_old_model_is_freed(folder, monkeypatch):
    recorded = Recorded(monkeypatch)
    old = folder.snapshot()
    new = dataclasses.replace(folder.snapshot(), version=dataclasses.replace(old.version, version="new"))
    name, alive = old.version.version, weakref.ref(old.model)
    long = ask_predictions(["the food was good"] * 70, Options())
    holder = [old]
    del old

    async def scenario(batcher):
        holder.clear()
        first = asyncio.create_task(batcher.ask(slow(0.1)))
        lengthy = asyncio.create_task(batcher.ask(long))
        await asyncio.sleep(0.01)
        batcher.switch(new)
        late = await batcher.ask(PLAIN)
        versions = (await first).version.version, late.version.version, (await lengthy).version.version
        del first, lengthy
        await batcher.free_memory()
        gc.collect()
        return versions

    # The long question began after the switch; it would have kept the old model otherwise.
    assert run(holder[0], scenario) == (name, "new", "new")
    assert recorded.versions == [name, "new", "new", "new", "new"]
    assert alive() is None


def test_a_model_that_is_replaced_during_a_batch_is_freed_after_it(folder, snapshot):
    async def scenario(batcher):
        old = folder.snapshot()
        alive = weakref.ref(old.model)
        batcher.switch(old)
        asked = asyncio.create_task(batcher.ask(slow(0.1)))
        await asyncio.sleep(0.01)
        batcher.switch(snapshot)
        del old
        during = alive() is not None
        await batcher.free_memory()
        await asked
        return during, alive() is not None

    assert run(snapshot, scenario) == (True, False)


def test_a_long_question_keeps_the_model_that_began_it(snapshot, monkeypatch):
    new = dataclasses.replace(snapshot, version=dataclasses.replace(snapshot.version, version="new"))
    long = ask_predictions(["the food was good"] * 70, Options())

    async def scenario(batcher):
        lengthy = asyncio.create_task(batcher.ask(long))
        while not recorded.sizes:
            await asyncio.sleep(0.001)
        batcher.switch(new)
        return (await lengthy).version.version, (await batcher.ask(PLAIN)).version.version

    recorded = Recorded(monkeypatch)
    assert run(snapshot, scenario) == (snapshot.version.version, "new")
    assert recorded.versions[-1] == "new" and set(recorded.versions[:-1]) == {snapshot.version.version}
