"""Label Studio's JSON: a task for each text, predictions of machines, and annotations of people.

https://labelstud.io/guide/task_format. Label Studio has users of its own, so each exported choice keeps its author,
time and state below `meta`. A choice that somebody changed in Label Studio is a decision of the user who did.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.exchange.rows import CANNOT_DECIDE, ExchangedRow
from sparsecbm.annotate.human_labels import Decision, decisions_by_text
from sparsecbm.annotate.labelled_texts import LabelledTexts
from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json
from sparsecbm.base.terminal_text import visible
from sparsecbm.data.splitting import EVALUATION

Json = dict[str, Any]


def label_config(concepts: Iterable[ConceptDefinition]) -> str:
    """The labelling interface of a project: one choice for each concept."""
    concepts = tuple(concepts)
    text = _text_tag(concepts)
    lines = ["<View>", f'  <Text name={quoteattr(text)} value="$text"/>']
    for concept in concepts:
        title = f"{concept.name}: {concept.description}" if concept.description else concept.name
        lines.append(f'  <Header value={quoteattr(visible(title))} size="5"/>')
        lines.append(f'  <Choices name={quoteattr(concept.name)} toName={quoteattr(text)} choice="single-radio">')
        for state, definition in [*concept.states.items(), (CANNOT_DECIDE, "cannot be decided")]:
            lines.append(f"    <Choice value={quoteattr(state)} hint={quoteattr(visible(definition))}/>")
        lines.append("  </Choices>")
    return "\n".join([*lines, "</View>"]) + "\n"


def export_tasks(texts: LabelledTexts, decisions: Iterable[Decision]) -> list[Json]:
    """A task for each text. Texts of evaluation splits have no predictions, which would bias who measures."""
    by_text = decisions_by_text(decisions)
    predictions = _predictions(texts)
    tag = _text_tag(texts.concepts)
    names = {concept.name for concept in texts.concepts}
    tasks = []
    for row in texts.frame.itertuples():
        annotations = []
        for made in by_text.get(row.key, {}).values():
            results = [_decided(decision, tag) for decision in made if decision.concept in names]
            annotations += [{"result": results}] if results else []
        task: Json = {
            "data": {"text": row.text, "key": row.key, "split": row.split},
            "annotations": annotations,
            "predictions": [] if row.split in EVALUATION else predictions.get(row.key, []),
        }
        tasks.append(task)
    return tasks


def read_tasks(path: Path) -> list[ExchangedRow]:
    """The annotations in a file that Label Studio exported as JSON, or that `export_tasks` gave.

    Cancelled annotations and results that are no choices do not count.

    Raises:
        DataError: the file is no such JSON; the message names the task.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise DataError(f"{path} holds no list of tasks; export the project from Label Studio as JSON")
    rows = []
    for number, task in enumerate(tasks, start=1):
        where = f"{path}, task {number}"
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict):
            raise DataError(f"{where} has no object `data`; export the project from Label Studio as JSON")
        key, text = (_text(data.get(name), f"{where}: data.{name}") for name in ("key", "text"))
        for annotation in _objects(task.get("annotations"), f"{where}: annotations"):
            if not annotation.get("was_cancelled"):
                rows += [
                    ExchangedRow(where, key, text, author, at, states)
                    for (author, at), states in _choices(annotation, where).items()
                ]
    return rows


def _choices(annotation: Json, where: str) -> dict[tuple[str, str], dict[str, str]]:
    """(author, time) -> concept -> state."""
    user = _user(annotation.get("completed_by"))
    at = _text(annotation.get("updated_at") or annotation.get("created_at"), f"{where}: updated_at")
    signed: dict[tuple[str, str], dict[str, str]] = {}
    for result in _objects(annotation.get("result"), f"{where}: result"):
        if result.get("type") != "choices":
            continue
        concept = _text(result.get("from_name"), f"{where}: from_name")
        value = result.get("value")
        choices = value.get("choices") if isinstance(value, dict) else None
        if not (isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str)):
            raise DataError(f"{where}: {concept!r} needs exactly one choice, has {choices!r:.60}")
        meta = result.get("meta")
        kept = isinstance(meta, dict) and meta.get("state") == choices[0]
        names = ("author", "at")
        signature = tuple(_text(meta.get(name), f"{where}: meta.{name}") for name in names) if kept else (user, at)
        if concept in signed.setdefault(signature, {}):
            raise DataError(f"{where}: {concept!r} is chosen twice in one annotation")
        signed[signature][concept] = choices[0]
    return signed


def _predictions(texts: LabelledTexts) -> dict[str, list[Json]]:
    tag = _text_tag(texts.concepts)
    predictions: dict[str, list[Json]] = {}
    for source, table in texts.machines.items():
        for key, rows in table[table["state"].notna()].groupby("key"):
            results = [{**_choice(row.concept, row.state, tag), **_score(row.confidence)} for row in rows.itertuples()]
            predictions.setdefault(key, []).append(
                {"model_version": source, "result": results, **_score(rows["confidence"].mean())}
            )
    return predictions


def _score(confidence: float) -> Json:
    return {} if pd.isna(confidence) else {"score": round(float(confidence), 6)}


def _decided(decision: Decision, tag: str) -> Json:
    state = CANNOT_DECIDE if decision.state is None else decision.state
    meta = {"author": decision.author, "at": decision.at, "state": state}
    return {**_choice(decision.concept, state, tag), "meta": meta}


def _choice(concept: str, state: str, tag: str) -> Json:
    return {"from_name": concept, "to_name": tag, "type": "choices", "value": {"choices": [state]}}


def _text_tag(concepts: Iterable[ConceptDefinition]) -> str:
    """The name of the text in the labelling interface, which no concept has."""
    names = {concept.name for concept in concepts}
    tag = "text"
    while tag in names:
        tag += "_"
    return tag


def _user(completed_by: object) -> str:
    if isinstance(completed_by, dict):
        return str(completed_by.get("email") or completed_by.get("username") or completed_by.get("id") or "")
    return "" if completed_by is None else f"Label Studio user {completed_by}"


def _objects(value: object, where: str) -> list[Json]:
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"{where} must be a list of objects; export the project from Label Studio as JSON")
    return value


def _text(value: object, where: str) -> str:
    if value is not None and not isinstance(value, str):
        raise DataError(f"{where} must be a text, is {value!r:.60}")
    return value or ""
