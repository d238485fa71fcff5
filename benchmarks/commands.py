"""CPU seconds of commands on one text, each a process of its own with one thread.

    python benchmarks/commands.py WORKSPACE [--runs 5] [--output FILE]

The commands take turns. A run before them fills Python's caches of bytecode, and is not counted.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from sparsecbm.base.files import write_json

RESULT = Path(__file__).parent / "results" / "commands.json"
TEXT = "The ramen was superb, though you could hardly hear yourself think."
COMMANDS = {
    "help": ("--help",),
    "predict": ("predict", "models/sparse", "--text", TEXT),
    "explain": ("explain", "models/sparse", "--text", TEXT),
}
# -P: the package that this script imports, not one that lies in the workspace.
START = (sys.executable, "-P", "-m", "sparsecbm")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}


def measure(arguments: tuple[str, ...], workspace: Path) -> float:
    """User and system seconds of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, **ONE_THREAD}
    subprocess.run([*START, *arguments], check=True, cwd=workspace, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure each command, print the medians and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    for arguments in COMMANDS.values():
        measure(arguments, options.workspace)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    load = os.getloadavg()[0]
    for _ in range(options.runs):
        for name, arguments in COMMANDS.items():
            seconds[name].append(round(measure(arguments, options.workspace), 2))
    print({name: statistics.median(values) for name, values in seconds.items()}, f"load {load:.1f}")
    write_json(options.output, {"load": round(load, 1), "seconds": seconds})


if __name__ == "__main__":
    main()
