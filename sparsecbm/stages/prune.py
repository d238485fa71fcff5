"""Stage `prune`: find each concept's subnetwork, live in MLflow, resumable."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_split
from sparsecbm.evaluate.specificity.specificity import Specificity, excess, specificity
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
from sparsecbm.train.loop import History, TrainingRun, validation_scores


@dataclass(frozen=True, eq=False)
class _Pruned:
    """A model with masks, how its training went, and its scores on the validation split."""

    model: ConceptBottleneck
    history: History
    specificity: Specificity
    record: dict


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `models/sparse` and `metrics/prune.json`.

    All scores are those of the validation split. With `prune.control`, a second training has random masks that equal
    the chosen masks in density and overlap: the difference is the gain from choosing. The black box (mode `standard`)
    has no concepts to find masks for, so it is saved unchanged.
    """
    dense = load_model(workspace.dense)
    if not dense.has_bottleneck:
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
        if params.prune.control:
            control = _prune(dense, splits, params, Checkpoints(root / "random"), log, control_of=events)
            record["random"] = {**control.record, "before": before}
            record["excess"] = excess(chosen.specificity, control.specificity, seed=params.seed).to_dict()
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
    return _Pruned(model, result.history, measured, {**measured.to_dict(), "after": after})


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
