"""CEBaB with the default backbone: concept and label accuracy on dev, by mode and seed.

    python benchmarks/cebab.py --data FOLDER --modes joint standard --seeds 1 2 3

FOLDER holds the released JSON files. Training uses `train_exclusive`, and model selection a grouped tenth of it. Scores
are on `dev`. All other settings come from params.yaml and profiles/cebab.yaml. Each result goes to
benchmarks/results/cebab-MODE.json at once. A result with the same settings is not computed again. The models stay in
.sparsecbm/benchmarks/cebab-MODE-SEED, where the benchmark of the masks finds them. With another `model.backbone`, by
`--set`, its name stands after `cebab` in both.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from seed_results import measure_seeds
from tables import WORKSPACE, annotated, configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.params import Params
from sparsecbm.evaluate.scores.bag_of_words import fit_bag_of_words
from sparsecbm.evaluate.scores.scores import ScoredTable, score_split
from sparsecbm.model.cbm import Settings
from sparsecbm.pipeline.compose import compose
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import History, TrainingRun
from sparsecbm.train.modes import fit
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results"


def subject(params: Params) -> str:
    """Return the name of the source, with the backbone if it is not the one of params.yaml."""
    backbone = params.model.backbone
    own = compose(WORKSPACE, (), []).params.model.backbone
    return params.source.name if backbone == own else f"{params.source.name}-{re.split('[:/]', backbone)[-1]}"


def model_folder(params: Params) -> Path:
    """Return the folder of a trained dense model."""
    return WORKSPACE.root / ".sparsecbm" / "benchmarks" / f"{subject(params)}-{params.model.mode}-{params.seed}"


def train_dense(params: Params, frames: dict[str, pd.DataFrame], concept_set: ConceptSet) -> tuple[SparseCBM, History]:
    """Train a dense model and save it in its folder."""
    of_model = Settings(**params.model.model_dump(exclude={"backbone"}))
    model = SparseCBM.build(params.model.backbone, concept_set, of_model)
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(params.seed, Checkpoints(Path(folder)))
        history = fit(model, frames["train"], frames["validation"], params.finetune, run)
    model.to("cpu").save_pretrained(model_folder(params))
    return model, history


def dense_model(params: Params, frames: dict[str, pd.DataFrame], concept_set: ConceptSet) -> SparseCBM:
    """Return the dense model of a mode, seed and source from its folder; it is trained if it is not there."""
    folder = model_folder(params)
    if not folder.is_dir():
        with reproducible(params.seed, params.threads):
            train_dense(params, frames, concept_set)
    return SparseCBM.from_pretrained(folder)


def measure(params: Params) -> dict:
    """Train one model and score it on dev."""
    seed = params.seed
    with reproducible(seed, params.threads):
        frames, concept_set = annotated(params)
        start = time.perf_counter()
        model, history = train_dense(params, frames, concept_set)
        seconds = time.perf_counter() - start
        words = fit_bag_of_words(frames["train"], concept_set)
        scores = score_split(model, ScoredTable("dev", frames["dev"]), params.evaluate, seed, words)
        return {
            "seconds": round(seconds, 1),
            "epochs": len(history.epochs),
            "best_epoch": next(e["epoch"] for e in history.epochs if e["step"] == history.best_step),
            "settings": settings_of(params),
            "dev": scores.model_dump(exclude={"label": {"confusion"}, "concepts": {"__all__": {"confusion"}}}),
        }


def settings_of(params: Params) -> dict:
    """Return the settings that a result depends on, besides seed and data."""
    return {"model": params.model.model_dump(), "finetune": params.finetune.model_dump()}


def figures(result: dict) -> dict[str, float]:
    """Return the figures that the targets name, in points."""
    dev = result["dev"]
    values = {"label, soft": dev["label"]["accuracy"]}
    if dev["label_hard"]:
        values |= {
            "label, hard": dev["label_hard"]["accuracy"],
            "label, hard, refitted": dev["label_hard_refitted"]["accuracy"],
            "concepts": dev["concepts"]["mean"]["accuracy"],
            "concepts, annotated": dev["concepts_annotated"]["mean"]["accuracy"],
            "concepts, macro_f1": dev["concepts"]["mean"]["macro_f1"],
        }
    return values | {"label, macro_f1": dev["label"]["macro_f1"], "label, macro_f1_ovr": dev["label"]["macro_f1_ovr"]}


def main() -> None:
    """Measure the missing results, then print every figure by mode."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--modes", nargs="+", default=["joint", "standard"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    arguments = parser.parse_args()
    for mode in arguments.modes:
        runs = [configured(arguments.data, mode, seed, arguments.set) for seed in arguments.seeds]
        path = RESULTS / f"{subject(runs[0])}-{mode}.json"
        results = measure_seeds(path, runs, settings_of, measure)
        table = [figures(results[seed]) for seed in map(str, arguments.seeds)]
        print(f"\n{mode}, seeds {arguments.seeds}: mean (each)")
        for name in table[0]:
            values = [row[name] for row in table]
            print(f"  {name:24} {np.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})")


if __name__ == "__main__":
    main()
