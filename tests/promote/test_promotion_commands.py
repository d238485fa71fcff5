"""promote, rollback, status and history on the command line: one message, the exit code, and JSON on request."""

import copy
import json
import sys

import pytest

import sparsecbm.cli.app
from tests.support.promotion_models import blind_to

pytestmark = pytest.mark.usefixtures("predict_in_process")


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs a command in a workspace and returns exit code, output and errors."""

    def run(service, *arguments):
        monkeypatch.chdir(service.workspace.root)
        monkeypatch.setattr(sys, "argv", ["sparsecbm", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            sparsecbm.cli.app.main()
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run


def test_commands_work_until_the_history_is_altered(make_promotion_service, finish, good_model, command):
    service = make_promotion_service()
    code, _, fault = command(service, "status")
    assert (code, fault) == (1, (
        "error: the registry has no model 'sparsecbm'; `sparsecbm promote` registers what `sparsecbm run` trained\n"
    ))  # fmt: skip
    finish(service, blind_to(copy.deepcopy(good_model), "noise"))
    code, out, _ = command(service, "promote", "--gate-only")
    assert code == 0
    assert "PROMOTE version 1 of sparsecbm, against no champion" in out
    code, out, _ = command(service, "status")
    assert (code, "version 1, PROMOTE" in out) == (0, True)
    assert "there is no champion yet; `sparsecbm promote` makes the first one" in out
    code, out, _ = command(service, "promote")
    assert (code, out.splitlines()[-1]) == (0, "promoted: version 1 is the champion (entry 1 of the history)")
    assert command(service, "promote") == (0, "unchanged: version 1 is the champion\n", "")

    finish(service, blind_to(good_model, "food"))
    code, out, _ = command(service, "promote")
    assert (code, out.splitlines()[-1]) == (1, "not promoted: version 2, verdict REJECT (entry 2 of the history)")
    code, _, fault = command(service, "promote", "--force")
    assert (code, "so it needs --reason" in fault) == (1, True)
    code, out, _ = command(service, "promote", "--force", "--reason", "to see it fail")
    assert (code, out.splitlines()[-1]) == (0, "promoted: version 2 is the champion (entry 3 of the history)")
    code, out, _ = command(service, "status", "--json")
    status = json.loads(out)
    assert (code, status["champion"], status["previous"], status["newest"], status["verdict"]) == (0, 2, 1, 2, "REJECT")
    assert (status["uri"], status["commit"], status["faults"]) == ("models:/sparsecbm@champion", "abc", [])
    code, out, _ = command(service, "rollback", "--reason", "seen")
    assert (code, out) == (0, "rolled back: version 1 is the champion again (entry 4 of the history)\n")
    code, _, fault = command(service, "rollback")
    assert (code, fault) == (1, "error: there is no earlier champion than version 1\n")

    code, out, _ = command(service, "history")
    assert code == 0
    assert "the chain of 4 entries is intact" in out
    assert "promote, forced" in out
    altered = out_of(service, 2, "REJECT", "HOLD")
    service.registry.client.set_registered_model_tag("sparsecbm", "sparsecbm.history.000002", altered)
    code, out, _ = command(service, "history", "--json")
    assert code == 1
    assert json.loads(out)["faults"] == [
        "entry 2 was altered: entry 3 holds another hash of it"
    ]  # fmt: skip
    code, out, _ = command(service, "status")
    assert (code, "entry 2 was altered" in out) == (1, True)
    code, _, fault = command(service, "promote", "2", "--force", "--reason", "x")
    assert (code, fault.startswith("error: the promotion history is not valid: entry 2 was altered")) == (1, True)


def out_of(service, number, old, new):
    """Return an altered entry."""
    return service.registry.entries()[number - 1].to_json().replace(old, new)


def test_the_status_says_that_the_first_model_was_rejected(make_promotion_service, finish, good_model, command):
    service = finish(make_promotion_service(), blind_to(good_model, "food"))
    assert command(service, "promote")[0] == 1
    told = "there is no champion yet; version 1 was judged REJECT, and reports/promotion.html says why"
    assert told in " ".join(command(service, "status")[1].split())
