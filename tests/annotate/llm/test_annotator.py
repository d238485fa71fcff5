"""The annotator against a scripted server: right answers, wrong ones, failures, and what is kept."""

import asyncio
import json
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from sparsecbm.annotate.annotator import IncompleteError
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import COLUMNS
from sparsecbm.annotate.llm import client
from sparsecbm.annotate.llm.concurrency import run_bounded
from sparsecbm.base.errors import ConfigError, DataError
from tests.support.llm_annotation import (
    CONCEPTS,
    FOOD,
    KEY,
    NOBODY,
    NOISE,
    known_states,
    known_texts,
    make_annotator,
    states_of,
    text_table,
)
from tests.support.openai_server import Script, count_tokens, offered_states, scripted_server

RIGHT = {"kind": "right"}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)


@pytest.fixture
def serve(tmp_path):
    """Return a function that labels texts against a script: the labels, and the annotator."""

    def serve(script: Script, texts=None, concepts=CONCEPTS, people=NOBODY, **settings):
        with scripted_server(script) as url:
            annotator = make_annotator(url, tmp_path, **settings)
            return annotator.annotate(known_texts(12) if texts is None else texts, concepts, people), annotator

    return serve


def bodies(script: Script) -> list[dict]:
    return [entry["body"] for entry in script.log]


def test_one_request_labels_a_text_for_all_concepts(serve):
    script = Script(key=KEY)
    labels, annotator = serve(script)
    assert states_of(labels) == known_states(known_texts(12))
    assert len(script.log) == 12 and len(set(script.texts)) == 12
    assert list(labels) == list(COLUMNS) and set(labels["model"]) == {"model-1"}
    assert set(labels["prompt"]) == {annotator.version} and labels["confidence"].isna().all()
    assert set(zip(labels["concept"], labels["definition"], strict=True)) == {(c.name, c.hash) for c in CONCEPTS}
    assert {tuple(offered_states(body)["food"]) for body in bodies(script)} > {("bad", "good", "unknown")}
    assert annotator.notes == []


def test_answers_are_kept_and_a_changed_definition_asks_for_its_concept_alone(serve):
    script = Script()
    first, _ = serve(script)
    again, _ = serve(script)
    assert len(script.log) == 12
    pd.testing.assert_frame_equal(first, again)
    louder = ConceptDefinition("noise", "How loud it is.", NOISE.states)
    labels, _ = serve(script, concepts=(FOOD, louder))
    assert len(script.log) == 24 and all(set(offered_states(body)) == {"noise"} for body in bodies(script)[12:])
    assert states_of(labels) == known_states(known_texts(12))


def test_another_prompt_asks_anew_and_says_that_the_old_answers_are_kept(serve):
    script = Script()
    serve(script)
    _, annotator = serve(script, max_words=100)
    assert len(script.log) == 24
    assert len(annotator.notes) == 1 and "12 texts by model-1 with prompt" in annotator.notes[0]
    serve(script)
    assert len(script.log) == 24


def test_an_endpoint_that_changes_its_answers_is_said_and_does_not_change_labels(serve):
    script = Script(model="model-1-may")
    first, _ = serve(script, known_texts(6))
    script.model, script.states = "model-1-june", lambda text, concepts: {"food": "unknown", "noise": "no"}
    labels, annotator = serve(script)
    assert states_of(labels).items() > states_of(first).items()
    assert "says that it is model-1-june; earlier answers came from model-1-may and are kept" in annotator.notes[0]


def test_votes_see_other_orders_are_bought_one_by_one_and_become_a_confidence(serve):
    script = Script()
    text = text_table(["It was fine."])
    serve(script, text)
    script.entries = [{"kind": "content", "content": '{"food": "good", "noise": "yes"}'}] * 2
    labels, _ = serve(script, text, votes=3)
    assert len(script.log) == 3  # the first vote was known
    assert len({tuple(offered_states(body)["food"]) for body in bodies(script)}) == 3
    food, noise = labels.to_dict("records")
    assert (food["state"], food["confidence"]) == ("good", pytest.approx(2 / 3, abs=1e-6))
    assert food["probabilities"] == '{"bad": 0.333333, "good": 0.666667, "unknown": 0.0}'
    assert (noise["state"], noise["confidence"]) == ("yes", pytest.approx(2 / 3, abs=1e-6))


