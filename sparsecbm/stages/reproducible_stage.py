"""Stages whose results repeat to the byte: with the configured seed and number of threads."""

from collections.abc import Callable
from functools import wraps

from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.train.reproducible import reproducible

Stage = Callable[[Params, Workspace], None]


def reproducible_stage(run: Stage) -> Stage:
    """Decorate a stage's `run`, so that it runs under `reproducible` with `params.seed` and `params.threads`."""

    @wraps(run)
    def run_reproducibly(params: Params, workspace: Workspace) -> None:
        with reproducible(params.seed, params.threads):
            run(params, workspace)

    return run_reproducibly
