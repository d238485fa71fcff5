"""With `annotate.redact`, personal data is in no request: not in texts, nor examples, nor definitions."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.llm.annotator import make_instructions
from sparsecbm.annotate.llm.plan import prompt_hash
from sparsecbm.base.params.annotate import Annotate, Llm
from tests.support.llm_annotation import make_annotator, text_table
from tests.support.openai_server import Script, scripted_server

pytest.importorskip("presidio_analyzer")

FOOD = ConceptDefinition(
    "food", "", {"bad": "It is criticised.", "good": "Praised."}, (("Ask eve@example.org about the soup.", "good"),)
)
TEXTS = text_table(["food good, says jo@example.org", "food bad, says ann@example.org"])
PEOPLE = pd.DataFrame({"key": TEXTS["key"][1:], "concept": "food", "state": "bad"})


def sent(folder, redact: tuple[str, ...]) -> tuple[Script, pd.DataFrame]:
    script = Script()
    with scripted_server(script) as url:
        annotator = make_annotator(url, folder, examples=1)
        annotator.instructions = make_instructions("Reviews", Annotate(redact=redact))
        labels = annotator.annotate(TEXTS, [FOOD], PEOPLE)
    return script, labels


def test_addresses_leave_only_without_redaction(tmp_path):
    plain, _ = sent(tmp_path / "plain", ())
    redacted, labels = sent(tmp_path / "redacted", ("email",))
    assert {name for name in ("jo@", "ann@", "eve@") if name in json.dumps(plain.log)} == {"jo@", "ann@", "eve@"}
    assert "@example.org" not in json.dumps(redacted.log)
    assert sorted(redacted.texts) == ["food bad, says <EMAIL_1>", "food good, says <EMAIL_1>"]
    assert dict(zip(labels["key"], labels["state"], strict=True)) == dict(
        zip(TEXTS["key"], ("good", "bad"), strict=True)
    )


def test_answers_to_redacted_texts_are_kept_apart():
    settings = [make_instructions("Reviews", Annotate(redact=kinds)) for kinds in ((), ("email",), ("email", "url"))]
    assert len({prompt_hash(Llm(), each, ()) for each in settings}) == 3
    same = replace(settings[1], redact=str)
    assert prompt_hash(Llm(), same, ()) == prompt_hash(Llm(), settings[1], ())
