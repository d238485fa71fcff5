"""Stage `explain`: say for a sample of texts which words, subnetworks and concepts made their labels."""

import numpy as np
import pandas as pd

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import replacing_folder, sha256_file, write_json
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.schemas import ExplanationTable, check
from sparsecbm.data.tables import head_split, read_manifest, read_split
from sparsecbm.evaluate.faithfulness.faithfulness import FaithfulnessScores, FaithfulnessSettings, measure_faithfulness
from sparsecbm.explain.explainer import ExplainOptions, TextSource, explain
from sparsecbm.explain.explanation import Explanation, plain
from sparsecbm.explain.export import TABLE, word_table, write_explanations
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.parts import PartTexts, describe_parts
from sparsecbm.explain.subnetworks import Subnetworks, describe_subnetworks
from sparsecbm.explain.summary import summarize_concepts, summarize_model
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.storage import CHECKSUMS
from sparsecbm.model.storage import load as load_model
from sparsecbm.stages.reproducible_stage import reproducible_stage

READ = 300  # training texts on whose words neurons may fire


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `reports/explanations` and `metrics/explain.json`.

    The texts are of the split that heads `metrics/evaluate.json`. A model of mode `standard` has nothing to explain:
    the stage then writes an empty result. A model without masks is explained densely.
    """
    model = load_model(workspace.sparse)
    split = head_split(workspace.annotated)
    if not model.has_bottleneck:
        note = "a model of mode `standard` has no concepts, so there is nothing to explain"
        print(note)
        _write(workspace, model, [], {"split": split, "texts": 0, "note": note})
        return
    frame = read_split(workspace.annotated, split).sample(frac=1, random_state=params.seed)  # in a drawn order
    explanations = _explain(params, workspace, model, frame.head(params.explain.texts), split)
    many = frame.head(params.explain.readings)
    gold = {c.name: _state_indices(many[f"concept.{c.name}"], c.states) for c in model.concept_set}
    concepts = summarize_concepts(model, model.logits(many["text"].tolist()), gold, params.evaluate.calibration_bins)
    faithfulness = _measure_faithfulness(params, model, frame, explanations)
    subnetworks = describe_subnetworks(model) if model.masked else None
    summary = summarize_model(model, split, explanations, concepts, subnetworks)
    parts = _describe_parts(params, workspace, model, subnetworks, frame)
    _write(workspace, model, explanations, {**summary, **parts, "faithfulness": faithfulness.to_dict()})


def _explain(
    params: Params, workspace: Workspace, model: ConceptBottleneck, frame: pd.DataFrame, split: str
) -> list[Explanation]:
    """Explain every text of a table, with the origin of each."""
    return explain(
        model,
        frame["text"].tolist(),
        ExplainOptions(method=params.explain.method, attribution=_options(params), units=params.explain.units),
        sources=[_row(row, split, model) for _, row in frame.iterrows()],
        folder=sha256_file(workspace.sparse / CHECKSUMS),
        data=read_manifest(workspace.annotated)["sha256"],
    )


def _describe_parts(
    params: Params, workspace: Workspace, model: ConceptBottleneck, subnetworks: Subnetworks | None, frame: pd.DataFrame
) -> dict:
    """Heads and strongest neurons of each subnetwork, or a note why there are none; neurons fire on training texts."""
    if subnetworks is None:
        return {"parts": {}, "parts_note": "the model has no masks, so no concept has a subnetwork of its own"}
    rows = frame.head(params.explain.part_texts)
    training = read_split(workspace.annotated, "train")["text"]
    reading = training.sample(min(READ, len(training)), random_state=params.seed).tolist()
    texts = PartTexts(rows["text"].tolist(), rows["group"].astype(str).tolist(), reading)
    try:
        parts = describe_parts(model, subnetworks, texts)
    except ModelError as error:
        return {"parts": {}, "parts_note": str(error)}
    return {"parts": plain({name: each.to_dict() for name, each in parts.items()}), "parts_note": None}


def _measure_faithfulness(
    params: Params, model: ConceptBottleneck, frame: pd.DataFrame, explanations: list[Explanation]
) -> FaithfulnessScores:
    """Measure on the explained texts, which come first in the table; pairs of edits are of the whole table."""
    word_scores = [{name: concept.words for name, concept in each.concepts.items()} for each in explanations]
    settings = FaithfulnessSettings(params.faithfulness, _options(params), params.evaluate.bootstrap, params.seed)
    explained = {params.explain.method: word_scores}
    return measure_faithfulness(model, frame.head(params.explain.texts), settings, explained, edited=frame)


def _write(workspace: Workspace, model: ConceptBottleneck, explanations: list[Explanation], record: dict) -> None:
    check(word_table(explanations), ExplanationTable, model.concept_set, TABLE)
    with replacing_folder(workspace.explanations) as folder:
        write_explanations(folder, explanations)
    write_json(workspace.metrics("explain"), record)


def _options(params: Params) -> AttributionOptions:
    section = params.explain
    return AttributionOptions(section.baseline, section.steps, section.tolerance, section.max_steps, params.seed)


def _row(row: pd.Series, split: str, model: ConceptBottleneck) -> TextSource:
    states = {name: _state_or_none(row[f"concept.{name}"]) for name in model.concept_set.names}
    return TextSource(row["id"], split, _state_or_none(row["label"]), states)


def _state_or_none(state: str | None) -> str | None:
    return None if pd.isna(state) else state


def _state_indices(column: pd.Series, states: tuple[str, ...]) -> np.ndarray:
    """The index of each text's state, [texts]; `MISSING` for a cell without a state."""
    return column.map({state: index for index, state in enumerate(states)}).fillna(MISSING).astype(int).to_numpy()
