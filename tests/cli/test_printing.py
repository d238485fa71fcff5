"""`sparsecbm masks`, `sparsecbm compare` and `sparsecbm promote` from a user's point of view."""

import json
import re
from dataclasses import asdict
from itertools import combinations

import pytest
import torch
from jsonschema import Draft202012Validator

from sparsecbm.cli.inspection.compare import compare_models
from sparsecbm.cli.inspection.mask_summary import (
    ConceptSummary,
    LayerSummary,
    MaskSummary,
    OverlapSummary,
    PairSummary,
    StorageSummary,
    summarize_masks,
)
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.cli.printing.explanation import show_explanation
from sparsecbm.cli.printing.masks import show_masks
from sparsecbm.cli.printing.promotion import show_ledger
from sparsecbm.promote.ledger import Ledger, Row
from tests.support import many_concepts
from tests.support.small_masks import QUERY, first_rows, whole_neurons
from tests.support.tiny_models import tiny_model

TEXTS = ["the food was good", "slow service", "a loud place"]


@pytest.fixture(scope="module")
def folders(backbone, tmp_path_factory):
    """Return folders of a dense model, of the same with masks of whole neurons, and with masks that cut heads."""
    root = tmp_path_factory.mktemp("models")
    model = tiny_model(backbone)
    model.save_pretrained(root / "dense")
    model.masks = whole_neurons(food=range(8), noise=range(6, 22))
    model.save_pretrained(root / "neurons")
    other = tiny_model(backbone)
    other.masks = first_rows(food={QUERY: 4}, noise={QUERY: 2})
    other.save_pretrained(root / "rows")
    return root


def cells(output):
    """Return the words of each line; column widths do not matter."""
    return [line.split() for line in output.splitlines()]


def test_masks_are_shown_by_layer_concept_and_pair(folders, sparsecbm):
    code, output, errors = sparsecbm("masks", folders / "neurons")
    assert (code, errors) == (0, "")
    rows = cells(output)
    assert ["share", "kept", "in", "encoder.layer.0", "weights", "food", "noise"] in rows
    assert ["intermediate.dense", "512", "25.0%", "50.0%"] in rows
    assert ["all", "layers", "1,024", "25.0%", "50.0%"] in rows
    assert ["food", "256", "25.0%", "18.8%"] in rows
    assert ["every", "concept", "(core)", "64", "6.2%"] in rows
    assert ["food,", "noise", "0.091", "0.200", "-0.109"] in rows


def test_masks_of_many_concepts_stay_within_the_width_of_a_terminal(capsys):
    names = many_concepts.concept_names(50)
    layers = {f"encoder.layer.{i}.dense": LayerSummary(512, {n: k / 100 for k, n in enumerate(names)}) for i in (0, 1)}
    pairs: dict = {}
    for k, (first, second) in enumerate(combinations(names, 2)):
        pairs.setdefault(first, {})[second] = PairSummary(0.2 + k / 10_000, 0.2, k / 10_000)
    show_masks(
        MaskSummary(
            weights=1024,
            concepts={n: ConceptSummary(100 + k, k / 100, 0.01) for k, n in enumerate(names)},
            layers=layers,
            core=0.1,
            unused=0.2,
            overlap=OverlapSummary(0.3, 0.2, 0.1, pairs),
            storage=StorageSummary(1, 1, 1.0, 1),
            structured=False,
            sha256="0",
            parts={},
            parts_note="the heads and neurons of 'x' are not known",
        )
    )
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    assert "No list of parts: the heads and neurons of 'x' are not known.\n" in output
    rows = cells(output)
    assert ["0.dense", "512", "0.0%", "24.5%", "49.0%"] in rows, "least, mean and most of 0 % to 49 %"
    assert "of 50 concepts" in output and "36 of 1,225 pairs" in " ".join(output.split())
    excesses = re.findall(r"\+0\.(\d{3})$", output, re.MULTILINE)
    assert len(excesses) == 36 + 1 and min(excesses[:36]) == "119" and max(excesses) == "122", "0.1189 to 0.1224"


