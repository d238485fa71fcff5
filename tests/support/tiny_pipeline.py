"""A pipeline like the real one with fast stages, for tests that run and record stages."""

import json
import shutil
import socket
import subprocess
from pathlib import Path

from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import run_dvc

ROOT = Path(__file__).parents[2]

GRAPH = """\
stages:
  ingest:
    cmd: python stage.py ingest
    always_changed: true
    deps: [stage.py]
    outs: [data/ingested]
  validate:
    cmd: python stage.py validate
    params: [{data/params.json: [validate]}]
    deps: [data/ingested]
    outs: [metrics/validate.json]
  finetune:
    cmd: python stage.py finetune
    params: [{data/params.json: [seed, finetune]}]
    deps: [data/ingested]
    outs: [models/dense, metrics/finetune.json]
  evaluate:
    cmd: python stage.py evaluate
    params: [{data/params.json: [evaluate]}]
    deps: [models/dense]
    outs: [metrics/evaluate.json]
    metrics: [metrics/summary.json]
"""

# A file `fault` in the workspace makes a stage misbehave: "STAGE refuse", "STAGE crash", "STAGE hang", or
# "STAGE edit TIMES", which edits the input of the stage in its first runs.
STAGE = """\
import json, os, sys, time
from pathlib import Path

name = sys.argv[1]
fault = Path("fault").read_text().split() if Path("fault").exists() else ["", ""]
print(f"this is {name}")
if fault[0] == name:
    if fault[1] == "refuse":
        sys.exit("error: the data is bad\\n  row 7: no text")
    if fault[1] == "edit" and len(Path("tries").read_text() if Path("tries").exists() else "") >= int(fault[2]):
        fault = ["", ""]
if fault[0] == name:
    if fault[1] == "hang":
        Path("pid").write_text(str(os.getpid()))
        time.sleep(120)
    with open("tries", "a") as tries:
        tries.write("x")
    if fault[1] == "crash":
        os._exit(9)
    Path("data/ingested/train.txt").write_text(Path("tries").read_text())

def write(path, value):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(value if isinstance(value, str) else json.dumps(value, sort_keys=True))

if name == "ingest":
    from sparsecbm.base.params import load_params, write_params
    from sparsecbm.base.workspace import Workspace

    write("data/ingested/train.txt", "good\\n")
    workspace = Workspace.find()
    write_params(workspace.run_params, load_params(workspace.params))
if name == "validate":
    write("metrics/validate.json", {"rows": {"kept": 3, "quarantined": 1}})
if name == "finetune":
    seed = json.loads(Path("data/params.json").read_text())["seed"]
    write("models/dense/weights.txt", f"seed: {seed}")
    curves = [{"step": step, "epoch": step / 10, "loss": 1 / step} for step in (10, 20)]
    epochs = [{"epoch": 1, "step": 20, "validation.label.accuracy": 0.75}]
    write("metrics/finetune.json", {"best": {"epoch": 1}, "curves": curves, "epochs": epochs})
if name == "evaluate":
    label = {"accuracy": 0.5, "accuracy_interval": [0.4, 0.6], "majority": 0.25, "confusion": [[1, 1], [1, 1]]}
    test = {"split": "test", "label": label, "concepts": {"food": {"accuracy": 0.25}}}
    write("metrics/evaluate.json", {**test, "splits": {"validation": {"label": {"accuracy": 0.75}}}})
    write("metrics/summary.json", {"evaluate": {"label.accuracy": 0.5, "concepts.food.accuracy": 0.25}})
"""

IGNORED = "data/ingested\ndata/params.json\nmetrics/\nmodels/\n"
IGNORED += ".sparsecbm/\n__pycache__/\nfault\npid\ntries\n/flows/\n/prefect.yaml\n"


def make_tiny_workspace(root: Path) -> Workspace:
    """Make a git and DVC repository with a commit of the project's `params.yaml` and the tiny stages."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text(GRAPH)
    (root / "stage.py").write_text(STAGE)
    (root / ".gitignore").write_text(IGNORED)
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=lambda *_: ["tmp", "cache", "config.local"])
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "config", "user.name", "test")
    git(root, "config", "user.email", "test@example.org")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "tiny")
    return Workspace(root)


def add_flows(workspace: Workspace) -> Workspace:
    """Copy the flows and deployments of the project into a workspace; git ignores them."""
    shutil.copytree(ROOT / "flows", workspace.root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "prefect.yaml", workspace.root)
    return workspace


def set_run_seed(workspace: Workspace, seed: int) -> None:
    """Edit the seed in the parameters of the last run, so that the stage `finetune` is out of date."""
    content = json.loads(workspace.run_params.read_text())
    workspace.run_params.write_text(json.dumps({**content, "seed": seed}))


def finish(workspace: Workspace) -> Workspace:
    """Run all stages with DVC and commit the results."""
    result = run_dvc(workspace.root, "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    git(workspace.root, "add", ".")
    git(workspace.root, "commit", "--quiet", "--message", "run")
    return workspace


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout
