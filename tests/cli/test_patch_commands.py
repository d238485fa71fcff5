"""`sparsecbm intervene` and `sparsecbm patch` from a user's point of view."""

import json

import pytest
from jsonschema import Draft202012Validator

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.data.tables import write_splits
from sparsecbm.intervene.patches.options import PROTECTION_STRENGTH
from sparsecbm.intervene.patches.patch import MaskPatch
from tests.support.patches import other_food_state
from tests.support.tiny_models import CONCEPTS, tiny_model
from tests.support.tiny_tables import annotated

TEXT = "a loud place but we came again and the food was bad"


@pytest.fixture
def folder(lively, tmp_path):
    """Return a folder with a model and annotated splits."""
    lively.save_pretrained(tmp_path / "model")
    vocabulary = {"source": "tiny", "vocabulary": CONCEPTS.to_dict()}
    splits = {"validation": annotated(40, seed=3), "test": annotated(20, seed=4)}
    write_splits(tmp_path / "annotated", splits, vocabulary)
    return tmp_path


@pytest.fixture
def state(lively):
    return other_food_state(lively, TEXT)


@pytest.fixture
def make(folder, state, sparsecbm):
    def make(*options, name="food.patch"):
        return sparsecbm(
            "patch", "make", folder / "model", "--text", TEXT, "--concept", "food", "--state", state, "--bits", 40,
            "--max-harm", 1, "--data", folder / "annotated", "--output", folder / name, *options,
        )  # fmt: skip

    return make


def test_an_edit_shows_before_and_after(folder, sparsecbm, state, lively):
    code, output, errors = sparsecbm("intervene", folder / "model", "--text", TEXT, "--set", f"food={state}")
    assert (code, errors) == (0, "")
    row = next(line.split() for line in output.splitlines() if line.startswith("food"))
    assert row[0] == "food" and row[-1] == "set" and row[-3:-1] == [state, "100.0%"]
    code, output, _ = sparsecbm("intervene", folder / "model", "--text", TEXT, "--set", f"food={state}", "--json")
    [edit] = json.loads(output)
    assert edit["after"] == lively.intervene(TEXT, {"food": state}).after.to_dict()
    output = sparsecbm("intervene", folder / "model", "--text", TEXT, "--set", "food=.25,.75,0", "--json")[1]
    assert json.loads(output)[0]["set_to"] == {"food": {"Negative": 0.25, "Positive": 0.75, "unknown": 0.0}}


def test_a_patch_can_be_applied_to_a_model_and_reverted(folder, state, sparsecbm, make):
    code, output, _ = make("--author", "Ann", "--note", "it says so")
    assert code == 0 and f"food should be {state}" in output and "author: Ann" in output
    assert "the model is unchanged" in output and "correct, now wrong" in output
    patch = MaskPatch.load(folder / "food.patch")
    assert json.loads(sparsecbm("patch", "show", folder / "food.patch", "--json")[1])["id"] == patch.id
    assert patch.id[:12] in sparsecbm("patch", "show", folder / "food.patch")[1]
    [row] = json.loads(sparsecbm("patch", "list", folder, "--json")[1])
    assert (row["id"], row["file"], row["bits"], row["author"]) == (patch.id, "food.patch", patch.bits, "Ann")
    assert patch.id[:12] in sparsecbm("patch", "list", folder)[1]
    data = ("--data", folder / "annotated")
    effects = json.loads(sparsecbm("patch", "test", folder / "model", folder / "food.patch", *data, "--json")[1])
    assert (effects["texts"], effects["bits"]) == (20, patch.bits)
    shown = sparsecbm("patch", "test", folder / "model", folder / "food.patch", *data)[1]
    known = effects["harmed"]["of"] + effects["fixed"]["of"]
    assert "most similar texts" in shown and f"food, of {known} with a state" in shown
    arguments = folder / "model", folder / "food.patch", "--output", folder / "patched"
    result = json.loads(sparsecbm("patch", "apply", *arguments, "--json")[1])
    patched = SparseCBM.from_pretrained(folder / "patched")
    assert patched.predict([TEXT])[0].concepts["food"].state == state
    assert result["masks"] == patched.masks.content_hash()
    arguments = folder / "patched", folder / "food.patch", "--output", folder / "reverted"
    assert "its checksum is" in sparsecbm("patch", "revert", *arguments)[1]
    masks = (folder / "reverted" / "masks.safetensors").read_bytes()
    assert masks == (folder / "model" / "masks.safetensors").read_bytes()


