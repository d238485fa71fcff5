"""The parameters and the annotated tables that benchmarks train and score on."""

import argparse
from pathlib import Path

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.blanks import fill_blanks
from sparsecbm.data.ingest import ingest
from sparsecbm.data.validation import validate
from sparsecbm.pipeline.compose import compose

WORKSPACE = Workspace.find(Path(__file__).parent)


def source_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of what most benchmarks take: the source of the reviews, seeds, and further settings."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="CEBaB's folder; without it the embedded reviews are used")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    return parser


def configured(
    data: Path | None, mode: str, seed: int, settings: list[str], profiles: tuple[str, ...] = ("cebab",)
) -> Params:
    """Return parameters of params.yaml, profiles and command line; without a folder, the source of params.yaml."""
    over = [f"seed={seed}", f"model.mode={mode}", *settings]
    return compose(WORKSPACE, profiles, [f"source.path={data.resolve()}", *over] if data else over).params


def scored_split(params: Params) -> str:
    """Return the split that figures are of: of CEBaB it is `dev`, as in its publication."""
    return "dev" if params.source.name == "cebab" else "test"


def annotated(params: Params) -> tuple[dict[str, pd.DataFrame], ConceptSet]:
    """Return the annotated table of each split, in memory."""
    splits, manifest = ingest(params.source, params.split, params.seed, WORKSPACE.root)
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    checked = validate(splits, concept_set, params.validate_)
    return {
        name: fill_blanks(frame, concept_set, params.annotate.blank) for name, frame in checked.splits.items()
    }, concept_set
