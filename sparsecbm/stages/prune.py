"""Stage `prune`: find each concept's subnetwork, live in MLflow, resumable."""

from pathlib import Path

from sparsecbm.base.files import replacing_folder, write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_split
from sparsecbm.evaluate.specificity.specificity import Specificity, excess, specificity
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.storage import load as load_model
from sparsecbm.model.storage import save as save_model
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.plots.masks import plot_density, plot_overlap, plot_probe, plot_swap
from sparsecbm.plots.pruning import plot_pruning
from sparsecbm.prune.fit import PruneOptions, PruneResult, fit_masks
from sparsecbm.stages.reproducible_stage import reproducible_stage
from sparsecbm.track.live import LiveRun, live_run
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import build_examples
from sparsecbm.train.loop import TrainingRun, validation_scores


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `models/sparse`, `metrics/prune.json` and `plots/prune`.

    All is measured on the validation split. With `prune.control` the same training is done once more under
    random masks that match the chosen ones in every number: what chosen masks have beyond it is what
    choosing was worth. The black box (mode `standard`) has no concepts to find masks for and is passed on as it is.
    """
    dense = load_model(workspace.dense)
    if not dense.has_bottleneck:
        _pass_on(dense, workspace)
        return
    training, validation = (read_split(workspace.annotated, split) for split in ("train", "validation"))
    batch_size = params.finetune.batch_size * 2
    before = validation_scores(dense.eval(), build_examples(validation, dense), batch_size)
    root = workspace.checkpoints / f"prune-{stage_key(workspace, 'prune')[:16]}"
    checkpoints = {name: Checkpoints(root / name) for name in ("chosen", "random")}

    def prune(name: str, log: LiveRun, control_of: Path | None = None) -> tuple[PruneResult, Specificity, dict]:
        options = PruneOptions(params.prune, params.finetune, control_of)
        result = fit_masks(dense, training, validation, options, TrainingRun(params.seed, checkpoints[name], log))
        model = result.model.to("cpu")
        measured = specificity(model, training, validation, params.prune.probe_texts, seed=params.seed)
        after = validation_scores(model, build_examples(validation, model), batch_size)
        model.eval()
        return result, measured, {**measured.to_dict(), "before": before, "after": after}

    with live_run(params, workspace, stage="prune") as log:
        result, measured, chosen = prune("chosen", log)
        model, history = result.model, result.history
        log.files(result.events, "masks")
        record = {"chosen": chosen, "curves": history.curves, "epochs": history.epochs, "events": history.events}
        if params.prune.control:
            _, control, record["random"] = prune("random", log, result.events)
            record["excess"] = excess(measured, control, seed=params.seed).to_dict()
    save_model(model, workspace.sparse)
    write_json(workspace.metrics("prune"), record)
    with replacing_folder(workspace.plots / "prune") as folder:
        plot_pruning(history, folder / "curves.png")
        plot_density(model.masks, folder / "density.png")
        plot_overlap(measured.scores.overlap, folder / "overlap.png")
        plot_swap(measured.scores.swap, folder / "swap.png")
        plot_probe(measured.scores.probe, folder / "probe.png")
    Checkpoints(root).clear()


def _pass_on(dense: ConceptBottleneck, workspace: Workspace) -> None:
    save_model(dense, workspace.sparse)
    write_json(workspace.metrics("prune"), {"chosen": None})
    with replacing_folder(workspace.plots / "prune"):
        pass  # an output that DVC expects, empty
