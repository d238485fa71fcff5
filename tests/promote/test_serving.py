"""The champion behind `mlflow models serve` on loopback: edits, and a patch made for this model."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from sparsecbm.intervene.patches.make import make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.orchestration.settings import answers
from tests.support.promotion_models import uniform_training_means
from tests.support.tiny_pipeline import free_port

pytestmark = pytest.mark.usefixtures("predict_in_process")
TEXT, OTHER = "a loud place but we came again and the food was bad", "the place was quiet"


@pytest.fixture
def patches(lively):
    """Return a patch that changes the predicted food of TEXT, and a patch for a mask of another model."""
    predicted = lively.predict([TEXT])[0].concepts["food"].state
    state = next(state for state in ("Negative", "Positive", "unknown") if state != predicted)
    patch = make_patch(lively, TEXT, "food", state, PatchOptions(40))
    return patch, replace(patch, mask="0" * 64)


@pytest.fixture
def ask(make_promotion_service, finish, lively, patches):
    """Return a function that queries a served champion with both patches: rows, or status and message of an error."""
    service = make_promotion_service()
    for name, patch in zip(("food", "foreign"), patches, strict=True):
        folder = service.workspace.root / "patches"
        folder.mkdir(exist_ok=True)
        patch.save(folder / f"{name}.patch")
    lively.means = uniform_training_means(lively)
    service.promote(finish(service, lively).gate(), force="to be served")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["-m", "mlflow", "models", "serve", "-m", f"models:/{service.registry.name}@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with open(service.workspace.state / "serve.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=service.workspace.state, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "MLFLOW_TRACKING_URI": service.store.uri},
        )  # fmt: skip
    deadline = time.monotonic() + 120
    while not answers(f"{url}/ping"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)

    def ask(*texts, **options):
        body = {"dataframe_records": [{"text": text} for text in texts], "params": {"options": json.dumps(options)}}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/invocations", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["predictions"]
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    yield ask
    process.terminate()
    process.wait(30)


def test_a_patch_applies_to_one_request(ask, lively, patches):
    patch, foreign = patches
    unpatched = ask(TEXT, OTHER)
    with lively.patched(patch):
        expected = lively.predict([TEXT, OTHER])
    patched = ask(TEXT, OTHER, patches=[patch.id])
    for row, prediction in zip(patched, expected, strict=True):
        assert row["label"] == prediction.label.state
        assert row["probabilities"] == pytest.approx(prediction.label.probabilities, abs=1e-5)
        for name, predicted_concept in prediction.concepts.items():
            assert row["concepts"][name]["state"] == predicted_concept.state
            assert row["concepts"][name]["probabilities"] == pytest.approx(predicted_concept.probabilities, abs=1e-5)
    assert unpatched[0]["concepts"]["food"]["state"] != patch.state == patched[0]["concepts"]["food"]["state"]
    assert [row["concepts"]["noise"] for row in patched] == [row["concepts"]["noise"] for row in unpatched]
    assert ask(TEXT, OTHER) == unpatched  # the patch no longer applies

    # The request gives the start of the id, an edit of another concept, and asks for contributions.
    (row,) = ask(TEXT, patches=[patch.id[:10]], edits={"noise": "quiet"}, explain="short")
    assert (row["concepts"]["food"]["state"], row["concepts"]["noise"]["state"]) == (patch.state, "quiet")
    assert set(row["explanation"]["steps"]) == {"food", "noise"}

    code, words = ask(TEXT, patches=["abcd"])
    assert code == 400 and "unknown patch 'abcd'" in words
    code, words = ask(TEXT, patches=[foreign.id])
    assert code == 400 and f"patch {foreign.id[:12]} is for another mask of 'food'" in words
    assert ask(TEXT, OTHER) == unpatched  # errors have no effect on later requests
