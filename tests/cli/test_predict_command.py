"""`sparsecbm predict` and `sparsecbm evaluate` from a user's point of view."""

import json
import os
import re
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from sparsecbm import SparseCBM
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.cli.predictions import json_line
from sparsecbm.cli.printing.predictions import show_prediction
from sparsecbm.cli.text_files import load_texts
from sparsecbm.cli.text_input import collect_texts
from sparsecbm.model.prediction import Prediction, StatePrediction
from tests.support.tiny_models import tiny_model

VALIDATOR = Draft202012Validator(json_schemas()["predict"])


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    path = tmp_path_factory.mktemp("predict") / "model"
    tiny_model(backbone).save_pretrained(path)
    return path


def test_each_text_gives_one_line_that_fits_the_published_schema(folder, sparsecbm):
    code, output, errors = sparsecbm("predict", folder, "--text", "the food was good", "--text", "bad ☕")
    assert (code, errors) == (0, "")
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["text"] for line in lines] == ["the food was good", "bad ☕"]
    for line in lines:
        VALIDATOR.validate(line)
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["confidence"] == line["probabilities"][line["label"]] == max(line["probabilities"].values())
        assert set(line["concepts"]) == {"food", "noise"}
    del lines[0]["concepts"]["food"]["state"]
    assert not VALIDATOR.is_valid(lines[0])


def test_a_black_box_has_no_concepts(backbone):
    (prediction,) = tiny_model(backbone, mode="standard").predict(["the food was good"])
    line = json.loads(json_line(prediction))
    VALIDATOR.validate(line)
    assert line["concepts"] == {}


def test_a_terminal_gets_a_table_with_the_most_probable_state_first(capsys):
    noise = StatePrediction("quiet", {"loud": 0.1234, "quiet": 0.8766})
    label = StatePrediction("2", {"1": 0.1, "2": 0.6, "3": 0.3})
    show_prediction(Prediction("Quiet [b]place[/b]\x1b[2J", label, {"noise": noise}), "stars")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["Quiet", "[b]place[/b]\\x1b[2J"],
        ["predicted", "other", "states"],
        ["stars", "(label)", "2", "60.0%", "3", "30.0%,", "1", "10.0%"],
        ["noise", "quiet", "87.7%", "loud", "12.3%"],
    ]


