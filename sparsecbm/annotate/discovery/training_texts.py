"""The labelled training texts of a workspace, straight from its source."""

from dataclasses import dataclass

import pandas as pd

from sparsecbm.annotate.labels import text_key
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import HubSource, Params, TableSource
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.formats.reader import read_table
from sparsecbm.data.ingest import divide
from sparsecbm.data.sources.registry import load_source


@dataclass(frozen=True)
class TrainingTexts:
    """Texts to find and check concepts with. Evaluation splits are left out, so that they stay unseen.

    Attributes:
        frame: columns `text`, `label`, `group`; no empty cell, and no text twice
        label: name of the label
        classes: its states, in order
        columns: names of the columns of a table that are no concepts
        ordered: whether somebody gave the order of the states, the worst first; else it is that of numbers or of the
            alphabet
    """

    frame: pd.DataFrame
    label: str
    classes: tuple[str, ...]
    columns: tuple[str, ...] = ()
    ordered: bool = True


def read_training_texts(params: Params, workspace: Workspace) -> TrainingTexts:
    """Read the split `train` of the configured source.

    Raises:
        DataError: the source is unreadable, or no training text has a label.
    """
    table = load_source(params.source, workspace.root)
    train = divide(table, params.split, params.seed, training=True)["train"]
    rows = train[["text", "label", "group"]].dropna()
    rows = rows[rows["text"].str.strip() != ""]
    rows = rows[~rows["text"].map(text_key).duplicated()].reset_index(drop=True)
    if rows.empty:
        raise DataError("no training text has a label; check source.columns in params.yaml")
    label, source = table.concept_set.label, params.source
    # The other sources have stars, the best ones last.
    ordered = not isinstance(source, (TableSource, HubSource)) or source.columns.labels is not None
    return TrainingTexts(rows, label.name, label.states, _columns(params, workspace), ordered)


def _columns(params: Params, workspace: Workspace) -> tuple[str, ...]:
    """The columns of the configured table, without those that hold concepts."""
    if not isinstance(params.source, TableSource):
        return ()
    names = read_table(workspace.root / params.source.path, params.source.format).frame.columns
    concepts = {concept.column for concept in params.source.columns.concepts.values()}
    return tuple(str(name) for name in names if name not in concepts)
