"""Nested mappings under dotted names."""

import hashlib
import random

from sparsecbm.base.flat import flat, flat_numbers


def test_only_numbers_stay():
    nested = {"a": {"b": 1, "c": "text", "d": [1, 2], "e": True, "f": None}, "g": 0.5}
    assert flat_numbers(nested) == {"a.b": 1.0, "g": 0.5}


def test_all_leaves_keep_their_values():
    assert flat({"a": {"b": None, "c": [1]}, "d": True}, "p.") == {"p.a.b": None, "p.a.c": [1], "p.d": True}


def test_characters_that_mlflow_rejects_become_underscores():
    assert list(flat({"food & drink, etc.": 1})) == ["food _ drink_ etc."]


def test_keys_whose_names_would_be_equal_end_in_a_hash():
    # sha256 of "a/b" begins with c14cddc033, of "a:b" with 64fb6d6a73
    nested = {"x": {"a/b": 1, "a_b": 2, "a:b": 3}, "y": {"a/b": 4}}
    assert flat(nested) == {"x.a_b-c14cddc033": 1, "x.a_b": 2, f"x.a_b-{sha('a:b')}": 3, "y.a_b-c14cddc033": 4}
    assert flat({"y": {"a/b": 4}}) == {"y.a_b": 4}  # negative control: alone it needs none


def test_dots_in_keys_and_keys_of_dots_alone_keep_leaves_apart():
    names = flat({"m": {"a": {"b.c": 1}, "a.b": {"c": 2}}, "": 3, "..": 4})
    assert list(names.values()) == [1, 2, 3, 4]
    first, second, *others = names
    assert first == "m.a.b.c" and second.startswith("m.a.b.c-")
    assert others == [f"-{sha('')}", f"__-{sha('..')}"]


def test_long_names_are_cut_and_stay_apart():
    question = "How satisfied were you, all in all, with the time that passed? " * 6
    keys = [question, f"{question}?", question.upper()]
    names = flat({"concepts": {key: {other: {"value": 1} for other in keys} for key in keys}}, "evaluate/", longest=250)
    assert len(names) == 9 and max(map(len, names)) <= 250
    shortened = f"How satisfied were you_ all i-{sha(question)}"
    assert len(shortened) == 40
    assert f"evaluate/concepts.{shortened}.{shortened}.value" in names
    (name,) = flat({"a" * 100: {"b" * 139: 1}}, "evaluate/", longest=250)  # 249 characters: as it is
    assert name == f"evaluate/{'a' * 100}.{'b' * 139}"
    deep = {"k" * 40: {"k" * 40: {"k" * 40: {"k" * 40: {"k" * 40: {"k" * 40: {"a": 1, "b": 2}}}}}}}
    assert [len(name) for name in flat(deep, "evaluate/", longest=250)] == [250, 250]


def test_500_random_mappings_keep_every_leaf_under_a_name_that_mlflow_accepts():
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    draw = random.Random(3)

    def key():
        return "".join(draw.choices("ab_/.: é語\x1b[<\\-", k=draw.choice((0, 1, 2, 3, 3, 300))))

    def mapping(depth):
        return {key(): mapping(depth - 1) if depth and draw.random() < 0.5 else 1 for _ in range(draw.randrange(1, 6))}

    def count(nested):
        return sum(count(value) if isinstance(value, dict) else 1 for value in nested.values())

    for _ in range(500):
        nested = mapping(4)
        names = flat(nested, "evaluate/", longest=250)
        assert len(names) == count(nested)
        for name in names:
            _validate_metric_name(name)
        for name in flat(nested, longest=250):
            _validate_param_name(name)


def sha(key):
    return hashlib.sha256(key.encode()).hexdigest()[:10]
