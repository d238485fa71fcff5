"""A table of masks that are trained from one dense model with other settings: a row for each choice of settings.

With a folder of CEBaB's released files, masks are scored on `dev`; without one, on the split `test` of the embedded
reviews. Training starts from the dense model that `benchmarks/masks.py` keeps, with the settings of the main job. Each
result goes to benchmarks/results/NAME-SOURCE.json at once. A result with the same settings is not computed again.
"""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from cebab import dense_model, subject
from masks import RESULTS, settings_of
from tables import annotated, configured, source_parser

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params
from sparsecbm.train.reproducible import reproducible

Frames = dict[str, pd.DataFrame]
Measure = Callable[[Params, SparseCBM, Frames, Path], dict]  # the last one is a folder beside those of other rows
Show = Callable[[int, str, dict], None]  # seed, row, result


def rows_parser(description: str, rows: Mapping[str, Sequence[str]]) -> argparse.ArgumentParser:
    """Return a parser of data, seeds, rows and further settings."""
    parser = source_parser(description)
    parser.add_argument("--rows", nargs="+", choices=list(rows), default=list(rows))
    return parser


def measure_rows(
    name: str,
    rows: Mapping[str, Sequence[str]],
    arguments: argparse.Namespace,
    measure: Measure,
    show: Show,
    together: Collection[str] = (),
) -> None:
    """Measure the missing rows, show all of them, and write.

    Args:
        name: of the file of results: seed -> row -> result
        rows: row -> its settings
        arguments: of `rows_parser`
        together: rows that need each other's files, so they are chosen and measured together
    """
    chosen = {*arguments.rows, *(together if {*together} & {*arguments.rows} else ())}
    profiles = ("cebab",) if arguments.data else ()
    for seed in arguments.seeds:
        settings = {row: [*arguments.set, *rows[row]] for row in rows if row in chosen}
        plan = {row: configured(arguments.data, "joint", seed, s, profiles) for row, s in settings.items()}
        path = RESULTS / f"{name}-{subject(next(iter(plan.values())))}.json"
        results = read_json(path) if path.is_file() else {}
        of_seed = results.setdefault(str(seed), {})
        with TemporaryDirectory() as scratch:
            for row, params in plan.items():
                needed = together if row in together else [row]
                if any(of_seed.get(other, {}).get("settings") != settings_of(plan[other]) for other in needed):
                    with reproducible(seed, params.threads):
                        frames, concept_set = annotated(params)
                        dense = dense_model(params, frames, concept_set)
                        measured = measure(params, dense, frames, Path(scratch) / row)
                    of_seed[row] = {"settings": settings_of(params), **measured}
                    write_json(path, results)
                show(seed, row, of_seed[row])
