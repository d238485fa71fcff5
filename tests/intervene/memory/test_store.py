"""The store of corrections: its contents, consistency at any moment, and rejected input."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.base.files import read_json
from sparsecbm.intervene.memory import store as module
from sparsecbm.intervene.memory.index import INDEX
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.make import make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.reference import predict_concept_logits
from tests.support.patches import other_food_state
from tests.support.tiny_models import tiny_model

TEXT = "a loud place but we came again and the food was bad"


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path / "memory")


@pytest.fixture
def state(lively):
    """Return a state of food that the model does not predict for TEXT."""
    return other_food_state(lively, TEXT)


def test_a_stored_correction_can_be_loaded(lively, memory, state):
    assert (len(memory), memory.corrections()) == (0, [])
    correction = memory.add(lively, TEXT, "food", state, author="Ann", note="it says so")
    other = Memory(memory.folder)
    assert other.corrections() == [correction] == other.corrections_for(lively, "food")
    assert (correction.kind, correction.state, correction.author, correction.note) == (
        "edit",
        state,
        "Ann",
        "it says so",
    )
    assert other.corrections_for(lively, "noise") == []
    assert np.array_equal(other.vector(correction), predict_concept_logits(lively, "food", [TEXT])[1][0])
    assert TEXT not in (memory.folder / INDEX).read_text()


def test_a_stored_patch_is_complete(lively, memory, state):
    patch = make_patch(lively, TEXT, "food", state, PatchOptions(40))
    correction = memory.add_patch(lively, TEXT, patch)
    assert (correction.kind, correction.patch) == ("patch", patch.id)
    assert memory.patch(correction) == patch
    edit = memory.add(lively, TEXT, "food", state)
    with pytest.raises(InterventionError, match="is a concept edit and has no patch"):
        memory.patch(edit)
    with pytest.raises(InterventionError, match="belongs to another model or to another mask"):
        memory.add_patch(lively, TEXT, replace(patch, mask="0" * 64))
    with lively.patched(patch), pytest.raises(InterventionError, match="patches of 'food' are in force"):
        memory.add(lively, TEXT, "food", state)


def test_a_repeated_correction_is_stored_once_and_can_be_removed(lively, memory, state):
    first, again = (memory.add(lively, TEXT, "food", state) for _ in range(2))
    memory.add(lively, "the place was quiet", "noise", "quiet")
    assert first == again and len(memory) == 2
    assert memory.remove(first.id[:10]) == first
    assert [c.concept for c in memory.corrections()] == ["noise"]
    assert sorted(path.suffix for path in memory.folder.iterdir() if path.name[0] != ".") == [".json", ".safetensors"]
    with pytest.raises(InterventionError, match="unknown correction"):
        memory.remove(first.id)


def test_another_model_has_other_corrections(lively, memory, state, backbone):
    memory.add(lively, TEXT, "food", state)
    dense = tiny_model(backbone)
    assert memory.corrections_for(dense, "food") == []
    correction = memory.add(dense, TEXT, "food", state)
    assert correction.mask == "dense" and memory.corrections_for(dense, "food") == [correction]


def test_parallel_writers_lose_no_corrections(lively, memory):
    texts = [f"the food was {word}" for word in ("good", "bad", "slow", "quick", "dull", "pretty", "loud", "quiet")]
    with ThreadPoolExecutor(4) as pool:
        corrections = list(pool.map(lambda text: Memory(memory.folder).add(lively, text, "food", "unknown"), texts))
    assert {c.id for c in memory.corrections()} == {c.id for c in corrections}
    assert len(memory) == len(texts)


@pytest.mark.parametrize("moment", ["save_file", "replacing", "sha256_file", "write_index"])
def test_a_kill_during_writing_leaves_the_store_unchanged(lively, memory, state, moment, monkeypatch):
    """A forked writer dies at one step of writing without cleanup; the next writer finds the old state."""
    first = memory.add(lively, TEXT, "food", state)
    vector = predict_concept_logits(lively, "food", [TEXT])
    monkeypatch.setattr(module, "predict_concept_logits", lambda *_: vector)
    child = os.fork()
    if not child:
        monkeypatch.setattr(module, moment, lambda *_: os._exit(9))
        memory.add(lively, "the food was good", "food", "Positive")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert memory.corrections() == [first]
    memory.vector(first)
    second = memory.add(lively, "the food was good", "food", "Positive")
    assert memory.corrections() == [first, second]


def test_a_writer_that_never_ends_is_reported(lively, memory, state, monkeypatch):
    memory.add(lively, TEXT, "food", state)
    monkeypatch.setattr(module, "LOCK_TIMEOUT", 0.05)
    with memory._lock(), pytest.raises(InterventionError, match="another process has been writing to"):
        Memory(memory.folder).add(lively, TEXT, "noise", "loud")


def test_altered_files_are_an_error(lively, memory, state, tmp_path):
    correction = memory.add_patch(lively, TEXT, make_patch(lively, TEXT, "food", state, PatchOptions(40)))
    for name, method in ((f"{correction.id}.safetensors", "vector"), (f"{correction.id}.patch", "patch")):
        copy = Memory(shutil.copytree(memory.folder, tmp_path / name))
        path = copy.folder / name
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(InterventionError, match="is missing or was altered"):
            getattr(copy, method)(correction)
        path.unlink()
        with pytest.raises(InterventionError, match="is missing or was altered"):
            getattr(copy, method)(correction)
    index = read_json(memory.folder / INDEX)
    (memory.folder / INDEX).write_text(str(index | {"format": 9}).replace("'", '"').replace("None", "null"))
    with pytest.raises(InterventionError, match="has format 9; this version reads format 1"):
        memory.corrections()
    (memory.folder / INDEX).write_text('{"format": 1, "corrections": [{"correction": {"concept": "food"}}]}')
    with pytest.raises(InterventionError, match="is not an index of corrections"):
        memory.corrections()


def test_errors_for_unknown_names_list_the_choices(lively, memory):
    with pytest.raises(InterventionError, match="Did you mean 'food'"):
        memory.add(lively, TEXT, "foo", "Positive")
    with pytest.raises(ConfigError, match="Choices: Negative, Positive, unknown"):
        memory.add(lively, TEXT, "food", "good")
