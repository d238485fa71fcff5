"""The served model over HTTP: answers of mixed requests from many threads, and requests that are too large or wrong."""

import http.client
import json
import threading
import time
from pathlib import Path

import mlflow.pyfunc
import pytest
import uvicorn
from mlflow.pyfunc import scoring_server

from sparsecbm.promote import pyfunc_entry
from sparsecbm.promote.register import _signature
from sparsecbm.promote.request_limits import SERVED
from tests.support.patches import patch_by_hand
from tests.support.promotion_models import uniform_training_means
from tests.support.races import draw_plan, wrong_answers
from tests.support.tiny_models import tiny_model, with_large_weights, write_backbone

TEXTS = ["the food was good", "a loud place but we came again and the food was bad", "slow service"]
LAYER = "encoder.layer.0.output.dense"


@pytest.fixture(scope="module")
def patched_model(tmp_path_factory):
    """Return a masked model of one block, and a patch of it."""
    model = with_large_weights(
        tiny_model(write_backbone(tmp_path_factory.mktemp("race") / "bert", num_hidden_layers=1))
    )
    model.means = uniform_training_means(model)
    return model, patch_by_hand(model, {LAYER: tuple(range(60))})


@pytest.fixture(scope="module")
def port(patched_model, tmp_path_factory):
    """Serve the model by MLflow's application in this process, and return its port."""
    model, patch = patched_model
    folder = tmp_path_factory.mktemp("served")
    model.save_pretrained(folder / "model")
    (folder / "patches").mkdir()
    patch.save(folder / "patches" / "food.patch")
    mlflow.pyfunc.save_model(
        path=str(folder / "pyfunc"),
        python_model=str(Path(pyfunc_entry.__file__)),
        artifacts={"model": str(folder / "model"), "patches": str(folder / "patches")},
        signature=_signature(),
        pip_requirements=[],
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(SERVED, "true")
        app = scoring_server.init(mlflow.pyfunc.load_model(str(folder / "pyfunc")))
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.fixture
def ask(port):
    """Return a function that posts a body, and returns the status and the answer."""
    connections = threading.local()

    def ask(body):
        if not hasattr(connections, "http"):
            connections.http = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connections.http.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connections.http.getresponse()
        return answer.status, answer.read().decode()

    return ask


def body(texts, **options):
    return json.dumps({"dataframe_records": [{"text": t} for t in texts], "params": {"options": json.dumps(options)}})


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mixed_requests_from_sixteen_threads_get_their_own_answers(ask, patched_model, count):
    patch = patched_model[1].id
    requests = {
        "plain": body(TEXTS[:1]),
        "positive": body(TEXTS[1:2], edits={"food": "Positive"}),
        "negative": body(TEXTS[:1], edits={"food": "Negative", "noise": "loud"}),
        "patched": body(TEXTS[:1], patches=[patch]),
        "both": body(TEXTS[1:2], patches=[patch[:12]], edits={"noise": "quiet"}),
        "short": body(TEXTS[2:], explain="short", edits={"food": "Positive"}),
        "full": body(TEXTS[:1], explain="full"),
        "wrong": body(TEXTS[:1], edits={"fod": "Positive"}),
    }
    weights = {"plain": 8, "positive": 4, "negative": 4, "patched": 4, "both": 3, "short": 2, "full": 0.2, "wrong": 1}
    calls = {name: lambda request=request: ask(request) for name, request in requests.items()}
    expected = {name: call() for name, call in calls.items()}
    assert {name: status for name, (status, _) in expected.items() if status != 200} == {"wrong": 400}
    assert len(set(expected.values())) == len(expected)
    assert wrong_answers(calls, expected, draw_plan(weights, count, seed=1)) == []


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (body(["x"] * 501), "a request may hold 500 texts, not 501"),
        (body(["x"] * 100_000), "a request may hold 500 texts, not 100000"),
        (body(["x" * 20_000_000]), "row 1 has 20000000 characters, and 20000 are allowed"),
        (body(["x" * 20_000] * 101), "the texts of a request may take 2000000 bytes"),
        (body(TEXTS * 6, explain="full"), "8 texts with `explain: full`, not 18"),
        (body(TEXTS[:1], patches=[""]), "at least the first 4 characters"),
        (body(TEXTS[:1], edits={"food": [1]}), "edits.food must be a state"),
        ('{"dataframe_records": [{"text": "a\\ud800"}]}', "surrogates not allowed"),
        (json.dumps({"dataframe_records": [{"text": "a"}], "params": {"options": "[" * 100_000}}), "nested too deeply"),
    ],
)
def test_requests_that_are_too_large_or_wrong_are_refused_in_words(ask, request_body, message):
    status, answer = ask(request_body)
    assert status == 400 and message in answer
    assert "Traceback" not in answer and len(answer) < 2000
    assert ask(body(TEXTS[:1]))[0] == 200
