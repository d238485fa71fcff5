"""Stage `finetune`: train the dense concept bottleneck, live in MLflow, resumable."""

from sparsecbm.annotate.variation import require_states
from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_concepts, read_split
from sparsecbm.model.cbm import ConceptBottleneck, Settings
from sparsecbm.model.dry_run import PlannedMasks, dry_run
from sparsecbm.model.storage import save as save_model
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.stages.reproducible_stage import reproducible_stage
from sparsecbm.track.live import live_run
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import History, TrainingRun, in_bf16, join_training
from sparsecbm.train.modes import fit
from sparsecbm.train.processes import writes


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `models/dense` and `metrics/finetune.json`.

    The name of the checkpoints' folder holds the hash of the stage's inputs. So an interrupted run only continues if
    its inputs are still the same. The black box (mode `standard`) learns no concept, so they need no labels.

    Raises:
        DataError: a concept does not have two states among the training rows, and the mode is not `standard`.
    """
    join_training(params.finetune)
    settings = Settings(**params.model.model_dump(exclude={"backbone"}))
    concept_set = read_concepts(workspace.annotated)
    training, validation = (read_split(workspace.annotated, split) for split in ("train", "validation"))
    if settings.mode != "standard":
        require_states(training, concept_set)
    model = ConceptBottleneck.build(params.model.backbone, concept_set, settings)
    dry_run(model, _planned_masks(params), in_bf16(params.finetune))
    checkpoints = Checkpoints(workspace.checkpoints / f"finetune-{stage_key(workspace, 'finetune')[:16]}")
    with live_run(params, workspace, stage="finetune") as log:
        history = fit(model, training, validation, params.finetune, TrainingRun(params.seed, checkpoints, log))
    if writes():
        save_model(model.to("cpu"), workspace.dense)
        write_json(workspace.metrics("finetune"), _record(model, history))
        checkpoints.clear()


def _planned_masks(params: Params) -> PlannedMasks:
    """What the stage `prune` will ask for. It is checked before training, and nothing that is written depends on it."""
    prune = params.prune
    return PlannedMasks(
        prune.layers,
        prune.masked_from,
        whole_units=prune.granularity in ("structured", "hierarchical"),
        pattern=prune.pattern,
        score_rank=prune.score_rank if prune.scores == "low_rank" else 0,
    )


def _record(model: ConceptBottleneck, history: History) -> dict:
    """What `metrics/finetune.json` holds; `best` is the epoch whose weights were kept."""
    return {
        "best": next(epoch for epoch in history.epochs if epoch["step"] == history.best_step),
        "parameters": sum(p.numel() for p in model.parameters()),
        "curves": history.curves,
        "epochs": history.epochs,
    }
