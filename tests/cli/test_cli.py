"""The command line: help, one clear message for each fault, nothing half-written."""

import os
import subprocess
import sys

import pytest

import sparsecbm.cli.app
from sparsecbm.base.params import load_params
from sparsecbm.pipeline.lock import flow_lock


def command(workspace, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sparsecbm", *arguments],
        cwd=workspace.root, env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip


def test_help_names_the_commands_and_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; sys.argv = ['sparsecbm', '--help']\n"
        "from sparsecbm.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'pandas', 'mlflow', 'prefect', 'transformers', 'dvc'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("doctor", "run", "prune", "masks", "compare", "track", "verify", "up", "down"):
        assert f" {name} " in result.stdout


def test_colours_are_off_with_no_color(tiny_workspace):
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    with_colour = command(tiny_workspace, "--help", **forced)
    without = command(tiny_workspace, "--help", NO_COLOR="1", **forced)
    assert "\x1b[36m" in with_colour.stdout or "\x1b[1;36m" in with_colour.stdout
    assert "36m" not in without.stdout


def test_a_misspelt_key_is_one_message_and_nothing_runs(tiny_workspace):
    text = tiny_workspace.params.read_text()
    tiny_workspace.params.write_text(text.replace("  epochs:", "  epoch:"))
    result = command(tiny_workspace, "run")
    assert result.returncode == 1
    assert result.stderr.startswith("error: params.yaml is not valid:\n  finetune.epoch")
    assert "Did you mean 'epochs'?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tiny_workspace.root / "data").exists()
    assert not tiny_workspace.state.exists()


def test_debug_shows_the_trace(tiny_workspace):
    result = command(tiny_workspace, "run", "nothing", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "unknown stage 'nothing'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "fine"], "error: unknown stage 'fine'. Did you mean 'finetune'? "),
        (["prune"], "error: unknown stage 'prune'. "),  # the tiny pipeline has none
        (["run", "--profile", "x"], "error: unknown profile 'x'. Choices: none\n"),
        (["run", "--set", "seed=-1"], "error: params.yaml with --set seed=-1 is not valid:\n  seed: "),
        (["track"], "error: the pipeline is not finished; stages left to run: ingest, validate, finetune, evaluate;"),
        (["verify"], "error: these stages have not run as they stand: ingest, validate, finetune, evaluate;"),
    ],
)
def test_a_fault_is_one_message(tiny_workspace, arguments, message):
    before = tiny_workspace.params.read_text()
    result = command(tiny_workspace, *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.stderr
    assert tiny_workspace.params.read_text() == before


def test_outside_a_workspace_the_remedy_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sparsecbm", "run"])
    with pytest.raises(SystemExit) as end:
        sparsecbm.cli.app.main()
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        f"error: no dvc.yaml in {tmp_path} or above it; change into a clone of the project first\n"
    )


def test_a_running_flow_keeps_its_parameters(tiny_workspace):
    before = tiny_workspace.params.read_text()
    with flow_lock(tiny_workspace):
        result = command(tiny_workspace, "run", "--set", "seed=5")
    assert result.returncode == 1
    assert result.stderr.startswith("error: this workspace is already running a flow")
    assert tiny_workspace.params.read_text() == before


def test_run_passes_the_flow_s_exit_code_on(tiny_workspace, monkeypatch):
    started = []
    monkeypatch.chdir(tiny_workspace.root)
    monkeypatch.setattr(sparsecbm.cli.app, "_python", lambda workspace, *arguments: started.append(arguments) or 7)
    monkeypatch.setattr(sys, "argv", ["sparsecbm", "run", "finetune", "--set", "seed=5"])
    with pytest.raises(SystemExit) as end:
        sparsecbm.cli.app.main()
    assert end.value.code == 7
    assert started == [("flows.retrain", "finetune")]
    assert load_params(tiny_workspace.params).seed == 5


@pytest.mark.parametrize("arguments", [["prune"], ["run", "prune"]])
def test_prune_is_short_for_run_prune(tiny_workspace, monkeypatch, arguments):
    graph = tiny_workspace.root / "dvc.yaml"
    graph.write_text(f"{graph.read_text()}  prune:\n    cmd: python stage.py prune\n    deps: [models/dense]\n")
    started = []
    monkeypatch.chdir(tiny_workspace.root)
    monkeypatch.setattr(sparsecbm.cli.app, "_python", lambda workspace, *arguments: started.append(arguments) or 0)
    monkeypatch.setattr(sys, "argv", ["sparsecbm", *arguments, "--profile", "none", "--set", "seed=5"])
    with pytest.raises(SystemExit) as end:
        sparsecbm.cli.app.main()
    assert end.value.code == 0
    assert started == [("flows.retrain", "prune")]
    assert load_params(tiny_workspace.params).seed == 5
