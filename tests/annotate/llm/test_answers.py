"""What counts as an answer, and what is a fault."""

import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.llm.answers import parse_answer
from tests.support.llm_annotation import CONCEPTS

OTHER = (ConceptDefinition("качество", "", {"хорошо": "x", "плохо": "y"}),)


def states(text, concepts=CONCEPTS):
    answer = parse_answer(text, concepts)
    return {name: cell.state for name, cell in answer.cells.items()}, len(answer.faults)


@pytest.mark.parametrize(
    "text",
    [
        '{"food": "bad", "noise": "yes"}',
        '```json\n{"food": "bad", "noise": "yes"}\n```',
        'Sure! {"food": "Bad ", "Noise": "YES"} I hope {this} helps.',
        'thinking {maybe} ... {"food": "bad", "noise": "yes", "extra": 1}',
    ],
)
def test_an_object_counts_wherever_it_stands(text):
    assert states(text) == ({"food": "bad", "noise": "yes"}, 0)


@pytest.mark.parametrize(
    ("text", "valid", "faults"),
    [
        ("", {}, 1),
        ("bad, yes", {}, 1),
        ('{"food": "bad", "noise": "yes"', {}, 1),
        ('["bad", "yes"]', {}, 1),
        ('{"food": "great", "noise": "yes"}', {"noise": "yes"}, 1),
        ('{"food": "bad good", "noise": null}', {}, 2),
        ('{"food": ["bad"], "noise": true}', {}, 2),
        ('{"noise": "no"}', {"noise": "no"}, 1),
        ("{" * 5000, {}, 1),
        ('{"a":' * 5000, {}, 1),
    ],
)
def test_a_state_is_never_guessed(text, valid, faults):
    assert states(text) == (valid, faults)


def test_states_of_other_languages_and_forms():
    assert states('{"качество": "Хорошо"}', OTHER) == ({"качество": "хорошо"}, 0)
    cases = (ConceptDefinition("case", "", {"us": "x", "US": "y"}),)
    assert states('{"case": "US"}', cases) == ({"case": "US"}, 0)
    assert states('{"case": "Us"}', cases) == ({}, 1)  # it could be both


def test_a_fault_names_concept_answer_and_choices():
    (fault,) = parse_answer('{"food": "great", "noise": "no"}', CONCEPTS).faults
    assert fault == '"food" is "great", which is none of "bad", "good", "unknown"'
