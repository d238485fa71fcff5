"""Patches: asked for, made with a bill, approved by another person, and taken back exactly."""

import json
import subprocess
import sys
import time

import pytest

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.workspace import Workspace
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.workbench import patch_jobs
from sparsecbm.workbench.journal import Journal
from sparsecbm.workbench.patch_jobs import PatchJobs

TEXT = "the food was good and the place was loud"


@pytest.fixture
def fields(snapshot):
    """Return the fields of a form that sets another state of food than the model reads."""
    read = snapshot.model.predict([TEXT])[0].concepts["food"].state
    other = next(state for state in snapshot.model.concept_set["food"].states if state != read)
    return {"text": TEXT, "read.food": read, "set.food": other, "author": "Ann", "reason": "irony"}


@pytest.fixture
def program(monkeypatch, folder):
    """Replace the command that makes a patch by a script of shell, in which $PATCH is a finished patch."""

    real, ready = subprocess.Popen, next(folder.patches.glob("*.patch"))

    def use(script):
        def start(command, **options):
            output = command[command.index("--output") + 1]
            text = script.replace("$PATCH", f"cp {ready} {output}")
            return real(["/bin/sh", "-c", text], **options)

        monkeypatch.setattr(patch_jobs.subprocess, "Popen", start)

    return use


def until(ready, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError("it takes too long")


def job_of(ask, workspace):
    (request,) = (workspace.state / "patches").glob("*/request.json")
    return request.parent.name


def state_of(ask, name):
    return ask("GET", f"/patches/{name}.json").json()["state"]


def test_a_patch_is_made_and_does_what_was_asked(ask, words_of, workspace, snapshot, fields):
    assert "is being made" in words_of(ask("POST", "/patches", data=fields))
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) != "running")
    told = ask("GET", f"/patches/{name}.json").json()
    assert told["state"] == "made", told["fault"]
    patch = MaskPatch.load(workspace.state / "patches" / name / "made.patch")
    with patched(snapshot.model, patch):
        assert snapshot.model.predict([TEXT])[0].concepts["food"].state == fields["set.food"]
    assert told["patch"] == json.loads(json.dumps(patch.to_dict()))
    page = words_of(ask("GET", "/patches", whole=True))
    harmed = patch.side_effects.harmed
    assert f"{patch.bits} of {patch.size:,}" in page and f"{harmed.count} of {harmed.of}" in page


def test_another_person_approves_and_everything_is_in_the_journal(ask, words_of, workspace, fields, program):
    program("$PATCH")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) == "made")
    approved = workspace.state / "patches" / "approved" / f"{name}.patch"
    own = ask("POST", f"/patches/{name}", data={"author": "Ann", "action": "approve"})
    assert own.status_code == 422 and "somebody else" in words_of(own) and not approved.exists()
    page = words_of(ask("POST", f"/patches/{name}", data={"author": "Bea", "action": "approve"}))
    assert "Approved by Bea" in page and "sparsecbm patch apply" in page
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
    program("echo 'error: no bits help' >&2; exit 1")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    until(lambda: state_of(ask, name) == "failed")
    assert "There is no patch: no bits help" in words_of(ask("GET", "/patches"))
    program("$PATCH")
    ask("POST", f"/patches/{name}", data={"author": "Ann", "action": "again"})
    until(lambda: state_of(ask, name) == "made")
    assert not (workspace.state / "patches" / name / "fault.txt").exists()


def test_a_second_patch_waits_and_a_running_one_can_be_stopped(ask, words_of, workspace, fields, program):
    program("exec sleep 100")
    ask("POST", "/patches", data=fields)
    name = job_of(ask, workspace)
    second = ask("POST", "/patches", data=fields)
    assert second.status_code == 422 and "a patch is being made" in words_of(second)
    assert "every 2s" in ask("GET", "/patches").text
    page = ask("POST", f"/patches/{name}", data={"author": "Ann", "action": "stop"})
    assert "interrupted" in words_of(page) and "every 2s" not in page.text


def test_a_job_whose_server_died_is_interrupted_and_goes_on(tmp_path, folder, program):
    program("exec sleep 100")
    first = PatchJobs(Workspace(tmp_path), folder.model)
    job = first.start(TEXT, "food", "Negative", "Ann", "irony")
    after = PatchJobs(Workspace(tmp_path), folder.model)  # a server that started later
    assert [(each.request, each.state) for each in after.jobs()] == [(job.request, "interrupted")]
    with pytest.raises(ConfigError, match="interrupted, so nobody can approve it"):
        after.approve(job.request.id)
    first.stop(job.request.id)
    program("$PATCH")
    after.again(job.request.id)
    until(lambda: after.job(job.request.id).state == "made")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"author": ""}, "give your name"),
        ({"reason": " "}, "give a reason"),
        ({"set.noise": "loud", "read.noise": "quiet"}, "exactly one"),
        ({"set.food": "nice"}, "unknown state of 'food'"),
        ({"text": " "}, "exactly one"),
    ],
)
def test_a_wrong_request_is_told_and_starts_nothing(ask, words_of, workspace, fields, change, message):
    response = ask("POST", "/patches", data={**fields, **change})
    assert response.status_code == 422 and message in words_of(response)
    assert not (workspace.state / "patches").exists()


def test_an_unknown_patch_is_told(ask, words_of):
    response = ask("POST", "/patches/none", data={"author": "Ann", "action": "approve"})
    assert response.status_code == 422 and "unknown patch 'none'" in words_of(response)


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


def test_the_command_takes_texts_that_look_like_options(tmp_path, folder, monkeypatch):
    seen = []
    monkeypatch.setattr(patch_jobs.subprocess, "Popen", lambda command, **_: seen.append(command) or Ended())
    PatchJobs(Workspace(tmp_path), folder.model).start("--force", "food", "Negative", "-a", "--split=test")
    assert seen[0][:5] == [sys.executable, "-m", "sparsecbm", "patch", "make"]
    assert {"--text=--force", "--author=-a", "--note=--split=test"} <= set(seen[0])


class Ended:
    """A process that has ended well."""

    returncode = 0

    def poll(self):
        return 0
