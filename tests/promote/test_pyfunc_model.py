"""The registered model: its answers and options; a version runs its own copy of the code."""

import fcntl
import json
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow.exceptions import MlflowException

from sparsecbm.base.errors import ConfigError
from sparsecbm.promote.artifacts import UnreadableError, find_pickles, predict_in_subprocess
from sparsecbm.promote.pyfunc_model import PyfuncModel
from sparsecbm.promote.register import save_pyfunc
from sparsecbm.promote.request_limits import SERVED
from sparsecbm.promote.request_options import parse_options
from tests.support.promotion_models import uniform_training_means
from tests.support.tiny_tables import annotated

TEXTS = ["the food was good", "the place was loud"]


@pytest.fixture
def folder(good_model, tmp_path):
    good_model.means = uniform_training_means(good_model)
    good_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def pyfunc_model(folder):
    model = PyfuncModel()
    model.load_context(type("Context", (), {"artifacts": {"model": str(folder)}}))
    return model


def ask(pyfunc_model, texts, **options):
    return pyfunc_model.predict(None, texts, {"options": json.dumps(options)}).to_dict("records")


def test_answers_are_the_predictions_of_the_model(pyfunc_model, good_model):
    rows = pyfunc_model.predict(None, TEXTS).to_dict("records")
    for row, prediction in zip(rows, good_model.predict(TEXTS), strict=True):
        expected = prediction.to_dict()
        del expected["text"]
        assert row == expected
    assert [row["label"] for row in rows] == ["3", "2"]


def test_options_change_the_answer(pyfunc_model):
    (row,) = ask(pyfunc_model, TEXTS[:1], top_k=2)
    assert list(row["probabilities"]) == ["3", "1"] or list(row["probabilities"]) == ["3", "2"]
    (row,) = ask(pyfunc_model, TEXTS[:1], explain="short")
    steps = row["explanation"]["steps"]
    assert set(steps) == {"food", "noise"}
    total = row["explanation"]["start"]["3"] + sum(by["3"] for by in steps.values())
    assert total == pytest.approx(row["explanation"]["end"]["3"])
    assert ask(pyfunc_model, TEXTS[:1]) == ask(pyfunc_model, TEXTS[:1], explain="none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('{"edit": {}}', r"unknown option 'edit'. Did you mean 'edits'\? Choices: edits, patches, explain, top_k"),
        ("[]", r"must be a JSON object, not \[\]"),
        ("{", "`options` is not valid JSON: "),
        ('{"top_k": 0}', "top_k: must be at least 1, not 0"),
        (
            '{"explain": "full", "edits": {"food": "Positive"}}',
            "`explain: full` cannot explain concepts",
        ),
        ('{"top_k": "many"}', "top_k: must be a whole number, not 'many'"),
        ('{"top_k": true}', "top_k: must be a whole number, not true"),
        ('{"edits": {"food": {"Positive": true}}}', "edits.food must be a state, or a probability for each state"),
        ('{"edits": {"food": {"Positive": "0.5"}}}', "edits.food must be a state, or a probability for each state"),
        ('{"edits": {"food": 7}}', "edits.food must be a state, or a probability for each state, not 7"),
        ('{"edits": {"food": {"Positive": NaN}}}', "edits.food must be a state, or a probability for each state"),
        ('{"edits": ["food"]}', "edits: must be a mapping"),
        ('{"patches": "abcd"}', "patches: must be a list, not 'abcd'"),
        ('{"patches": [""]}', "patches: give at least the first 4 characters of an id"),
        (json.dumps({"patches": ["abcd"] * 99}), "patches: at most 32 are allowed"),
        ("[" * 100_000, "`options` is not valid JSON: it is nested too deeply"),
        ('{"top_k": ' + "9" * 5000 + "}", "a number has too many digits"),
        (
            '{"edits": {"food": "Positive", "food": "Negative"}}',
            "`options` names the key 'food' twice, as entries 1 and 2",
        ),
        ('{"explain": "long"}', "explain: must be 'none', 'short' or 'full', not 'long'"),
    ],
)
def test_options_that_do_not_fit_are_an_error(pyfunc_model, options, message):
    with pytest.raises(ConfigError, match=message):
        parse_options(options)
    with pytest.raises(MlflowException, match=message) as refused:
        pyfunc_model.predict(None, TEXTS, {"options": options})
    assert refused.value.get_http_status_code() == 400


def test_no_message_shows_the_words_of_a_library(pyfunc_model):
    for plain in ({"edits": 1}, {"explain": []}, {"top_k": 1.5}, {"patches": [1]}, {"edits": {"food": {"a": []}}}):
        with pytest.raises(ConfigError) as refused:
            parse_options(json.dumps(plain))
        assert "Input should" not in str(refused.value) and "pydantic" not in str(refused.value)


