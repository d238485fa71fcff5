"""Checks of a file of concepts: each fault is named, and a good file has none."""

from dataclasses import replace

import pandas as pd
import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile
from sparsecbm.annotate.discovery.check import check_concepts
from sparsecbm.annotate.discovery.training_texts import TrainingTexts
from sparsecbm.annotate.labels import label_table
from tests.support.planted_texts import planted_encoder, planted_frame

FRAME = planted_frame(200)
TRAINING = TrainingTexts(FRAME, "verdict", ("bad", "good"), ("body", "verdict"))
SAMPLE = list(FRAME["text"])
FOOD = ConceptDefinition(
    "food",
    "What the text says of soup, pasta, dessert or steak.",
    {"bad": "The soup or the steak was awful.", "good": "The pasta was lovely."},
    (("The soup was awful.", "bad"), ("The soup was lovely.", "good")),
)
STAFF = ConceptDefinition(
    "staff",
    "What the text says of the waiter and the hostess.",
    {"bad": "The waiter was awful.", "good": "The hostess was lovely."},
)


def check(*concepts: ConceptDefinition, labels=None):
    return check_concepts(ConceptFile("Texts", concepts), TRAINING, SAMPLE, planted_encoder, labels or {})


def messages(*concepts: ConceptDefinition) -> list[str]:
    return [f"{finding.level}: {finding.message}" for finding in check(*concepts).findings]


def test_a_good_file_has_no_findings():
    result = check(FOOD, STAFF)
    assert not result.findings and not result.has_errors and not result.outdated
    assert result.coverage["food"] == pytest.approx((FRAME["gold.food"] != 0).mean(), abs=0.3)


@pytest.mark.parametrize(
    ("concept", "message"),
    [
        (replace(FOOD, name="Label"), "error: metrics use this name"),
        (replace(FOOD, name="verdict"), "error: it has the name of the label"),
        (replace(FOOD, name="body"), "error: the table has a column of this name"),
        (
            replace(FOOD, states={"bad": "The soup was awful.", "Bad ": "The pasta was lovely."}),
            "error: states 'bad' and",
        ),
        (
            replace(FOOD, states={"bad": "The soup.", "good": "the  soup."}),
            "error: states 'bad' and 'good' have the same",
        ),
        (replace(FOOD, description=""), "warning: it has no description"),
        (
            replace(FOOD, states={**FOOD.states, "bad": "The text says something bad about food (soup, steak)."}),
            "warning: bad: still the suggested template",
        ),
        (
            replace(
                FOOD, description="Wie schmeckt es?", states={"gut": "Das Essen schmeckt.", "mies": "Es ist fade."}
            ),
            "warning: few words of its definitions",
        ),
        (replace(FOOD, examples=(("Bland!", "bad"),)), "warning: 1 of its examples are in none of the training texts"),
        (
            replace(FOOD, states={"bad": "The soup was awful.", "good": "The soup was so awful."}),
            "warning: the definitions of 'bad' and 'good' are very alike",
        ),
    ],
)
def test_each_fault_is_named(concept, message):
    matches = [found for found in messages(concept) if found.startswith(message)]
    assert len(matches) == 1
    assert check(concept).has_errors == message.startswith("error")


def test_a_usual_definition_of_unknown_is_no_template():
    unknown = {"unknown": "The text says nothing about food."}
    assert messages(replace(FOOD, states={**FOOD.states, **unknown})) == []
    bad = {"bad": "The text says something bad about food (soup, steak)."}
    [warning] = messages(replace(FOOD, states={**FOOD.states, **bad, **unknown}))
    assert warning.startswith("warning: bad, unknown: still the suggested template")


def test_two_concepts_of_one_meaning_are_named():
    assert any("very like those of 'dishes'" in found for found in messages(FOOD, replace(FOOD, name="dishes")))


def test_a_concept_that_no_text_mentions_is_named():
    encoder = lambda texts: planted_encoder([text.replace("parking", "").replace("cars", "") for text in texts])  # noqa: E731
    parking = ConceptDefinition("rain", "The rain.", {"bad": "The rain was awful.", "good": "The rain was lovely."})
    dry = [text for text in SAMPLE if not any(word in text for word in ("rain", "sunshine", "clouds", "thunder"))]
    result = check_concepts(ConceptFile("", (FOOD, parking)), TRAINING, dry, encoder, {})
    assert result.coverage["rain"] < result.coverage["food"]


def test_no_concept_is_an_error():
    assert messages() == ["error: the file has no concept; `sparsecbm concepts suggest` proposes some"]


def test_only_the_concept_whose_definition_changed_needs_new_labels():
    rows = [
        {"key": key, "concept": concept.name, "state": "bad", "definition": concept.hash, "model": "m", "prompt": "p"}
        for key in ("a", "b")
        for concept in (FOOD, STAFF)
    ]
    labels = {"llm": label_table(rows), "local": label_table([])}
    changed = replace(FOOD, description="The dishes: soup, pasta, dessert, steak.")
    assert check(FOOD, STAFF, labels=labels).outdated == {}
    assert check(changed, STAFF, labels=labels).outdated == {"food": {"llm": 2}}
    assert isinstance(labels["llm"], pd.DataFrame)
