"""Runs a batch and kills it: `python -m tests.batch.interrupted WHERE AFTER WORKERS MODEL SOURCE OUTPUT`.

WHERE says what is killed: `between`, this process when so many parts have ended; `writing`, the same in the middle of
writing a file, before it gets its name.
"""

import os
import signal
import sys
from pathlib import Path

import psutil
import pyarrow.parquet

from sparsecbm.base import engines
from sparsecbm.batch import run


def main(where: str, after: int, workers: int, model: str, source: str, output: str) -> None:
    run.ROWS = 4
    if where == "writing":
        kill_in(pyarrow.parquet, "write_table", after)
        run.predict_batch(model, source, output)
        return
    batch = run.prepare_batch(model, source, output, run.BatchOptions(id_column="key"))
    run.run_batch(batch, killing(engines.process_engine(workers), after))


def killing(engine, after):
    """Return an engine that ends with its process when so many parts have ended; it notes its workers before."""

    def run_parts(work, parts):
        for count, pair in enumerate(engine(work, parts), start=1):
            yield pair
            if count == after:
                children = psutil.Process().children(recursive=True)
                Path("workers").write_text(" ".join(str(child.pid) for child in children))
                os.kill(os.getpid(), signal.SIGKILL)

    return run_parts


def kill_in(module, name, calls):
    """Kill this process at the end of a call of a function."""
    function, count = getattr(module, name), 0

    def counted(*arguments, **options):
        nonlocal count
        function(*arguments, **options)
        count += 1
        if count == calls:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, counted)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