def test_a_server_tells_of_a_failure_of_the_model_without_a_trace(pyfunc_model, monkeypatch, caplog):
    monkeypatch.setattr(pyfunc_model.model, "predict", lambda texts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pyfunc_model.predict(None, TEXTS)
    monkeypatch.setenv(SERVED, "true")
    with pytest.raises(MlflowException, match="the log of the server says why") as failed:
        pyfunc_model.predict(None, TEXTS)
    assert failed.value.get_http_status_code() == 500 and "division" not in str(failed.value)
    assert "ZeroDivisionError" in caplog.text


def test_a_half_of_a_surrogate_pair_is_an_error_with_its_row(pyfunc_model):
    with pytest.raises(MlflowException, match="row 2 of the input holds half of a surrogate pair"):
        pyfunc_model.predict(None, ["a", "b\ud800"])


def test_input_other_than_text_is_an_error(pyfunc_model):
    with pytest.raises(MlflowException, match="row 2 of the input is not a text but 7"):
        pyfunc_model.predict(None, ["a", 7])


@pytest.mark.slow
def test_each_version_runs_its_own_code_in_its_own_process(folder, good_model, tmp_path):
    texts = annotated(12, 5)["text"].tolist()
    save_pyfunc(tmp_path / "one", {"model": folder})
    assert find_pickles(tmp_path / "one") == []
    result = predict_in_subprocess(tmp_path / "one", texts, 1, 120, timed=2)
    expected = [list(p.label.probabilities.values()) for p in good_model.predict(texts)]
    assert result.label["states"] == ["1", "2", "3"]
    assert result.label["probabilities"] == [pytest.approx(row) for row in expected]
    assert result.latency_ms > 0
    assert result.size_mb == pytest.approx(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6)

    pyfunc_model = tmp_path / "one" / "code" / "sparsecbm" / "promote" / "pyfunc_model.py"
    pyfunc_model.write_text(
        pyfunc_model.read_text().replace("predictions += model.predict(part)", "predictions += [1 / 0]")
    )
    with pytest.raises(UnreadableError, match="does not load and predict: ZeroDivisionError: division by zero"):
        predict_in_subprocess(tmp_path / "one", texts, 1, 120)


LOGGED = """
_rows = PyfuncModel.rows

def _logged(self, texts, options):
    import time

    begun = time.monotonic()
    rows = _rows(self, texts, options)
    with open({log!r}, "a") as file:
        file.write(f"{{len(texts)}} {{begun}}\\n")
    return rows

PyfuncModel.rows = _logged
"""


@pytest.mark.parametrize(("skipped", "warnings_shown"), [(True, 0), (False, 1)])
def test_loading_prints_no_mlflow_warning(skipped, warnings_shown):
    """MLflow warns about a class whose `predict` has no type hints, unless the class turns that warning off."""
    with warnings.catch_warnings(record=True) as caught:
        methods = {"predict": lambda self, context, model_input, params=None: None}
        type("Another", (PyfuncModel,), methods if skipped else {**methods, "_skip_type_hint_validation": False})
    assert len(caught) == warnings_shown


@pytest.mark.slow
def test_a_version_is_timed_when_no_other_version_predicts(folder, tmp_path):
    """This process acts as another version that still predicts when the first one has finished."""
    save_pyfunc(tmp_path / "one", {"model": folder})
    log, turns = tmp_path / "log", tmp_path / "turns"
    log.touch()
    with open(tmp_path / "one" / "code" / "sparsecbm" / "promote" / "pyfunc_model.py", "a") as file:
        file.write(LOGGED.format(log=str(log)))
    with open(turns, "a") as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_SH)
        future = pool.submit(predict_in_subprocess, tmp_path / "one", TEXTS, 1, 120, 2, turns)
        while not log.read_text() and not future.done():
            time.sleep(0.05)
        time.sleep(0.3)
        ended = time.monotonic()
        fcntl.flock(other, fcntl.LOCK_UN)
        assert future.result().latency_ms > 0
    (texts, started), *timed = (map(float, line.split()) for line in log.read_text().splitlines())
    assert (texts, started < ended) == (2, True)
    assert [(texts, begun > ended) for texts, begun in timed] == [(1, True), (1, True)]


def test_an_edit_sets_a_concept_and_changes_the_label(pyfunc_model):
    (row,) = ask(pyfunc_model, TEXTS[:1], edits={"food": "Negative"})
    assert (row["label"], row["concepts"]["food"]["state"]) == ("1", "Negative")
    (row,) = ask(pyfunc_model, TEXTS[:1])
    assert (row["label"], row["concepts"]["food"]["state"]) == ("3", "Positive")
    with pytest.raises(MlflowException, match=r"unknown concept 'fodd'\. Did you mean 'food'"):
        ask(pyfunc_model, TEXTS[:1], edits={"fodd": "Negative"})


def test_a_patch_that_the_version_does_not_contain_is_an_error(pyfunc_model):
    with pytest.raises(MlflowException, match=r"unknown patch .abcd.\. Choices: this version carries none"):
        ask(pyfunc_model, TEXTS[:1], patches=["abcd"])
