"""The answers of the service are those of the model, whatever else is asked at the same time."""

from dataclasses import asdict

import pytest

from sparsecbm.explain.sufficient_parts import find_sufficient_parts
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.model.checksums import model_checksum
from sparsecbm.promote.answer_row import answer_row
from tests.support.served_model import ask_all, close

TEXTS = ["the food was good", "a loud place but we came again and the food was bad", "slow service", ""]


def predicted(snapshot, texts=TEXTS, top_k=None):
    return [close(answer_row(prediction, None, top_k)) for prediction in snapshot.model.predict(texts)]


def test_predictions_are_those_of_the_model(app, snapshot):
    (answer,) = ask_all(app, ("/v1/predict", {"texts": TEXTS}))
    assert answer.status_code == 200
    body = answer.json()
    assert body["predictions"] == predicted(snapshot)
    version = model_checksum(snapshot.model)[:12]
    assert body["model"] == {"name": "tiny", "version": version, "sha256": snapshot.version.sha256}


def test_many_texts_are_answered_in_their_order(app, snapshot):
    texts = [f"{TEXTS[number % 4]} {TEXTS[number % 3]}" for number in range(100)]
    answer, short = ask_all(app, ("/v1/predict", {"texts": texts}), ("/v1/predict", {"texts": TEXTS[:1]}))
    assert answer.json()["predictions"] == predicted(snapshot, texts)
    assert short.json()["predictions"] == predicted(snapshot, TEXTS[:1])


@pytest.mark.parametrize("text", ["", " ", "word " * 4_000, "a " * 10_000])
def test_texts_of_no_word_and_of_ten_thousand_are_answered(app, snapshot, text):
    assert len(text) <= 20_000
    (answer,) = ask_all(app, ("/v1/predict", {"texts": [text]}))
    assert answer.json()["predictions"] == predicted(snapshot, [text])


def test_edits_of_one_request_reach_no_other(app, snapshot):
    edits = {"food": "Negative", "noise": {"loud": 0.75, "quiet": 0.25}}
    plain, edited, again = ask_all(
        app,
        ("/v1/predict", {"texts": TEXTS}),
        ("/v1/predict", {"texts": TEXTS, "options": {"edits": edits}}),
        ("/v1/predict", {"texts": TEXTS}),
    )
    assert plain.json()["predictions"] == again.json()["predictions"] == predicted(snapshot)
    with snapshot.model.edited(edits):
        assert edited.json()["predictions"] == predicted(snapshot)
    assert edited.json() != plain.json()


def test_patches_of_one_request_reach_no_other(app, snapshot, folder):
    plain, under_patch, both = ask_all(
        app,
        ("/v1/predict", {"texts": TEXTS}),
        ("/v1/predict", {"texts": TEXTS, "options": {"patches": [folder.patch[:8]]}}),
        ("/v1/predict", {"texts": TEXTS, "options": {"patches": [folder.patch], "edits": {"noise": "loud"}}}),
    )
    assert plain.json()["predictions"] == predicted(snapshot)
    with snapshot.model.patched(snapshot.patches[folder.patch]):
        assert under_patch.json()["predictions"] == predicted(snapshot)
        with snapshot.model.edited({"noise": "loud"}):
            assert both.json()["predictions"] == predicted(snapshot)
    assert under_patch.json() != plain.json()


def test_top_k_and_the_short_explanation(app, snapshot):
    options = {"top_k": 1, "explain": "short", "edits": {"food": "Positive"}}
    (answer,) = ask_all(app, ("/v1/predict", {"texts": TEXTS[:1], "options": options}))
    (row,) = answer.json()["predictions"]
    assert list(row["probabilities"]) == [row["label"]]
    explanation = row["explanation"]
    total = explanation["start"]["1"] + sum(step["1"] for step in explanation["steps"].values())
    assert total == pytest.approx(explanation["end"]["1"], abs=1e-5)
    assert explanation["states"]["food"] == "Positive"


def test_full_explanations_are_those_of_the_model(app, snapshot):
    full, own, part = ask_all(
        app,
        ("/v1/predict", {"texts": TEXTS[:2], "options": {"explain": "full"}}),
        ("/v1/explain", {"texts": TEXTS[:2]}),
        ("/v1/explain", {"texts": TEXTS[:1], "concepts": ["noise"], "method": "mid_path_gradients"}),
    )
    expected = [close(each.to_dict()) for each in snapshot.model.explain(TEXTS[:2])]
    assert own.json()["explanations"] == expected
    assert [row["explanation"] for row in full.json()["predictions"]] == expected
    (explanation,) = part.json()["explanations"]
    assert explanation["concepts"]["food"]["words"] is None
    assert explanation["origin"]["method"] == "mid_path_gradients"


