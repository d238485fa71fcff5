"""A store that somebody else wrote: nothing outside it is read or deleted, and each fault is one error."""

import json
import os
import random

import numpy as np
import pytest
from safetensors.numpy import save_file

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.files import sha256_file
from sparsecbm.intervene.memory.index import INDEX
from sparsecbm.intervene.memory.recall import find_offers
from sparsecbm.intervene.memory.store import Memory
from tests.support.mutations import mutate_bytes, mutate_json
from tests.support.patches import patch_by_hand

TEXT = "the food was good"
LAYER = "encoder.layer.0.output.dense"
PLAIN = {"concept": "food", "state": "Negative", "text": "0" * 64, "weights": "1" * 64, "mask": "2" * 64}


@pytest.fixture
def victim(tmp_path):
    """Return a file next to the store."""
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.fixture
def memory(tmp_path, lively, victim):
    """Return a store with an edit and a patch."""
    store = Memory(tmp_path / "store")
    store.add(lively, TEXT, "noise", "loud", author="Ann")
    store.add_patch(lively, TEXT, patch_by_hand(lively, {LAYER: (0, 1, 2)}))
    return store


def write_index(memory, plain):
    (memory.folder / INDEX).write_text(json.dumps(plain))


def read_index(memory):
    return json.loads((memory.folder / INDEX).read_text())


@pytest.mark.parametrize("name", ["../victim", "/tmp/victim", "..", "index.json", ".lock", "x.safetensors", ""])
def test_names_of_files_are_not_taken_from_the_index(memory, victim, name):
    plain = read_index(memory)
    identity = memory.corrections()[0].id
    plain["corrections"][0]["files"] = {name: "0" * 64}
    write_index(memory, plain)
    for act in (lambda: memory.remove(identity), memory.corrections):
        with pytest.raises(InterventionError, match="lists the files"):
            act()
    assert victim.read_text() == "precious" and len(read_index(memory)["corrections"]) == 2


def test_the_index_of_the_report_deletes_nothing(tmp_path, victim, sparsecbm):
    (tmp_path / "store").mkdir()
    entry = {"correction": {**PLAIN, "patch": None, "author": "", "note": ""}, "files": {"../victim": "00"}}
    (tmp_path / "store" / INDEX).write_text(json.dumps({"format": 1, "corrections": [entry]}))
    for identity in ("", "0", "0000"):
        code, output, errors = sparsecbm("memory", "remove", tmp_path / "store", identity)
        assert code == 1 and output == "" and errors.startswith("error: ") and len(errors.splitlines()) == 1
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("identity", ["", "a", "abc"])
def test_an_id_that_is_too_short_matches_nothing(memory, identity):
    with pytest.raises(InterventionError, match="at least the first 4 characters"):
        memory.remove(identity)
    assert len(memory) == 2


def test_an_empty_store_and_an_unknown_id_are_errors(memory, tmp_path):
    with pytest.raises(InterventionError, match="holds no corrections"):
        Memory(tmp_path / "none").remove("abcd")
    assert not (tmp_path / "none").exists()
    with pytest.raises(InterventionError, match="unknown correction"):
        memory.remove("../victim")


def test_links_in_a_store_are_not_followed(memory, victim, lively):
    first = memory.corrections()[0]
    path = memory.folder / f"{first.id}.safetensors"
    path.rename(memory.folder / "elsewhere")
    os.symlink(memory.folder / "elsewhere", path)
    with pytest.raises(InterventionError, match="is missing or was altered"):
        memory.vector(first)
    path.unlink()
    os.symlink(victim, path)
    assert memory.remove(first.id) == first  # the link is removed, and not what it points to
    assert victim.read_text() == "precious"


def test_a_vector_of_another_width_and_another_patch_are_errors(memory, lively):
    edit, patched = memory.corrections()

    def replace_file(name, write):
        write(memory.folder / name)
        plain = read_index(memory)
        for entry in plain["corrections"]:
            if name in entry["files"]:
                entry["files"][name] = sha256_file(memory.folder / name)
        write_index(memory, plain)

    for vector, message in (
        (np.ones(3, np.float32), "has 3 numbers, not 16"),
        (np.full(16, np.nan, np.float32), "no vector of finite numbers"),
        (np.ones((4, 4), np.float32), "no vector of finite numbers"),
    ):
        replace_file(f"{edit.id}.safetensors", lambda path, vector=vector: save_file({"vector": vector}, path))
        with pytest.raises(InterventionError, match=message):
            find_offers(lively, memory, [TEXT])
    replace_file(f"{patched.id}.patch", patch_by_hand(lively, {LAYER: (7, 8)}).save)
    with pytest.raises(InterventionError, match="holds another patch"):
        memory.patch(patched)


def outcome(memory, lively, victim):
    """Use a store in every way; each call gives a result, or an error of ours that names the store or a correction."""
    worst = "used"
    for act in (memory.corrections, lambda: find_offers(lively, memory, [TEXT]), lambda: memory.remove("0000")):
        try:
            act()
        except InterventionError as error:
            if "unknown correction" not in str(error):
                assert str(memory.folder) in str(error) and len(str(error)) < 1500
                worst = "refused"
    assert victim.read_text() == "precious"
    return worst


def test_mutations_of_the_index(memory, lively, victim):
    rng, content, plain = random.Random(3), (memory.folder / INDEX).read_bytes(), read_index(memory)
    assert outcome(memory, lively, victim) == "used"  # control
    outcomes = []
    for number in range(320):
        if number % 2:
            (memory.folder / INDEX).write_bytes(mutate_bytes(content, rng))
        else:
            write_index(memory, mutate_json(plain, rng))
        outcomes.append(outcome(memory, lively, victim))
    assert outcomes.count("refused") > 200


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"format": NaN}', '"\\ud800"', "{}", "null", '{"format": 1}', "\x00"]
)
def test_indexes_that_are_none(memory, lively, victim, content):
    (memory.folder / INDEX).write_text(content)
    assert outcome(memory, lively, victim) == "refused"
