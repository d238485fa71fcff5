"""The command line: help, version, one clear message for each error, and no partial files."""

import os
import subprocess
import sys

import pytest

import sparsecbm.cli.app
import sparsecbm.cli.pipeline
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import RUN_PARAMS
from tests.support.tiny_pipeline import ROOT, add_flows

# A flow that prints its arguments and the seed that is in force.
SHOW_PARAMS = """\
import sys
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
print(sys.argv[1:], load_params(Workspace.find().params).seed)
sys.exit(7)
"""


def command(workspace, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sparsecbm", *arguments],
        cwd=workspace.root, env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip


def run_in_process(monkeypatch, *arguments):
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["sparsecbm", *arguments])
    with pytest.raises(SystemExit) as end:
        sparsecbm.cli.app.main()
    return end.value.code


def test_help_lists_the_commands_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['sparsecbm', '--help']\n"
        "from sparsecbm.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'pandas', 'mlflow', 'prefect', 'transformers', 'dvc', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    commands = (
        "predict", "explain", "evaluate", "masks", "compare", "intervene", "patch", "memory", "run", "prune", "track",
        "verify", "pipeline", "up", "down", "doctor", "promote", "rollback", "status", "history",
    )  # fmt: skip
    for name in commands:
        assert f" {name} " in result.stdout


def test_the_version_is_that_of_the_package(tiny_workspace):
    result = command(tiny_workspace, "--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{sparsecbm.__version__}\n", "")
    assert f'\nversion = "{sparsecbm.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def test_colours_are_off_with_no_color(tiny_workspace):
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    with_colour = command(tiny_workspace, "--help", **forced)
    without = command(tiny_workspace, "--help", NO_COLOR="1", **forced)
    assert "\x1b[36m" in with_colour.stdout or "\x1b[1;36m" in with_colour.stdout
    assert "36m" not in without.stdout


def test_a_misspelt_key_prints_one_message_and_nothing_runs(tiny_workspace):
    text = tiny_workspace.params.read_text()
    tiny_workspace.params.write_text(text.replace("  epochs:", "  epoch:"))
    result = command(tiny_workspace, "run")
    assert result.returncode == 1
    assert result.stderr.startswith("error: params.yaml is not valid:\n  finetune.epoch")
    assert "Did you mean 'epochs'?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tiny_workspace.root / "data").exists()
    assert not tiny_workspace.state.exists()


def test_debug_shows_the_traceback(tiny_workspace):
    result = command(tiny_workspace, "run", "nothing", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "unknown stage 'nothing'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "fine"], "error: unknown stage 'fine'. Did you mean 'finetune'? "),
        (["run", "--promote", "on"], "error: unknown value of --promote 'on'. "),
        (["prune"], "error: unknown stage 'prune'. "),  # the tiny pipeline has no such stage
        (["run", "--profile", "x"], "error: unknown profile 'x'. Choices: none\n"),
        (["run", "--set", "seed=-1"], "error: params.yaml with --set seed=-1 is not valid:\n  seed: "),
        (["track"], "error: the pipeline is not finished; stages out of date: ingest, validate, finetune, evaluate;"),
        (["verify"], "error: these stages are out of date: ingest, validate, finetune, evaluate;"),
        (["pipeline", "deps"], "error: {root} holds no sources of sparsecbm; dependencies are derived in a clone"),
    ],
)
def test_an_error_prints_one_message(tiny_workspace, arguments, message):
    before = tiny_workspace.params.read_text()
    result = command(tiny_workspace, *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith(message.format(root=tiny_workspace.root))
    assert "Traceback" not in result.stderr
    assert tiny_workspace.params.read_text() == before


def test_outside_a_workspace_the_error_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_in_process(monkeypatch, "run") == 1
    assert capsys.readouterr().err == (
        f"error: no dvc.yaml in {tmp_path} or above it; change into a workspace first, or make one with "
        "`sparsecbm init`\n"
    )


@pytest.mark.parametrize("arguments", [["run"], ["up"], ["down"]])
def test_a_workspace_without_flows_prints_one_message(tiny_workspace, arguments):
    result = command(tiny_workspace, *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tiny_workspace.root} has no folder flows/, which a workspace of")


def test_the_exit_code_of_the_flow_is_that_of_the_command(tiny_workspace):
    add_flows(tiny_workspace)
    (tiny_workspace.root / "flows" / "retrain.py").write_text(SHOW_PARAMS)
    before = tiny_workspace.params.read_bytes()
    result = command(tiny_workspace, "run", "finetune", "--promote", "auto", "--set", "seed=5")
    assert (result.returncode, result.stdout) == (7, "for this run: seed: 13 -> 5\n['--promote=auto', 'finetune'] 5\n")
    assert command(tiny_workspace, "run").stdout == "[] 13\n", "the next run goes by params.yaml again"
    assert tiny_workspace.params.read_bytes() == before


@pytest.mark.parametrize("arguments", [["prune"], ["run", "prune"]])
def test_prune_is_short_for_run_prune(tiny_workspace, monkeypatch, arguments):
    graph = tiny_workspace.root / "dvc.yaml"
    graph.write_text(f"{graph.read_text()}  prune:\n    cmd: python stage.py prune\n    deps: [models/dense]\n")
    calls = []
    monkeypatch.chdir(tiny_workspace.root)
    monkeypatch.setattr(
        sparsecbm.cli.pipeline, "run_module", lambda workspace, *arguments: calls.append(arguments) or 0
    )
    monkeypatch.setenv(RUN_PARAMS, "")
    assert run_in_process(monkeypatch, *arguments, "--profile", "none", "--set", "seed=5") == 0
    assert calls == [("flows.retrain", "prune")]
    assert load_params(tiny_workspace.params).seed == 5, "the environment of the flow names the composed parameters"
    assert load_params(tiny_workspace.root / "params.yaml").seed == 13