def test_an_explanation_of_many_concepts_shows_those_that_contribute_most(capsys):
    show_explanation(many_concepts.explanation())
    output = capsys.readouterr().out
    assert output.count("all words") == 1 + 8, "the label, and eight concepts"
    assert "42 more concepts contribute less; `--concept NAME` shows one of them" in " ".join(output.split())
    show_explanation(many_concepts.explanation(concepts=8))
    assert "more concepts" not in capsys.readouterr().out


def test_sizes_of_masks_and_savings_are_shown(folders, sparsecbm):
    neurons = sparsecbm("masks", folders / "neurons")[1].replace("\n", " ")
    rows = sparsecbm("masks", folders / "rows")[1].replace("\n", " ")
    size = (folders / "neurons/masks.safetensors").stat().st_size
    assert f"2,048 bits, one per weight and concept; {size:,} bytes on disk" in neurons
    for printed in (neurons, rows):
        assert "neither smaller nor faster" in printed
    assert "`model.compact()` saves time" in neurons
    assert "cannot cut out these subnetworks" in rows


def test_the_error_for_a_dense_model_says_what_to_do(folders, sparsecbm):
    code, output, errors = sparsecbm("masks", folders / "dense")
    assert (code, output) == (1, "")
    assert errors.startswith(f"error: {folders}/dense: the model has no masks")
    assert "`sparsecbm prune`" in errors


