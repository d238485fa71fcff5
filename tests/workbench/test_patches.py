"""Patches: asked for, made with a bill, approved by another person, and taken back exactly."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.json_schemas import json_schemas
from sparsecbm.data.tables import read_split
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import patched, patched_copy
from sparsecbm.intervene.reference import predict_reference
from sparsecbm.workbench import patch_jobs, patch_process
from sparsecbm.workbench.journal import Journal
from sparsecbm.workbench.patch_decisions import PatchDecisions
from sparsecbm.workbench.patch_jobs import PatchJobs
from sparsecbm.workbench.patch_request import PatchLimits, PatchRequest
from tests.support.patches import food_state
from tests.support.served_model import running
from tests.support.tiny_tables import annotated
from tests.support.waiting import until
from tests.support.workbench_app import make_workbench_workspace, workbench_app

TEXT = "the food was good and the place was loud"
BAD = annotated(30, 3)["text"][0]  # of the validation split; food is read as Negative
REQUEST = PatchRequest((TEXT,), "food", "Negative", "Ann", "irony")


@pytest.fixture
def fields(snapshot):
    """Return the fields of a form that sets another state of food than the model reads."""
    read = snapshot.model.predict([TEXT])[0].concepts["food"].state
    other = next(state for state in snapshot.model.concept_set["food"].states if state != read)
    return {"text": TEXT, "read.food": read, "set.food": other, "author": "Ann", "reason": "irony"}


@pytest.fixture
def program(monkeypatch, folder):
    """Replace the process that makes a patch by a script of shell, in which $PATCH makes it; it runs in its folder."""

    real, ready = subprocess.Popen, next(folder.patches.glob("*.patch"))

    def use(script):
        def start(command, **options):
            text = script.replace("$PATCH", f"cp {ready} new && mv new made.patch")
            return real(["/bin/sh", "-c", text], **{**options, "cwd": command[-1]})

        monkeypatch.setattr(patch_jobs.subprocess, "Popen", start)

    return use


def job_of(ask, workspace):
    (request,) = (workspace.state / "patches").glob("*/request.json")
    return request.parent.name


def state_of(ask, name):
    return ask("GET", f"/patches/{name}.json").json()["state"]


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """Return a workspace with a patch that a real process made for BAD, with harm allowed, and its job."""
    workspace = make_workbench_workspace(tmp_path_factory.mktemp("made") / "ws")
    jobs = PatchJobs(workspace, folder.model)
    job = jobs.start(replace(REQUEST, texts=(BAD,), state="unknown", limits=PatchLimits(400, 1.0)))
    until(lambda: jobs.job(job.request.id).state != "running")
    job = jobs.job(job.request.id)
    assert job.state == "made", job.fault
    return workspace, job


@pytest.fixture
def ask_made(made, snapshot, folder):
    """Return a function that sends a request to a workbench with a finished patch."""
    with running(workbench_app(snapshot, made[0], folder.model)) as send:
        yield lambda path: send("GET", path)


def test_a_patch_is_made_and_does_what_was_asked(made, ask_made, words_of, snapshot):
    _, job = made
    with patched(snapshot.model, job.patch):
        assert food_state(snapshot.model, BAD) == "unknown"
    assert food_state(snapshot.model, BAD) == "Negative"
    told = ask_made(f"/patches/{job.request.id}.json").json()
    assert told["patch"] == json.loads(json.dumps(job.patch.to_dict()))
    assert told["request"]["limits"] == {"bits": 400, "max_harm": 1.0, "min_fixed_share": 1.0}
    page, harmed = words_of(ask_made("/patches")), job.patch.side_effects.harmed
    assert f"{job.patch.bits} of {job.patch.size:,}" in page and f"{harmed.count} of {harmed.of}" in page


def test_the_page_shows_the_texts_that_the_patched_model_reads_otherwise(made, ask_made, words_of, snapshot):
    """The oracle reads the held-out half of the texts with a model that has the patch in its masks."""
    workspace, job = made
    frame = read_split(workspace.annotated, "validation")
    held_out = ~predict_reference(snapshot.model, frame).in_first(0.5, load_params(workspace.params).seed)
    frame = frame[held_out & ~frame["group"].isin(frame.loc[frame["text"] == BAD, "group"])].reset_index(drop=True)
    texts = frame["text"].tolist()
    readings = zip(snapshot.model.predict(texts), patched_copy(snapshot.model, job.patch).predict(texts), strict=True)
    harmed, repaired = [], []
    for (before, after), (_, row) in zip(readings, frame.iterrows(), strict=True):
        pairs = [(row["concept.food"], before.concepts["food"].state, after.concepts["food"].state)]
        pairs += [(row["label"], before.label.state, after.label.state)]
        if any(gold == old != new for gold, old, new in pairs):
            harmed.append(row["text"])
        elif any(gold == new != old for gold, old, new in pairs):
            repaired.append(row["text"])
    assert harmed and repaired
    told = ask_made(f"/patches/{job.request.id}.json").json()["remedies"]["remedies"][0]
    assert sorted(each["text"] for each in told["texts"] if each["harmed"]) == sorted(harmed)
    assert sorted(each["text"] for each in told["texts"] if not each["harmed"]) == sorted(repaired)
    page = words_of(ask_made("/patches"))
    assert f"Texts that it changes: {len(harmed)} harmed, {len(repaired)} repaired" in page
    shown = page.partition("Texts that it changes")[2]
    places = [shown.index(f"{each['text']} {'harmed' if each['harmed'] else 'repaired'}") for each in told["texts"]]
    assert places == sorted(places) and told["texts"][0]["harmed"]
    first = told["texts"][0]["label"]
    arrow = f"{first['before']} → {first['after']}" if first["before"] != first["after"] else first["before"]
    assert f"{snapshot.model.concept_set.label.name} {arrow} annotated: {first['gold']}" in shown


def test_the_page_and_the_command_give_the_same_figures(made, ask_made, sparsecbm, folder, monkeypatch, tmp_path):
    workspace, job = made
    monkeypatch.chdir(workspace.root)
    code, _, errors = sparsecbm(
        "patch", "make", folder.model, "--concept", "food", "--state", "unknown", "--text", BAD,
        "--bits", 400, "--max-harm", 1, "--author", "Ann", "--note", "irony", "--output", tmp_path / "by-hand.patch",
        "--remedies", tmp_path / "remedies.json",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    told = ask_made(f"/patches/{job.request.id}.json").json()
    assert told["remedies"] == json.loads((tmp_path / "remedies.json").read_text())
    assert told["patch"] == MaskPatch.load(tmp_path / "by-hand.patch").to_dict()
    Draft202012Validator(json_schemas()["remedies"]).validate(told["remedies"])


def test_the_page_compares_the_patch_with_other_remedies(made, ask_made, words_of):
    """The command's own file is the oracle."""
    told = made[1].remedies
    rows = {
        "this patch": told["remedies"][0], "set it in this text alone": told["remedies"][1],
        "remember it for texts 95% alike": told["remedies"][2], "change the head of food": told["remedies"][3],
    }  # fmt: skip
    page = words_of(ask_made("/patches"))
    for name, row in rows.items():
        concept, label = f"{row['harmed']} / {row['fixed']}", f"{row['label_harmed']} / {row['label_fixed']}"
        assert f"{name} 1 of 1 {concept} {label}" in page
    assert "set it in this text alone 1 of 1 0 / 0 0 / 0" in page
    assert told["remedies"][0]["texts"] != told["remedies"][2]["texts"]
    assert f"this state, {told['remedies'][3]['relative_size']:.1%} of their length" in page


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (PatchLimits(2), "Try again with more “Bits, at most”, or keep a correction instead"),
        (PatchLimits(400, 0.0), "Try again with more “Harm, at most” to see which texts it harms"),
    ],
)
def test_a_patch_that_cannot_be_made_names_the_field_of_the_page(made, folder, tmp_path, limits, message):
    workspace, job = made
    replace(job.request, limits=limits).save(tmp_path / "request.json")
    assert patch_process.main(workspace.root, folder.model, tmp_path) == 1
    fault = (tmp_path / "fault.txt").read_text()
    assert message in fault and "--" not in fault and "intervene." not in fault
    assert not (tmp_path / "made.patch").exists()


