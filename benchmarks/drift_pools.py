"""What the benchmark of drift draws its windows from: texts that a cheaply trained sparse model has never seen."""

import tempfile
from pathlib import Path

import pandas as pd
from tables import WORKSPACE, annotated, configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.params import Params
from sparsecbm.model.cbm import Settings
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.modes import fit
from sparsecbm.train.reproducible import reproducible

KEPT = WORKSPACE.root / ".sparsecbm" / "benchmarks"
TRAINED = {"cebab": 600, "restaurants": 600}  # training and validation texts; the others are the pool
EPOCHS = {"cebab": 6, "restaurants": 4}


def pool_of(source: str, data: Path | None) -> tuple[Params, pd.DataFrame, pd.DataFrame, ConceptSet]:
    """Return the parameters, the texts to train on, the pool, and the concepts; one text of each group, shuffled."""
    profiles = ("cebab",) if source == "cebab" else ()
    settings = [f"finetune.epochs={EPOCHS[source]}"]
    params = configured(data if source == "cebab" else None, "joint", 1, settings, profiles)
    splits, concept_set = annotated(params)
    whole = pd.concat(splits.values(), ignore_index=True).sample(frac=1, random_state=1)
    whole = whole.drop_duplicates("group").drop_duplicates("text").reset_index(drop=True)
    return params, whole[: TRAINED[source]], whole[TRAINED[source] :].reset_index(drop=True), concept_set


def trained_model(source: str, params: Params, training: pd.DataFrame, concept_set: ConceptSet) -> SparseCBM:
    """Return the sparse model of a source, trained once and kept."""
    folder = KEPT / f"drift-{source}"
    if not folder.is_dir():
        held_out = len(training) // 10
        train, validation = training[held_out:].reset_index(drop=True), training[:held_out].reset_index(drop=True)
        with reproducible(params.seed, 1), tempfile.TemporaryDirectory() as scratch:
            of_model = Settings(**params.model.model_dump(exclude={"backbone"}))
            dense = SparseCBM.build(params.model.backbone, concept_set, of_model)
            fit(dense, train, validation, params.finetune, TrainingRun(params.seed, Checkpoints(Path(scratch) / "1")))
            run = TrainingRun(params.seed, Checkpoints(Path(scratch) / "2"))
            result = fit_masks(dense, train, validation, PruneOptions(params.prune, params.finetune), run)
        result.model.to("cpu").save_pretrained(folder)
    return SparseCBM.from_pretrained(folder)
