"""What the flow adds to `dvc repro`, and what gates and promotion cost.

    python benchmarks/promotion.py [--workspace FOLDER]

FOLDER is a clone in which `sparsecbm run` has ended. It is copied, its outputs are taken as those of this code (`dvc
commit`), and everything is timed in the copy, each command in a process of its own, the start of Python included.
Results: benchmarks/results/promotion.json.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sparsecbm.files import write_json
from sparsecbm.model.storage import CHECKSUMS, checksums
from sparsecbm.workspace import Workspace

OUTPUTS = ("data/ingested", "data/validated", "data/annotated", "models", "plots", "reports", "metrics")
RESULT = Path(__file__).parent / "results" / "promotion.json"
REPEATS = 2


def main() -> None:
    """Time every step and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Workspace.find(Path(__file__).parent).root)
    arguments = parser.parse_args()
    code = Workspace.find(Path(__file__).parent).root
    with tempfile.TemporaryDirectory(prefix="sparsecbm-benchmark-") as folder:
        copy = Path(folder) / "copy"
        subprocess.run(["git", "clone", "--quiet", str(code), str(copy)], check=True)
        for output in OUTPUTS:
            shutil.rmtree(copy / output, ignore_errors=True)
            shutil.copytree(arguments.workspace / output, copy / output)
        seconds = time_all(copy)
    found = {
        "cores": len(os.sched_getaffinity(0)),
        "seconds": seconds,
        "flow_over_repro": min(seconds["flow, unchanged"]) - min(seconds["dvc repro, unchanged"]),
        "flow_with_promotion_over_repro": min(seconds["flow with promotion, unchanged"])
        - min(seconds["dvc repro, unchanged"]),
    }
    write_json(RESULT, found)
    print(RESULT.read_text())


def time_all(root: Path) -> dict[str, list[float]]:
    """Seconds of each command, in the order in which they are run."""
    cli, dvc = ["-m", "sparsecbm.cli"], ["-m", "dvc"]
    run(root, *dvc, "commit", "--force", "--quiet")
    found = {
        "dvc repro, unchanged": [run(root, *dvc, "repro", "--quiet") for _ in range(REPEATS)],
        "flow, record written": [run(root, *cli, "run")],
        "flow, unchanged": [run(root, *cli, "run") for _ in range(REPEATS)],
        "register, judge, promote (no champion)": [run(root, *cli, "promote")],
        "flow with promotion, unchanged": [run(root, *cli, "run", "--promote", "auto") for _ in range(REPEATS)],
    }
    # A challenger that differs in a byte, so that both are read: the tie is held, and then forced.
    card = root / "models" / "sparse" / "README.md"
    card.chmod(0o644)
    card.write_text(card.read_text() + "\n")
    sums = root / "models" / "sparse" / CHECKSUMS
    sums.chmod(0o644)
    write_json(sums, checksums(sums.parent))
    run(root, *dvc, "commit", "--force", "--quiet")
    found["record of another run"] = [run(root, *cli, "track")]
    found["register, judge against the champion"] = [run(root, *cli, "promote", "--gate-only")]
    force = ("--force", "--reason", "benchmark")
    found["judge against the champion, promote"] = [run(root, *cli, "promote", "2", *force)]
    found["rollback"] = [run(root, *cli, "rollback")]
    return found


def run(root: Path, *command: str) -> float:
    """Run Python in a folder; wall seconds."""
    outside = ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=root, env=environment, check=True)
    return round(time.perf_counter() - begun, 2)


if __name__ == "__main__":
    main()
