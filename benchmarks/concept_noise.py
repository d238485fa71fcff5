"""Training on flipped concept labels: what each remedy gives back, compared with plain training.

    python benchmarks/concept_noise.py --data FOLDER                    # the missing runs, in the order of `plan`
    python benchmarks/concept_noise.py --data FOLDER --only cebab/0.2
    python benchmarks/concept_noise.py --data FOLDER --only cebab --dev   # CEBaB's dev, once all choices are made

FOLDER holds CEBaB's released files. So that this many runs fit into an hour or two of half a core, each trains a small
dense model, the first two of MiniLM's six blocks, on a fixed share of the training texts (`SIZES`). Concept labels of
training and validation are flipped, those of the test are clean, and the label of a text stays as it is. Every cell's
chance of a flip differs (`flip_labels`), and its confidence tells this chance, so a remedy that uses the confidence has
what a perfectly calibrated annotator would give.

CEBaB is scored on the edits, in `train_inclusive`, of the originals that validation holds out; dev stays unseen until
`--dev`. `restaurants` is scored on its test split. A run writes one file below .sparsecbm/benchmarks/concept-noise,
and a run that is there is not repeated. benchmarks/results/concept-noise.json holds them all, with a summary.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from few_labels import DEFINITIONS, CachedEncoder, task
from label_flips import flip_labels, with_soft_shares
from paired_gains import summarise
from tables import WORKSPACE, annotated, configured

from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.annotate.correction import corrected_shares
from sparsecbm.annotate.embedding import EmbeddingAnnotator
from sparsecbm.annotate.labels import text_key
from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.metrics import accuracy
from sparsecbm.base.params import Params
from sparsecbm.model.backbone import load_backbone
from sparsecbm.model.cbm import Settings
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import MISSING, class_indices
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.modes import fit
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results" / "concept-noise.json"
RUNS = WORKSPACE.root / ".sparsecbm" / "benchmarks" / "concept-noise"
SEEDS = (1, 2, 3)
REMEDIES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "mixup": ("finetune.noise.mixup=0.4",),
    "robust loss": ("finetune.noise.generalised_cross_entropy=0.7",),
    "confidence": ("finetune.noise.confidence_weights=true",),
    "soft targets": ("finetune.targets=votes",),
    "correction": ("finetune.targets=votes",),
    "mixup, robust loss": ("finetune.noise.mixup=0.4", "finetune.noise.generalised_cross_entropy=0.7"),
}


@dataclass(frozen=True)
class Size:
    """How much of a data set a run takes, and its settings."""

    training: int  # texts
    validation: int
    test: int
    settings: tuple[str, ...]


FAST = ("threads=1", "finetune.batch_size=16", "finetune.learning_rate=2e-4", "finetune.checkpoint_seconds=1e9")
SIZES = {
    "cebab": Size(1600, 180, 1000, ("finetune.epochs=6",)),
    "restaurants": Size(1600, 180, 1000, ("finetune.epochs=6",)),
}
BLOCKS = 2  # of the backbone


@dataclass(frozen=True)
class Run:
    """One training."""

    source: str
    rate: float
    remedy: str
    seed: int

    @property
    def name(self) -> str:
        """The key of its result."""
        return f"{self.source}/{self.rate:g}/{self.remedy}/{self.seed}"


def plan() -> list[Run]:
    """All runs, the important ones first."""
    first = ("plain", "correction")
    second = ("robust loss", "mixup", "soft targets", "confidence", "mixup, robust loss")
    cells = []
    for remedies in (first, second):
        for source in SIZES:
            cells += [(source, 0.0, "plain")] if remedies == first else []
            cells += [(source, 0.2, remedy) for remedy in remedies]
    for remedies in (first, second):
        cells += [(source, rate, remedy) for rate in (0.4, 0.1) for source in SIZES for remedy in remedies]
    return [Run(*cell, seed) for cell in cells for seed in SEEDS]


def held_out_edits(params: Params, validation: pd.DataFrame) -> pd.DataFrame:
    """Return the edits, in CEBaB's `train_inclusive`, of the originals that validation holds out."""
    inclusive = params.source.model_copy(update={"train": "train_inclusive"})
    frames, _ = annotated(params.model_copy(update={"source": inclusive}))
    everything = pd.concat([frames["train"], frames["validation"]], ignore_index=True)
    of_groups = everything[everything["group"].isin(validation["group"])]
    return of_groups[~of_groups["id"].isin(validation["id"])].reset_index(drop=True)


