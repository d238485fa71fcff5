"""YAML 1.2 as DVC reads it; what is refused is named with its line."""

import os
from datetime import date

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.yaml_reader import MAX_BYTES, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("off", "off"), ("y", "y"),
        ('"1:30"', "1:30"), ("1:30", "1:30"), ("190:20:30", "190:20:30"),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("1e-4", 0.0001), ("1E5", 100000.0), ("0o17", 15), ("017", 17), ("0x1f", 31), ("'017'", "017"),
        ("2024-01-02", date(2024, 1, 2)), ("[yes, no]", ["yes", "no"]), ("'<<'", "<<"),
        ('["0:20", "1:30"]', ["0:20", "1:30"]),
    ],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(text, value):
    parsed = parse_yaml(f"key: {text}\n", "it")["key"]
    assert (type(parsed), parsed) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r'^it is not valid YAML: line 3: found duplicate key "a" with value "3"'),
        ("a: {b: 1, b: 2}", r'line 1: found duplicate key "b"'),
        ("a: 1\nb: &x 2\n", r"^it, line 2: anchors .* write the value twice$"),
        ("a: *x\n", r"^it, line 1: anchors"),
        ("x: &x {p: 1}\nb:\n  <<: *x\n", r"^it, line 1: anchors"),
        ("b:\n  <<: {p: 1}\n", r"^it, line 2: anchors"),
        ("a:\n\tb: 1\n", r"^it is not valid YAML: line 2: a tab before the text; indent with blanks$"),
        ("a: !!python/object:os.system {}", r"^it, line 1: tags such as .*python/object:os.system are not taken"),
        ("a: !!binary aGk=", r"^it, line 1: tags"),
        ("a: 1\n---\nb: 2\n", r"^it is not valid YAML: line 2: two documents$"),
        ("%YAML 1.1\n---\na: yes\n", r"^it, line 1: a %YAML line is not taken"),
        ("a: b: c", r"line 1: mapping values are not allowed in this context; if the value is a text, quote it$"),
        ("a: 'b", r"line 1: found unexpected end of stream$"),
        ("a: \x00b", r"^it is not valid YAML: unacceptable character #x0000"),
        ("a: " + "9" * 5000, r"^it is not valid YAML: Exceeds the limit .* if it is a text, quote it$"),
        ("a: 2024-99-99", r"^it is not valid YAML: month must be in 1..12; if it is a text, quote it$"),
        ("a: \ud800", r"^it is not valid YAML: .*surrogates not allowed"),
        ("a:\n  1: x\n", r'^it: a key is the number 1, but keys are texts; quote it as it is spelt, as in "1"$'),
        (
            "- true: x\n",
            r'^it: a key is the truth value true, but keys are texts; quote it as it is spelt, as in "true"$',
        ),
        ("~: x\n", r'^it: a key is null, but keys are texts; quote it as it is spelt, as in "null"$'),
        ("a: " + "[" * 100_000 + "]" * 100_000, r"^it, line 1: blocks are nested more than 40 deep$"),
        ("- " * 100_000, r"^it, line 1: blocks are nested more than 40 deep$"),
        ("".join(" " * depth + "a:\n" for depth in range(60)), r"^it, line 41: blocks are nested more than 40 deep$"),
        ("a: " + "x" * MAX_BYTES, r"^it holds 1,000,003 characters; a configuration has at most 1,000,000$"),
    ],
)
def test_what_is_not_taken_is_one_message(text, message):
    with pytest.raises(ConfigError, match=message) as fault:
        parse_yaml(text, "it")
    assert "\n" not in str(fault.value)
    assert len(str(fault.value)) < 400


def test_forty_levels_are_taken():
    value = parse_yaml("[" * 40 + "]" * 40, "it")
    for _ in range(39):
        (value,) = value
    assert value == []


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path):
    (tmp_path / "a.yaml").write_bytes("\ufeffa:\r\n  b: grün\r\n".encode())
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"b": "grün"}}


def test_a_file_that_is_not_readable_is_one_message(tmp_path):
    path = tmp_path / "a.yaml"
    with pytest.raises(ConfigError, match=r"a\.yaml does not exist$"):
        read_yaml(path)
    path.write_bytes("a: 1\nb: grün\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"a\.yaml is not UTF-8 text \(line 2\); save it as UTF-8$"):
        read_yaml(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=r"a\.yaml holds 1,000,001 bytes"):
        read_yaml(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"a\.yaml is not a regular file"):
        read_yaml(path)
    path.unlink()
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match=r"a\.yaml must hold a mapping of keys to values, not list$"):
        read_yaml(path)
    path.write_text("# nothing\n")
    assert read_yaml(path) == {}
