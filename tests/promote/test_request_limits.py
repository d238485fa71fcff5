"""Limits of a request hold where the model is served; memory is given back; programs may predict any number."""

import pytest
from mlflow.exceptions import MlflowException

from sparsecbm.base.errors import ConfigError
from sparsecbm.promote import pyfunc_model as module
from sparsecbm.promote.pyfunc_model import PyfuncModel
from sparsecbm.promote.request_limits import CHUNK, SERVED, chunks, release_memory
from tests.support.promotion_models import uniform_training_means

TEXT = "the food was good"


@pytest.fixture
def load(good_model, tmp_path, monkeypatch):
    """Return a function that loads the model with some environment variables, served or not."""
    good_model.means = uniform_training_means(good_model)
    good_model.save_pretrained(tmp_path / "model")

    def load(served=True, **variables):
        monkeypatch.setenv(SERVED, "true" if served else "false")
        for name, value in variables.items():
            monkeypatch.setenv(f"SPARSECBM_{name}", value)
        model = PyfuncModel()
        model.load_context(type("Context", (), {"artifacts": {"model": str(tmp_path / "model")}}))
        return model

    return load


@pytest.mark.parametrize(
    ("variables", "texts", "message"),
    [
        ({"MAX_TEXTS": "3"}, [TEXT] * 4, "may hold 3 texts, not 4; .* a larger SPARSECBM_MAX_TEXTS"),
        ({"MAX_CHARACTERS": "17"}, [TEXT, TEXT + "!"], "row 2 has 18 characters, and 17 are allowed"),
        ({"MAX_BYTES": "5"}, ["\u00e9\u00e9", "\u00e9"], "may take 5 bytes, not 6"),
        ({}, [TEXT] * 501, "may hold 500 texts, not 501"),
        ({}, ["x" * 20_001], "row 1 has 20001 characters"),
        ({"MAX_TEXTS": "9000"}, ["x" * 1000] * 2001, "may take 2000000 bytes, not 2001000"),
    ],
)
def test_larger_requests_are_refused_where_the_model_is_served(load, variables, texts, message):
    with pytest.raises(MlflowException, match=message) as refused:
        load(**variables).predict(None, texts)
    assert refused.value.get_http_status_code() == 400


def test_requests_at_the_limit_pass_and_programs_have_none(load):
    limits = {"MAX_TEXTS": "3", "MAX_CHARACTERS": "17", "MAX_BYTES": "51"}
    assert len(load(**limits).predict(None, [TEXT] * 3)) == 3
    assert len(load(served=False, **limits).predict(None, [TEXT + "!"] * 5)) == 5


def test_explanations_have_a_limit_of_their_own(load):
    model = load(MAX_EXPLAINED="1")
    with pytest.raises(MlflowException, match="may hold 1 texts with `explain: full`, not 2"):
        model.predict(None, [TEXT] * 2, {"options": '{"explain": "full"}'})
    assert len(model.predict(None, [TEXT] * 2, {"options": '{"explain": "short"}'})) == 2


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "", "9" * 13, "\u0663"])
def test_a_limit_that_is_no_number_is_refused_when_the_model_is_loaded(load, value):
    with pytest.raises(ConfigError, match="SPARSECBM_MAX_TEXTS must be a whole number above 0"):
        load(MAX_TEXTS=value)


def test_parts_hold_all_texts_in_order():
    texts = [str(number) for number in range(2 * CHUNK + 1)]
    parts = list(chunks(texts))
    assert [text for part in parts for text in part] == texts and [len(part) for part in parts] == [CHUNK, CHUNK, 1]
    assert list(chunks([])) == []


def test_the_answers_do_not_depend_on_the_parts(load, monkeypatch):
    model = load()
    texts = [TEXT, "the place was loud", "bad food", "slow"] * 3
    whole = model.predict(None, texts)
    monkeypatch.setattr("sparsecbm.promote.request_limits.CHUNK", 5)
    parts = model.predict(None, texts)
    assert parts["label"].tolist() == whole["label"].tolist()
    assert parts["confidence"].tolist() == pytest.approx(whole["confidence"].tolist(), abs=1e-6)


def test_memory_is_given_back_after_large_requests_only(load, monkeypatch):
    released = []
    monkeypatch.setattr(module, "release_memory", lambda: released.append(True))
    monkeypatch.setattr(module, "LARGE", 3)
    model = load()
    model.predict(None, [TEXT] * 3)
    assert released == []
    model.predict(None, [TEXT] * 4)
    assert released == [True]
    with pytest.raises(MlflowException):
        model.predict(None, [TEXT] * 501)  # refused ones were parsed, too
    assert released == [True, True]
    release_memory()  # the real one works here
