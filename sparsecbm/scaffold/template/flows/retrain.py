"""The flow `retrain`: one task for each stage in the order of `dvc.yaml`, the record in MLflow, gates and promotion.

`python -m flows.retrain [--debug] [--promote=MODE] [STAGE...]` runs it here; a worker runs the same flow as a
deployment.
"""

import sys
import time
from pathlib import Path

from sparsecbm.orchestration.launch import prepare, run_in_terminal

SERVER = prepare(in_terminal=__name__ == "__main__")

from prefect import flow  # noqa: E402  (Prefect reads its settings on import)
from prefect.states import Completed, Failed, State  # noqa: E402

from flows.promotion import gate_and_promote  # noqa: E402
from sparsecbm.base.errors import SparseCBMError  # noqa: E402
from sparsecbm.base.workspace import Workspace  # noqa: E402
from sparsecbm.orchestration import publish  # noqa: E402
from sparsecbm.orchestration.calls import call  # noqa: E402
from sparsecbm.orchestration.clone import propose_results  # noqa: E402
from sparsecbm.orchestration.exclusive_run import code_hashes, exclusive_run  # noqa: E402
from sparsecbm.orchestration.heartbeat import heartbeat  # noqa: E402
from sparsecbm.orchestration.notify import notify  # noqa: E402
from sparsecbm.orchestration.screen import Screen  # noqa: E402
from sparsecbm.orchestration.summary import duration, result_lines  # noqa: E402
from sparsecbm.orchestration.tasks import POSTPONED, REFUSED, SKIPPED, Mode, as_flow_state, stage, track  # noqa: E402
from sparsecbm.pipeline.graph import stage_order  # noqa: E402


@flow(
    name="retrain", persist_result=False, validate_parameters=True,
    on_completion=[notify], on_failure=[notify], on_crashed=[notify],
)  # fmt: skip
def retrain(
    stages: list[str] | None = None, root: str | None = None, promote: Mode = "off", propose: bool = False
) -> State:
    """Bring the pipeline up to date: the named stages and what they need, or all stages.

    The flow fails with the first stage that fails; DVC keeps the results of earlier stages.

    Args:
        promote: `gate-only` judges the model at the end; `auto` also promotes or refuses it
        propose: push the results to a branch of the origin
    """
    workspace = Workspace(Path(root)) if root else Workspace.find()
    screen, started = Screen(), time.monotonic()
    try:
        with exclusive_run(workspace):
            order, code = stage_order(workspace, stages or ()), code_hashes(workspace)
            for number, name in enumerate(order, start=1):
                screen.begin(number, len(order), name)
                begun = time.monotonic()
                state = call(stage, name, str(workspace.root), name=name)
                if not state.is_completed():
                    return as_flow_state(state)
                screen.end(name, state.name, time.monotonic() - begun)
            publish.results(workspace)
            with heartbeat("track", screen.line):
                recorded = call(track, str(workspace.root))
            screen.end("track", recorded.name, None, recorded.message)
            if not recorded.is_completed():
                return Failed(message=f"error: the record in MLflow failed: {recorded.message}")
            for line in result_lines(workspace, order):
                screen.result(line)
            if code_hashes(workspace) != code:
                return Failed(name=REFUSED, message="error: code was edited while the flow ran; nothing is promoted")
            if propose:
                screen.line(propose_results(workspace))
            if promote != "off":
                if recorded.name in (SKIPPED, POSTPONED):
                    return Completed(name=recorded.name, message=f"nothing to judge: {recorded.message}")
                return as_flow_state(gate_and_promote(workspace.root, promote, screen))
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    return Completed(message=f"all {len(order)} stages are up to date after {duration(time.monotonic() - started)}")


def main(arguments: list[str]) -> int:
    """Run the flow here; return its exit code."""
    stages = [name for name in arguments if not name.startswith("--")]
    promote = next((name.removeprefix("--promote=") for name in arguments if name.startswith("--promote=")), "off")
    return run_in_terminal(retrain, SERVER, stages=stages, promote=promote)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
