"""`sparsecbm predict` and `evaluate` as a user types them."""

import json

import pytest
from jsonschema import Draft202012Validator

from sparsecbm.base.errors import DataError
from sparsecbm.cli import app as cli
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.cli.predictions import prediction_lines, read_texts
from tests.support.tiny_models import tiny_model

VALIDATOR = Draft202012Validator(json_schemas()["predict"])


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    path = tmp_path_factory.mktemp("predict") / "model"
    tiny_model(backbone).save_pretrained(path)
    return path


def sparsecbm(monkeypatch, *arguments):
    """Run the command line in this process; its exit code."""
    monkeypatch.setattr(cli.sys, "argv", ["sparsecbm", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
        raise SystemExit(0)
    return stop.value.code or 0


def test_each_text_gives_one_line_of_the_published_form(folder, monkeypatch, capsys):
    assert sparsecbm(monkeypatch, "predict", folder, "--text", "the food was good", "--text", "bad ☕") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["the food was good", "bad ☕"]
    for line in lines:
        VALIDATOR.validate(line)
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["confidence"] == line["probabilities"][line["label"]] == max(line["probabilities"].values())
        assert set(line["concepts"]) == {"food", "noise"}
    del lines[0]["concepts"]["food"]["state"]
    assert not VALIDATOR.is_valid(lines[0])


def test_a_black_box_has_no_concepts(backbone):
    (line,) = prediction_lines(tiny_model(backbone, mode="standard"), ["the food was good"])
    VALIDATOR.validate(json.loads(line))
    assert json.loads(line)["concepts"] == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "the food was good\n\nbad\n"),
        ("a.jsonl", '{"text": "the food was good", "id": 7}\n"bad"\n'),
        ("a.csv", 'id,text\n1,the food was good\n2,"bad"\n'),
        ("a.tsv", "text\tid\nthe food was good\t1\nbad\t2\n"),
    ],
)
def test_each_kind_of_file(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert read_texts(tmp_path / name) == ["the food was good", "bad"]


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_only_a_line_feed_ends_a_text(name, tmp_path):
    """Unicode has other line ends, which reviews copied from the web hold."""
    head = "text\n" if name == "a.csv" else ""
    (tmp_path / name).write_text(f"{head}the food\u2028was good\nbad\x0bnoise\n", encoding="utf-8")
    assert read_texts(tmp_path / name) == ["the food\u2028was good", "bad\x0bnoise"]


def test_a_file_without_a_text_is_told(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "in.txt").write_text("\n\n")
    assert sparsecbm(monkeypatch, "predict", folder, "--file", tmp_path / "in.txt") == 1
    assert "in.txt holds no text" in capsys.readouterr().err


def test_a_file_is_read_and_written_whole(folder, tmp_path, monkeypatch):
    texts, output = tmp_path / "in.txt", tmp_path / "o.jsonl"
    texts.write_text("the food was good\nbad\n")
    assert sparsecbm(monkeypatch, "predict", folder, "--file", texts, "--output", output) == 0
    assert len(output.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', "a.jsonl, line 2 has no text"),
        ("a.jsonl", b"{oops\n", "line 1 is not valid JSON"),
        ("a.csv", b"id,body\n1,x\n", "no column 'text'; it has id, body"),
        ("a.txt", b"caf\xe9\n", "is not UTF-8"),
    ],
)
def test_bad_files_are_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_texts(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a", "--file", "b"], "either --text or --file"),
        ([], "either --text or --file"),
        (["--file", "nowhere.txt"], "nowhere.txt: No such file"),
    ],
)
def test_a_fault_is_one_message_and_exit_code_1(folder, arguments, message, monkeypatch, capsys):
    assert sparsecbm(monkeypatch, "predict", folder, *arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and "Traceback" not in error


def test_a_model_that_is_none_is_named(tmp_path, monkeypatch, capsys):
    assert sparsecbm(monkeypatch, "predict", tmp_path / "none", "--text", "a") == 1
    assert "is not a model folder" in capsys.readouterr().err


def test_evaluate_names_a_source_that_it_does_not_know(folder, monkeypatch, capsys, tmp_path):
    source = ["--source", "cebap", "--path", tmp_path]
    assert sparsecbm(monkeypatch, "evaluate", folder, *source, "--split", "dev", "--output", tmp_path / "o") == 1
    assert "Did you mean 'cebab'" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
