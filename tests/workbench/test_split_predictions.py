"""The predictions of a split: made once for all who ask, in parts, and never of two models."""

import asyncio
from types import SimpleNamespace

import pytest

from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.workbench.split_texts import SplitTexts
from sparsecbm.workbench.stale import StaleError
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

TEXTS = 120
ROW = {"label": "1", "confidence": 0.9, "concepts": {}}


class Versions:
    """A stand-in for the batcher: answers with one version after the other, and notes how many texts it was asked."""

    def __init__(self, *versions, faults=0):
        self._versions, self._faults, self.asked = list(versions), faults, []

    @property
    def current(self):
        return SimpleNamespace(version=SimpleNamespace(sha256=self._versions[0]))

    async def ask(self, question):
        await asyncio.sleep(0)
        self.asked.append(len(question.texts))
        if len(self.asked) <= self._faults:
            raise StaleError("no answer")
        version = self._versions.pop(0) if len(self._versions) > 1 else self._versions[0]
        return SimpleNamespace(rows=[ROW] * len(question.texts), version=SimpleNamespace(sha256=version))


@pytest.fixture
def texts(tmp_path):
    """Return the texts of a workspace with one split."""
    workspace = Workspace(tmp_path)
    write_splits(workspace.annotated, {"test": annotated(TEXTS, 1)}, {"vocabulary": CONCEPTS.to_dict()})
    return SplitTexts(workspace)


def test_two_who_ask_at_once_and_what_was_prepared_share_one_prediction(texts):
    batcher = Versions("a")

    async def ask():
        texts.prepare(batcher)
        return await asyncio.gather(texts.predicted(batcher, "test"), texts.predicted(batcher, "test"))

    first, second = asyncio.run(ask())
    assert first is second and len(first) == TEXTS
    assert batcher.asked == [50, 50, 20]


def test_who_leaves_does_not_end_what_others_wait_for(texts):
    batcher = Versions("a")

    async def ask():
        leaving = asyncio.create_task(texts.predicted(batcher, "test"))
        staying = asyncio.create_task(texts.predicted(batcher, "test"))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    assert len(asyncio.run(ask())) == TEXTS and batcher.asked == [50, 50, 20]


@pytest.mark.parametrize(("batcher", "asked"), [(Versions("a", "a", "b"), 6), (Versions("a", faults=1), 4)])
def test_what_failed_is_begun_anew(texts, batcher, asked):
    """A model was replaced after two of three parts, or a part was not answered."""

    async def ask():
        with pytest.raises(StaleError):
            await texts.predicted(batcher, "test")
        return await texts.predicted(batcher, "test")

    assert len(asyncio.run(ask())) == TEXTS and len(batcher.asked) == asked
