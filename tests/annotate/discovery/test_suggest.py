"""Concepts that texts suggest: planted aspects are found, and what does not touch the label is not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sparsecbm.annotate.discovery.candidates import Candidate, distinct, make_candidate
from sparsecbm.annotate.discovery.completeness import measure_completeness
from sparsecbm.annotate.discovery.corpus import make_corpus, sample_texts
from sparsecbm.annotate.discovery.draft import Poles, is_template
from sparsecbm.annotate.discovery.selection import cross_validated_errors, forward_selection
from sparsecbm.annotate.discovery.suggest import DRAFT, SuggestOptions, candidates_of_texts, suggest
from sparsecbm.annotate.discovery.suggested_file import describe_broad, describe_stop
from sparsecbm.annotate.discovery.terms import class_tfidf, clauses_with, find_terms
from sparsecbm.base.errors import DataError
from tests.support.planted_texts import ASPECTS, planted_encoder, planted_frame

CLASSES = ("bad", "good")
PRAISE = np.subtract(*planted_encoder(["It was lovely.", "It was awful."]))
OPTIONS = SuggestOptions(taken=("soup",), praise=PRAISE)


@pytest.fixture(scope="module")
def frame():
    return planted_frame()


@pytest.fixture(scope="module")
def corpus(frame):
    return make_corpus(frame, CLASSES, planted_encoder)


@pytest.fixture(scope="module")
def suggestion(corpus):
    return suggest(corpus, candidates_of_texts(corpus, 1), OPTIONS)


def aspects_of(concept) -> set[str]:
    return {name for name, words in ASPECTS.items() for word in words if word in concept.terms}


def test_the_planted_aspects_are_chosen_and_the_one_without_effect_is_not(suggestion, frame):
    chosen = [concept for concept in suggestion.concepts if concept.chosen]
    assert set().union(*map(aspects_of, chosen)) == {"food", "service"}
    others = set().union(*(aspects_of(concept) for concept in suggestion.concepts if not concept.chosen))
    assert "weather" in others  # it was a candidate
    food = next(concept for concept in chosen if aspects_of(concept) == {"food"})
    assert food.coverage == pytest.approx((frame["gold.food"] != 0).mean(), abs=0.01)


def test_labels_that_texts_do_not_explain_give_a_draft_that_says_so(frame):
    random = frame.assign(label=np.random.default_rng(5).permutation(frame["label"].to_numpy()))
    corpus = make_corpus(random, CLASSES, planted_encoder)
    suggestion = suggest(corpus, candidates_of_texts(corpus, 1), SuggestOptions())
    assert suggestion.completeness.stop == 0 and 1 <= len(suggestion.definitions) <= DRAFT
    assert describe_stop(suggestion.completeness, 4).startswith("No candidate tells anything of the label")
    assert len(suggest(corpus, candidates_of_texts(corpus, 1), SuggestOptions(count=1)).definitions) == 1


def test_a_chosen_concept_that_nearly_all_texts_judge_is_named(suggestion):
    assert describe_broad(suggestion) is None
    first, *others = (concept for concept in suggestion.concepts if concept.chosen)
    for coverage, told in ((0.8, False), (0.81, True)):
        broad = replace(suggestion, concepts=(replace(first, coverage=coverage), *others))
        assert (describe_broad(broad) is not None) == told
    assert describe_broad(broad).startswith(f"81% of the texts have a clause close to {first.definition.name}: read")
    unchosen = replace(first, coverage=0.9, chosen=False)
    assert describe_broad(replace(suggestion, concepts=(unchosen, *others))) is None


def test_completeness_above_one_is_explained(suggestion):
    completeness, count = suggestion.completeness, suggestion.completeness.stop
    for share, told in ((1.0, False), (1.2, True)):
        steps = list(completeness.steps)
        steps[count - 1] = replace(steps[count - 1], completeness=share)
        sentence = describe_stop(replace(completeness, steps=tuple(steps)), count)
        assert ("which is linear" in sentence) == told


def test_two_aspects_tell_what_the_black_box_knows(suggestion):
    completeness = suggestion.completeness
    assert completeness.majority.accuracy < 0.6 < 0.75 < completeness.black_box.accuracy
    last = completeness.steps[completeness.stop - 1]
    assert (
        last.completeness > 0.95 and last.completeness_interval[0] < last.completeness < last.completeness_interval[1]
    )
    assert completeness.steps[0].gain > 5 * completeness.steps[0].gain_error


def test_a_black_box_that_may_know_nothing_gives_no_completeness(frame):
    few = frame[:60].reset_index(drop=True)
    labels = np.random.default_rng(3).permutation(few["label"].to_numpy())
    corpus = make_corpus(few.assign(label=labels), CLASSES, planted_encoder)
    candidate = make_candidate(corpus, "soup", ["soup"], clauses_with(["soup"], corpus.clauses))
    completeness = measure_completeness([candidate], corpus, 1, 1)
    lead = completeness.black_box.accuracy - completeness.majority.accuracy
    assert 0 < lead < 2 * completeness.black_box.accuracy_error  # better by chance, so a share of it would be huge
    [step] = completeness.steps
    assert step.completeness is None and step.completeness_interval is None
    told = describe_stop(replace(completeness, stop=1), 1)
    assert (
        told
        == "On these texts the black box is not clearly better than the majority, so completeness cannot be measured."
    )


def test_definitions_are_templates_with_examples_from_the_texts(suggestion, frame):
    definition = suggestion.definitions[0]
    assert list(definition.states) == ["Negative", "Positive", "unknown"]
    assert all(is_template(sentence) for sentence in definition.states.values())
    assert not is_template("The soup was cold.")
    for text, state in definition.examples:
        assert any(text in whole for whole in frame["text"])
        assert ("awful" in text) == (state == "Negative")
    assert suggestion.poles.low == "bad" and suggestion.poles.praise_is_high
    assert "soup" not in [concept.definition.name for concept in suggestion.concepts]  # the name was taken


def test_turned_labels_turn_the_poles_and_not_the_states(frame):
    corpus = make_corpus(frame, CLASSES[::-1], planted_encoder)
    suggestion = suggest(corpus, candidates_of_texts(corpus, 1), OPTIONS)
    assert suggestion.poles.low == "good" and not suggestion.poles.praise_is_high
    for text, state in suggestion.definitions[0].examples:
        assert ("awful" in text) == (state == "Negative")


def test_an_order_that_somebody_gave_counts_more_than_praise(frame):
    """In the planted embedding, praise lies towards `good`; the order says that `bad` is the best label."""
    corpus = make_corpus(frame, CLASSES[::-1], planted_encoder)
    suggestion = suggest(corpus, candidates_of_texts(corpus, 1), replace(OPTIONS, praise=None))
    assert suggestion.poles == Poles("good", "bad", praise_is_high=True, guessed=False)
    for text, state in suggestion.definitions[0].examples:
        assert ("awful" in text) == (state == "Positive")
    guessed = suggest(corpus, candidates_of_texts(corpus, 1), OPTIONS)
    assert guessed.poles == Poles("good", "bad", praise_is_high=False, guessed=True)


def test_the_ends_of_a_given_order_are_its_ends_also_where_a_middle_class_leads(frame):
    praised = (frame["gold.food"] > 0) & (frame["gold.service"] > 0)
    three = frame.assign(label=frame["label"].mask((frame["label"] == "good") & praised, "mixed"))
    corpus = make_corpus(three, ("bad", "mixed", "good"), planted_encoder)
    candidates = candidates_of_texts(corpus, 1)
    assert suggest(corpus, candidates, replace(OPTIONS, praise=None)).poles == Poles("bad", "good")
    assert suggest(corpus, candidates, OPTIONS).poles == Poles("bad", "mixed", guessed=True), (
        "praise is strongest there"
    )


def test_a_suggestion_repeats(frame, suggestion):
    corpus = make_corpus(frame, CLASSES, planted_encoder)
    assert suggest(corpus, candidates_of_texts(corpus, 1), OPTIONS) == suggestion


def test_near_duplicates_and_rare_candidates_are_left_out(corpus):
    soup, steak, waiter = (clauses_with([word], corpus.clauses) for word in ("soup", "steak", "waiter"))
    one = np.arange(len(corpus.clauses)) == 0
    made = [
        make_candidate(corpus, name, [name], mentions)
        for name, mentions in (("soup", soup), ("dinner", soup | steak), ("waiter", waiter), ("rare", one))
    ]
    assert made[0].vector @ made[1].vector > 0.95 > 0.5 > made[0].vector @ made[2].vector
    assert [candidate.name for candidate in distinct(made, corpus)] == ["dinner", "waiter"]


def test_function_words_are_no_terms(corpus):
    assert set(find_terms(corpus).names) >= set(ASPECTS["food"]) and not {"was", "awful"} & set(
        find_terms(corpus).names
    )


def test_class_tfidf_by_hand():
    counts = np.array([[3.0, 1.0], [0.0, 4.0]])  # both classes have 4 terms, so A = 4; tf_t = 3 and 5
    expected = [[0.75 * np.log(1 + 4 / 3), 0.25 * np.log(1.8)], [0, np.log(1.8)]]
    np.testing.assert_allclose(class_tfidf(counts), expected)


def test_clauses_with_whole_words_only():
    clauses = ["Two waiters came", "the waiter, again", "awaiter", "noise level was high", "level noise"]
    assert clauses_with(["waiter"], clauses).tolist() == [True, True, False, False, False]
    assert clauses_with(["noise levels"], clauses).tolist() == [False, False, False, True, False]
    assert not clauses_with([""], clauses).any()


def test_forward_selection_agrees_with_least_squares():
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 2, 200)
    noise, signal = draw.normal(size=200), labels + draw.normal(0, 0.3, 200)
    half = np.arange(200) < 100
    folds = [(np.flatnonzero(half), np.flatnonzero(~half)), (np.flatnonzero(~half), np.flatnonzero(half))]
    scores = np.stack([noise, signal], 1)[:, :, None]
    assert forward_selection(scores, labels, folds, 5) == [1, 0]
    errors = cross_validated_errors(scores[:, :, 0], labels, folds, ([], [0], [1]))
    expected = 0.0
    for fitted, test in folds:
        inputs = np.stack([np.ones(200), signal], 1)
        penalty = np.diag([1e-9, 1.0])
        onehot = np.eye(2)[labels]
        weights = np.linalg.solve(inputs[fitted].T @ inputs[fitted] + penalty, inputs[fitted].T @ onehot[fitted])
        expected += ((onehot[test] - inputs[test] @ weights) ** 2).sum() - 100
    assert errors[2] == pytest.approx(expected) and errors[2] < errors[0] <= errors[1] + 1


def test_a_sample_keeps_the_shares_of_labels_and_spreads_over_groups():
    frame = pd.DataFrame(
        {
            "text": [str(i) for i in range(40)],
            "label": ["a"] * 30 + ["b"] * 10,
            "group": [f"g{i // 2}" for i in range(40)],
        }
    )
    sample = sample_texts(frame, 20, seed=0)
    assert sample["label"].value_counts().to_dict() == {"a": 15, "b": 5}
    assert sample["group"].nunique() == 20
    assert len(sample_texts(frame, 99, seed=0)) == 40


def test_too_few_texts_or_one_label_is_told(frame):
    with pytest.raises(DataError, match="10 training texts"):
        make_corpus(frame[:10], CLASSES, planted_encoder)
    with pytest.raises(DataError, match="the same label"):
        make_corpus(frame.assign(label="bad"), CLASSES, planted_encoder)
    texts = frame[:60].assign(text=[f"w{i}" for i in range(60)])
    with pytest.raises(DataError, match="repeat too few words"):
        candidates_of_texts(make_corpus(texts, CLASSES, planted_encoder), 1)


def test_the_curve_has_no_more_steps_than_candidates(corpus):
    candidate = make_candidate(corpus, "soup", ["soup"], clauses_with(["soup"], corpus.clauses))
    assert isinstance(candidate, Candidate)
    assert len(measure_completeness([candidate], corpus, 12, 1).steps) == 1
