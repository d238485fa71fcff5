"""Concepts without meaning: which are chosen, what their states are, and that they change no real concept."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.pruning.null_concepts import choose_null_concepts, with_null_concepts, with_null_states
from tests.support.prune_settings import pruning
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, equal_weights, finetuning, training_run

TASK = ConceptSet.of(("stars", ("1", "2")), {"food": ("bad", "good"), "noise": ("loud", "quiet")})


def table(rows):
    """Return a table from (text, label, food, noise, group)."""
    frame = pd.DataFrame(rows, columns=["text", "label", "concept.food", "concept.noise", "group"])
    return frame.assign(id=[str(i) for i in range(len(frame))], edit_type=None)


# "stew" tells of food, "and" of nothing; "the" stands in all texts, so it is no candidate.
WORDS = table(
    [
        ("the stew and soup", "1", "bad", "loud", "a"),
        ("the stew", "2", "bad", "quiet", "b"),
        ("the stew, AND rice", "1", "bad", "quiet", "c"),
        ("the stew", "2", "bad", "loud", "d"),
        ("the fish and", "2", "good", "quiet", "e"),
        ("the fish", "1", "good", "loud", "f"),
        ("the fish and", "2", "good", "loud", "g"),
        ("the fish", "1", "good", "quiet", "h"),
    ]
)


def test_the_word_that_tells_least_is_chosen():
    """By hand: "and" is independent of food, noise and stars; "stew" and "fish" tell all of food."""
    permuted, word = choose_null_concepts(WORDS, TASK, 2, seed=1)
    assert (permuted.name, permuted.companion, permuted.concept.states) == ("permuted food 1", "food", ("bad", "good"))
    assert (word.name, word.companion, word.concept.states) == ("word and", "noise", ("absent", "present"))
    present = [state == "present" for state in word.states(WORDS)]
    assert present == [True, False, True, False, True, False, True, False]


def test_the_word_is_as_frequent_as_the_companions_states():
    """Of two words that tell nothing, the one whose share is nearer to that of the companion's largest state."""
    texts = [f"{'or ' * (i % 8 == 0)}{'but' * (i % 2)}" for i in range(64)]
    noise = ["loud" if i // 8 % 2 else "quiet" for i in range(64)]
    rows = [(t, "12"[i // 16 % 2], ("bad", "good")[i // 32], noise[i], str(i)) for i, t in enumerate(texts)]
    assert choose_null_concepts(table(rows), TASK, 2, seed=1)[1].word == "but"  # half of the texts, as noise; "or": 1/8


def test_permuted_states_keep_their_shares_and_move_with_their_groups():
    groups = [name for name in "abcdefgh" for _ in range(3)]
    food = [state for state in ("bad", "bad", "bad", "good", "good", "good", "good", None) for _ in range(3)]
    frame = table([("x", "1", state, "loud", group) for state, group in zip(food, groups, strict=True)])
    null = choose_null_concepts(frame, TASK, 1, seed=3)[0]
    shuffled = frame.sample(frac=1, random_state=0)
    states = null.states(shuffled)
    assert Counter(states.dropna()) == {"bad": 9, "good": 12} and states.isna().sum() == 3
    by_group = states.groupby(shuffled["group"]).agg(lambda s: set(s.fillna("none")))
    assert all(len(found) == 1 for found in by_group)  # whole groups were moved
    assert [*by_group] != [{state or "none"} for state in food[::3]]
    other = choose_null_concepts(frame, TASK, 1, seed=4)[0].states(shuffled)
    assert not states.equals(other)


@pytest.mark.parametrize(
    ("frame", "count", "message"),
    [
        (WORDS, 12, "more than the texts allow: only 5 word"),
        (WORDS.assign(group="a"), 1, "at least two groups"),
    ],
)
def test_too_few_texts_are_said(frame, count, message):
    with pytest.raises(ConfigError, match=message):
        choose_null_concepts(frame, TASK, count, seed=1)


def test_a_concept_with_the_name_of_a_null_concept_is_refused():
    task = ConceptSet.of(("stars", ("1", "2")), {"food": ("bad", "good"), "permuted food 1": ("loud", "quiet")})
    frame = WORDS.rename(columns={"concept.noise": "concept.permuted food 1"})
    with pytest.raises(ConfigError, match="rename it"):
        choose_null_concepts(frame, task, 1, seed=1)


def test_the_label_ignores_null_concepts(model):
    frame = annotated(24, 1)
    with torch.no_grad():
        model.label_head.linear.weight.normal_()
    nulls = choose_null_concepts(frame, model.concept_set, 1, seed=1)
    wide, texts = with_null_concepts(model, nulls), frame["text"].tolist()
    assert wide.concept_set.names == (*model.concept_set.names, nulls[0].name)
    # A longer sum of zeros may be rounded in another order, as some processors do.
    assert np.allclose(wide.logits(texts).label, model.logits(texts).label, rtol=0, atol=1e-6)
    with torch.no_grad():
        wide.label_head.linear.weight[:, -1] += 1
    assert not np.allclose(wide.logits(texts).label, model.logits(texts).label, rtol=0, atol=1e-6)


def pruned(model, folder, **changes):
    params = pruning(**{"core": 0.5, "leakage_weight": 0.2, "epochs": 1, **changes})
    options = PruneOptions(params, finetuning(max_grad_norm=1e9))
    return fit_masks(model, annotated(48, 1), annotated(24, 2), options, training_run(folder))


@pytest.mark.parametrize(
    ("routing", "changes"),
    [("sampled", {}), ("split", {}), ("sampled", {"granularity": "structured", "core": 0.0})],
)
def test_null_concepts_change_no_real_concept(routing, changes, backbone, tmp_path):
    """The masks of real concepts and all predictions are those of a training without null concepts."""
    model = tiny_model(backbone, dropout=0.0)
    model.backbone.config.hidden_dropout_prob = model.backbone.config.attention_probs_dropout_prob = 0.0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    changes = {"concepts": routing, "contrast": "fixed", **changes}
    plain = pruned(model, tmp_path / "plain", **changes)
    beside = pruned(model, tmp_path / "beside", null_concepts=2, **changes)
    assert plain.beside is None and plain.nulls == ()
    assert beside.model.concept_set == model.concept_set
    assert beside.model.masks == plain.model.masks
    texts = annotated(24, 2)["text"].tolist()
    for name, logits in plain.model.logits(texts).concepts.items():
        np.testing.assert_allclose(beside.model.logits(texts).concepts[name], logits, atol=1e-4)
    names = [null.name for null in beside.nulls]
    assert beside.beside.masks.concepts == (*model.concept_set.names, *names)
    assert beside.beside.masks.of(model.concept_set.names) == plain.model.masks
    for name in names:  # of the same size, and of their own where masks are chosen by contrast
        assert beside.beside.masks[name].density == pytest.approx(plain.model.masks["food"].density, abs=1e-3)
        assert beside.beside.masks.exclusive(name).weights > 0 or "granularity" in changes


def test_a_training_with_null_concepts_repeats(model, tmp_path):
    first, second = (pruned(model, tmp_path / name, null_concepts=2) for name in ("a", "b"))
    assert first.beside.masks == second.beside.masks
    assert equal_weights(copy_weights(first.beside), copy_weights(second.beside))


def test_states_are_columns(model):
    frame = annotated(24, 1)
    nulls = choose_null_concepts(frame, model.concept_set, 1, seed=1)
    wide = with_null_states(frame, nulls)
    assert set(wide.columns) - set(frame.columns) == {f"concept.{nulls[0].name}"}
    assert sorted(wide[f"concept.{nulls[0].name}"]) == sorted(frame["concept.food"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concepts": "all"}, "prune.concepts=sampled"),
        ({"weights": "trained"}, "prune.weights=frozen"),
    ],
)
def test_settings_under_which_null_concepts_would_change_real_ones_are_refused(changes, message):
    assert pruning(null_concepts=2, core=0.0).null_concepts == 2
    with pytest.raises(ValueError, match=message):
        pruning(null_concepts=2, core=0.0, **changes)
