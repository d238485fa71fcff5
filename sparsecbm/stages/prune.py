"""Stage `prune`: find each concept's subnetwork, live in MLflow, resumable."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_split
from sparsecbm.evaluate.specificity.null_specificity import (
    MEASURES,
    NullSpecificity,
    null_excess,
    null_specificity,
    rank_p_values,
)
from sparsecbm.evaluate.specificity.specificity import Specificity, excess, specificity
from sparsecbm.explain.explanation import plain
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.storage import load as load_model
from sparsecbm.model.storage import save as save_model
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.stages.reproducible_stage import reproducible_stage
from sparsecbm.track.live import LiveRun, live_run
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import build_examples
from sparsecbm.train.loop import History, TrainingRun, join_training, validation_scores
from sparsecbm.train.processes import writes


@dataclass(frozen=True, eq=False)
class _Pruned:
    """A model with masks, how its training went, and its scores on the validation split."""

    model: ConceptBottleneck
    history: History
    specificity: Specificity
    nulls: NullSpecificity | None
    record: dict


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `models/sparse` and `metrics/prune.json`.

    All scores are those of the validation split. With `prune.control`, a second training has random masks that equal
    the chosen masks in density and overlap: the difference is the gain from choosing. With `prune.null_concepts`,
    concepts without meaning get masks in the same training, and `nulls` says how these do; the model does not keep
    them. The black box (mode `standard`) has no concepts to find masks for, so it is saved unchanged.
    """
    join_training(params.finetune)
    dense = load_model(workspace.dense)
    if not dense.has_bottleneck:
        if writes():
            save_model(dense, workspace.sparse)
            write_json(workspace.metrics("prune"), {"chosen": None})
        return
    splits = {split: read_split(workspace.annotated, split) for split in ("train", "validation")}
    before = validation_scores(dense.eval(), build_examples(splits["validation"], dense), _batch_size(params))
    root = workspace.checkpoints / f"prune-{stage_key(workspace, 'prune')[:16]}"
    events = root / "chosen" / "events"
    with live_run(params, workspace, stage="prune") as log:
        chosen = _prune(dense, splits, params, Checkpoints(root / "chosen"), log)
        log.files(events, "masks")
        history = chosen.history
        record = {
            "chosen": {**chosen.record, "before": before, "layers": _layer_shares(chosen.model.masks)},
            "best": next(epoch for epoch in history.epochs if epoch["step"] == history.best_step),
            "curves": history.curves,
            "epochs": history.epochs,
            "events": history.events,
        }
        control = None
        if params.prune.control:
            control = _prune(dense, splits, params, Checkpoints(root / "random"), log, control_of=events)
            record["random"] = {**control.record, "before": before}
            record["excess"] = excess(chosen.specificity, control.specificity, seed=params.seed).to_dict()
        if chosen.nulls is not None:
            record["nulls"] = _compare_with_nulls(chosen, control, record.get("excess"), params.seed)
    if writes():
        save_model(chosen.model, workspace.sparse)
        write_json(workspace.metrics("prune"), record)
        Checkpoints(root).clear()


def _prune(
    dense: ConceptBottleneck,
    splits: dict[str, pd.DataFrame],
    params: Params,
    checkpoints: Checkpoints,
    log: LiveRun,
    control_of: Path | None = None,
) -> _Pruned:
    """Fit masks for the dense model and score the result.

    Args:
        control_of: folder with the pruning events of chosen masks; then the masks are random ones that match them
    """
    training, validation = splits["train"], splits["validation"]
    options = PruneOptions(params.prune, params.finetune, control_of)
    result = fit_masks(dense, training, validation, options, TrainingRun(params.seed, checkpoints, log))
    model = result.model.to("cpu")
    measured = specificity(model, training, validation, params.prune.probe_texts, seed=params.seed)
    after = validation_scores(model, build_examples(validation, model), _batch_size(params))
    model.eval()
    nulls = None
    if result.beside is not None:
        tables = training, validation
        beside = result.beside.to("cpu")
        nulls = null_specificity(beside, result.nulls, tables, params.prune.probe_texts, seed=params.seed)
    record = {**measured.to_dict(), "after": after}
    if result.own_weights:
        record["own_weights"] = {name: plain(asdict(own)) for name, own in result.own_weights.items()}
    return _Pruned(model, result.history, measured, nulls, record)


def _compare_with_nulls(chosen: _Pruned, control: _Pruned | None, excess_of_real: dict | None, seed: int) -> dict:
    """The scores of null concepts, and how often one does as well as a real concept.

    Figures are compared as they exceed random masks, if there is a control.
    """
    assert chosen.nulls is not None
    scores = {name: form.to_dict() for name, form in chosen.nulls.scores.items()}
    record: dict = {"chosen": scores}
    null = {measure: {name: form[measure] for name, form in scores.items()} for measure in MEASURES}
    real = chosen.specificity.scores
    figures = {"swap": real.swap.gap, "probe": real.probe.gap, "ablation": real.ablation.selectivity}
    values = {measure: {name: e.value for name, e in by_name.items()} for measure, by_name in figures.items()}
    if control is not None and control.nulls is not None and excess_of_real is not None:
        record["random"] = {name: form.to_dict() for name, form in control.nulls.scores.items()}
        over = null_excess(chosen.nulls, control.nulls, seed=seed)
        null = {m: {name: e.to_dict() for name, e in by_name.items()} for m, by_name in over.items()}
        record["excess"] = null
        values = {m: {name: e["value"] for name, e in excess_of_real[m].items()} for m in MEASURES}
    record["rank_p"] = {m: rank_p_values(values[m], [e["value"] for e in null[m].values()]) for m in MEASURES}
    return record


def _layer_shares(masks: MaskSet) -> dict[str, dict[str, dict[str, float]]]:
    """Layer -> `density` and `exclusive` -> concept -> share of the layer's weights, with six decimals."""
    kept = {mask.name: mask.density_by_layer() for mask in masks}
    exclusive = {name: masks.exclusive(name).density_by_layer() for name in masks.concepts}
    return {
        layer: {
            kind: {name: round(by_layer[layer], 6) for name, by_layer in shares.items()}
            for kind, shares in {"density": kept, "exclusive": exclusive}.items()
        }
        for layer in masks.shapes
    }


def _batch_size(params: Params) -> int:
    """Texts in a batch where no gradients are needed."""
    return params.finetune.batch_size * 2