def scores(model: SparseCBM, frame: pd.DataFrame) -> dict[str, float]:
    """Return the accuracy of the label, of each concept, and of the concepts on average."""
    logits = model.logits(frame["text"].tolist())
    label = class_indices(frame["label"], model.concept_set.label).numpy()
    by_concept = {}
    for concept in model.concept_set:
        gold = class_indices(frame[f"concept.{concept.name}"], concept).numpy()
        by_concept[concept.name] = accuracy(gold, logits.concepts[concept.name].argmax(1), MISSING)
    mean = float(np.mean(list(by_concept.values())))
    return {"concepts": mean, "label": accuracy(label, logits.label.argmax(1), MISSING), **by_concept}


def small_backbone() -> str:
    """Return the folder of a backbone with the first blocks of the default one; it is written once."""
    folder = RUNS / f"backbone-{BLOCKS}"
    if not folder.is_dir():
        backbone, tokenizer = load_backbone(configured(None, "joint", 1, [], ()).model.backbone)
        backbone.config.num_hidden_layers = BLOCKS
        backbone.encoder.layer = backbone.encoder.layer[:BLOCKS]
        backbone.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)


def train(params: Params, concept_set: ConceptSet, training: pd.DataFrame, validation: pd.DataFrame) -> SparseCBM:
    """Return a dense model."""
    settings = Settings(**params.model.model_dump(exclude={"backbone"}))
    model = SparseCBM.build(params.model.backbone, concept_set, settings)
    with tempfile.TemporaryDirectory() as folder:
        fit(model, training, validation, params.finetune, TrainingRun(params.seed, Checkpoints(Path(folder))))
    return model


def sample(frame: pd.DataFrame, texts: int, seed: int) -> pd.DataFrame:
    """Return so many rows, drawn by the seed; all of them if there are fewer."""
    return frame.sample(min(texts, len(frame)), random_state=seed).reset_index(drop=True)


def measure(run: Run, data: Path) -> dict:
    """Train one model, keep it, and score it."""
    size = SIZES[run.source]
    over = [*FAST, f"model.backbone={small_backbone()}", *size.settings, *REMEDIES[run.remedy]]
    cebab = run.source == "cebab"
    params = configured(data if cebab else None, "joint", run.seed, over, ("cebab",) if cebab else ())
    with reproducible(run.seed, params.threads):
        frames, concept_set = annotated(params)
        training = sample(frames["train"], size.training, run.seed)
        validation = sample(frames["validation"], size.validation, run.seed)
        test = held_out_edits(params, frames["validation"]) if cebab else frames["test"]
        if run.rate:
            training = flip_labels(training, concept_set, run.rate, run.seed)
            validation = flip_labels(validation, concept_set, run.rate, run.seed + 1000)
        if run.remedy == "soft targets":
            training = with_soft_shares(training, concept_set)
        if run.remedy == "correction":
            training = with_corrected_shares(training, concept_set, params)
        start = time.process_time()
        model = train(params, concept_set, training, validation)
        seconds = time.process_time() - start
        if cebab:
            model.save_pretrained(model_folder(run))
        held_out = scores(model, sample(test, size.test, 0))
    return {"test": held_out, "cpu_seconds": round(seconds, 1), "texts": size.training}


