"""`sparsecbm predict` and `sparsecbm evaluate` from a user's point of view."""

import json

import pytest
from jsonschema import Draft202012Validator

from sparsecbm.base.errors import DataError
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.cli.predictions import prediction_lines
from sparsecbm.cli.text_input import load_texts
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
