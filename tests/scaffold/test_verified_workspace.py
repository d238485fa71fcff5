"""`sparsecbm verify` in a workspace that `sparsecbm init` made: a fresh clone gives the same bytes."""

import os
import subprocess
import sys

import pytest
import yaml

from sparsecbm.base.git import git
from tests.support.data_workspace import source_rows, write_source
from tests.support.tiny_models import write_backbone

pytestmark = pytest.mark.slow

QUICK = {
    "finetune": {"epochs": 1},
    "prune": {"events": 2, "gradients": 4, "masked_from": 0},
    "explain": {"texts": 2, "readings": 20},
    "intervene": {"texts": 1, "seeds": 1, "bootstrap": 100},
    "evaluate": {"bootstrap": 100, "effect_texts": 40},
    "faithfulness": {"texts": 2, "sensitivity_texts": 1, "sanity_texts": 1},
    "track": {"enabled": False},
}


def test_a_fresh_clone_of_a_new_workspace_gives_the_same_bytes(tmp_path):
    write_source(tmp_path, source_rows())
    run(tmp_path, "init", "reviews", "--table", "raw/reviews.csv", "--text", "comment", "--label", "stars",
        "--concept", "food=f", "--concept", "price=p")  # fmt: skip
    workspace = tmp_path / "reviews"
    path = workspace / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["model"]["backbone"] = str(write_backbone(tmp_path / "backbone"))
    for block, values in QUICK.items():
        params[block] = params.get(block, {}) | values
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    run(workspace, "run")
    commit(workspace)
    code, said = sparsecbm(workspace, "verify")
    assert code == 0 and "outputs are equal, byte for byte" in said, said[-3000:]

    # A control: the workspace claims another output than the code gives.
    lock = workspace / "dvc.lock"
    content = yaml.safe_load(lock.read_text(encoding="utf-8"))
    assert {"finetune", "prune", "report"} <= set(content["stages"])
    with open(workspace / "reports" / "model-card.md", "a", encoding="utf-8") as card:  # no stage reads it
        card.write("more\n")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "report"], cwd=workspace, check=True)
    commit(workspace)
    code, said = sparsecbm(workspace, "verify")
    assert code == 1 and "different: reports/model-card.md" in said, said[-3000:]


def sparsecbm(folder, *arguments):
    command = [sys.executable, "-m", "sparsecbm", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def run(folder, *arguments):
    code, said = sparsecbm(folder, *arguments)
    assert code == 0, said[-3000:]


def commit(workspace):
    git(workspace, "add", "--all")
    git(workspace, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "A run")
