"""A window against a reference: what drifts, what fails, and what chance gives."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from sparsecbm.base.errors import DataError, ModelError
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params.drift import Drift
from sparsecbm.base.published import published_form
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.drift.check import compare_window
from sparsecbm.drift.outputs import LABEL, Outputs, compute_outputs
from sparsecbm.drift.reference import build_reference, load_reference, save_reference
from sparsecbm.drift.sample import Sample, take_sample
from sparsecbm.drift.text_figures import TextFigures
from sparsecbm.evaluate.variables import predict_split
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

PARAMS = Drift(permutations=199, sample=100)


def sample(texts: int, seed: int, food=(0.3, 0.4, 0.3)) -> Sample:
    """Return a made-up sample: right predictions that are more or less certain, and representations of noise."""
    draw = np.random.default_rng(seed)
    states = {"food": draw.choice(3, texts, p=food), "noise": draw.choice(2, texts)}
    states[LABEL] = states["food"].copy()
    pooled = {"text": draw.normal(size=(min(texts, PARAMS.sample), 4))}
    certainty = draw.uniform(0.6, 1, (texts, 1))
    numbers = {"food": 3, "noise": 2, LABEL: 3}
    probabilities = {
        name: certainty * np.eye(numbers[name])[values] + (1 - certainty) / numbers[name]
        for name, values in states.items()
    }
    outputs = Outputs(probabilities, draw.random(texts) < 0.1, pooled)
    figures = TextFigures(draw.integers(5, 30, texts), draw.choice([0.0, 0.1], texts), ("English",) * texts)
    gold = {name: values.copy() for name, values in states.items()}
    return Sample(outputs, figures, gold, states[LABEL].copy())


def unlabelled(made: Sample) -> Sample:
    nothing = np.full(len(made), MISSING)
    return replace(made, gold=dict.fromkeys(made.gold, nothing), label_from_gold=nothing)


def states_of(report) -> dict[str, str]:
    return {failure.name: failure.state for failure in report.failures}


def drifted(report) -> set[str]:
    return {each.name for each in report.measures if each.drifted}


def test_fair_windows_give_few_alarms():
    reference = sample(800, 1)
    alarms = [compare_window(reference, sample(300, seed), CONCEPTS, PARAMS, seed).drifted for seed in range(2, 42)]
    assert sum(alarms) <= 5  # 6 of 40 have a probability of 1 % at a level of 5 %


def test_rates_that_move_are_found_and_nothing_else():
    report = compare_window(sample(800, 1), sample(500, 2, food=(0.1, 0.6, 0.3)), CONCEPTS, PARAMS, 1)
    assert drifted(report) == {"rates: food", "rates: label", "annotated rates: food"}
    assert states_of(report) == {
        "concept rates": "found", "text to concept": "not found", "concept to label": "not found",
    }  # fmt: skip
    old, new = (
        np.bincount(gold, minlength=3) / len(gold)
        for gold in (sample(800, 1).gold["food"], sample(500, 2, food=(0.1, 0.6, 0.3)).gold["food"])
    )
    assert report.failures[0].reason == f"food Positive {old[1]:.0%} to {new[1]:.0%}"


def test_misread_texts_are_told_from_rates():
    window = sample(500, 2)
    window.outputs.probabilities["food"][:200] = [0.0, 0.1, 0.9]  # people still see the same rates
    report = compare_window(sample(800, 1), window, CONCEPTS, PARAMS, 1)
    assert {"rates: food", "text to concept: food"} <= drifted(report)
    assert "annotated rates: food" not in drifted(report)
    assert states_of(report) == {
        "concept rates": "not found", "text to concept": "found", "concept to label": "not found",
    }  # fmt: skip


def test_another_label_for_the_same_concepts_is_told_from_both():
    window = sample(500, 2)
    window.gold[LABEL][:150] = (window.gold[LABEL][:150] + 1) % 3
    report = compare_window(sample(800, 1), window, CONCEPTS, PARAMS, 1)
    assert drifted(report) == {"concept to label: label"}
    assert states_of(report)["concept to label"] == "found"


def test_without_annotations_two_failures_are_not_tested():
    report = compare_window(sample(800, 1), unlabelled(sample(500, 2)), CONCEPTS, PARAMS, 1)
    assert states_of(report) == {
        "concept rates": "not found", "text to concept": "not tested", "concept to label": "not tested",
    }  # fmt: skip
    assert "30 freshly annotated texts" in report.failures[1].reason


def test_a_small_effect_is_no_drift_however_certain_it_is():
    reference, window = sample(40_000, 1), sample(40_000, 2, food=(0.28, 0.42, 0.3))
    food = next(
        each for each in compare_window(reference, window, CONCEPTS, PARAMS, 1).measures if each.name == "rates: food"
    )
    assert food.p_holm < 1e-3 and food.effect == pytest.approx(0.02, abs=0.01)
    assert not food.drifted


def test_a_window_of_few_texts_is_refused():
    with pytest.raises(DataError, match=r"99 texts is too small.*at least 100"):
        compare_window(sample(800, 1), sample(99, 2), CONCEPTS, PARAMS, 1)


def test_the_report_fits_its_schema():
    report = compare_window(sample(800, 1), sample(500, 2), CONCEPTS, PARAMS, 1)
    plain = published_form(report)
    jsonschema.validate(plain, json_schemas()["drift"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**plain, "more": 1}, json_schemas()["drift"])
    json.dumps(plain, allow_nan=False)


def test_outputs_are_those_of_a_prediction(lively):
    frame = annotated(30, seed=3)
    outputs = compute_outputs(lively, frame["text"].tolist(), 10, seed=1)
    expected = predict_split(lively, frame)
    assert outputs.states[LABEL].tolist() == expected.label.predicted.tolist()
    for name, variable in expected.concepts.items():
        assert outputs.states[name].tolist() == variable.predicted.tolist()
    assert outputs.label_confidence == pytest.approx(expected.label.probabilities.max(-1), abs=1e-5)
    assert {name: values.shape for name, values in outputs.pooled.items()} == {"food": (10, 16), "noise": (10, 16)}
    # Each kept representation gives the logits of its text through the concept's head.
    kept = np.sort(np.random.default_rng(1).permutation(30)[:10])
    head = lively.concept_heads.head("food")
    logits = outputs.pooled["food"] @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert logits.argmax(-1).tolist() == outputs.states["food"][kept].tolist()


def test_a_black_box_is_refused(backbone):
    from tests.support.tiny_models import tiny_model

    with pytest.raises(ModelError, match="predicts no concepts"):
        compute_outputs(tiny_model(backbone, mode="standard"), ["a"], 10, seed=1)


def test_a_kept_reference_is_the_same(lively, tmp_path):
    frame = annotated(60, seed=3)
    reference = build_reference(lively, ["the food was good"], frame, 20, seed=1)
    save_reference(reference, tmp_path / "kept", "key")
    loaded = load_reference(tmp_path / "kept")
    assert loaded.vocabulary == {"the", "food", "was", "good"}
    window = take_sample(lively, annotated(120, seed=4)["text"].tolist(), {}, loaded.vocabulary, (20, 1))
    reports = [compare_window(each.sample, window, CONCEPTS, PARAMS, 1) for each in (reference, loaded)]
    assert reports[0] == reports[1]
    assert window.figures.unknown_words.max() > 0


def test_a_dense_model_has_one_representation(model):
    assert set(compute_outputs(model, ["the food was good", "a loud place"], 10, seed=1).pooled) == {"text"}
