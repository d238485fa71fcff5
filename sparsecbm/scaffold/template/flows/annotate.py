"""The flow `annotate`: check the texts, then let each machine label the concepts that lack its label.

`python -m flows.annotate [--debug] [--dry-run] [ANNOTATOR...]` runs it here. The labels go to `data/annotations`, where
DVC versions them; `sparsecbm run` combines them with those of people.
"""

import sys
from pathlib import Path

from sparsecbm.orchestration.launch import prepare, run_in_terminal

SERVER = prepare(in_terminal=__name__ == "__main__")

from prefect import flow  # noqa: E402  (Prefect reads its settings on import)
from prefect.states import Completed, Failed, State  # noqa: E402

from sparsecbm.annotate.labelling import describe_work, machines, read_definitions  # noqa: E402
from sparsecbm.base.errors import SparseCBMError  # noqa: E402
from sparsecbm.base.params import load_params, load_run_params  # noqa: E402
from sparsecbm.base.workspace import Workspace  # noqa: E402
from sparsecbm.orchestration.calls import call  # noqa: E402
from sparsecbm.orchestration.exclusive_run import exclusive_run  # noqa: E402
from sparsecbm.orchestration.notify import notify  # noqa: E402
from sparsecbm.orchestration.screen import Screen  # noqa: E402
from sparsecbm.orchestration.tasks import REFUSED, as_flow_state, keep_labels, label, stage  # noqa: E402
from sparsecbm.pipeline.graph import stage_order  # noqa: E402


@flow(
    name="annotate", persist_result=False, validate_parameters=True,
    on_completion=[notify], on_failure=[notify], on_crashed=[notify],
)  # fmt: skip
def annotate(annotators: list[str] | None = None, root: str | None = None, dry_run: bool = False) -> State:
    """Label what lacks a label. A machine that stops early keeps what it has; the next run goes on from there.

    Args:
        annotators: by default all machines that `annotate.annotators` names, in order
        dry_run: only say what each machine would do, and what it would cost
    """
    workspace = Workspace(Path(root)) if root else Workspace.find()
    screen, unfinished = Screen(), []
    try:
        names = machines(load_params(workspace.params), annotators or ())
        read_definitions(workspace)  # a fault there shows before the stages run
        with exclusive_run(workspace):
            for name in stage_order(workspace, ["validate"]):
                state = call(stage, name, str(workspace.root), name=name)
                if not state.is_completed():
                    return as_flow_state(state)
            if dry_run:
                for name in names:
                    for line in describe_work(workspace, load_run_params(workspace), name):
                        screen.result(f"{name}: {line}")
                return Completed(message="nothing was labelled; without --dry-run it is")
            for number, name in enumerate(names, start=1):
                screen.begin(number, len(names), name)
                state = call(label, name, str(workspace.root), name=name)
                screen.end(name, state.name, None, state.message if state.is_completed() else "")
                if not state.is_completed():
                    unfinished.append(state)
            keep_labels(workspace)
    except SparseCBMError as error:
        return Failed(name=REFUSED, message=f"error: {error}")
    if unfinished:
        return as_flow_state(unfinished[0])
    return Completed(
        message="the machines are done; `sparsecbm run` trains on their labels, and `sparsecbm annotate review` asks "
        "you first what they are unsure of"
    )


def main(arguments: list[str]) -> int:
    """Run the flow here; return its exit code."""
    annotators = [name for name in arguments if not name.startswith("--")]
    return run_in_terminal(annotate, SERVER, annotators=annotators, dry_run="--dry-run" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
