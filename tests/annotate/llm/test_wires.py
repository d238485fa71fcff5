"""What endpoints say of probabilities, in chats and in typed decisions, against the scripted server."""

import json
import math

import pytest

from sparsecbm.annotate.annotator import IncompleteError
from sparsecbm.annotate.llm import client
from sparsecbm.base.errors import ConfigError
from tests.support.llm_annotation import CONCEPTS, FOOD, NOBODY, known_states, known_texts, make_annotator, states_of
from tests.support.openai_server import Script, scripted_server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)


def label(script, folder, texts, **settings):
    with scripted_server(script) as url:
        return make_annotator(url, folder, **settings).annotate(texts, CONCEPTS, NOBODY)


def food_entry(**others):
    """Return an answer that the food is good, with .5 for `good` and some alternatives."""

    def entry(text, probability):
        return {"token": text, "logprob": math.log(probability), "bytes": list(text.encode())}

    value = entry("good", 0.5)
    value["top_logprobs"] = [entry(text, p) for text, p in {"good": 0.5, **others}.items()]
    tokens = [entry('{"food": "', 1.0) | {"top_logprobs": []}, value, entry('", "noise": "yes"}', 1.0)]
    tokens[2]["top_logprobs"] = []
    return {"kind": "content", "content": '{"food": "good", "noise": "yes"}', "logprobs": tokens}


def test_a_chat_with_probabilities_of_tokens_has_confidences(tmp_path):
    # bad .2 + .1, unknown .1; "nice" leads to no state: .5, .3 and .1 of .9.
    script = Script([food_entry(bad=0.2, b=0.1, unknown=0.1, nice=0.05)])
    labels = label(script, tmp_path, known_texts(1)).set_index("concept")
    assert labels["state"].to_dict() == {"food": "good", "noise": "yes"}
    assert labels.loc["food", "confidence"] == pytest.approx(5 / 9, abs=1e-6)
    shares = json.loads(labels.loc["food", "probabilities"])
    assert shares == pytest.approx({"bad": 3 / 9, "good": 5 / 9, "unknown": 1 / 9}, abs=1e-6)
    assert labels.loc["noise", "confidence"] == 1, "there was no alternative"
    body = script.log[0]["body"]
    assert body["logprobs"] is True and body["top_logprobs"] == 10


def test_probabilities_of_votes_are_averaged(tmp_path):
    # good .5 and bad .5, then good .5 alone, which is 1 of all states: .75 and .25.
    script = Script([food_entry(bad=0.5), food_entry(nice=0.5)])
    labels = label(script, tmp_path, known_texts(1), votes=2, concurrency=1).set_index("concept")
    shares = json.loads(labels.loc["food", "probabilities"])
    assert shares == pytest.approx({"bad": 0.25, "good": 0.75, "unknown": 0})


def test_an_endpoint_that_refuses_them_is_asked_without_them_from_then_on(tmp_path):
    refusal = {"kind": "status", "status": 400, "error": {"message": "Unsupported parameter: 'logprobs'"}}
    script = Script([refusal])
    labels = label(script, tmp_path, known_texts(4), concurrency=1)
    assert states_of(labels) == known_states(known_texts(4)) and labels["confidence"].isna().all()
    assert ["logprobs" in entry["body"] for entry in script.log] == [True, False, False, False, False]
    assert not any("top_logprobs" in entry["body"] for entry in script.log[1:])
    # An endpoint that keeps replies by key would repeat its refusal.
    assert script.log[0]["text"] == script.log[1]["text"]
    assert script.log[0]["idempotency"] != script.log[1]["idempotency"]


def test_another_refusal_still_ends_the_run(tmp_path):
    script = Script(otherwise={"kind": "status", "status": 400, "error": {"message": "no such temperature"}})
    with pytest.raises(ConfigError, match="no such temperature"):
        label(script, tmp_path, known_texts(2), concurrency=1)
    assert len(script.log) == 1


def test_typed_decisions_give_the_probability_of_each_state(tmp_path):
    script = Script()
    labels = label(script, tmp_path, known_texts(6), wire="decisions")
    assert states_of(labels) == known_states(known_texts(6)) and set(labels["confidence"]) == {0.75}
    assert {entry["path"] for entry in script.log} == {"/v1/decisions"} and len(script.log) == 6
    body = script.log[0]["body"]
    assert [question["name"] for question in body["questions"]] == ["food", "noise"]
    described = {choice["value"]: choice["description"] for choice in body["questions"][0]["choices"]}
    assert described == FOOD.states and body["questions"][0]["type"] == "choice"
    orders = {tuple(c["value"] for c in entry["body"]["questions"][0]["choices"]) for entry in script.log}
    assert len(orders) > 1, "the states change places"


def decision(*options, **other):
    answers = [{"type": "choice", "probabilities": list(o)} for o in options]
    return {"kind": "raw", "body": json.dumps({"answers": answers} | other)}


def option(value, probability):
    return {"value": value, "probability": probability}


def test_decisions_are_scaled_and_a_tie_gives_no_state(tmp_path):
    food = [option("bad", 0.2), option("good", 0.595), option("unknown", 0.2)]  # add up to .995
    script = Script([decision(food, [option("no", 0.5), option("yes", 0.5)])])
    labels = label(script, tmp_path, known_texts(1), wire="decisions").set_index("concept")
    assert labels.loc["food", "state"] == "good"
    assert labels.loc["food", "confidence"] == pytest.approx(0.595 / 0.995, abs=1e-6)
    noise = labels.loc["noise"]
    assert not isinstance(noise["state"], str) and json.loads(noise["probabilities"]) == {"no": 0.5, "yes": 0.5}


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (decision([option("bad", 1.0)]), "not one answer for each question"),
        (decision([option("bad", 1.0)], [option("no", 1.0)]), "probabilities of food are not those of its states"),
        (
            decision([option("bad", 0.5), option("good", 0.1), option("unknown", 0.1)], [option("no", 1.0)]),
            "probabilities of food do not add up to 1",
        ),
        ({"kind": "raw", "body": '{"answers": [{"type": "choice"}, {"type": "choice"}]}'}, "has no probabilities"),
    ],
)
def test_decisions_of_another_form_are_asked_again_and_named(tmp_path, reply, message):
    script = Script([dict(reply)])
    labels = label(script, tmp_path, known_texts(1), wire="decisions")
    assert len(script.log) == 2 and labels["state"].notna().all()
    with pytest.raises(IncompleteError, match=message):
        label(Script(otherwise=reply), tmp_path / "other", known_texts(1), wire="decisions", attempts=2)


def test_an_endpoint_without_decisions_names_the_parameter(tmp_path):
    script = Script(otherwise={"kind": "status", "status": 404, "error": {"message": "no route"}})
    with pytest.raises(ConfigError, match=r"/decisions does not exist.*annotate\.llm\.wire"):
        label(script, tmp_path, known_texts(2), wire="decisions")
