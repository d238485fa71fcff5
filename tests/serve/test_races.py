"""Many threads ask one service at once for answers under different edits and patches; none gets a foreign one."""

import json

import pytest

from tests.support.races import draw_plan, wrong_answers
from tests.support.served_model import close, running

TEXTS = ["the food was good", "a loud place but we came again and the food was bad", "slow service"]
WEIGHTS = {"plain": 8, "positive": 4, "negative": 4, "patched": 4, "both": 3, "short": 2, "set": 2, "wrong": 1}


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mixed_requests_from_sixteen_threads_get_their_own_answers(app, folder, count):
    bodies = {
        "plain": {"texts": TEXTS[:1]},
        "positive": {"texts": TEXTS[1:2], "options": {"edits": {"food": "Positive"}}},
        "negative": {"texts": TEXTS[:1], "options": {"edits": {"food": "Negative", "noise": "loud"}}},
        "patched": {"texts": TEXTS[:1], "options": {"patches": [folder.patch]}},
        "both": {"texts": TEXTS[1:2], "options": {"patches": [folder.patch[:12]], "edits": {"noise": "quiet"}}},
        "short": {"texts": TEXTS[2:], "options": {"explain": "short", "edits": {"food": "Positive"}}},
        "wrong": {"texts": TEXTS[:1], "options": {"edits": {"fod": "Positive"}}},
    }
    requests = {name: ("/v1/predict", body) for name, body in bodies.items()}
    requests["set"] = "/v1/intervene", {"texts": TEXTS[:1], "set": {"noise": "loud"}}
    with running(app) as call:

        def ask(path, body):
            answer = call("POST", path, json=body)
            fields = answer.json()
            fields.pop("request_id", None)
            return {"status": answer.status_code, **fields}

        calls = {name: lambda request=request: ask(*request) for name, request in requests.items()}
        alone = {name: call() for name, call in calls.items()}
        assert {name: answer["status"] for name, answer in alone.items() if answer["status"] != 200} == {"wrong": 422}
        # They differ by more than the last bits, in which answers of different batches may differ.
        assert len({json.dumps(rounded(answer)) for answer in alone.values()}) == len(alone)
        expected = {name: close(answer) for name, answer in alone.items()}
        assert wrong_answers(calls, expected, draw_plan(WEIGHTS, count, seed=1)) == []


def rounded(value):
    """Return an answer with two decimals."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 2) if isinstance(value, float) else value
