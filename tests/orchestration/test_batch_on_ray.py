"""The engine ray on a real local cluster of two workers. Ray does not always start on a busy machine, so it is retried.

These tests are slow, and Ray is no part of the default environment: `pip install -c constraints.txt -e '.[ray]'`.
"""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from sparsecbm.base.files import sha256_file
from tests.support.explained_model import with_means
from tests.support.project import ROOT
from tests.support.tiny_models import tiny_model
from tests.support.tiny_pipeline import add_flows

pytest.importorskip("prefect_ray")
pytestmark = [pytest.mark.slow, pytest.mark.flow]
ATTEMPTS = 3
# A flow of its own: six parts; one kills its worker, and one fails.
FLOW = """
import sys
from pathlib import Path
from sparsecbm.orchestration.launch import prepare
server = prepare(in_terminal=True)
from prefect import flow
from sparsecbm.orchestration.ray_engine import ray_engine, ray_runner
from tests.support.logged_parts import LoggedParts

@flow(task_runner=ray_runner(2), persist_result=False)
def squares():
    return {part: repr(result) for part, result in ray_engine(2)(LoggedParts(Path(sys.argv[1])), range(6))}

assert server.wait()
print("RESULTS", squares())
"""


def run_until_ray_starts(command, folder):
    """Run a command in a workspace; try again if Ray did not start."""
    # Ray's workers are nicer than anything else, so other tests would stop them.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "RAY_ADDRESS"):
        environment.pop(name, None)
    for _ in range(ATTEMPTS):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        if done.returncode == 0 or "node" not in done.stderr.lower():
            break
    return done


def test_only_the_part_of_a_killed_worker_is_done_again(tiny_workspace, tmp_path):
    done = run_until_ray_starts([sys.executable, "-c", FLOW, str(tmp_path)], tiny_workspace.root)
    assert done.returncode == 0, done.stdout + done.stderr
    results = next(line for line in done.stdout.splitlines() if line.startswith("RESULTS"))
    assert eval(results.removeprefix("RESULTS ")) == {
        0: "0", 1: "1", 2: "4", 3: "9", 4: "16", 5: "ValueError('five')",
    }  # fmt: skip
    assert (tmp_path / "killed").exists()
    begun = Counter(int(line) for line in (tmp_path / "log").read_text().split())
    assert begun == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}


def test_a_batch_on_ray_has_the_bytes_of_a_local_one(tiny_workspace, backbone, tmp_path):
    add_flows(tiny_workspace)
    with_means(tiny_model(backbone)).save_pretrained(tmp_path / "model")
    lines = "".join(json.dumps({"text": f"the food was good {'bad ' * (n % 7)}", "n": n}) + "\n" for n in range(2_100))
    (tmp_path / "in.jsonl").write_text(lines + '{"text": null}\n')
    command = [sys.executable, "-m", "sparsecbm", "batch", str(tmp_path / "model"), str(tmp_path / "in.jsonl")]
    options = ["--id", "n", "--explain", "short", "--workers", "2"]
    done = run_until_ray_starts([*command, str(tmp_path / "ray"), *options, "--engine", "ray"], tiny_workspace.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2,100 of 2,101 rows predicted, in 3 part(s)" in done.stdout
    local = subprocess.run([*command, str(tmp_path / "local"), *options], cwd=tmp_path, capture_output=True, text=True)
    assert local.returncode == 0, local.stderr
    found = [
        {str(file.relative_to(folder)): sha256_file(file) for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path / "ray", tmp_path / "local")
    ]
    assert found[0] == found[1] and len(found[0]) == 5
