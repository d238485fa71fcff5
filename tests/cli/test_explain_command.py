"""`sparsecbm explain` and `model.explain` from a user's point of view."""

import json

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import sparsecbm as package
from sparsecbm.api import SparseCBM
from sparsecbm.base.files import sha256_file
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.cli.models import METHOD_HELP
from sparsecbm.explain.methods import METHODS
from sparsecbm.model.storage import CHECKSUMS
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


def test_the_terminal_shows_a_card_that_needs_no_colours(folder, sparsecbm):
    code, output, errors = sparsecbm("explain", folder, "--text", TEXT)
    assert (code, errors) == (0, "")
    expected = SparseCBM.from_pretrained(folder).explain(TEXT)
    assert f"rating: {expected.label.state}" in output
    assert output.count(TEXT) == 3  # for the label and both concepts
    for name, concept in expected.concepts.items():
        assert f"{name}: {concept.state}" in output
    for part in ("mean training text", "this text", "for it: ", "against it: ", "completeness gap", "without head 1."):
        assert part in output
    assert "\x1b" not in output  # the output is not a terminal


def test_colours_are_off_with_no_color(folder, sparsecbm, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "38;5;" in sparsecbm("explain", folder, "--text", TEXT, "--method", "random")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    output = sparsecbm("explain", folder, "--text", TEXT, "--method", "random")[1]
    assert "38;5;" not in output
    assert "\x1b[4m" in output or "\x1b[1;4m" in output  # underlines remain


def test_json_lines_have_the_published_form(folder, sparsecbm, tmp_path):
    output = tmp_path / "o.jsonl"
    arguments = ["--text", TEXT, "--text", "", "--concept", "noise", "--json", output]
    assert sparsecbm("explain", folder, *arguments)[0] == 0
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines] == [TEXT, ""]
    for line in lines:
        VALIDATOR.validate(line)
        assert line["concepts"]["food"]["words"] is None and line["concepts"]["noise"]["words"] is not None
        assert line["origin"]["folder"] == sha256_file(folder / CHECKSUMS)


def test_a_state_other_than_the_predicted_one_can_be_explained(folder, sparsecbm, tmp_path):
    """A word's scores sum to 0 over the states of a concept, since the states' mean is subtracted from each logit."""
    model = SparseCBM.from_pretrained(folder)
    predicted, states = model.predict([TEXT])[0].concepts["noise"].state, model.concept_set["noise"].states
    scores = {}
    for state in states:
        output = tmp_path / f"{state}.jsonl"
        arguments = ["--state", f"noise={state}", "--method", "mid_path_gradients", "--json", output]
        assert sparsecbm("explain", folder, "--text", TEXT, *arguments)[0] == 0
        concepts = json.loads(output.read_text(encoding="utf-8"))["concepts"]
        assert concepts["noise"]["explained"] == state and concepts["noise"]["state"] == predicted
        assert concepts["food"]["explained"] == concepts["food"]["state"], "the other concept stays as predicted"
        scores[state] = np.array(concepts["noise"]["words"]["scores"])
    assert np.abs(sum(scores.values())).max() < 1e-5 < np.abs(scores[predicted]).max()
    other = next(state for state in states if state != predicted)
    output = sparsecbm("explain", folder, "--text", TEXT, "--state", f"noise={other}", "--method", "random")[1]
    assert f"noise: {predicted}, explained for {other}" in output


def test_parts_are_searched_on_request(folder, sparsecbm, tmp_path):
    """The terminal, the page and the JSON lines show the smallest set, and only if it was asked for."""
    lines, page = tmp_path / "o.jsonl", tmp_path / "o.html"
    request = ["explain", folder, "--text", TEXT, "--concept", "noise", "--method", "random"]
    assert sparsecbm(*request, "--parts", "--json", lines)[0] == 0
    line = json.loads(lines.read_text(encoding="utf-8"))
    VALIDATOR.validate(line)
    found = line["concepts"]["noise"]["subnetwork"]["sufficient"]
    assert (found["heads"], found["neurons"], found["draws"]) == (2, 32, 20)
    assert found["only"]["state"] == line["concepts"]["noise"]["state"]
    assert sparsecbm(*request, "--parts", "--html", page)[0] == 0
    sentence = "enough to predict" if found["parts"] else "no set of them carries this prediction"
    output = sparsecbm(*request, "--parts")[1]
    assert sentence in output and sentence in page.read_text(encoding="utf-8")
    assert sentence not in sparsecbm(*request)[1]


