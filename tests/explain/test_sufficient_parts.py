"""The smallest set of parts that keeps a prediction: against all subsets, and on a model with known neurons."""

import copy
from itertools import product

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.explain.explainer import ExplainOptions, explain
from sparsecbm.explain.explanation import Explanation
from sparsecbm.explain.gated_model import GatedModel, KeptUnit
from sparsecbm.explain.sufficient_parts import _Search, find_sufficient_parts
from sparsecbm.model.units import find_units
from tests.support.explained_model import FEW, with_means
from tests.support.planted_model import OUTER, planted_masks, planted_model
from tests.support.tiny_models import tiny_model, with_large_weights, write_backbone
from tests.support.tiny_tables import annotated

TEXTS = annotated(12, seed=5)["text"].tolist()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a model with six units in its only block with masks: two heads and four neurons."""
    folder = write_backbone(tmp_path_factory.mktemp("small") / "bert", intermediate_size=4)
    return with_large_weights(tiny_model(folder), masked_from=1)


@pytest.fixture(scope="module")
def kept_by_subset(small):
    """Return text, concept -> subset -> whether it keeps the prediction, by zeros in the map after dropped units."""
    predicted = {name: small.logits(TEXTS).concepts[name].argmax(-1) for name in small.concept_set.names}
    parts = {(group.kind, group.block): group.parts[-1] for group in find_units(small.backbone)}
    oracle = {(i, name): {} for i in range(len(TEXTS)) for name in predicted}
    units = GatedModel(small).units
    assert len(set(units.values())) == 1, "both concepts keep weights of all six units"
    (units,) = set(units.values())
    for subset in product([False, True], repeat=len(units)):
        cut = copy.deepcopy(small)
        for unit, is_kept in zip(units, subset, strict=True):
            part = parts[unit.kind, unit.block]
            if not is_kept:
                start = part.start + unit.index * part.width
                cut.backbone.get_submodule(part.layer).weight.data[:, start : start + part.width] = 0
        logits = cut.logits(TEXTS).concepts
        for i, name in oracle:
            oracle[i, name][subset] = bool(logits[name][i].argmax() == predicted[name][i])
    return units, oracle


def test_no_smaller_set_keeps_the_prediction(small, kept_by_subset):
    units, oracle = kept_by_subset
    found = find_sufficient_parts(small, TEXTS)
    needed = 0
    for (i, name), kept in oracle.items():
        result = found[i][name]
        named = {(part.kind, part.block, part.index) for part in result.parts}
        subset = tuple((unit.kind, unit.block, unit.index) in named for unit in units)
        assert kept[subset] and len(named) == len(result.parts)
        assert sum(subset) == min(sum(other) for other, keeps in kept.items() if keeps)
        prediction = small.predict(TEXTS[i]).concepts[name].state
        assert result.only.state == prediction
        assert (result.without.state == prediction) == kept[tuple(not member for member in subset)]
        assert (result.none_state == prediction) == kept[(False,) * len(units)]
        needed += bool(named)
    assert needed > 3, "the test says something only if some predictions need parts"


def test_random_sets_of_the_same_size_keep_as_often_as_all_such_sets(small, kept_by_subset):
    """The negative control: the share of draws comes near the share of all sets with as many heads and neurons."""
    units, oracle = kept_by_subset
    found = find_sufficient_parts(small, TEXTS)
    differences, shares = [], []
    for (i, name), kept in oracle.items():
        counts = [sum(part.kind == kind for part in found[i][name].parts) for kind in ("head", "neuron")]
        alike = [
            keeps
            for subset, keeps in kept.items()
            if [sum(m for m, u in zip(subset, units, strict=True) if u.kind == k) for k in ("head", "neuron")] == counts
        ]
        shares.append(np.mean(alike))
        differences.append(found[i][name].only.random_kept - np.mean(alike))
    assert np.abs(np.mean(differences)) < 0.05 and np.abs(differences).max() < 0.4
    assert min(shares) < 0.6, "not every set keeps the prediction"


@pytest.fixture(scope="module")
def planted(backbone):
    model = with_means(planted_model(backbone))
    model.masks = planted_masks()
    return model


def test_the_neuron_that_the_model_was_given_is_the_set(planted):
    """Neurons 0 and 3 copy "bad" and "quiet". Without neurons food is unknown and noise is loud.

    Neuron 2, which copies "loud", is below 0 at rest. So noise stays quiet without neuron 3.
    """
    (found,) = find_sufficient_parts(planted, ["the food was bad and the place was quiet"])
    for name, index, word, none, without in (
        ("food", 0, "bad", "unknown", "unknown"),
        ("noise", 3, "quiet", "loud", "quiet"),
    ):
        result = found[name]
        (part,) = result.parts
        assert (part.kind, part.block, part.index, part.word) == ("neuron", 1, index, word)
        assert (result.heads, result.neurons) == (0, 30)
        assert (result.without.state, result.none_state) == (without, none)
        assert result.only.probability > result.without.probability
        assert result.only.random_kept < 0.3 and result.without.random_kept > 0.8


def logits_of_food(model, text, neurons):
    """Return the logits of food if some neurons alone reach the next map."""
    cut = copy.deepcopy(model)
    weight = cut.backbone.get_submodule(OUTER).weight.data
    weight[:, [index for index in range(32) if index not in neurons]] = 0
    return torch.tensor(cut.logits(text).concepts["food"]).double()


def test_probabilities_and_effects_are_those_of_copies_with_zero_weights(planted):
    """An effect is the logit with the whole set minus without the part, logits centred over the states."""
    text = "the food was bad and the place was quiet"
    (found,) = find_sufficient_parts(planted, [text], ["food"])
    assert set(found) == {"food"}
    alone, none = (logits_of_food(planted, text, neurons) for neurons in ([0], []))
    others = logits_of_food(planted, text, range(1, 32))
    (part,) = found["food"].parts
    assert part.effect == pytest.approx(float((alone[0] - alone.mean()) - (none[0] - none.mean())), abs=1e-5)
    assert found["food"].only.probability == pytest.approx(float(alone.softmax(0)[0]), abs=1e-6)
    assert found["food"].without.probability == pytest.approx(float(others.softmax(0)[0]), abs=1e-6)


def test_a_prediction_that_needs_no_part_has_an_empty_set(planted):
    """Without neurons of its own, noise is predicted to be loud."""
    (found,) = find_sufficient_parts(planted, ["a loud place"], ["noise"])
    result = found["noise"]
    assert (result.parts, result.none_state, result.only.state, result.without.state) == ((), "loud", "loud", "loud")
    assert result.only.random_kept == 1


def test_a_text_without_words_has_parts_without_words(planted):
    (found,) = find_sufficient_parts(planted, [""])
    assert all(part.word is None for result in found.values() for part in result.parts)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_unusual_texts_are_searched_as_the_model_reads_them(family, tmp_path):
    """A decoder's tokenizer gives no token for an empty text, and a long text is cut."""
    model = with_large_weights(tiny_model(write_backbone(tmp_path / family, family)))
    texts = ["", "  ", "\U0001f642 bad", "good " * 40]
    found = find_sufficient_parts(model, texts)
    for prediction, by_concept in zip(model.predict(texts), found, strict=True):
        for name, result in by_concept.items():
            assert result.only.state == prediction.concepts[name].state


