"""Words of concepts and of the label share forward passes, and a copy of the model that exists already."""

import threading

import pytest

from sparsecbm.explain import subject
from sparsecbm.explain.attribution import attribute, attribute_both, attribute_label
from sparsecbm.explain.explainer import ExplainOptions, explain
from sparsecbm.explain.subject import prepared
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.execution import existing_copy, using_copy
from sparsecbm.serve.passes import QuestionPart, answer_parts
from sparsecbm.serve.questions import ask_explanations
from tests.support.served_model import save_served_model

TEXTS = ["the food was good", "the place was loud and the food was bad"]
OPTIONS = ExplainOptions(method="leave_one_out", units=())


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """Return a masked model with a patch, as it is served."""
    return save_served_model(tmp_path_factory.mktemp("served")).snapshot()


@pytest.fixture
def passes(monkeypatch):
    """Return a list that gets an entry for each forward pass."""
    run, represent = [], ConceptBottleneck.represent
    monkeypatch.setattr(ConceptBottleneck, "represent", lambda *each: run.append(1) or represent(*each))
    return run


@pytest.mark.parametrize("method", ["leave_one_out", "integrated_gradients", "mid_path_gradients", "random"])
def test_both_at_once_are_what_each_is_alone(snapshot, method):
    words, label = attribute_both(snapshot.model, TEXTS, states={"food": "Positive"}, method=method)
    assert words == attribute(snapshot.model, TEXTS, states={"food": "Positive"}, method=method)
    assert label == attribute_label(snapshot.model, TEXTS, method=method)


def test_the_label_needs_no_further_pass_without_gradients(snapshot, passes):
    attribute(snapshot.model, TEXTS, method="leave_one_out")
    alone = len(passes)
    passes.clear()
    attribute_both(snapshot.model, TEXTS, method="leave_one_out")
    assert len(passes) == alone
    passes.clear()
    attribute_both(snapshot.model, TEXTS, ["food"], method="leave_one_out")  # the label needs the noise, too
    assert len(passes) > alone


def test_a_copy_belongs_to_its_model_and_context(snapshot):
    model, seen = snapshot.model, []
    with using_copy(model, snapshot.predictor):
        with prepared(model) as ready:
            assert ready is snapshot.predictor
        assert existing_copy(snapshot.predictor) is None
        thread = threading.Thread(target=lambda: seen.append(existing_copy(model)))
        thread.start()
        thread.join()
    assert seen == [None] and existing_copy(model) is None
    with prepared(model) as ready:
        assert ready is not snapshot.predictor


def answered(snapshot, patches=()):
    (rows,) = answer_parts(snapshot, [QuestionPart(ask_explanations(TEXTS[:1], OPTIONS, patches), TEXTS[:1])], 4096)
    return rows[0]["label"]["words"]["scores"]


def test_the_service_makes_no_further_copy_unless_a_patch_is_in_force(snapshot, monkeypatch):
    (patch,) = snapshot.patches.values()
    plain = explain(snapshot.model, TEXTS[:1], OPTIONS)[0].label.words.scores
    with patched(snapshot.model, patch):
        changed = explain(snapshot.model, TEXTS[:1], OPTIONS)[0].label.words.scores
    assert changed != pytest.approx(plain, abs=1e-6)
    made, make = [], subject.prediction_copy
    monkeypatch.setattr(subject, "prediction_copy", lambda *each: made.append(1) or make(*each))
    assert answered(snapshot) == pytest.approx(plain, abs=1e-5) and made == []
    assert answered(snapshot, (patch.id,)) == pytest.approx(changed, abs=1e-5) and made == [1]
