"""Time that the flow adds to `dvc repro`, and the cost of gates and promotion.

    python benchmarks/promotion.py [--workspace FOLDER]

FOLDER is a clone in which `sparsecbm run` has ended. The benchmark clones this code next to it, takes over the outputs
of FOLDER (`dvc commit`) and measures everything in that clone. Each command runs in its own process, and the time
includes the start of Python. The first champion is the model with one concept's head set to zero; the model itself is
the challenger. Times are clock seconds, and CPU seconds of the command with all its processes. Results go to
benchmarks/results/promotion.json.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import write_json
from sparsecbm.base.workspace import Workspace

OUTPUTS = ("data/ingested", "data/validated", "data/annotated", "models", "plots", "reports", "metrics")
RESULT = Path(__file__).parent / "results" / "promotion.json"
DVC, CLI = ("-m", "dvc"), ("-m", "sparsecbm")
FORCE = ("--force", "--reason", "benchmark")
REPEATS = 2


def main() -> None:
    """Time every step and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Workspace.find(Path(__file__).parent).root)
    arguments = parser.parse_args()
    code = Workspace.find(Path(__file__).parent).root
    with tempfile.TemporaryDirectory(prefix="sparsecbm-benchmark-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(code), str(clone)], check=True)
        for output in OUTPUTS:
            shutil.rmtree(clone / output, ignore_errors=True)
            shutil.copytree(arguments.workspace / output, clone / output)
        results = {"cores": len(os.sched_getaffinity(0)), **measure(clone)}
    write_json(RESULT, results)
    print(RESULT.read_text())


def measure(root: Path) -> dict:
    """Run every command in its order; return clock and CPU seconds, and the verdicts of the gates."""
    steps: dict[str, list] = {}

    def timed(step: str, *command: str) -> None:
        steps.setdefault(step, []).append(run(root, *command))

    model = SparseCBM.from_pretrained(root / "models" / "sparse")
    shutil.copytree(root / "models" / "sparse", root / "kept")
    damage(model, model.concept_set.names[0]).save_pretrained(root / "models" / "sparse")
    run(root, *DVC, "commit", "--force", "--quiet")
    timed("record of a run, first use of MLflow's database", *CLI, "track")
    timed("register, judge without a champion, promote", *CLI, "promote", *FORCE)

    shutil.rmtree(root / "models" / "sparse")
    (root / "kept").rename(root / "models" / "sparse")
    run(root, *DVC, "commit", "--force", "--quiet")
    timed("record of a run", *CLI, "track")
    timed("register, judge against the champion, promote", *CLI, "promote", *FORCE)
    ledger = json.loads((root / ".sparsecbm" / "promotion" / "version-2" / "ledger.json").read_text())

    run(root, *DVC, "repro", "--quiet")
    run(root, *CLI, "run")  # creates Prefect's database
    for _ in range(REPEATS):  # side by side, so that the load of the machine is the same for both
        timed("dvc repro, unchanged", *DVC, "repro", "--quiet")
        timed("flow, unchanged", *CLI, "run")
        timed("flow with promotion, unchanged", *CLI, "run", "--promote", "auto")
    timed("roll back, smoke test by the alias", *CLI, "rollback")
    least = {step: min(clock for clock, _ in times) for step, times in steps.items()}
    return {
        "seconds": {step: [{"clock": clock, "cpu": cpu} for clock, cpu in times] for step, times in steps.items()},
        "flow_over_repro": round(least["flow, unchanged"] - least["dvc repro, unchanged"], 2),
        "flow_with_promotion_over_repro": round(
            least["flow with promotion, unchanged"] - least["dvc repro, unchanged"], 2
        ),
        "texts": ledger["texts"],
        "verdict": ledger["verdict"],
        "reasons": ledger["reasons"],
    }


@torch.no_grad()
def damage(model: SparseCBM, concept: str) -> SparseCBM:
    """Make a model predict the same state of one concept for every text."""
    model.concept_heads.head(concept).weight.zero_()
    return model


def run(root: Path, *command: str) -> tuple[float, float]:
    """Run Python in a folder; return clock seconds, and CPU seconds of it and its processes."""
    outside = ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=root, env=environment, check=True)
    clock, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(clock, 2), round(cpu, 2)


if __name__ == "__main__":
    main()
