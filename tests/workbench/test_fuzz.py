"""Requests that schemathesis makes from a description of the pages: none is answered with a fault of the workbench."""

import httpx
import pytest
import schemathesis
from fastapi import APIRouter
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.workbench import application
from sparsecbm.workbench.patch_jobs import PatchJobs
from tests.support.workbench_app import listening, make_workbench_workspace

TEXT = "the food was good and the place was loud"


def one_of(*values):
    """Return the schema of a text that is often one of some values."""
    return {"anyOf": [{"enum": list(values)}, {"type": "string", "maxLength": 200}]}


PERSON = {"author": one_of("Ann", "Bea"), "reason": one_of("irony", ""), "form": one_of("1", "2")}
SETTINGS = {
    "text": one_of(TEXT, ""), "original": one_of(TEXT, "the food was bad"), "read.food": one_of("Positive"),
    "set.food": one_of("Negative", "unknown"), "set.noise": one_of("loud", "quiet"), "fewest": one_of("yes"),
    "method": one_of("mid_path_gradients"),
}  # fmt: skip
LIMITS = {"bits": one_of("20", "0"), "max_harm": one_of("1", "nan"), "min_fixed": one_of("50", "-1")}
SIDES = {
    "left": one_of(TEXT, ""), "right": one_of("the food was bad"), "left.reader": one_of("", "patch:x", "models/x"),
    "right.reader": one_of("", "champion"), "method": one_of("integrated_gradients"),
}  # fmt: skip
FILTER = {
    "search": one_of("food"), "split": one_of("train", "test"), "label": one_of("1"), "state": one_of("food=Positive"),
    "kind": one_of("wrong", "unsure", "disputed"), "slice": one_of("edit_type=x"), "page": one_of("0", "1", "-1"),
}  # fmt: skip
DECISION = {"action": one_of("approve", "reject", "withdraw", "stop", "again"), "seen": one_of("", "1")}
LABEL = {
    "action": one_of("save", "skip", "undo"), "key": one_of("KEY"), "stamp": one_of("0"),
    "state.food": one_of("Positive", "cannot decide"), "state.noise": one_of("loud"),
}  # fmt: skip
QUERIES = {
    "/": {"text": one_of(TEXT)}, "/texts": FILTER, "/compare": SIDES, "/label": {}, "/corrections": {}, "/patches": {},
    "/label/export": {"file": one_of("texts.csv", "tasks.json", "tasks.xml"), "split": one_of("train", "")},
    "/patches/{name}": {}, "/patches/{name}.json": {}, "/memory/{identity}": {}, "/promotions": {},
    "/promotions.json": {}, "/promotions/texts": {"version": one_of("1")}, "/journal": {}, "/journal.jsonl": {},
    "/report/{name}": {}, "/static/{name}": {},
}  # fmt: skip
FORMS = {
    "/read": SETTINGS, "/words": SETTINGS, "/parts": SETTINGS, "/offers": SETTINGS, "/compare": SIDES,
    "/compare/words": SIDES, "/corrections": {**SETTINGS, **PERSON, "as_label": one_of("yes")},
    "/patches": {**SETTINGS, **PERSON, **LIMITS},
    "/patches/of-corrections": {**PERSON, **LIMITS, "pick.RECORD.noise": one_of("quiet"), "pick.": one_of("x")},
    "/memory": {**PERSON, "pick.RECORD.noise": one_of("quiet")}, "/memory/{identity}": PERSON,
    "/patches/{name}": {**PERSON, **DECISION, **LIMITS}, "/label/who": PERSON, "/label": LABEL,
    "/label/import": {"file": {"type": "string", "format": "binary"}},
}  # fmt: skip


def known(schema):
    """Return the schema of the values that a page itself sends."""
    return schema["anyOf"][0] if "anyOf" in schema else schema


