"""Texts that give orders reach the model as data: they change nothing of the prompt but the quoted text."""

import json
from pathlib import Path

import pytest

from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.annotate.llm.prompt import PromptWriter
from sparsecbm.annotate.llm.question import Question
from sparsecbm.annotate.llm.quoting import CLOSE, OPEN
from tests.annotate.injections import INJECTIONS
from tests.support.llm_annotation import NOBODY, make_annotator, text_table
from tests.support.openai_server import Script, scripted_server

FILE = read_concept_file(Path(__file__).parents[3] / "data" / "app-reviews" / "concepts.yaml")
STATES = {concept.name: tuple(concept.states) for concept in FILE.concepts}


def chat(text: str) -> list[dict[str, str]]:
    return PromptWriter(FILE.task).chat(Question("0123456789abcdef", text, 0, FILE.concepts))


def test_there_are_at_least_40_in_several_languages_and_forms():
    forms = [injection.form for injection in INJECTIONS]
    assert len(set(forms)) == len(forms) >= 40
    assert len({injection.text for injection in INJECTIONS}) == len(forms)
    assert {"German", "French", "Spanish", "Russian", "Chinese", "Arabic", "json", "hidden html", "base64"} <= set(
        forms
    )


@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.form)
def test_an_order_demands_another_state_than_the_text_has(injection):
    assert list(injection.states) == list(STATES)
    assert all(state in STATES[name] for name, state in [*injection.states.items(), *injection.demanded.items()])
    assert all(injection.states[name] != state for name, state in injection.demanded.items())
    assert injection.order not in injection.clean


@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.form)
def test_an_order_changes_nothing_but_the_quoted_text(injection):
    with_order, without = chat(injection.text), chat(injection.clean)
    assert with_order[:-1] == without[:-1] and with_order[-1]["role"] == "user"
    content = with_order[-1]["content"]
    assert content.startswith(OPEN) and content.endswith(CLOSE)
    inner = content[len(OPEN) : -len(CLOSE)]
    assert json.loads(inner) == injection.text
    assert not set("<>[]\n\u200b\u202e") & set(inner) and all(ord(letter) < 0xE0000 for letter in inner)


def test_a_model_that_obeys_can_give_no_state_that_is_not_offered(tmp_path):
    script = Script(states=lambda text, concepts: dict.fromkeys(concepts, "Positive"))
    texts = text_table([injection.text for injection in INJECTIONS[:3]])
    with scripted_server(script) as url:
        labels = make_annotator(url, tmp_path).annotate(texts, FILE.concepts, NOBODY)
    assert len(labels) == 9 and labels["state"].isna().all()
