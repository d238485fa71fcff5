"""The typed params.yaml: an error names the key and the closest match."""

import copy
from datetime import date

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import Finetune, Params, Prune, load_params, parse_params, read_yaml
from sparsecbm.base.params.messages import RENAMED
from tests.support.tiny_pipeline import ROOT


@pytest.fixture
def content():
    return copy.deepcopy(read_yaml(ROOT / "params.yaml"))


def test_the_shipped_file_is_valid_and_immutable():
    params = load_params(ROOT / "params.yaml")
    assert (params.profile, params.source.name) == (None, "restaurants")
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sead", 1, r"sead: unknown key 'sead'. Did you mean 'seed'"),
        ("finetune.epoch", 1, r"finetune.epoch: unknown key 'epoch'. Did you mean 'epochs'"),
        ("finetune.epochs", 0, "finetune.epochs: must be at least 1, not 0"),
        ("finetune.epochs", "x", "finetune.epochs: must be a whole number, not 'x'"),
        ("split.test", 1, "split.test: must be below 1, not 1"),
        ("model.mode", "jont", "model.mode: must be 'standard', 'joint', 'sequential' or 'independent', not 'jont'"),
        ("track.enabled", "maybe", "track.enabled: must be true or false, not 'maybe'"),
        ("prune.layers", [], r"prune.layers: must be a list of at least 1, not \[\]"),
        (
            "prune.granularity",
            "2",
            "prune.granularity: must be unstructured, structured, hierarchical or N:M, such as 2:4, not '2'",
        ),
        ("promote.model", "a b", "promote.model: must be a name of letters, digits, `_`, `-` and `.`, not 'a b'"),
        ("finetune", 3, "finetune: must be a mapping, not 3"),
        ("source.name", "restaurant", r"source.name: unknown source 'restaurant'. Did you mean 'restaurants'"),
        ("source.paht", "x", r"source.paht: unknown key 'paht'. Did you mean 'path'"),
        ("source", {}, r"source.name: this key is missing"),
        ("source", "cebab", r"source: must be a mapping, not 'cebab'"),
        ("finetune.learning_rate", float("inf"), "finetune.learning_rate: must be a finite number, not inf"),
        ("model.backbone", 3, r'model.backbone: must be text, not the number 3; quote it as it is spelt, as in "3"$'),
        (
            "model.backbone",
            True,
            r'model.backbone: must be text, not the truth value true; quote it as it is spelt, as in "true"$',
        ),
        (
            "model.backbone",
            date(2024, 1, 2),
            r'must be text, not the date 2024-01-02; quote it as it is spelt, as in "2024-01-02"$',
        ),
        ("model.backbone", None, r"model.backbone: must be text, not null$"),
        ("model.backbone", ["x" * 100], r"model.backbone: must be text, not \['x{58}\.\.\.$"),
    ],
)
def test_an_error_names_the_key(content, key, value, message):
    *blocks, last = key.split(".")
    block = content
    for name in blocks:
        block = block[name]
    block[last] = value
    with pytest.raises(ConfigError, match=message):
        parse_params(content)


def test_one_error_lists_all_invalid_keys(content):
    del content["seed"]
    content["threads"] = 0
    with pytest.raises(ConfigError) as fault:
        parse_params(content)
    assert str(fault.value).startswith("params.yaml is not valid:\n")
    assert "  seed: this key is missing" in str(fault.value)
    assert "  threads: " in str(fault.value)


def test_one_error_lists_at_most_thirty_faults(content):
    content |= {f"key {number}": 1 for number in range(40)}
    with pytest.raises(ConfigError) as fault:
        parse_params(content)
    assert len(str(fault.value).splitlines()) == 1 + 30 + 1
    assert str(fault.value).endswith("\n  ... and 10 more")


def test_columns_of_a_table_are_checked(content):
    content["source"] = {
        "name": "table", "path": "x.csv",
        "columns": {"text": "t", "label": "l", "concepts": {"food": {"colunm": "f"}}},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"food.colunm: unknown key 'colunm'. Did you mean 'column'"):
        parse_params(content)
    content["source"]["columns"]["concepts"] = {"food": {"column": "f"}}
    assert parse_params(content).source.columns.concepts["food"].column == "f"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "must hold a mapping of keys to values, not list"),
        ("a: [1\n", "is not valid YAML"),
        ("", r"profile: this key is missing"),
    ],
)
def test_a_file_without_a_complete_mapping_is_an_error(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_params(tmp_path / "params.yaml")


def test_corrected_targets_need_a_judge_and_a_loss_that_uses_them(content):
    content["annotate"]["correct_targets"] = True
    with pytest.raises(ConfigError, match="correct_targets asks the annotator `embedding`; add it"):
        parse_params(content)
    content["annotate"]["annotators"] = ["human", "embedding"]
    parse_params(content)
    content["finetune"]["targets"] = "majority"
    with pytest.raises(ConfigError, match="gives probabilities, which only"):
        parse_params(content)


def test_faults_of_gates_name_the_gate_and_its_choices(content):
    content["promote"]["gates"] = [
        {"kind": "scroe", "name": "a"},
        {"kind": "cost", "name": "b", "of": "size_mb", "bound": 1, "tims": 2},
        {"kind": "figure", "name": "c", "file": "f", "key": "k", "equals": [1], "failed": "hold", "required": True},
    ]
    with pytest.raises(ConfigError) as fault:
        parse_params(content)
    assert str(fault.value).splitlines()[1:] == [
        "  promote.gates.0.kind: unknown kind 'scroe'. Did you mean 'score'? Choices: score, figure, cost, drift, "
        "subgroup",
        "  promote.gates.1.times: this key is missing",
        "  promote.gates.1.tims: unknown key 'tims'. Did you mean 'times'? Choices: kind, name, of, bound, times",
        "  promote.gates.2.equals: must be true or false, not [1]",
        "  promote.gates.2.equals: must be text, not [1]",
    ]


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"params\.yaml does not exist"):
        load_params(tmp_path / "params.yaml")


def test_defaults_are_the_values_of_the_shipped_file(content):
    """Only the source, the promotion gates and the top-level keys have no defaults."""
    del content["promote"]["gates"]
    shipped = load_params(ROOT / "params.yaml")
    compared = 0
    for name, field in Params.model_fields.items():
        key = field.alias or name
        if key == "source" or not isinstance(content[key], dict):
            continue
        for inner in content[key]:
            assert field.annotation.model_fields[inner].default == getattr(getattr(shipped, name), inner), (key, inner)
            compared += 1
    assert compared == sum(len(block) for key, block in content.items() if isinstance(block, dict) and key != "source")


def test_blocks_of_defaults_are_valid_and_reject_unknown_keys(content):
    assert Finetune() == Finetune(**content["finetune"]) and Prune() == Prune(**content["prune"])
    with pytest.raises(ValueError, match="epoch"):
        Finetune(epoch=1)


def test_a_missing_key_takes_its_default(content):
    del content["finetune"]["epochs"]
    assert parse_params(content).finetune.epochs == 3


def test_the_error_for_a_renamed_key_gives_the_new_name(content, monkeypatch):
    monkeypatch.setitem(RENAMED, "finetune.rounds", "finetune.epochs")
    content["finetune"]["rounds"] = 3
    with pytest.raises(ConfigError, match=r"\n  finetune\.rounds is now finetune\.epochs$"):
        parse_params(content)