def operation(path, query=None, form=None, odd=True):
    """Return the description of one kind of request.

    Args:
        odd: whether fields may be missing, unknown, or have any value
    """
    if not odd:
        query, form = ({name: known(each) for name, each in (part or {}).items()} for part in (query, form))
    names = [("name" if "{name}" in path else "identity")] if "{" in path else []
    here = one_of("JOB", "RECORD") if odd else known(one_of("JOB", "RECORD"))
    parameters = [{"name": name, "in": "path", "required": True, "schema": here} for name in names]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in (query or {}).items()]
    parameters += [
        {"name": "HX-Request", "in": "header", "schema": {"enum": ["true", "false"]}},
        {"name": "author", "in": "cookie", "schema": {"enum": ["Ann", "B%C3%A9a", "%ff", ""]}},
    ]
    described = {"parameters": parameters, "responses": {"default": {"description": "a page"}}}
    if form is not None:
        kind = "multipart/form-data" if "file" in form else "application/x-www-form-urlencoded"
        schema = {"type": "object", "properties": form, "additionalProperties": {"type": "string"}}
        if not odd:
            schema |= {"required": list(form), "additionalProperties": False}
        described["requestBody"] = {"content": {kind: {"schema": schema}}, "required": not odd}
    return described


def description(odd=True):
    """Return an OpenAPI description of all pages and forms."""
    paths = {path: {"get": operation(path, query=query, odd=odd)} for path, query in QUERIES.items()}
    for path, form in FORMS.items():
        paths.setdefault(path, {})["post"] = operation(path, form=form, odd=odd)
    return {"openapi": "3.1.0", "info": {"title": "workbench", "version": "1"}, "paths": paths}


@pytest.fixture(scope="module")
def furnished(snapshot, folder, tmp_path_factory):
    """Return the address of a workbench with a correction and a request for a patch, which nobody works on, and ids."""
    workspace = make_workbench_workspace(tmp_path_factory.mktemp("fuzzed") / "ws")
    fields = {"text": TEXT, "read.noise": "loud", "set.noise": "quiet", "author": "Ann", "reason": "irony"}
    with pytest.MonkeyPatch.context() as patched, listening(snapshot, workspace, folder.model) as address:
        patched.setattr(PatchJobs, "_run", lambda jobs, name: None)
        for path in ("/corrections", "/patches"):
            httpx.post(f"{address}{path}", data=fields).raise_for_status()
        (record,), (job,) = (
            read_json_lines(workspace.state / "corrections.jsonl"), workspace.patch_requests.glob("*/request.json"),
        )  # fmt: skip
        yield address, {"RECORD": record["id"], "JOB": job.parent.name}


def replaced(value, ids):
    """Return a generated value with the ids that exist only now."""
    if isinstance(value, dict):
        return {replaced(name, ids): replaced(each, ids) for name, each in value.items()}
    for name, identity in ids.items() if isinstance(value, str) else ():
        value = value.replace(name, identity)
    return value


def test_the_description_names_every_page_and_form():
    modules = [each for each in vars(application).values() if isinstance(getattr(each, "router", None), APIRouter)]
    routers = [each.router for each in modules] + [application.router]
    routes = {(method, route.path) for router in routers for route in router.routes for method in route.methods}
    described = {(method.upper(), path) for path, methods in description()["paths"].items() for method in methods}
    assert routes == described


@pytest.mark.parametrize("cases", [4, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("odd", [False, True])
def test_no_request_makes_the_workbench_fail(furnished, cases, odd):
    address, ids = furnished
    statuses = []
    schema = schemathesis.openapi.from_dict(description(odd))
    for found in schema.get_all_operations():

        @settings(
            max_examples=cases, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=found.ok().as_strategy())
        def send(case):
            case.path_parameters, case.body = replaced(case.path_parameters, ids), replaced(case.body, ids)
            response = case.call_and_validate(base_url=address, checks=[not_a_server_error])
            statuses.append(response.status_code)
            if response.status_code >= 400:  # in words, for people
                assert response.headers["content-type"][0].startswith("text/html") and "verdict bad" in response.text

        send()
    assert len(statuses) > 2 * cases and {200, 422} <= set(statuses)