def test_a_comparison_shows_every_part(folders, sparsecbm, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    code, output, errors = sparsecbm("compare", folders / "dense", folders / "rows", "--file", tmp_path / "texts.txt")
    assert (code, errors) == (0, "")
    assert f"A is {folders}/dense\nB is {folders}/rows\n" in output
    assert "files that differ: README.md, masks.safetensors" in output
    for part in ("settings: no difference", "concepts: no difference", "weights: no difference in 22 layers"):
        assert part in output
    assert ["food", "256", "192", "0.250", "100.0%", "25.0%"] in cells(output)
    assert "predictions for 3 texts" in output
    differing = compare_models(folders / "dense", folders / "rows", TEXTS).predictions.differing
    assert ["any", "of", "these", str(differing)] in cells(output)


@torch.no_grad()
def test_a_comparison_shows_predictions_that_differ(folders, backbone, sparsecbm, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    for name, state in (("a", 0), ("b", 1)):
        model = tiny_model(backbone)
        model.label_head.linear.weight[:] = 0  # the label depends on no concept
        model.concept_heads.head("noise").bias[state] = 100
        model.save_pretrained(tmp_path / name)
    rows = cells(sparsecbm("compare", tmp_path / "a", tmp_path / "b", "--file", tmp_path / "texts.txt")[1])
    assert ["noise", "3", "1.000", "3", "x", "loud", "→", "quiet"] in rows
    assert ["food", "0", "0.000"] in rows
    assert ["label", "0", "0.000"] in rows
    assert ["any", "of", "these", "3"] in rows


def test_a_model_does_not_differ_from_itself(folders, sparsecbm):
    output = sparsecbm("compare", folders / "rows", folders / "rows")[1]
    assert "all files are equal, byte for byte" in output
    assert "predictions" not in output


def test_other_settings_are_shown_and_long_lists_are_cut(folders, backbone, sparsecbm, tmp_path):
    other = tiny_model(backbone, pooling="cls")
    with torch.no_grad():
        for number, parameter in enumerate(other.parameters(), 1):
            parameter += 0.001 * number
    other.save_pretrained(tmp_path / "other")
    output = sparsecbm("compare", folders / "dense", tmp_path / "other")[1]
    rows = cells(output)
    assert ["pooling", "mean", "cls"] in rows
    assert "weights: 22 of 22 layers differ" in output
    assert ["and", "10", "more", "(--json)"] in rows
    assert "masks: none to compare" in output
    largest = [float(row[-1]) for row in rows if row and row[0].startswith("encoder.layer")]
    assert largest == sorted(largest, reverse=True)


@pytest.mark.parametrize("name", ["masks", "compare"])
def test_json_has_the_published_form(folders, sparsecbm, name):
    a, b = folders / "rows", folders / "neurons"
    arguments, expected = {
        "masks": ([a], summarize_masks(a)), "compare": ([a, b], compare_models(a, b))
    }[name]  # fmt: skip
    code, output, errors = sparsecbm(name, *arguments, "--json")
    assert (code, errors) == (0, "")
    printed = json.loads(output)
    assert printed == asdict(expected)
    validator = Draft202012Validator(json_schemas()[name])
    validator.validate(printed)
    del printed["masks" if name == "compare" else "layers"]
    assert not validator.is_valid(printed)


def test_an_error_prints_one_message(folders, sparsecbm, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    dense = folders / "dense"
    for arguments, message in (
        (
            ["compare", dense, tmp_path / "none"],
            f"error: {tmp_path}/none does not exist; `make run` writes models/sparse",
        ),
        (["compare", dense, dense, "--file", tmp_path / "empty.txt"], f"error: {tmp_path}/empty.txt holds no text"),
        (["masks", tmp_path], f"error: {tmp_path} is not a model folder"),
    ):
        code, output, errors = sparsecbm(*arguments)
        assert (code, output) == (1, "")
        assert errors.startswith(message) and "Traceback" not in errors


def test_colours_are_off_with_no_color(folders, sparsecbm, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    green = "\x1b[32m"
    assert green in sparsecbm("compare", folders / "rows", folders / "rows")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert green not in sparsecbm("compare", folders / "rows", folders / "rows")[1]


@pytest.mark.parametrize(
    ("columns", "champion", "shown"),
    [
        (105, None, ["concepts", "concepts.ambiance.accuracy", "not", "worse", "0.600", "at", "least", "0.4"]),
        (104, None, ["concepts", "concepts.ambiance.accuracy", "not", "worse", "0.600"]),
        (105, 1, ["concepts", "concepts.ambiance.accuracy", "not", "worse", "0.600", "0.500", "0.100",
                  "-0.050", "to", "0.250"]),
        (80, 1, ["concepts.ambiance.accuracy", "not", "worse", "0.600", "0.500", "0.100"]),
    ],
)  # fmt: skip
def test_a_ledger_leaves_out_columns_rather_than_fold_names(monkeypatch, capsys, columns, champion, shown):
    monkeypatch.setenv("COLUMNS", str(columns))
    row = Row(
        "concepts", "concepts.ambiance.accuracy", "not worse", value=0.6, champion=0.5, difference=0.1,
        interval=(-0.05, 0.25), wanted="at least 0.4",
    )  # fmt: skip
    show_ledger(Ledger("m", 2, champion, "test", "", 10, (row,), (), "hold"))
    lines = cells(capsys.readouterr().out)
    assert lines[1] == shown, "in one line"


def test_the_name_of_a_figure_is_broken_at_its_dots(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    long = "explain:faithfulness.methods.integrated_gradients.comprehensiveness.mask.mean.excess"
    rows = tuple(Row("faithfulness", name, "passed", value=0.5) for name in ("label.accuracy", long))
    show_ledger(Ledger("m", 2, None, "test", "", 10, rows, (), "hold"))
    words = [word for line in cells(capsys.readouterr().out)[1:] for word in line]
    assert words[:12] == [
        "faithfulness", "label.accuracy", "passed", "0.500",
        "faithfulness", "explain:faithfulness.", "passed", "0.500",
        "methods.integrated_", "gradients.", "comprehensiveness.mask.", "mean.excess",
    ]  # fmt: skip
