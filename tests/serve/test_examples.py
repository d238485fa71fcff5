"""Examples in the service's own description are true: requests are answered, and answers have the form of the model."""

import copy
import json
import math

import pytest
from jsonschema import Draft202012Validator

from sparsecbm.explain.explanation import Explanation
from sparsecbm.serve import bodies
from tests.support.project import ROOT
from tests.support.served_model import ask_all, running, served_app

EXPLANATION = json.loads((ROOT / "sparsecbm" / "schemas" / "explanation.schema.json").read_text(encoding="utf-8"))
REQUESTS = {"PredictRequest": 2, "ExplainRequest": 1, "InterveneRequest": 1, "CorrectionRequest": 1}
ANSWERS = {"PredictAnswer", "ExplainAnswer", "InterveneAnswer", "CorrectionAnswer", "Status", "Fault"}
JSON = "application/json"


@pytest.fixture(scope="module")
def description(folder, tmp_path_factory):
    """Return what `/openapi.json` answers."""
    app = served_app(folder.snapshot(), tmp_path_factory.mktemp("examples") / "corrections.jsonl")
    with running(app) as call:
        return call("GET", "/openapi.json").json()


def operations(description):
    """Return method, path and description of each operation."""
    paths = description["paths"].items()
    return [(method, path, operation) for path, methods in paths for method, operation in methods.items()]


def name_of(content):
    """Return the name of the form of a body; empty if it is no JSON. All examples must stand at this form."""
    media = content.get(JSON, {})
    assert not {"example", "examples"} & set(media)
    return media.get("schema", {}).get("$ref", "").rpartition("/")[2]


def examples_of(description, name):
    return description["components"]["schemas"][name].get("examples", [])


def test_every_request_example_is_answered(app, corrections, description):
    requests, names = [], []
    for _, path, operation in operations(description):
        if "requestBody" in operation:
            name = name_of(operation["requestBody"]["content"])
            found = examples_of(description, name)
            assert len(found) == REQUESTS[name], path
            requests += [(path, example) for example in found]
            names.append(name)
    assert sorted(names) == sorted(REQUESTS)
    # The same requests with another concept are refused, so the answers depend on the examples.
    wrong = [(path, json.loads(json.dumps(body).replace('"food"', '"fod"'))) for path, body in requests[1:]]
    answers = [answer.status_code for answer in ask_all(app, *requests, *wrong)]
    expected = [201 if path == "/v1/corrections" else 200 for path, _ in requests]
    assert answers == [*expected, *[422] * len(wrong)]
    kept = json.loads(corrections.read_text())
    assert {name: kept[name] for name in requests[-1][1]} == requests[-1][1]


def check(description, name, example):
    """Check an example against the described form, against the pydantic model, and for sense.

    Raises:
        jsonschema.ValidationError, pydantic.ValidationError, AssertionError: it does not fit.
    """
    schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example)
    model = getattr(bodies, name)
    if name == "InterveneAnswer":  # its predictions have a published form, which pydantic writes and does not read
        assert set(example) == set(model.model_fields)
    else:
        model.model_validate(example, extra="forbid")
    for explanation in example.get("explanations", ()):
        Draft202012Validator(EXPLANATION).validate(explanation)
        read = Explanation.from_dict(explanation)
        assert all(read.text[word.start : word.end] == word.word for word in read.words)
        total = read.label.start + sum(concept.contribution for concept in read.concepts.values())
        assert math.isclose(total, read.label.end, abs_tol=1e-9)
        scores = [read.label.words, *(concept.words for concept in read.concepts.values())]
        assert all(math.isclose(sum(each.scores + each.special), each.change + each.gap) for each in scores)
    for probabilities in find("probabilities", example):
        assert math.isclose(sum(probabilities.values()), 1)


def find(key, value):
    """Return all values of a key, however deep."""
    if isinstance(value, list):
        return [each for inner in value for each in find(key, inner)]
    if not isinstance(value, dict):
        return []
    own = [value[key]] if key in value else []
    return own + [each for inner in value.values() for each in find(key, inner)]


def test_every_answer_has_examples_of_its_own_form(description):
    names = set()
    for _, path, operation in operations(description):
        for status, response in operation["responses"].items():
            name = name_of(response.get("content", {}))
            if not name:
                assert (path, status) == ("/metrics", "200")
                continue
            names.add(name)
            assert examples_of(description, name), (path, status)
    assert names == ANSWERS
    for name in ANSWERS:
        for example in examples_of(description, name):
            check(description, name, example)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_example_of_another_form_would_be_noticed(description, name):
    example = examples_of(description, name)[0]
    check(description, name, example)
    for key in example:
        without = {other: value for other, value in example.items() if other != key}
        with pytest.raises(Exception, match=r"required|Extra|assert"):
            check(description, name, {**without, f"{key}s": example[key]})
    if name not in ("Fault", "CorrectionAnswer", "Status"):
        altered = copy.deepcopy(example)
        find("probabilities", altered)[0]["3"] = 0.5
        with pytest.raises(AssertionError):
            check(description, name, altered)
