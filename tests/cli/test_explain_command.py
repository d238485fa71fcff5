"""`sparsecbm explain` and `model.explain` as a user types them."""

import json

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import sparsecbm as package
from sparsecbm.api import SparseCBM
from sparsecbm.base.files import sha256_file
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.model.storage import CHECKSUMS
from tests.cli.test_predict import sparsecbm
from tests.support.explained_model import FEW, with_means
from tests.support.tiny_models import random_masks, tiny_model

TEXT = "the food was good but a loud place"
VALIDATOR = Draft202012Validator(json_schemas()["explanation"])


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    model = with_means(tiny_model(backbone))
    model.masks = random_masks(model, masked_from=1)
    path = tmp_path_factory.mktemp("explain") / "model"
    model.save_pretrained(path)
    return path


def test_the_terminal_shows_a_card_that_needs_no_colours(folder, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    assert sparsecbm(monkeypatch, "explain", folder, "--text", TEXT) == 0
    output = capsys.readouterr().out
    expected = SparseCBM.from_pretrained(folder).explain(TEXT)
    assert f"rating: {expected.label.state}" in output
    assert output.count(TEXT) == 3  # for the label and both concepts
    for name, concept in expected.concepts.items():
        assert f"{name}: {concept.state}" in output
    for said in ("mean training text", "this text", "for it: ", "against it: ", "completeness gap", "without head 1."):
        assert said in output
    assert "\x1b" not in output  # it is no terminal


def test_colours_are_off_with_no_color(folder, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    sparsecbm(monkeypatch, "explain", folder, "--text", TEXT, "--method", "random")
    assert "38;5;" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    sparsecbm(monkeypatch, "explain", folder, "--text", TEXT, "--method", "random")
    output = capsys.readouterr().out
    assert ("38;5;" not in output and "\x1b[4m" in output) or "\x1b[1;4m" in output  # lines stay


def test_json_lines_have_the_published_form(folder, monkeypatch, tmp_path):
    output = tmp_path / "o.jsonl"
    arguments = ["--text", TEXT, "--text", "", "--concept", "noise", "--json", output]
    assert sparsecbm(monkeypatch, "explain", folder, *arguments) == 0
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines] == [TEXT, ""]
    for line in lines:
        VALIDATOR.validate(line)
        assert line["concepts"]["food"]["words"] is None and line["concepts"]["noise"]["words"] is not None
        assert line["origin"]["folder"] == sha256_file(folder / CHECKSUMS)


def test_another_state_than_the_one_that_is_read(folder, monkeypatch, capsys, tmp_path):
    """Of a concept's states the scores of each word add up to 0, since each logit is taken less their mean."""
    model = SparseCBM.from_pretrained(folder)
    read, states = model.predict([TEXT])[0].concepts["noise"].state, model.concept_set["noise"].states
    found = {}
    for state in states:
        output = tmp_path / f"{state}.jsonl"
        arguments = ["--state", f"noise={state}", "--method", "gradient_x_input", "--json", output]
        assert sparsecbm(monkeypatch, "explain", folder, "--text", TEXT, *arguments) == 0
        concepts = json.loads(output.read_text(encoding="utf-8"))["concepts"]
        assert concepts["noise"]["explained"] == state and concepts["noise"]["state"] == read
        assert concepts["food"]["explained"] == concepts["food"]["state"], "the others stay as they are read"
        found[state] = np.array(concepts["noise"]["words"]["scores"])
    assert np.abs(sum(found.values())).max() < 1e-5 < np.abs(found[read]).max()
    other = next(state for state in states if state != read)
    sparsecbm(monkeypatch, "explain", folder, "--text", TEXT, "--state", f"noise={other}", "--method", "random")
    assert f"noise: {read}, explained for {other}" in capsys.readouterr().out


def test_a_page_for_a_file_of_texts(folder, monkeypatch, tmp_path):
    texts, output = tmp_path / "in.txt", tmp_path / "o.html"
    texts.write_text(f"{TEXT}\n<script>alert(1)</script>\n")
    arguments = ["--file", texts, "--method", "gradient_x_input", "--html", output]
    assert sparsecbm(monkeypatch, "explain", folder, *arguments) == 0
    html = output.read_text(encoding="utf-8")
    assert html.count("<article") == 2 and "<script" not in html and "gradient_x_input" in html


def test_texts_cannot_command_the_terminal(folder, monkeypatch, capsys):
    assert (
        sparsecbm(monkeypatch, "explain", folder, "--text", "good \x1b[2J food [red]x[/] \x07", "--method", "random")
        == 0
    )
    output = capsys.readouterr().out
    assert "\x1b" not in output and "\x07" not in output and "[red]x[/]" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a", "--file", "b"], "give either --text or --file"),
        ([], "give either --text or --file"),
        (["--text", "a", "--html", "x", "--json", "y"], "give either --html or --json"),
        (["--text", "a", "--concept", "fod"], "unknown concept 'fod'. Did you mean 'food'? Choices: food, noise"),
        (["--text", "a", "--state", "noise=lound"], "unknown state of 'noise' 'lound'. Did you mean 'loud'"),
        (["--text", "a", "--state", "fod=good"], "unknown concept 'fod'. Did you mean 'food'? Choices: food, noise"),
        (["--text", "a", "--state", "noise"], "--state noise: give CONCEPT=STATE, such as noise=Negative"),
        (["--text", "a", "--state", "noise=loud", "--state", "noise=quiet"], "loud is asked for as well"),
        (
            ["--text", "a", "--concept", "food", "--state", "noise=loud"],
            "but only food will be explained",
        ),
        (["--text", "a", "--method", "lime"], "unknown attribution method 'lime'. Choices: integrated_gradients, "),
    ],
)
def test_a_fault_is_one_message_and_exit_code_1(folder, arguments, message, monkeypatch, capsys):
    assert sparsecbm(monkeypatch, "explain", folder, *arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and "Traceback" not in error


def test_a_model_whose_checksum_does_not_match_is_refused(folder, backbone, monkeypatch, capsys, tmp_path):
    with_means(tiny_model(backbone)).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "training_means.json").write_text("{}")
    assert sparsecbm(monkeypatch, "explain", tmp_path / "model", "--text", "good") == 1
    assert "training_means.json was altered" in capsys.readouterr().err


def test_a_black_box_has_nothing_to_explain(backbone, monkeypatch, capsys, tmp_path):
    tiny_model(backbone, mode="standard").save_pretrained(tmp_path / "box")
    assert sparsecbm(monkeypatch, "explain", tmp_path / "box", "--text", "good") == 1
    assert "mode `standard` has no concepts to explain" in capsys.readouterr().err


def test_python_gives_one_explanation_for_a_text_and_a_list_for_a_list(folder):
    model = SparseCBM.from_pretrained(folder)
    one, many = model.explain(TEXT, options=FEW), model.explain([TEXT], options=FEW)
    assert isinstance(one, package.Explanation) and many == [one]
    assert one == model.explain(TEXT, options=FEW), "the model stays as it was"
