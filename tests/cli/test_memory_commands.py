"""`sparsecbm memory` from a user's point of view: it stores, offers and applies corrections; and its JSON."""

import json

import pytest
from jsonschema import Draft202012Validator

from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.make import make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from tests.support.patches import other_food_state
from tests.support.references import label_follows_food

TEXT, OTHER = "the food was bad", "we came again the place was quiet"


@pytest.fixture
def folder(backbone, tmp_path):
    """Return a folder with a model that predicts food as Negative in TEXT, and so the label 1."""
    label_follows_food(backbone).save_pretrained(tmp_path / "model")
    return tmp_path


@pytest.fixture
def memory(folder, sparsecbm):
    """Run `sparsecbm memory COMMAND` with the model and the store."""

    def memory(command, *options):
        return sparsecbm("memory", command, folder / "model", folder / "store", *options)

    return memory


def valid(name, output):
    """Return the printed JSON after checking that the published schema requires each of its keys."""
    printed, validator = json.loads(output), Draft202012Validator(json_schemas()[name])
    validator.validate(printed)
    for missing in printed[0]:
        assert not validator.is_valid([{key: value for key, value in printed[0].items() if key != missing}]), missing
    return printed


def test_a_stored_correction_is_offered_and_applied(folder, memory, sparsecbm):
    code, output, errors = memory("add", "--text", TEXT, "--set", "food=Positive", "--author", "[b]Ann")
    assert (code, errors) == (0, "")
    [correction] = Memory(folder / "store").corrections()
    assert correction.id[:12] in output and "[b]Ann" in output
    assert correction.id[:12] in sparsecbm("memory", "list", folder / "store")[1]
    [row] = valid("memory-list", sparsecbm("memory", "list", folder / "store", "--json")[1])
    assert (row["id"], row["kind"], row["patch"], row["author"]) == (correction.id, "edit", None, "[b]Ann")

    texts = ("--text", TEXT, "--text", OTHER)
    similar, different = valid("memory-offer", memory("offer", *texts, "--threshold", "0.999", "--json")[1])
    assert similar["offers"]["food"]["correction"] == row and different == {"text": OTHER, "offers": {}}
    assert similar["offers"]["food"]["likeness"] == pytest.approx(1, abs=1e-5)
    output = memory("offer", *texts, "--threshold", "0.999")[1]
    assert f"edit {correction.id[:12]}" in output and output.count("no correction is similar enough") == 1

    similar, different = valid("memory-apply", memory("apply", *texts, "--threshold", "0.999", "--json")[1])
    assert (similar["before"]["label"], similar["after"]["label"]) == ("1", "3")
    assert similar["acted"]["food"]["correction"] == row
    assert different["acted"] == {} and different["before"] == different["after"]
    output = memory("apply", *texts, "--threshold", "0.999")[1]
    rows = [line.split() for line in output.splitlines()]
    assert ["by", "edit", f"{correction.id[:12]},"] == next(row for row in rows if row[:1] == ["food"])[5:8]
    assert next(row for row in rows if row[:1] == ["label"])[-1] == "changed"
    assert output.count("no correction acted") == 1


def test_a_patch_provides_its_concept_and_state(folder, memory, sparsecbm, lively):
    lively.save_pretrained(folder / "model")
    state = other_food_state(lively, TEXT)
    patch = make_patch(lively, TEXT, "food", state, PatchOptions(40))
    patch.save(folder / "food.patch")
    [row] = valid("memory-list", memory("add", "--text", TEXT, "--patch", folder / "food.patch", "--json")[1])
    assert (row["kind"], row["concept"], row["state"], row["patch"]) == ("patch", "food", state, patch.id)
    [result] = json.loads(memory("apply", "--text", TEXT, "--threshold", "0.999", "--json")[1])
    assert result["after"]["concepts"]["food"]["state"] == state
    code, output, _ = sparsecbm("memory", "remove", folder / "store", row["id"][:10])
    assert (code, output) == (0, f"removed: food={state} ({row['id'][:12]})\n")
    assert len(Memory(folder / "store")) == 0


def test_several_texts_and_concepts_are_stored_separately(folder, memory):
    settings = ("--set", "food=Positive", "--set", "noise=quiet")
    rows = json.loads(memory("add", "--text", TEXT, "--text", OTHER, *settings, "--json")[1])
    assert len({row["id"] for row in rows}) == len(Memory(folder / "store")) == 4
    assert {(row["concept"], row["state"]) for row in rows} == {("food", "Positive"), ("noise", "quiet")}


def test_an_error_prints_one_message(folder, memory, sparsecbm):
    for command, options, message in (
        ("add", ("--text", TEXT), "give --set or --patch"),
        ("add", ("--text", TEXT, "--set", "food=Positive", "--patch", "x"), "give only one of --set and --patch"),
        ("add", ("--text", TEXT, "--set", "food=.1,.9,0"), "unknown state of 'food' '.1,.9,0'"),
        ("add", ("--text", TEXT, "--set", "fod=Positive"), "Did you mean 'food'"),
        ("add", ("--text", TEXT, "--patch", folder / "none.patch"), "does not exist"),
        ("offer", ("--text", TEXT), "holds no corrections; add the first one with `sparsecbm memory add`"),
        (
            "apply",
            ("--text", TEXT, "--threshold", "0.9"),
            "holds no corrections; add the first one with `sparsecbm memory add`",
        ),
    ):
        code, output, errors = memory(command, *options)
        assert (code, output) == (1, "") and errors.startswith("error: ") and message in errors
    memory("add", "--text", TEXT, "--set", "food=Positive")
    code, _, errors = sparsecbm("memory", "remove", folder / "store", "zzzz")
    assert code == 1 and "unknown correction 'zzzz'" in errors
