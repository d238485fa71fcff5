"""Stage `explain`: say of a sample of texts which words, subnetworks and concepts made their labels."""

import pandas as pd

from sparsecbm.base.files import replacing_folder, sha256_file, write_json
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.schemas import ExplanationTable, check
from sparsecbm.data.tables import head_split, read_manifest, read_split
from sparsecbm.evaluate.faithfulness.faithfulness import FaithfulnessScores, measure_faithfulness
from sparsecbm.explain.contributions import compute_contributions, compute_state_effects
from sparsecbm.explain.explainer import ExplainOptions, TextSource, explain
from sparsecbm.explain.export import TABLE, word_table, write_explanations
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.subnetworks import Subnetworks, describe_subnetworks
from sparsecbm.explain.summary import ConceptSummary, summarize_concepts, summarize_model
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.storage import CHECKSUMS
from sparsecbm.model.storage import load as load_model
from sparsecbm.plots.explanations import plot_calibration, plot_effects, plot_heads, plot_waterfall
from sparsecbm.plots.faithfulness import plot_faithfulness
from sparsecbm.stages.reproducible_stage import reproducible_stage


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `reports/explanations`, `metrics/explain.json` and `plots/explain`.

    The texts are of the split that heads `metrics/evaluate.json`. A model of mode `standard` has nothing to explain and
    passes with an empty result; one without masks is explained densely.
    """
    model = load_model(workspace.sparse)
    split = head_split(workspace.annotated)
    if not model.has_bottleneck:
        _nothing(model, split, workspace)
        return
    asked = params.explain
    options = AttributionOptions(asked.baseline, asked.steps, asked.tolerance, asked.max_steps, params.seed)
    read = read_split(workspace.annotated, split).sample(frac=1, random_state=params.seed)  # in a drawn order
    chosen, many = read.head(asked.texts), read.head(asked.readings)
    explanations = explain(
        model,
        chosen["text"].tolist(),
        ExplainOptions(method=asked.method, attribution=options, units=asked.units),
        sources=[_row(row, split, model) for _, row in chosen.iterrows()],
        folder=sha256_file(workspace.sparse / CHECKSUMS),
        data=read_manifest(workspace.annotated)["sha256"],
    )
    gold = {concept.name: _places(many[f"concept.{concept.name}"], concept.states) for concept in model.concept_set}
    concepts = summarize_concepts(model, model.logits(many["text"].tolist()), gold, params.evaluate.calibration_bins)
    found = describe_subnetworks(model) if model.masked else None
    words = [{name: of.words for name, of in one.concepts.items()} for one in explanations]
    faithful = measure_faithfulness(
        model,
        chosen,
        params.faithfulness,
        options,
        params.evaluate.bootstrap,
        params.seed,
        explained={asked.method: words},
        edited=read,
    )
    with replacing_folder(workspace.explanations) as folder:
        check(word_table(explanations), ExplanationTable, model.concept_set, TABLE)
        write_explanations(folder, explanations)
    _plot(model, chosen["text"].iloc[0], concepts, found, faithful, workspace)
    summary = summarize_model(model, split, explanations, concepts, found)
    write_json(workspace.metrics("explain"), {**summary, "faithfulness": faithful.to_dict()})


def _plot(
    model: ConceptBottleneck,
    text: str,
    concepts: dict[str, ConceptSummary],
    found: Subnetworks | None,
    faithful: FaithfulnessScores,
    workspace: Workspace,
) -> None:
    with replacing_folder(workspace.plots / "explain") as folder:
        plot_effects(compute_state_effects(model), folder / "effects.png")
        if model.hard_head is not None:
            plot_effects(compute_state_effects(model, "hard"), folder / "effects-hard.png")
        plot_calibration({name: of.calibration for name, of in concepts.items()}, folder / "calibration.png")
        (first,) = compute_contributions(model, [text])
        plot_waterfall(first.waterfall(), folder / "waterfall.png")
        plot_faithfulness(faithful, folder / "faithfulness.png")
        if found is not None and found.heads:
            plot_heads(found, folder / "heads.png")


def _nothing(model: ConceptBottleneck, split: str, workspace: Workspace) -> None:
    with replacing_folder(workspace.explanations) as folder:
        write_explanations(folder, [])
    with replacing_folder(workspace.plots / "explain"):
        pass
    note = "a model of mode `standard` has no concepts, so there is nothing to explain"
    print(note)
    write_json(workspace.metrics("explain"), {"split": split, "texts": 0, "note": note})


def _row(row: pd.Series, split: str, model: ConceptBottleneck) -> TextSource:
    known = {name: row[f"concept.{name}"] for name in model.concept_set.names}
    return TextSource(row["id"], split, _known(row["label"]), {name: _known(state) for name, state in known.items()})


def _known(state: str | None) -> str | None:
    return None if pd.isna(state) else state


def _places(states: pd.Series, known: tuple[str, ...]) -> pd.Series:
    """Places of states among those that are known, [texts]; `MISSING` for a cell without one."""
    return states.map({state: place for place, state in enumerate(known)}).fillna(MISSING).astype(int).to_numpy()