def test_the_command_prints_tables_in_a_terminal_alone(folder, sparsecbm, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, output, _ = sparsecbm("predict", folder, "--text", "the food was good", "--text", "bad")
    rows = [line.split()[0] for line in re.sub(r"\x1b\[[\d;]*m", "", output).splitlines()]
    assert (code, rows) == (
        0,
        ["the", "predicted", "rating", "food", "noise", "bad", "predicted", "rating", "food", "noise"],
    )


def test_texts_that_the_model_does_not_read_as_a_whole_are_told_on_stderr(folder, sparsecbm):
    limit = SparseCBM.from_pretrained(folder).settings.max_length
    fits, longer = "food " * (limit - 2), "food " * (limit - 1)  # and two special tokens
    texts = [option for text in (" ", fits, longer) for option in ("--text", text)]
    code, output, errors = sparsecbm("predict", folder, *texts)
    assert (code, len(output.splitlines())) == (0, 3)
    assert errors.splitlines() == [
        "1 of 3 text(s) without words: the prediction is that of an empty text",
        "1 of 3 text(s) longer than the model reads: the rest was cut off, and `sparsecbm explain` shows where",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "the food was good\n\nbad\n"),
        ("a.jsonl", '{"text": "the food was good", "id": 7}\n"bad"\n'),
        ("a.csv", 'id,text\n1,the food was good\n2,"bad"\n'),
        ("a.tsv", "text\tid\nthe food was good\t1\nbad\t2\n"),
    ],
)
def test_each_kind_of_text_file_is_accepted(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert load_texts(tmp_path / name) == ["the food was good", "bad"]


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_only_a_line_feed_separates_texts(name, tmp_path):
    """Reviews copied from the web contain other Unicode line separators."""
    head = "text\n" if name == "a.csv" else ""
    (tmp_path / name).write_text(f"{head}the food\u2028was good\nbad\x0bnoise\n", encoding="utf-8")
    assert load_texts(tmp_path / name) == ["the food\u2028was good", "bad\x0bnoise"]


def test_a_file_without_a_text_is_an_error(folder, tmp_path, sparsecbm):
    (tmp_path / "in.txt").write_text("\n\n")
    message = f"error: {tmp_path}/in.txt holds no text\n"
    assert sparsecbm("predict", folder, "--file", tmp_path / "in.txt") == (1, "", message)


def test_predictions_for_a_file_go_to_a_file(folder, tmp_path, sparsecbm):
    texts, output = tmp_path / "in.txt", tmp_path / "o.jsonl"
    texts.write_text("the food was good\nbad\n")
    assert sparsecbm("predict", folder, "--file", texts, "--output", output) == (0, "", "")
    assert [json.loads(line)["text"] for line in output.read_text().splitlines()] == ["the food was good", "bad"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', "a.jsonl, line 2 has no text"),
        ("a.jsonl", b"{oops\n", "line 1 is not valid JSON"),
        ("a.csv", b"id,body\n1,x\n", "no column 'text'; it has id, body"),
        ("a.txt", b"caf\xe9\n", "is not UTF-8"),
    ],
)
def test_the_error_names_an_invalid_file(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_texts(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("A.CSV", b'\xef\xbb\xbftext,id\r\nthe food,1\r\n"bad, ""so""",2\r\n', ["the food", 'bad, "so"']),
        ("a.jsonl", b'\xef\xbb\xbf{"text": "half \\ud83d smile"}\n', ["half \ufffd smile"]),
        ("a.txt", b"the food\rwas good\r\nbad\n", ["the food\rwas good", "bad"]),
        ("a.json", b'[{"text": "the food"}, "bad"]', ["the food", "bad"]),
        ("a.csv", b"text,id\n" + b"soup " * 30_000 + b",1\n", ["soup " * 30_000]),
        ("a.csv", "sep=;\ntext;id\nbad;1\n".encode("utf-16"), ["bad"]),
        ("a.csv", b"id;text\n1;bad, and loud\n", ["bad, and loud"]),
        ("a.csv", b"id\ttext\n1\tbad, and loud\n", ["bad, and loud"]),
        ("a.csv", b"text,id;note\nbad;loud,1\n", ["bad;loud"]),
    ],
)
def test_files_are_read_as_ingest_reads_them(name, content, texts, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert load_texts(tmp_path / name) == texts


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'text,id\n"the food,1\nbad,2\n', "line 2: a quote opens in this row and never closes"),
        ("a.csv", "text,text\na,b\n", "columns 1 and 2 are both named 'text'"),
        ("a.csv", "id,text\n1,the food, bad\n2,good\n3,good\n", r"row 1 \(line 2\) has 3 field\(s\), the header has 2"),
        (
            "a.csv",
            "id;body\n1;the food\n",
            "no column 'text'.*looks as if it has its cells between semicolons; save it with",
        ),
        ("a.csv", "café\n1\n".encode("cp1252"), r"save it as UTF-8 \(it looks like Windows-1252\)"),
        ("a.jsonl", '{"text": "a", "text": "b"}', "line 1 names the key 'text' twice"),
        ("a.jsonl", '{"text": NaN}', "line 1 has no text"),
        ("a.jsonl", '{"text": ' + "[" * 100_000, "nested too deeply"),
        ("a.jsonl", '{"text": "a", "n": ' + "1" * 5_000 + "}", "too many digits"),
    ],
)
def test_what_ingest_refuses_is_refused_with_one_message(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        load_texts(tmp_path / name)
    assert "params.yaml" not in str(caught.value) and "source.format" not in str(caught.value)


def test_another_column_holds_the_texts(tmp_path, folder, sparsecbm):
    (tmp_path / "a.csv").write_text("body,text\nthe food was good,no\n")
    code, output, _ = sparsecbm("predict", folder, "--file", tmp_path / "a.csv", "--column", "body")
    assert code == 0 and json.loads(output)["text"] == "the food was good"
    (tmp_path / "a.jsonl").write_text('{"body": "bad"}\n')
    assert load_texts(tmp_path / "a.jsonl", "body") == ["bad"]
    with pytest.raises(DataError, match="no column 'titel'; it has body, text; name the column of the texts by --col"):
        load_texts(tmp_path / "a.csv", "titel")
    with pytest.raises(ConfigError, match="--text needs none"):
        collect_texts(["a"], None, "body")


@pytest.mark.parametrize(
    ("content", "arguments", "texts"),
    [
        ("the food was good\n\nbad\n", [], ["the food was good", "bad"]),
        ("the food was good\n", ["--file", "-"], ["the food was good"]),
        ('{"text": "bad"}\n', [], ["bad"]),
        ("id,body\n1,bad\n", ["--column", "body"], ["bad"]),
    ],
)
def test_texts_come_from_a_redirected_file(content, arguments, texts, folder, sparsecbm, tmp_path, monkeypatch):
    (tmp_path / "in").write_text(content)
    with open(tmp_path / "in") as redirected:
        monkeypatch.setattr("sys.stdin", redirected)
        code, output, errors = sparsecbm("predict", folder, *arguments)
    assert (code, errors) == (0, "")
    assert [json.loads(line)["text"] for line in output.splitlines()] == texts


def test_texts_come_from_a_pipe(monkeypatch):
    out, into = os.pipe()
    os.write(into, b"the food\nbad\n")
    os.close(into)
    with open(out) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        assert collect_texts(None, None) == ["the food", "bad"]
    with open(os.devnull) as nothing:  # no terminal, and yet nobody writes into it
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(ConfigError, match="give --text or --file, or texts on standard input"):
            collect_texts(None, None)


def test_a_text_that_is_not_utf8_is_one_message(folder):
    command = [sys.executable, "-m", "sparsecbm", "predict", str(folder), "--text", b"half \xff smile"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.endswith("is not UTF-8; convert it first\n")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a", "--file", "b"], "give only one of --text and --file"),
        ([], "give --text or --file"),
        (["--file", "nowhere.txt"], "nowhere.txt: No such file"),
    ],
)
def test_an_error_prints_one_message_and_exits_with_code_1(folder, arguments, message, sparsecbm):
    code, output, errors = sparsecbm("predict", folder, *arguments)
    assert (code, output) == (1, "")
    assert message in errors and errors.startswith("error: ") and "Traceback" not in errors


def test_the_error_names_a_folder_without_a_model(tmp_path, sparsecbm):
    code, _, errors = sparsecbm("predict", tmp_path / "none", "--text", "a")
    assert code == 1 and f"error: {tmp_path}/none does not exist; `make run` writes models/sparse\n" == errors


def test_evaluate_suggests_a_known_source(folder, sparsecbm, tmp_path):
    source = ["--source", "cebap", "--path", tmp_path]
    code, _, errors = sparsecbm("evaluate", folder, *source, "--split", "dev", "--output", tmp_path / "o")
    assert code == 1 and "Did you mean 'cebab'" in errors
    assert not (tmp_path / "o").exists()