def test_an_explanation_has_the_set_only_on_request(planted):
    text = "the food was bad"
    options = ExplainOptions(concepts=["food"], attribution=FEW, units=["head", "sufficient"])
    (explanation,) = explain(planted, [text], options)
    subnetwork = explanation.concepts["food"].subnetwork
    assert list(subnetwork.largest) == ["head"]
    assert [part.index for part in subnetwork.sufficient.parts] == [0]
    assert Explanation.from_dict(explanation.to_dict()).to_dict() == explanation.to_dict()
    assert explanation.concepts["noise"].subnetwork is None
    (plain,) = explain(planted, [text], ExplainOptions(attribution=FEW))
    assert plain.concepts["food"].subnetwork.sufficient is None


def test_what_cannot_be_searched_is_refused(planted, backbone):
    with pytest.raises(ConfigError, match=r"kind of unit 'neuron'.*sufficient"):
        explain(planted, ["bad"], ExplainOptions(units=["neuron"]))
    with pytest.raises(ModelError, match="no masks"):
        explain(with_means(tiny_model(backbone)), ["bad"], ExplainOptions(units=["sufficient"]))
    with pytest.raises(ConfigError, match="food, noise"):
        find_sufficient_parts(planted, ["bad"], ["fod"])


def test_draws_depend_on_the_text_and_the_seed_only(small):
    def searched(texts, seed):
        return find_sufficient_parts(small, texts, seed=seed)

    assert searched(TEXTS[:3], 0)[2] == searched([TEXTS[2]], 0)[0]
    assert torch.is_grad_enabled()
    trials = [searched(TEXTS, seed) for seed in (0, 1)]
    assert [r["food"].parts for r in trials[0]] == [r["food"].parts for r in trials[1]]
    assert [r["food"].only.random_probability for r in trials[0]] != [
        r["food"].only.random_probability for r in trials[1]
    ]


def test_a_lead_that_rounding_moves_across_zero_ends_the_search():
    """Without units 1 and 2 the lead is nearly 0: above it in a pass of three rows, below it in one of two."""

    class Rounded:
        def __init__(self):
            self.units = {"food": tuple(KeptUnit("neuron", 0, index) for index in range(3))}

        def logits(self, concept, ids, gates):
            lead = gates[:, 0] - 1 + (-1e-7 if len(gates) == 2 else 1e-7)
            return torch.stack([lead, torch.zeros_like(lead)], dim=1)

    search = _Search(Rounded(), "food", torch.zeros(1, 1, dtype=torch.long))
    assert search._without_spare(search.whole).tolist() == [True, True, True]