def test_another_person_approves_and_everything_is_in_the_journal(ask, words_of, workspace, fields, program):
    program("$PATCH")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) == "made")
    approved = workspace.state / "patches" / "approved" / f"{name}.patch"
    own = ask("POST", f"/patches/{name}", data={"author": "Ann", "action": "approve"})
    assert own.status_code == 422 and "somebody else" in words_of(own) and not approved.exists()
    page = words_of(ask("POST", f"/patches/{name}", data={"author": "Bea", "action": "approve"}))
    assert "Approved by Bea" in page and "sparsecbm promote --patches .sparsecbm/patches/approved" in page
    assert approved.read_bytes() == (workspace.state / "patches" / name / "made.patch").read_bytes()
    page = words_of(ask("POST", f"/patches/{name}", data={"author": "Bea", "action": "withdraw"}))
    assert "Taken back by Bea" in page and not approved.exists()
    page = words_of(ask("POST", f"/patches/{name}", data={"author": "Bea", "action": "reject", "reason": "harms"}))
    assert "Rejected by Bea" in page and "harms" in page
    entries = Journal(workspace.state / "workbench.jsonl").entries()
    assert [(entry["action"], entry["by"]) for entry in entries] == [
        ("ask for a patch", "Ann"), ("approve", "Bea"), ("withdraw", "Bea"), ("reject", "Bea"),
    ]  # fmt: skip


