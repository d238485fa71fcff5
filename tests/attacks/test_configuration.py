"""Hundreds of damaged configurations: each is read as DVC reads it, or refused by one message."""

import copy
import random

import pytest
from dvc.utils.serialize import YAMLFileCorruptedError, load_yaml

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import load_params, parse_params, read_yaml
from tests.support.tiny_pipeline import ROOT

TEXT = "".join((ROOT / "params.yaml").read_text(encoding="utf-8").splitlines(keepends=True)[:30])
PIECES = [
    "yes", "1:30", "\t", "&a ", "*a", "<<: ", "!!int ", "---\n", "[", "]", "{", "}", "'", '"', ": ", "- ", "\x00",
    "\x85", "\u2028", "~", ".nan", ".inf",
    "9" * 5000, "1e999", "2024-13-01", "\n", "  ", "%YAML 1.1\n", "? ", "=", "@", "`", "|",
    "[" * 200, "\ufeff", "true", "null", "a: 1\n",
]  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 10**400, 1.5, float("nan"), float("inf"), "", "x", "x" * 10_000, [], [1], [None], {},
    {"a": 1}, {"name": []}, b"x", [[[]]], {"": ""}, "\x1b[31m", "none", "12", 2**63, -0.0,
]  # fmt: skip


def test_a_damaged_file_is_read_as_dvc_reads_it_or_refused(tmp_path):
    draw, path, outcomes = random.Random(1), tmp_path / "params.yaml", {"same": 0, "refused": 0}
    for _ in range(300):
        text = TEXT
        for _ in range(draw.randint(1, 3)):
            start = draw.randrange(len(text))
            text = text[:start] + draw.choice(PIECES) + text[start + draw.choice((0, 0, 1, 5, 40)) :]
        path.write_text(text, encoding="utf-8")
        try:
            plain = read_yaml(path)
        except ConfigError as error:
            assert "\n" not in str(error) and len(str(error)) < 500, str(error)
            outcomes["refused"] += 1
            continue
        assert repr(plain) == repr(load_yaml(path))
        outcomes["same"] += 1
        try:
            load_params(path)
        except ConfigError as error:
            assert str(error).startswith("params.yaml is not valid:\n  "), str(error)
    assert min(outcomes.values()) > 50, outcomes


def test_dvc_refuses_some_of_the_damaged_files(tmp_path):
    """Control for the test above: the oracle is not one that takes everything."""
    (tmp_path / "params.yaml").write_text("a: [1:30]\n")
    with pytest.raises(YAMLFileCorruptedError):
        load_yaml(tmp_path / "params.yaml")


def test_a_wrong_value_anywhere_is_refused_by_its_key():
    shipped, draw, refused = read_yaml(ROOT / "params.yaml"), random.Random(2), 0
    shipped["source"] = {
        "name": "table", "path": "x.csv",
        "columns": {"text": "t", "label": "l", "concepts": {"food": {"column": "f", "states": ["a", "b"]}}},
    }  # fmt: skip
    parse_params(shipped)
    for _ in range(500):
        content = copy.deepcopy(shipped)
        path = []
        block = content
        while True:
            key = draw.choice(list(block) if isinstance(block, dict) else range(len(block)))
            path.append(str(key))
            inner = block[key]
            if not (isinstance(inner, dict | list) and inner) or draw.random() < 0.15:
                break
            block = inner
        action = draw.choice(("replace", "replace", "remove", "add"))
        if action == "replace":
            block[key] = draw.choice(VALUES)
        elif action == "remove":
            del block[key]
        elif isinstance(block, dict):
            block[f"{key}x"] = draw.choice(VALUES)
        try:
            params = parse_params(content)
        except ConfigError as error:
            refused += 1
            first = str(error).splitlines()[1].strip()
            shared = ".".join(path[:-1])
            assert first.startswith(shared) or path[0] in first, (path, str(error))
            assert len(str(error)) < 3000
        else:
            assert parse_params(params.model_dump(by_alias=True)) == params
    assert refused > 150, refused
