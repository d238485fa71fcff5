"""Stage `finetune`: train the dense concept bottleneck, live in MLflow, resumable."""

from sparsecbm.base.files import replacing_folder, write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_concepts, read_split
from sparsecbm.model.cbm import ConceptBottleneck, Settings
from sparsecbm.model.storage import save as save_model
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.plots.training import plot_curves
from sparsecbm.stages.reproducible_stage import reproducible_stage
from sparsecbm.track.live import live_run
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.modes import fit


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `models/dense`, `metrics/finetune.json` and `plots/finetune`.

    The checkpoints' folder is named by the hash of the stage's inputs, so that a run that was killed goes
    on only if nothing has changed since.
    """
    concept_set = read_concepts(workspace.annotated)
    settings = Settings(**params.model.model_dump(exclude={"backbone"}))
    model = ConceptBottleneck.build(params.model.backbone, concept_set, settings)
    training, validation = (read_split(workspace.annotated, split) for split in ("train", "validation"))
    checkpoints = Checkpoints(workspace.checkpoints / f"finetune-{stage_key(workspace, 'finetune')[:16]}")
    with live_run(params, workspace, stage="finetune") as log:
        training_run = TrainingRun(params.seed, checkpoints, log)
        history = fit(model, training, validation, params.finetune, training_run)
    save_model(model.to("cpu"), workspace.dense)
    best = next(epoch for epoch in history.epochs if epoch["step"] == history.best_step)
    parameters = sum(p.numel() for p in model.parameters())
    record = {"best": best, "parameters": parameters, "curves": history.curves, "epochs": history.epochs}
    write_json(workspace.metrics("finetune"), record)
    with replacing_folder(workspace.plots / "finetune") as folder:
        plot_curves(history, folder / "curves.png")
    checkpoints.clear()