def with_corrected_shares(frame: pd.DataFrame, concept_set: ConceptSet, params: Params) -> pd.DataFrame:
    """Return a copy whose shares are corrected by `embedding`, which learns from the flipped labels of other groups.

    It is not told which labels were flipped, nor how many.
    """
    everybody = pd.Series(True, frame.index)
    texts, people = task({"train": frame}, everybody, concept_set)
    encode = CachedEncoder(params.annotate.embedding.encoder, RUNS / "vectors")
    definitions = read_concept_file(DEFINITIONS).concepts
    labels = EmbeddingAnnotator(params.annotate.embedding, params.seed, 1, encode).annotate(texts, definitions, people)
    keys, changed = frame["text"].map(text_key), {}
    for concept in concept_set:
        known = frame[f"concept.{concept.name}"].notna().to_numpy()
        given = frame.loc[known, f"concept.{concept.name}"].map(concept.index).to_numpy()
        own = labels[labels["concept"] == concept.name].set_index("key")["probabilities"].map(json.loads)
        judged = np.array([[own[key][state] for state in concept.states] for key in keys[known]])
        corrected = corrected_shares(given, judged / judged.sum(1, keepdims=True))
        if corrected is None:
            continue
        for number, state in enumerate(concept.states):
            share = np.full(len(frame), np.nan)
            share[known] = corrected[:, number]
            changed[f"share.{concept.name}.{state}"] = share
    return frame.assign(**changed)


def model_folder(run: Run) -> Path:
    """Return the folder of a run's model."""
    return RUNS / "models" / run.name.replace("/", "-").replace(", ", "-").replace(" ", "-")


def result_file(run: Run) -> Path:
    """Return the file of a run's result."""
    return RUNS / f"{model_folder(run).name}.json"


def score_dev(run: Run, data: Path) -> dict[str, float]:
    """Score the model of a finished run on CEBaB's dev."""
    params = configured(data, "joint", run.seed, ["threads=1"])
    with reproducible(run.seed, params.threads):
        return scores(SparseCBM.from_pretrained(model_folder(run)), annotated(params)[0]["dev"])


def summary_of(results: Mapping[str, dict], split: str) -> dict[str, dict]:
    """Return, by source and rate and by remedy, scores over seeds and the gain over plain training at the same rate.

    Plain training on flipped labels is compared with plain training on clean ones. `recovered` is the share of this
    loss of concept accuracy that a remedy gives back.
    """
    cells: dict[tuple[str, str, str], dict[str, dict]] = {}
    for name, result in results.items():
        source, rate, remedy, seed = name.split("/")
        if split in result:
            cells.setdefault((source, rate, remedy), {})[seed] = result[split]
    summary: dict[str, dict] = {}
    for (source, rate, remedy), by_seed in cells.items():
        against = cells.get((source, rate, "plain") if remedy != "plain" else (source, "0", "plain"))
        entry = summarise(by_seed, against if against is not by_seed else None)
        summary.setdefault(f"{source}, {rate}", {})[remedy] = entry
    for remedies in summary.values():
        loss = remedies.get("plain", {}).get("concepts", {}).get("gain")
        for remedy, entry in remedies.items():
            if loss and "gain" in entry["concepts"] and remedy != "plain":
                entry["recovered"] = round(-entry["concepts"]["gain"]["value"] / loss["value"], 3)
    return summary


def main() -> None:
    """Measure what is missing, then write all results with their summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default="", help="runs whose name begins with this")
    parser.add_argument("--dev", action="store_true", help="train nothing; score finished models on dev")
    arguments = parser.parse_args()
    for run in plan():
        path = result_file(run)
        if not run.name.startswith(arguments.only) or path.is_file() != arguments.dev:
            continue
        measured = (
            read_json(path) | {"dev": score_dev(run, arguments.data)} if arguments.dev else measure(run, arguments.data)
        )
        write_json(path, measured)
        print(run.name, measured, flush=True)
    results = {run.name: read_json(result_file(run)) for run in plan() if result_file(run).is_file()}
    summaries = {split: summary_of(results, split) for split in ("test", "dev")}
    write_json(RESULTS, {"summary": summaries, "runs": results})


if __name__ == "__main__":
    main()
