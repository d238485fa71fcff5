"""The event by which drift starts retraining: what is sent, what waits for it, and what happens without a server."""

import yaml

from sparsecbm.orchestration import drift_event
from tests.support.tiny_pipeline import ROOT


def test_the_event_carries_the_figures(monkeypatch, capsys):
    from prefect.events import clients

    sent = clients.AssertingEventsClient()
    monkeypatch.setattr(clients, "get_events_client", lambda: sent)
    monkeypatch.setattr(drift_event, "configure", lambda workspace: None)
    monkeypatch.setattr(drift_event, "require_server", lambda: None)
    monkeypatch.chdir(ROOT)
    assert drift_event.main(["rates: food", "length: texts"]) == 0
    (event,) = sent.events
    assert (event.event, event.resource.id) == (drift_event.EVENT, drift_event.EVENT)
    assert event.payload == {"figures": ["rates: food", "length: texts"]}
    assert capsys.readouterr().out == "announced as the event sparsecbm.drift\n"


def test_a_deployment_that_retrains_waits_for_the_event():
    deployments = {each["name"]: each for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}
    expected = {name: [trigger["expect"] for trigger in each.get("triggers", ())] for name, each in deployments.items()}
    waiting = [name for name, triggers in expected.items() if [drift_event.EVENT] in triggers]
    assert waiting == ["on-drift"]
    assert deployments["on-drift"]["entrypoint"] == "flows/retrain.py:retrain"


def test_without_a_server_one_message_says_so(tiny_workspace, monkeypatch, capsys):
    monkeypatch.chdir(tiny_workspace.root)
    monkeypatch.setattr(drift_event, "configure", lambda workspace: None)
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert drift_event.main(["rates: food"]) == 1
    assert capsys.readouterr().err.startswith("error: no Prefect server answers")


def test_outside_a_workspace_one_message_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert drift_event.main([]) == 1
    assert "no dvc.yaml in" in capsys.readouterr().err
