"""The flow `batch`: predict texts of any number on Ray, one task a part.

`python -m flows.batch [--debug] PARAMETERS` runs it here; PARAMETERS is JSON with the parameters of the flow. Without
Ray, `sparsecbm batch` needs no flow.
"""

import json
import sys

from sparsecbm.orchestration.launch import prepare, run_in_terminal

SERVER = prepare(in_terminal=__name__ == "__main__")

from pathlib import Path  # noqa: E402

from prefect import flow  # noqa: E402  (Prefect reads its settings on import)
from prefect.states import Completed, Failed, State  # noqa: E402

from sparsecbm.base.errors import SparseCBMError  # noqa: E402
from sparsecbm.batch.run import BatchOptions, prepare_batch, run_batch  # noqa: E402
from sparsecbm.orchestration.calls import has_server  # noqa: E402
from sparsecbm.orchestration.notify import notify  # noqa: E402
from sparsecbm.orchestration.ray_engine import ray_engine, ray_runner  # noqa: E402
from sparsecbm.orchestration.tasks import REFUSED  # noqa: E402


@flow(
    name="batch", persist_result=False, validate_parameters=True,
    on_completion=[notify], on_failure=[notify], on_crashed=[notify],
)  # fmt: skip
def batch(model: str, source: str, output: str, options: BatchOptions, workers: int = 2) -> State:
    """Predict an input into a folder that all workers can write; a second run does what is missing.

    Args:
        model, source, output, options: as for `sparsecbm.predict_batch`
        workers: parts that are predicted at a time
    """
    if not has_server():
        return Failed(name=REFUSED, message="error: the engine ray needs a Prefect server; take --engine local")
    try:
        summary = run_batch(prepare_batch(model, source, output, options), ray_engine(workers))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    return Completed(message="\n".join(summary.describe(Path(output))))


def main(arguments: list[str]) -> int:
    """Run the flow here; return its exit code."""
    (parameters,) = (json.loads(argument) for argument in arguments if not argument.startswith("--"))
    on_ray = batch.with_options(task_runner=ray_runner(parameters["workers"]))
    return run_in_terminal(on_ray, SERVER, **parameters)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