@pytest.mark.parametrize("wire", ["schema", "prompted"])
@pytest.mark.parametrize(
    "content", ["I think bad.", '{"food": "bad"', '{"food": "awful", "noise": "no"}', '{"noise": "no"}', ""]
)
def test_an_answer_that_is_not_valid_is_repaired_once(serve, wire, content):
    script = Script(entries=[{"kind": "content", "content": content}])
    script.otherwise = {"kind": "content", "content": '{"food": "bad", "noise": "no"}'}
    labels, annotator = serve(script, known_texts(1), wire=wire)
    assert states_of(labels) == known_states(known_texts(1))
    asked, repaired = bodies(script)
    assert ("response_format" in asked) == (wire == "schema")
    assert [turn["role"] for turn in repaired["messages"]] == ["system", "user", "assistant", "user"]
    assert repaired["messages"][2]["content"] == content
    assert "not valid: " in repaired["messages"][3]["content"]
    assert annotator.notes == ["1 answers were not valid at first, and the model was asked again"]


def test_a_state_that_is_wrong_twice_stays_empty_and_is_not_paid_again(serve):
    wrong = {"kind": "content", "content": '{"food": "tasty", "noise": "no"}'}
    script = Script(entries=[wrong, wrong])
    labels, annotator = serve(script, known_texts(1))
    key = known_texts(1)["key"][0]
    assert states_of(labels) == {(key, "food"): None, (key, "noise"): "no"}
    assert "1 labels stay open, since the model gave no valid state" in annotator.notes
    serve(script, known_texts(1))
    assert len(script.log) == 2


def test_a_model_that_gives_no_valid_answer_is_stopped_early(serve):
    script = Script(otherwise={"kind": "content", "content": "no idea"})
    with pytest.raises(ConfigError, match=r"none of the first 1\d answers of 'model-1' gives a valid state"):
        serve(script, known_texts(100))
    assert len(script.log) < 40


@pytest.mark.parametrize(
    "failure",
    [
        {"kind": "status", "status": 429, "headers": {"retry-after": "0.05"}},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503},
        {"kind": "hang"},
        {"kind": "cut"},
        {"kind": "drip", "seconds": 0.05},
        {"kind": "raw", "body": "<html>Bad gateway</html>"},
        {"kind": "raw", "body": "[1, 2]"},
        {"kind": "raw", "body": '{"choices": []}'},
        {"kind": "raw", "body": '{"error": "busy"}'},
    ],
    ids=lambda failure: "-".join(str(part) for part in failure.values()),
)
def test_a_failure_that_passes_is_survived(serve, failure):
    script = Script(entries=[failure, RIGHT, failure, failure])
    slow = failure["kind"] in ("hang", "drip")  # only these need a short time, which a right answer may miss when busy
    labels, _ = serve(script, timeout=2 if slow else 60)
    assert states_of(labels) == known_states(known_texts(12))
    assert len(script.log) == 12 + 3 and set(script.texts) == set(known_texts(12)["text"])


def test_retry_after_stops_all_requests_for_that_time(serve):
    pause = {"kind": "status", "status": 429, "headers": {"retry-after": "0.5"}}
    script = Script(entries=[RIGHT, pause])
    serve(script, concurrency=1)
    assert script.log[2]["at"] - script.log[1]["at"] >= 0.5 > script.log[1]["at"] - script.log[0]["at"]


def test_a_wait_above_the_cap_ends_the_run_and_keeps_what_is_there(serve):
    pause = {"kind": "status", "status": 429, "headers": {"retry-after": "3600"}}
    script = Script(entries=[RIGHT, RIGHT, RIGHT, pause])
    with pytest.raises(IncompleteError, match=r"asks to wait 3,600 s .*annotate.llm.max_wait.* 9 remain") as error:
        serve(script, concurrency=1)
    assert states_of(error.value.labels) == dict(list(known_states(known_texts(3)).items()))
    labels, _ = serve(script)
    assert states_of(labels) == known_states(known_texts(12)) and len(script.log) == 4 + 9


def test_a_text_without_an_answer_is_left_out_and_asked_again_by_the_next_run(serve):
    script = Script(entries=[RIGHT] + [{"kind": "status", "status": 500}] * 2)
    with pytest.raises(IncompleteError, match=r"1 texts got no answer .*status 500: as scripted.* 1 remain") as error:
        serve(script, attempts=2, concurrency=1)
    assert len(error.value.labels) == 22
    labels, _ = serve(script)
    assert len(labels) == 24 and len(script.log) == 12 + 1 + 1