def test_a_patch_that_cannot_be_made_says_why_and_can_be_tried_again(ask, words_of, workspace, fields, program):
    program("printf 'no bits help' > fault.txt; exit 1")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) == "failed")
    assert "There is no patch: no bits help" in words_of(ask("GET", "/patches"))
    program("$PATCH")
    ask("POST", f"/patches/{name}", data={"author": "Ann", "action": "again", "bits": "60"})
    until(lambda: state_of(ask, name) == "made")
    assert not (workspace.state / "patches" / name / "fault.txt").exists()
    assert ask("GET", f"/patches/{name}.json").json()["request"]["limits"]["bits"] == 60


def test_a_second_patch_waits_and_a_running_one_can_be_stopped(ask, words_of, workspace, fields, program):
    program("exec sleep 100")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    second = ask("POST", "/patches", data=fields)
    assert second.status_code == 422 and "a patch is being made" in words_of(second)
    assert "every 2s" in ask("GET", "/patches").text
    assert words_of(ask("GET", f"/patches/{name}")) == "It is being made: it begins. This takes a minute or two."
    page = ask("POST", f"/patches/{name}", data={"author": "Ann", "action": "stop"})
    assert "interrupted" in words_of(page) and "every 2s" not in page.text
    after = ask("GET", f"/patches/{name}")  # what the page asks next
    assert after.headers["HX-Retarget"] == f"#patch-{name}" and "interrupted" in words_of(after)


def test_a_job_goes_on_without_its_server_and_another_server_can_stop_it(tmp_path, folder, program):
    program("exec sleep 100")
    job = PatchJobs(Workspace(tmp_path), folder.model).start(REQUEST)
    after = PatchJobs(Workspace(tmp_path), folder.model)  # a server that started later
    assert [(each.request, each.state) for each in after.jobs()] == [(job.request, "running")]
    with pytest.raises(ConfigError, match="a patch is being made"):
        after.start(replace(REQUEST, id="another"))
    after.stop(job.request.id)
    assert after.job(job.request.id).state == "interrupted"
    after.again(job.request.id, PatchLimits())
    os.kill(int((job.folder / "process.lock").read_bytes()), signal.SIGKILL)
    until(lambda: after.job(job.request.id).state == "interrupted")
    with pytest.raises(ConfigError, match="interrupted, so nobody can decide on it"):
        decisions = PatchDecisions(after, Journal(tmp_path / "journal.jsonl"))
        decisions.decide(after.job(job.request.id), "reject", "Bea", "no", None)
    program("$PATCH")
    after.again(job.request.id, PatchLimits())
    until(lambda: after.job(job.request.id).state == "made")
    with pytest.raises(ConfigError, match="this patch is made"):
        after.again(job.request.id, PatchLimits())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"author": ""}, "give your name"),
        ({"reason": " "}, "give a reason"),
        ({"set.noise": "loud", "read.noise": "quiet"}, "exactly one"),
        ({"set.food": "nice"}, "unknown state of 'food'"),
        ({"text": " "}, "exactly one"),
        ({"bits": "1"}, "“Bits, at most” is '1'; it must be a number from 2"),
        ({"bits": "2.5"}, "must be a whole number"),
        ({"max_harm": "a lot"}, "“Harm, at most” is 'a lot'"),
        ({"max_harm": "nan"}, "“Harm, at most” is 'nan'"),
    ],
)
def test_a_wrong_request_is_told_and_starts_nothing(ask, words_of, workspace, fields, change, message):
    response = ask("POST", "/patches", data={**fields, **change})
    assert response.status_code == 422 and message in words_of(response)
    assert not (workspace.state / "patches").exists()


