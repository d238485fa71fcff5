"""Runs parts of a work on Ray through Prefect's task runner for it: each part is one task.

Ray does a task again, alone, if its worker is lost. Import this module after `launch.prepare`, since Prefect reads its
settings on import.
"""

import os
import pickle
import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect_ray.context import remote_options
from prefect_ray.task_runners import RayTaskRunner

from sparsecbm.base.engines import AHEAD, Engine, WorkerLostError

ADDRESS = "RAY_ADDRESS"  # environment variable that names a running cluster
ATTEMPTS = 3  # of a part whose worker is lost
STORE = 256 << 20  # bytes of a local cluster's memory for arguments and results, which are small here


def ray_runner(workers: int) -> RayTaskRunner:
    """Prefect's task runner on the cluster that RAY_ADDRESS names, or on a local one for this flow.

    A local cluster asks each client for a token, sends no statistics and shows no dashboard.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if os.environ.get(ADDRESS):
        return RayTaskRunner(address=os.environ[ADDRESS], init_kwargs={"log_to_driver": False})
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    local = {"num_cpus": workers, "object_store_memory": STORE, "include_dashboard": False, "log_to_driver": False}
    return RayTaskRunner(init_kwargs=local)


def ray_engine(workers: int) -> Engine:
    """Runs parts in a flow whose task runner is `ray_runner`; twice `workers` of them are sent at a time."""

    def run(work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        import ray  # it takes its settings, which `ray_runner` makes, when it is imported

        source = iter(parts)
        waiting: dict[Any, tuple[Any, Any]] = {}
        more = True
        while True:
            while more and len(waiting) < AHEAD * workers:
                try:
                    part = next(source)
                except StopIteration:
                    more = False
                    break
                with remote_options(max_retries=ATTEMPTS - 1):
                    future = run_part.submit(pickle.dumps(partial(work, part)))
                waiting[future.wrapped_future] = part, future
            if not waiting:
                return
            for reference in ray.wait(list(waiting), num_returns=1)[0]:
                part, future = waiting.pop(reference)
                future.wait()
                if future.state.is_crashed():
                    lost = f"Ray lost the worker of a part {ATTEMPTS} times in a row: {future.state.message}"
                    yield part, WorkerLostError(lost)
                else:
                    yield part, future.state.result(raise_on_failure=False)

    return run


@task(name="part", cache_policy=NO_CACHE, persist_result=False)
def run_part(call: bytes) -> Any:
    """Run what the flow sent to this worker."""
    return pickle.loads(call)()