def test_parts_of_a_model_without_masks_are_refused_before_anything_is_written(backbone, sparsecbm, tmp_path):
    with_means(tiny_model(backbone)).save_pretrained(tmp_path / "dense")
    code, output, errors = sparsecbm("explain", tmp_path / "dense", "--text", TEXT, "--parts", "--json", tmp_path / "o")
    assert (code, output) == (1, "") and not (tmp_path / "o").exists()
    assert "the model has no masks, because it is dense or compact" in errors and "models/sparse" in errors


def test_a_file_of_texts_gives_a_page(folder, sparsecbm, tmp_path):
    texts, output = tmp_path / "in.txt", tmp_path / "o.html"
    texts.write_text(f"{TEXT}\n<script>alert(1)</script>\n")
    arguments = ["--file", texts, "--method", "mid_path_gradients", "--html", output]
    assert sparsecbm("explain", folder, *arguments)[0] == 0
    html = output.read_text(encoding="utf-8")
    assert html.count("<article") == 2 and "<script" not in html and "mid_path_gradients" in html


def test_texts_cannot_control_the_terminal(folder, sparsecbm):
    text = "good \x1b[2J food [red]x[/] \x07"
    code, output, _ = sparsecbm("explain", folder, "--text", text, "--method", "random")
    assert code == 0
    assert "\x1b" not in output and "\x07" not in output and "[red]x[/]" in output


def test_the_help_names_every_method():
    assert all(name in METHOD_HELP for name in METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a", "--file", "b"], "give only one of --text and --file"),
        ([], "give --text or --file"),
        (["--text", "a", "--html", "x", "--json", "y"], "give only one of --html and --json"),
        (["--text", "a", "--concept", "fod"], "unknown concept 'fod'. Did you mean 'food'? Choices: food, noise"),
        (["--text", "a", "--state", "noise=lound"], "unknown state of 'noise' 'lound'. Did you mean 'loud'"),
        (["--text", "a", "--state", "fod=good"], "unknown concept 'fod'. Did you mean 'food'? Choices: food, noise"),
        (["--text", "a", "--state", "noise"], "--state noise: give CONCEPT=STATE, such as food=Positive"),
        (
            ["--text", "a", "--state", "noise=loud", "--state", "noise=quiet"],
            "noise is also set to loud; give it one state",
        ),
        (
            ["--text", "a", "--concept", "food", "--state", "noise=loud"],
            "but only food will be explained",
        ),
        (["--text", "a", "--method", "lime"], "unknown attribution method 'lime'. Choices: integrated_gradients, "),
    ],
)
def test_an_error_prints_one_message_and_exits_with_code_1(folder, arguments, message, sparsecbm):
    code, output, errors = sparsecbm("explain", folder, *arguments)
    assert (code, output) == (1, "")
    assert message in errors and errors.startswith("error: ") and "Traceback" not in errors


def test_an_altered_model_is_rejected(backbone, sparsecbm, tmp_path):
    with_means(tiny_model(backbone)).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "training_means.json").write_text("{}")
    code, _, errors = sparsecbm("explain", tmp_path / "model", "--text", "good")
    assert code == 1 and "training_means.json was altered" in errors


def test_a_black_box_has_no_concepts_to_explain(backbone, sparsecbm, tmp_path):
    tiny_model(backbone, mode="standard").save_pretrained(tmp_path / "box")
    code, _, errors = sparsecbm("explain", tmp_path / "box", "--text", "good")
    assert code == 1 and "mode `standard` has no concepts to explain" in errors


def test_python_returns_one_explanation_for_a_text_and_a_list_for_a_list(folder):
    model = SparseCBM.from_pretrained(folder)
    one, many = model.explain(TEXT, options=FEW), model.explain([TEXT], options=FEW)
    assert isinstance(one, package.Explanation) and many == [one]
    assert one == model.explain(TEXT, options=FEW), "the model stays as it was"
