"""`concepts.yaml`: what is read, what is refused, and which changes need new labels."""

from dataclasses import replace

import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile, read_concept_file, write_concept_file
from sparsecbm.base.errors import ConfigError
from tests.support.doc_code import blocks
from tests.support.project import ROOT

FOOD = ConceptDefinition(
    "food",
    "What the text says about the food.",
    {"bad": "It is criticised.", "good": "It is praised."},
    (("Yum", "good"),),
)
NOISE = ConceptDefinition("noise", "", {"no": "It is quiet.", "yes": "It is loud: you shout."})


def test_a_written_file_reads_back_the_same(tmp_path):
    file = ConceptFile("Reviews of restaurants", (FOOD, NOISE))
    write_concept_file(tmp_path / "concepts.yaml", file, "Edit me.\n\nThen check.")
    assert (tmp_path / "concepts.yaml").read_text().startswith("# Edit me.\n#\n# Then check.\ntask:")
    assert read_concept_file(tmp_path / "concepts.yaml") == file  # `no` and `yes` stay texts


def test_the_example_of_the_how_to_page_is_a_valid_file(tmp_path):
    (block,) = blocks((ROOT / "docs" / "how-to" / "own-concepts.md").read_text(encoding="utf-8"), "yaml")
    (tmp_path / "concepts.yaml").write_text(block)
    wait, tone = read_concept_file(tmp_path / "concepts.yaml").concepts
    assert (list(wait.states), list(tone.states)) == (["long", "short", "unknown"], ["rude", "friendly", "unknown"])
    assert wait.examples == (("I was on hold for forty minutes.", "long"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concepts: {food: {states: {bad: It is bad.}}}", "concepts.food.states"),
        ("concepts: {food: {states: {bad: It is bad., good: ' '}}}", "concepts.food.states.good: say in a sentence"),
        ("concepts: {food: {states: {bad: a, good: b}, colour: red}}", "concepts.food.colour: unknown key"),
        (
            "concepts: {food: {states: {bad: a, good: b}, examples: [{text: Yum, state: great}]}}",
            "concepts.food.examples, number 1: state 'great' is none of bad, good",
        ),
        ("concepts: {food: {states: {bad: a, bad: b}}}", "bad"),
        ("concepts: {food: {states: [bad, good]}}", "concepts.food.states: must be a mapping"),
    ],
)
def test_a_wrong_file_is_refused_by_its_key(tmp_path, text, message):
    (tmp_path / "concepts.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_concept_file(tmp_path / "concepts.yaml")
    assert message in str(error.value) and "concepts.yaml" in str(error.value)


@pytest.mark.parametrize(
    "other",
    [
        replace(FOOD, description="The dishes."),
        replace(FOOD, states={"good": "It is praised.", "bad": "It is criticised."}),
        replace(FOOD, states={**FOOD.states, "good": "It is liked."}),
        replace(FOOD, examples=()),
    ],
)
def test_each_change_of_a_definition_changes_its_hash(other):
    assert other.hash != FOOD.hash and replace(other).hash == other.hash
