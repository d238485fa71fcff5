"""Time that the flow adds to `dvc repro`, side by side in a workspace in which nothing has changed.

    python -m benchmarks.flow_overhead [--workspace FOLDER] [--repeats 3]

FOLDER is a finished workspace; only its stages that always run do so again. The commands take turns, so that the load
of the machine is the same for both. Prints clock and CPU seconds, and the difference of the best times.
"""

import argparse
from pathlib import Path

from benchmarks.promotion import CLI, DVC, run
from sparsecbm.base.workspace import Workspace

TARGET_SECONDS = 25


def main() -> None:
    """Time both commands and print the difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Workspace.find(Path(__file__).parent).root)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    commands = {"dvc repro": (*DVC, "repro", "--quiet"), "flow": (*CLI, "run")}
    for command in commands.values():  # the first one creates databases
        run(arguments.workspace, *command)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(arguments.repeats):
        for name, command in commands.items():
            times[name].append(run(arguments.workspace, *command))
    for name, pairs in times.items():
        print(f"{name}: {', '.join(f'{clock} s ({cpu} s of CPU)' for clock, cpu in pairs)}")
    best = {name: min(clock for clock, _ in pairs) for name, pairs in times.items()}
    print(f"the flow adds {best['flow'] - best['dvc repro']:.1f} s; at most {TARGET_SECONDS} s are right")


if __name__ == "__main__":
    main()
