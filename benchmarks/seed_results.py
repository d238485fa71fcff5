"""A file with one result for each seed."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params


def measure_seeds(
    path: Path, runs: Sequence[Params], settings_of: Callable[[Params], dict], measure: Callable[[Params], dict]
) -> dict[str, dict]:
    """Return all results of a file, after the missing ones were measured.

    A result that was measured with other settings is missing. Each one is written as soon as it is there.

    Args:
        path: of the results: seed -> result, which holds its `settings`
        runs: one for each seed
        settings_of: the settings that a result depends on, besides seed and data
    """
    results = read_json(path) if path.is_file() else {}
    for params in runs:
        seed = str(params.seed)
        if results.get(seed, {}).get("settings") != settings_of(params):
            results[seed] = measure(params)
            write_json(path, results)
    return results
