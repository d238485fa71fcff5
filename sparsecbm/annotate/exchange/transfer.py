"""Labels of a workspace to and from a file of another tool, as the command line and the workbench do it."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from sparsecbm.annotate.exchange.label_studio import export_tasks, label_config, read_tasks
from sparsecbm.annotate.exchange.rows import Import, check_rows, compare, count_empty
from sparsecbm.annotate.exchange.spreadsheet import export_rows, read_rows
from sparsecbm.annotate.human_labels import HUMAN_FILE, read_decisions, time_now
from sparsecbm.annotate.labelled_texts import LabelledTexts, load_labelled_texts
from sparsecbm.annotate.review.order import texts_at_random
from sparsecbm.base.files import json_text
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.blanks import UNKNOWN
from sparsecbm.data.csv_output import csv_text

# `tasks` and `interface` are for Label Studio: its JSON, and the labelling interface of a project as XML.
ExportForm = Literal["tasks", "interface", "csv"]


def exported_labels(workspace: Workspace, texts: LabelledTexts, form: ExportForm) -> str:
    """What a file for another tool holds: texts, with the decisions of people.

    The texts are in random order, that of `annotate review` in splits that measure: people label the first rows, and a
    table may be sorted. The order depends on the texts and on the seed in `params.yaml` alone.

    Raises:
        ConfigError: `params.yaml` is not valid.
        DataError: the decisions cannot be read.
    """
    if form == "interface":
        return label_config(texts.concepts)
    decisions = read_decisions(workspace.annotations / HUMAN_FILE)
    texts = replace(texts, frame=texts_at_random(texts.frame, load_params(workspace.params).seed))
    return json_text(export_tasks(texts, decisions)) if form == "tasks" else csv_text(export_rows(texts, decisions))


def checked_import(workspace: Workspace, path: Path, author: str) -> Import:
    """What an import of a file adds; nothing is stored.

    Args:
        path: a .json of Label Studio, or a table as `exported_labels` gives it
        author: who decided where the file names nobody; may be empty

    Raises:
        DataError: the file cannot be read, or a row or task of it is wrong; the message names the first faults.
    """
    rows = read_tasks(path) if path.suffix.lower() == ".json" else read_rows(path)
    texts = load_labelled_texts(workspace)
    decisions = check_rows(rows, texts, author, time_now())
    result = compare(decisions, read_decisions(workspace.annotations / HUMAN_FILE))
    return count_empty(rows, texts, author, result)


def describe_import(result: Import, source: object) -> str:
    """What an import added, in words."""
    parts = [f"{len(result.added):,} decision(s) added from {source}"]
    parts += [f"{result.known:,} were there already"] if result.known else []
    parts += [f"{result.older:,} left out, since their author decided otherwise later"] if result.older else []
    told = "; ".join(parts)
    if not result.empty:
        return told
    advice = f"; write `{UNKNOWN}` where a text says nothing of a concept" if result.silent else ""
    return f"{told}. {result.empty:,} cell(s) in rows with an author are empty and give no label{advice}"