def test_json_has_the_published_form(folder, state, sparsecbm, make):
    model, patch, data = folder / "model", folder / "food.patch", ("--data", folder / "annotated")
    printed = {
        "intervene": ("intervene", model, "--text", TEXT, "--text", "so loud", "--set", f"food={state}"),
        "patch": ("patch", "show", patch),
        "patch-list": ("patch", "list", folder),
        "patch-test": ("patch", "test", model, patch, *data),
        "patch-apply": ("patch", "apply", model, patch, "--output", folder / "patched"),
    }
    outputs = [("patch", make("--json")[1])]
    outputs += [(name, sparsecbm(*arguments, "--json")[1]) for name, arguments in printed.items()]
    reverted = folder / "patched", patch, "--output", folder / "reverted"
    outputs += [("patch-apply", sparsecbm("patch", "revert", *reverted, "--json")[1])]
    for name, output in outputs:
        printed_json, validator = json.loads(output), Draft202012Validator(json_schemas()[name])
        validator.validate(printed_json)
        first = printed_json[0] if isinstance(printed_json, list) else printed_json
        for key in list(first):
            value = first.pop(key)
            assert not validator.is_valid(printed_json), (name, key)
            first[key] = value
    assert json.loads(outputs[0][1]) == json.loads(outputs[2][1])


def test_other_remedies_are_written_beside_the_patch(folder, state, make):
    """The counts are those of the patch's own side effects."""
    remedies, patch = folder / "remedies.json", folder / "food.patch"
    assert make("--remedies", remedies)[0] == 0
    told, effects = json.loads(remedies.read_text()), MaskPatch.load(patch).side_effects
    Draft202012Validator(json_schemas()["remedies"]).validate(told)
    by_kind = {each["kind"]: each for each in told["remedies"]}
    assert (told["concept"], told["state"], told["texts"]) == ("food", state, effects.texts)
    assert (by_kind["patch"]["harmed"], by_kind["patch"]["fixed"]) == (effects.harmed.count, effects.fixed.count)
    assert {each["corrected"][0]["concept"]["after"] for each in told["remedies"]} == {state}
    patch.unlink()
    (folder / "notes.txt").write_text("mine")
    code, _, errors = make("--remedies", folder / "notes.txt")
    assert code == 1 and "does not hold a comparison of remedies" in errors and not patch.exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert make("--remedies", remedies)[0] == 0


def test_progress_goes_to_stderr_and_json_stays_alone_on_stdout(make, monkeypatch):
    monkeypatch.setattr("sparsecbm.base.progress.DELAY", 0.0)
    code, output, errors = make("--json")
    assert code == 0 and json.loads(output)["concept"] == "food"
    for work in ("protect food", "search for bits", "predict food"):
        assert work in errors


def test_an_empty_folder_is_listed(folder, sparsecbm):
    (folder / "empty").mkdir()
    assert "no patches in this folder" in sparsecbm("patch", "list", folder / "empty")[1]


def test_the_share_of_texts_and_the_protection_can_be_set(folder, make):
    """The patch records both options; values out of range are errors."""
    assert make("--min-fixed-share", 0.5, "--protection-strength", 4)[0] == 0
    recorded = MaskPatch.load(folder / "food.patch").made
    assert (recorded["share"], recorded["caution"]) == (0.5, 4.0)
    assert make()[0] == 0
    recorded = MaskPatch.load(folder / "food.patch").made
    assert (recorded["share"], recorded["caution"]) == (1.0, PROTECTION_STRENGTH)
    for options, message in (
        (("--min-fixed-share", 0), "share of texts to fix"),
        (("--protection-strength", 0), "protection strength must be above 0"),
    ):
        code, _, errors = make(*options)
        assert code == 1 and message in errors