def test_an_unknown_patch_is_told(ask, words_of):
    response = ask("POST", "/patches/none", data={"author": "Ann", "action": "approve"})
    assert response.status_code == 422 and "unknown patch 'none'" in words_of(response)


def test_a_form_that_is_sent_twice_asks_for_one_patch(ask, words_of, workspace, fields, program):
    program("until [ -e ../go ]; do sleep .05; done; $PATCH")
    first = ask("POST", "/patches", data={**fields, "form": "7"})
    name = job_of(ask, workspace)
    (workspace.state / "patches" / "go").touch()
    until(lambda: state_of(ask, name) == "made")
    second = ask("POST", "/patches", data={**fields, "form": "7"})
    assert "is being made" in words_of(first) and "was asked for before; it is made" in words_of(second)
    assert job_of(ask, workspace) == name
    assert [entry["action"] for entry in Journal(workspace.state / "workbench.jsonl").entries()] == ["ask for a patch"]
    ask("POST", "/patches", data={**fields, "form": "7", "reason": "another one"})
    assert len(list((workspace.state / "patches").glob("*/request.json"))) == 2


def test_two_tabs_cannot_decide_over_each_other(ask, words_of, workspace, fields, program):
    program("$PATCH")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) == "made")
    seen = re.search(r'name="seen" value="(\d*)"', ask("GET", "/patches").text)[1]
    assert seen == ""
    approve = {"author": "Bea", "action": "approve", "seen": seen}
    for _ in range(2):  # the same form twice
        assert "Approved by Bea" in words_of(ask("POST", f"/patches/{name}", data=approve))
    other = ask("POST", f"/patches/{name}", data={"author": "Cem", "action": "reject", "reason": "no", "seen": seen})
    assert other.status_code == 409 and "approved by Bea" in words_of(other)
    assert (workspace.state / "patches" / "approved" / f"{name}.patch").exists()
    entries = Journal(workspace.state / "workbench.jsonl").entries()
    assert [entry["action"] for entry in entries] == ["ask for a patch", "approve"]
    seen = re.search(r'name="seen" value="(\d*)"', ask("GET", "/patches").text)[1]
    ask("POST", f"/patches/{name}", data={"author": "Cem", "action": "reject", "reason": "no", "seen": seen})
    assert not (workspace.state / "patches" / "approved" / f"{name}.patch").exists()


def test_the_approved_files_follow_the_journal(ask, workspace, fields, program):
    """A crash between the journal and the file is made good when the page is looked at next."""
    program("$PATCH")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) == "made")
    approved = workspace.state / "patches" / "approved" / f"{name}.patch"
    journal = Journal(workspace.state / "workbench.jsonl")
    journal.append("approve", "Bea", patch=name)
    ask("GET", "/patches")
    assert approved.exists()
    journal.append("withdraw", "Bea", patch=name)
    ask("GET", "/patches")
    assert not approved.exists()


def test_nothing_is_taken_back_that_nobody_approved(ask, words_of, workspace, fields, program):
    program("$PATCH")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) == "made")
    answer = ask("POST", f"/patches/{name}", data={"author": "Bea", "action": "withdraw"})
    assert answer.status_code == 422 and "no approval to take back" in words_of(answer)


def test_a_line_of_the_journal_that_somebody_changed_is_found(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for number in range(3):
        journal.append("approve", "Ann", patch=str(number))
    assert [entry["number"] for entry in journal.entries()] == [1, 2, 3]
    lines = journal.path.read_text().splitlines(keepends=True)
    for changed in (
        lines[0] + lines[1].replace("Ann", "Bea") + lines[2],  # changed
        lines[0] + lines[2],  # removed
        lines[0] + lines[0] + lines[1] + lines[2],  # put in
    ):
        journal.path.write_text(changed)
        with pytest.raises(DataError, match="does not follow the line before it"):
            journal.entries()
        with pytest.raises(DataError):
            journal.append("approve", "Ann")


def test_no_list_of_processes_shows_a_text(tmp_path, folder, program, monkeypatch):
    seen = []
    monkeypatch.setattr(patch_jobs.subprocess, "Popen", lambda command, **_: seen.extend(command) or Ended())
    PatchJobs(Workspace(tmp_path), folder.model).start(replace(REQUEST, texts=("--force",), author="-a"))
    assert seen[:3] == [sys.executable, "-m", "sparsecbm.workbench.patch_process"]
    assert not {"--force", "-a", "irony"} & set(seen)


class Ended:
    """A process that has ended well."""

    pid, returncode = 0, 0

    def poll(self):
        return 0