def test_the_fewest_parts_come_on_request_alone_and_under_the_patches_of_the_request(app, snapshot):
    body = {"texts": TEXTS[:1], "concepts": ["food"]}
    plain, parts, of_patched = ask_all(
        app,
        ("/v1/explain", body),
        ("/v1/explain", {**body, "parts": True}),
        ("/v1/explain", {**body, "parts": True, "patches": [next(iter(snapshot.patches))]}),
    )
    sets = [each.json()["explanations"][0]["concepts"]["food"]["subnetwork"] for each in (plain, parts, of_patched)]
    assert sets[0]["sufficient"] is None
    (expected,) = find_sufficient_parts(snapshot.model, TEXTS[:1], ["food"])
    assert sets[1]["sufficient"] == close(asdict(expected["food"])) and sets[1]["largest"] == sets[0]["largest"]
    with patched(snapshot.model, *snapshot.patches.values()):
        (expected,) = find_sufficient_parts(snapshot.model, TEXTS[:1], ["food"])
    assert sets[2]["sufficient"] == close(asdict(expected["food"])) != sets[1]["sufficient"]


def test_interventions_are_those_of_the_model(app, snapshot):
    (answer,) = ask_all(app, ("/v1/intervene", {"texts": TEXTS[:2], "set": {"food": "Negative"}}))
    expected = [edit.to_dict() for edit in snapshot.model.intervene(TEXTS[:2], {"food": "Negative"})]
    assert answer.json()["edits"] == close(expected)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("predict", {}, 422, "texts is missing"),
        ("predict", {"texts": []}, 422, "texts: must be a list of at least 1"),
        ("predict", {"texts": "the food"}, 422, "texts: must be a list, not 'the food'"),
        ("predict", {"texts": [7]}, 422, "texts.0: must be text, not the number 7"),
        ("predict", {"texts": ["a"], "text": "a"}, 422, "unknown field 'text'. Did you mean 'texts'?"),
        ("predict", {"texts": ["a"], "options": {"edit": {}}}, 422, "Did you mean 'edits'?"),
        ("predict", {"texts": ["a"], "options": {"edits": {"fod": "Positive"}}}, 422, "Did you mean 'food'?"),
        ("predict", {"texts": ["a"], "options": {"edits": {"food": "good"}}}, 422, "unknown state of 'food'"),
        ("predict", {"texts": ["a"], "options": {"edits": {"food": {"Positive": 2}}}}, 422, "add up to 1"),
        ("predict", {"texts": ["a"], "options": {"edits": {"food": "Positive"}, "explain": "full"}}, 422, "no edits"),
        ("predict", {"texts": ["a"], "options": {"patches": ["abcdef"]}}, 422, "unknown patch 'abcdef'"),
        ("predict", {"texts": ["a"], "options": {"patches": ["a"]}}, 422, "first 4 characters"),
        ("predict", {"texts": ["a"], "options": {"top_k": 0}}, 422, "top_k: must be at least 1"),
        ("predict", {"texts": ["a"] * 501}, 413, "a request may hold 500 texts, not 501"),
        ("predict", {"texts": ["word " * 10_000]}, 413, "row 1 has 50000 characters"),
        ("explain", {"texts": ["a"] * 9}, 413, "8 texts"),
        ("explain", {"texts": ["a"], "method": "magic"}, 422, "magic"),
        ("explain", {"texts": ["a"], "concepts": ["fod"]}, 422, "Did you mean 'food'?"),
        ("explain", {"texts": ["a"], "concepts": []}, 422, "no concept is named"),
        ("explain", {"texts": ["a"], "states": {"food": "tasty"}}, 422, "tasty"),
        ("intervene", {"texts": ["a"], "set": {}}, 422, "no concept was set"),
        ("intervene", {"texts": ["a"], "set": {"food": "Positive"}, "head": "hard"}, 422, "no `hard_head`"),
        ("intervene", {"texts": ["a"]}, 422, "set is missing"),
    ],
)
def test_a_wrong_request_gets_one_clear_message(app, path, body, status, message):
    answer, other = ask_all(app, (f"/v1/{path}", body), ("/v1/predict", {"texts": TEXTS[:1]}))
    assert answer.status_code == status
    fault = answer.json()
    assert set(fault) == {"error", "request_id"}
    assert message in fault["error"] and len(fault["error"]) <= 500 and "Traceback" not in answer.text
    assert fault["request_id"] == answer.headers["x-request-id"]
    assert other.status_code == 200
