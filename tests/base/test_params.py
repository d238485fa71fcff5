"""params.yaml, typed: what is wrong is named by key, with the nearest match."""

import copy

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import load_params, parse_params, read_yaml
from tests.support.tiny_pipeline import ROOT


@pytest.fixture
def plain():
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
        ("finetune.epochs", 0, r"finetune.epochs: .* greater than or equal to 1 \(got 0\)"),
        ("finetune.epochs", "x", r"finetune.epochs: .*integer.*\(got 'x'\)"),
        ("split.test", 1, r"split.test: .* less than 1 \(got 1\)"),
        ("model.mode", "jont", r"model.mode: .*'joint'"),
        ("source.name", "restaurant", r"source.name: unknown source 'restaurant'. Did you mean 'restaurants'"),
        ("source.paht", "x", r"source.paht: unknown key 'paht'. Did you mean 'path'"),
    ],
)
def test_a_fault_names_the_key(plain, key, value, message):
    *blocks, last = key.split(".")
    block = plain
    for name in blocks:
        block = block[name]
    block[last] = value
    with pytest.raises(ConfigError, match=message):
        parse_params(plain)


def test_all_faults_are_told_at_once(plain):
    del plain["seed"]
    plain["threads"] = 0
    with pytest.raises(ConfigError) as fault:
        parse_params(plain)
    assert str(fault.value).startswith("params.yaml is not valid:\n")
    assert "  seed: this key is missing" in str(fault.value)
    assert "  threads: " in str(fault.value)


def test_columns_of_a_table_are_checked(plain):
    plain["source"] = {
        "name": "table", "path": "x.csv",
        "columns": {"text": "t", "label": "l", "concepts": {"food": {"colunm": "f"}}},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"food.colunm: unknown key 'colunm'. Did you mean 'column'"):
        parse_params(plain)
    plain["source"]["columns"]["concepts"] = {"food": {"column": "f"}}
    assert parse_params(plain).source.columns.concepts["food"].column == "f"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "must hold a mapping of keys to values, not list"),
        ("a: [1\n", "is not valid YAML"),
        ("", r"profile: this key is missing"),
    ],
)
def test_a_file_that_is_no_mapping_is_told(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"params\.yaml does not exist"):
        load_params(tmp_path / "params.yaml")