def test_an_endpoint_that_goes_down_ends_the_run(serve):
    script = Script(entries=[RIGHT] * 5, otherwise={"kind": "status", "status": 503})
    with pytest.raises(IncompleteError, match=r"20 texts in a row got no answer .* 95 remain"):
        serve(script, known_texts(100), attempts=1)
    assert len(script.log) < 40


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, {}, r"refuses the key \(status 401: as scripted\); set SPARSECBM_LLM_KEY"),
        (403, {}, "refuses the key"),
        (404, {"message": "no such model"}, "there is no model 'model-1' .*no such model.*SPARSECBM_LLM_MODEL"),
        (405, {}, "status 405"),
        (501, {}, "status 501"),
        (429, {"code": "insufficient_quota"}, "has no credit left"),
        (400, {"message": "Unsupported parameter: response_format"}, "set annotate.llm.wire to prompted"),
        (400, {"message": "'temperature' does not support 0"}, "set annotate.llm.temperature to null"),
        (422, {}, "refuses the request: status 422"),
    ],
)
def test_what_more_attempts_cannot_heal_fails_at_once(serve, status, error, message):
    script = Script(otherwise={"kind": "status", "status": status, "error": error})
    with pytest.raises(ConfigError, match=message):
        serve(script)
    assert len(script.log) == 1


def test_nothing_at_the_address_is_said_at_once(tmp_path):
    with scripted_server(Script()) as url:
        pass
    with pytest.raises(ConfigError, match=f"nothing answers at {url}; check SPARSECBM_LLM_URL"):
        make_annotator(url, tmp_path).annotate(known_texts(3), CONCEPTS, NOBODY)


def test_a_missing_key_is_asked_for(serve):
    script = Script(key=KEY)
    with pytest.raises(ConfigError, match=r"asks for a key .*set SPARSECBM_LLM_KEY"):
        serve(script, key=None)
    assert script.log[0]["authorization"] is None


def test_one_refused_text_stays_without_labels(serve):
    refusal = {"kind": "status", "status": 400, "error": {"message": "content policy"}}
    script = Script(entries=[RIGHT, refusal])
    labels, annotator = serve(script, concurrency=1)
    key = known_texts(12)["key"][1]
    assert states_of(labels) == known_states(known_texts(12)) | {(key, "food"): None, (key, "noise"): None}
    assert annotator.notes == ["1 texts were refused by the endpoint and stay without labels"]


