"""A table of masks that are trained from one dense model with other settings: a row for each choice of settings.

The data are the embedded reviews. Training starts from the dense model that `benchmarks/masks.py` keeps, with the
settings of the main job. Each result goes to a file of results at once. A result with the same settings is not computed
again.
"""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from cebab import dense_model
from masks import settings_of
from tables import annotated, configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params
from sparsecbm.train.reproducible import reproducible

Frames = dict[str, pd.DataFrame]
Measure = Callable[[Params, SparseCBM, Frames, Path], dict]  # the last one is a folder beside those of other rows
Show = Callable[[int, str, dict], None]  # seed, row, result


def rows_parser(description: str, rows: Mapping[str, Sequence[str]]) -> argparse.ArgumentParser:
    """Return a parser of seeds, rows and further settings."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--rows", nargs="+", choices=list(rows), default=list(rows))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    return parser


def measure_rows(
    path: Path,
    rows: Mapping[str, Sequence[str]],
    arguments: argparse.Namespace,
    measure: Measure,
    show: Show,
    together: Collection[str] = (),
) -> None:
    """Measure the missing rows, show all of them, and write.

    Args:
        path: of the results: seed -> row -> result
        rows: row -> its settings
        arguments: of `rows_parser`
        together: rows that need each other's files, so they are chosen and measured together
    """
    chosen = {*arguments.rows, *(together if {*together} & {*arguments.rows} else ())}
    results = read_json(path) if path.is_file() else {}
    for seed in arguments.seeds:
        of_seed = results.setdefault(str(seed), {})
        plan = {n: configured(None, "joint", seed, [*arguments.set, *rows[n]], ()) for n in rows if n in chosen}
        with TemporaryDirectory() as scratch:
            for name, params in plan.items():
                needed = together if name in together else [name]
                if any(of_seed.get(row, {}).get("settings") != settings_of(plan[row]) for row in needed):
                    with reproducible(seed, params.threads):
                        frames, concept_set = annotated(params)
                        dense = dense_model(params, frames, concept_set)
                        measured = measure(params, dense, frames, Path(scratch) / name)
                    of_seed[name] = {"settings": settings_of(params), **measured}
                    write_json(path, results)
                show(seed, name, of_seed[name])