def test_a_file_of_texts_gives_the_same_patch(folder, state, sparsecbm, make):
    make()
    (folder / "in.jsonl").write_text(json.dumps({"text": TEXT}) + "\n")
    arguments = ["--concept", "food", "--state", state, "--bits", 40, "--max-harm", 1, "--data", folder / "annotated"]
    output = ["--output", folder / "of-file.patch"]
    assert sparsecbm("patch", "make", folder / "model", "--file", folder / "in.jsonl", *arguments, *output)[0] == 0
    assert (folder / "of-file.patch").read_bytes() == (folder / "food.patch").read_bytes()
    code, _, errors = make("--file", folder / "in.jsonl")
    assert code == 1 and "give only one of --text and --file" in errors


def test_no_patch_is_written_if_making_it_fails(folder, make, sparsecbm):
    for options, message in (
        (("--margin", 1e6), "bits are too few to make 'food' predict"),
        (("--max-harm", -1), "correct predictions"),
        (("--bits", 0), "a budget of 0 bits"),
        (("--layers", "*.9.*"), "unknown layer pattern"),
        (("--split", "dev"), "unknown split 'dev'"),
    ):
        code, _, errors = make(*options)
        assert code == 1 and message in errors and "Traceback" not in errors
        assert not (folder / "food.patch").exists()
    assert make("--max-harm", -1, "--force")[0] == 0
    assert "made with --force" in sparsecbm("patch", "show", folder / "food.patch")[1]


def test_a_dense_model_has_no_mask_to_patch(folder, backbone, sparsecbm):
    tiny_model(backbone).save_pretrained(folder / "dense")
    arguments = folder / "dense", "--text", TEXT, "--concept", "food", "--state", "Negative", "--output", folder / "x"
    code, _, errors = sparsecbm("patch", "make", *arguments, "--data", folder / "annotated")
    assert code == 1 and "the model is dense" in errors


def test_an_error_prints_one_message(folder, sparsecbm, make):
    make()
    model, patch = folder / "model", folder / "food.patch"
    assert sparsecbm("patch", "apply", model, patch, "--output", folder / "patched")[0] == 0
    for arguments, message in (
        (("intervene", model, "--text", TEXT, "--set", "fod=Positive"), "Did you mean 'food'"),
        (("intervene", model, "--text", TEXT, "--set", "food"), "give CONCEPT=STATE"),
        (("intervene", model, "--text", TEXT, "--set", "food=a,b"), "unknown state of 'food' 'a,b'"),
        (("patch", "test", folder / "patched", patch, "--data", folder / "annotated"), "is for another mask"),
        (("patch", "revert", model, patch, "--output", folder / "x"), "does not fit"),
        (("patch", "show", model / "config.json"), "is not a complete patch"),
        (("patch", "list", patch), "is not a folder"),
    ):
        code, output, errors = sparsecbm(*arguments)
        assert (code, output) == (1, "")
        assert errors.startswith("error: ") and message in errors and "Traceback" not in errors


def test_odd_names_and_states_with_commas_can_be_set(tmp_path, backbone, sparsecbm):
    """Names and states as in a survey: slashes, markup, an equals sign, Arabic, a comma."""
    odd = ("service/quality", "[bold]price[/bold] <i>*</i>", "a=b", "\u0627\u0644\u062e\u062f\u0645\u0629")
    concepts = ConceptSet(tuple(Concept(name, ("cheap, fair", "1,5")) for name in odd), Concept("rating", ("1", "2")))
    tiny_model(backbone, concepts).save_pretrained(tmp_path / "model")
    settings = [argument for name in odd for argument in ("--set", f"{name}=cheap, fair")]
    code, output, _ = sparsecbm("intervene", tmp_path / "model", "--text", TEXT, *settings, "--json")
    [edit] = json.loads(output)
    assert code == 0 and {edit["after"]["concepts"][name]["state"] for name in odd} == {"cheap, fair"}
    code, output, _ = sparsecbm("intervene", tmp_path / "model", "--text", TEXT, "--set", 'a=b="1,5"')
    assert code == 0 and "1,5" in output
    code, _, errors = sparsecbm("intervene", tmp_path / "model", "--text", TEXT, "--set", "a=b=1,5", "--set", "a=b=1,5")
    assert code == 1 and "give it one state, once" in errors