def test_a_long_text_is_cut_and_cut_further_if_the_model_wants_it(serve):
    long = " ".join(["word"] * 700)
    too_long = {"kind": "status", "status": 400, "error": {"message": "exceeds the context size"}}
    script = Script(entries=[RIGHT, too_long])
    _, annotator = serve(script, text_table(["Short.", long]), concurrency=1)
    assert script.texts == ["Short.", "word " * 600 + "[…]", script.texts[1][: len(script.texts[1]) // 2]]
    assert annotator.notes == [
        "1 texts were cut to annotate.llm.max_words",
        "1 texts were too long for the model and were cut further",
    ]


def test_an_empty_text_is_not_sent_and_stays_without_labels(serve):
    script = Script()
    labels, _ = serve(script, text_table(["  \n", "food bad, noise no"]))
    assert len(script.log) == 1 and labels["state"].notna().sum() == 2 and len(labels) == 4


@pytest.mark.parametrize(("limit", "needed"), [({"max_tokens": 1500}, 1500), ({"max_money": 0.0015}, 1500)])
def test_a_budget_stops_the_run_keeps_what_is_paid_and_counts_earlier_runs(serve, limit, needed):
    price = {"price_in": 1.0, "price_out": 1.0}
    script = Script()
    with pytest.raises(IncompleteError, match=r"the budget is spent: .* remain; what is paid is kept") as error:
        serve(script, known_texts(50), concurrency=1, **price, **limit)
    paid = sum(sum(usage(body).values()) for body in bodies(script))
    assert needed - 300 < paid <= needed and len(error.value.labels) == 2 * len(script.log) < 20
    count = len(script.log)
    with pytest.raises(IncompleteError, match="the budget is spent"):
        serve(script, known_texts(50), **price, **limit)
    assert len(script.log) == count
    labels, _ = serve(script, known_texts(50), **price)
    assert len(script.log) == 50 and len(labels) == 100


def usage(body: dict) -> dict[str, int]:
    prompt = sum(4 + count_tokens(message["content"]) for message in body["messages"])
    return {"in": prompt, "out": 17}  # {"food": "bad", "noise": "yes"}, or a token more


def test_a_budget_in_money_needs_a_price(serve):
    with pytest.raises(ConfigError, match=r"the price of this model is unknown; set annotate.llm.price_in"):
        serve(Script(), max_money=1.0)


def test_tokens_that_the_endpoint_does_not_count_are_estimated_and_said(serve):
    _, annotator = serve(Script(otherwise={"kind": "right", "usage": False}))
    assert annotator.notes == ["12 replies came without a count of tokens; estimates stand in"]


def test_limits_of_requests_are_kept(serve):
    script = Script()
    serve(script, known_texts(8), requests_per_minute=600)
    times = [entry["at"] for entry in script.log]
    assert times[-1] - times[0] < 2  # a burst of a second's worth, ten requests
    script = Script()
    serve(script, text_table([f"text {n}" for n in range(6)]), requests_per_minute=120)
    times = sorted(entry["at"] for entry in script.log)
    assert times[-1] - times[0] >= 1.5  # two at once, then two a second


def test_examples_are_shown_but_not_to_texts_of_their_group(serve):
    texts = known_texts(12).assign(group=[str(n // 2) for n in range(12)])
    states = known_states(texts)
    people = pd.DataFrame([(key, name, state) for (key, name), state in states.items()])
    people.columns = ["key", "concept", "state"]
    script = Script()
    labels, annotator = serve(script, texts, people=people, examples=2)
    assert annotator.learns and states_of(labels) == states
    groups = dict(zip(texts["text"], texts["group"], strict=True))
    shown_counts = set()
    for body in bodies(script):
        turns = body["messages"]
        shown = [text_of(turn) for turn in turns[1:-1] if turn["role"] == "user"]
        shown_counts.add(len(shown))
        assert groups[text_of(turns[-1])] not in [groups[text] for text in shown]
        assert turns[2]["role"] == "assistant" and set(turns[2]["content"]) > set('{"food": ')
    assert shown_counts == {1, 2}  # those of the two groups see one
    assert labels["prompt"].nunique() == 3


def text_of(turn: dict) -> str:
    return json.loads(turn["content"].removeprefix("<text>").removesuffix("</text>"))


def test_the_key_reaches_no_log_file_message_or_note(serve, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    refusal = {"kind": "status", "status": 400, "error": {"message": f"you sent {KEY}"}}
    failing = {"kind": "status", "status": 500, "error": {"message": f"you sent {KEY}"}}
    script = Script(entries=[RIGHT, refusal, failing], key=KEY)
    _, annotator = serve(script)
    assert script.log[0]["authorization"] == f"Bearer {KEY}"
    messages = [str(annotator.notes), repr(annotator.endpoint), repr(vars(annotator))]
    script.otherwise = {"kind": "status", "status": 401, "error": {"message": f"wrong key {KEY}"}}
    with pytest.raises(ConfigError) as error:
        serve(script, known_texts(20))
    chain = [error.value, error.value.__cause__]
    messages += [str(link) + repr(link) for link in chain] + [caplog.text]
    messages += [repr(vars(record)) for record in caplog.records]
    assert not [message for message in messages if KEY in message]
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()
    with sqlite3.connect(tmp_path / "llm.sqlite") as file:
        assert file.execute("SELECT COUNT(*) FROM answers").fetchone()[0] > 20  # the file was in use


def test_texts_are_not_kept_in_the_file_of_answers(serve, tmp_path):
    serve(Script(), text_table(["food bad and a secret phrase"]))
    assert not [path for path in tmp_path.iterdir() if b"secret phrase" in path.read_bytes()]


def test_two_calls_at_once_pay_for_no_text_twice(tmp_path):
    script = Script(latency=0.01)
    with scripted_server(script) as url, ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(make_annotator(url, tmp_path).annotate, known_texts(20), CONCEPTS, NOBODY) for _ in range(2)
        ]
        tables = [call.result() for call in calls]
    assert len(script.log) == 20
    pd.testing.assert_frame_equal(*tables)


def test_a_damaged_file_of_answers_is_named(serve, tmp_path):
    (tmp_path / "llm.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"llm\.sqlite, which keeps the answers .*, cannot be used \(file is not a"):
        serve(Script())


def test_memory_does_not_grow_with_the_number_of_texts():
    taken, yielded = 0, 0

    def items():
        nonlocal taken
        for number in range(5000):
            taken += 1
            yield number

    async def work(number):
        await asyncio.sleep(0)
        return number

    loop = asyncio.new_event_loop()
    waiting = []
    for _ in run_bounded(loop, work, items(), 4):
        yielded += 1
        waiting.append(taken - yielded)
    loop.close()
    assert yielded == 5000 and max(waiting) <= 40  # items that are worked on, and results that wait
