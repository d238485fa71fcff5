"""Real machine labels: do they help a few human labels of the same concepts?

    python benchmarks/machine_labels.py --data FOLDER --sources cebab imdb-c

FOLDER holds the folders cebab, cebab-aug and imdb-c of the released files. Each run trains a small dense model (the
backbone of benchmarks/concept_noise.py) on texts that people labelled, alone or with texts of which a language model
gave the concept labels (C3M, arXiv 2311.05014), and scores it on other texts that people labelled:

    cebab     `train_exclusive`, validation and `dev` by people; the Yelp reviews of cebab-aug by the machine
    imdb-c    the 175 manual texts, divided by the seed into three parts; the generated ones by machine

Validation holds labels of people only. The label of a text (stars, sentiment) is its author's everywhere. A run writes
one file below .sparsecbm/benchmarks/machine-labels, and a run that is there is not repeated.
benchmarks/results/machine-labels.json holds them all, with a summary: differences from `people` are paired by seed,
with 95 % intervals by Student's t over seeds.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from concept_noise import FAST, SEEDS, sample, scores, small_backbone, train
from paired_gains import summarise
from tables import WORKSPACE, annotated, configured

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results" / "machine-labels.json"
RUNS = WORKSPACE.root / ".sparsecbm" / "benchmarks" / "machine-labels"
ARMS: dict[str, tuple[str, ...]] = {
    "people": (),
    "people and machine": (),
    "people and machine, weight .3": ("finetune.noise.machine_weight=0.3",),
}


@dataclass(frozen=True)
class Size:
    """How many texts a source gives, and how long they may be."""

    people: int
    machine: int
    validation: int
    test: int
    max_length: int
    epochs: tuple[int, int]  # of people alone, and of people and machine


SIZES = {
    "cebab": Size(100, 120, 60, 400, 64, (8, 4)),
    "imdb-c": Size(80, 100, 20, 75, 96, (8, 4)),
}


@dataclass(frozen=True)
class Texts:
    """The annotated tables of one run."""

    people: pd.DataFrame
    machine: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def read_yelp(path: Path, concept_set: ConceptSet) -> pd.DataFrame:
    """Return the Yelp reviews of cebab-aug as annotated rows; a language model gave their concept labels."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame = pd.DataFrame({"text": rows["description"], "label": rows["review_majority"]})
    for name in concept_set.names:
        frame[f"concept.{name}"] = rows[f"{name}_aspect_majority"]
        frame[f"source.{name}"] = "machine"
    frame["label"] = frame["label"].where(frame["label"].isin(concept_set.label.states), None)
    return frame


def texts_of_cebab(params: Params, data: Path, size: Size) -> tuple[Texts, ConceptSet]:
    """Return CEBaB by people and Yelp by machine."""
    frames, concept_set = annotated(params)
    yelp = read_yelp(data / "cebab-aug" / "train_yelp_exclusive.csv", concept_set)
    seed = params.seed
    people, validation = frames["train"], frames["validation"]
    return Texts(
        sample(people, size.people, seed),
        sample(yelp, size.machine, seed),
        sample(validation, size.validation, seed),
        sample(frames["dev"], size.test, 0),
    ), concept_set


def texts_of_imdb(params: Params, size: Size) -> tuple[Texts, ConceptSet]:
    """Return the manual texts in three parts, and generated ones."""
    frames, concept_set = annotated(params)
    manual = pd.concat(list(frames.values()), ignore_index=True).sample(frac=1, random_state=params.seed)
    generated = params.source.model_copy(update={"labels": "generated"})
    machine = annotated(params.model_copy(update={"source": generated}))[0]["train"]
    first, second = size.people, size.people + size.validation
    parts = [manual.iloc[:first], manual.iloc[first:second], manual.iloc[second : second + size.test]]
    people, validation, test = (part.reset_index(drop=True) for part in parts)
    return Texts(people, sample(machine, size.machine, params.seed), validation, test), concept_set


def measure(source: str, arm: str, seed: int, data: Path) -> dict:
    """Train one model and score it."""
    size = SIZES[source]
    epochs = size.epochs[arm != "people"]
    over = [*FAST, f"model.backbone={small_backbone()}", f"model.max_length={size.max_length}"]
    over += [f"finetune.epochs={epochs}", "finetune.patience=10", *ARMS[arm]]
    params = configured(data / source, "joint", seed, over, (source,))
    with reproducible(seed, params.threads):
        if source == "cebab":
            texts, concept_set = texts_of_cebab(params, data, size)
        else:
            texts, concept_set = texts_of_imdb(params, size)
        training = texts.people
        if arm != "people":
            training = pd.concat([texts.people, texts.machine], ignore_index=True)
        start = time.process_time()
        model = train(params, concept_set, training, texts.validation)
        seconds = time.process_time() - start
        held_out = scores(model, texts.test)
    return {"test": held_out, "cpu_seconds": round(seconds, 1), "texts": len(training)}


def summary_of(results: Mapping[str, dict]) -> dict[str, dict]:
    """Return, by source and arm, scores over seeds and the gain over the labels of people alone."""
    cells: dict[str, dict[str, dict[str, dict]]] = {}
    for name, result in results.items():
        source, arm, seed = name.split("/")
        cells.setdefault(source, {}).setdefault(arm, {})[seed] = result["test"]
    return {
        source: {
            arm: summarise(by_seed, arms.get("people") if arm != "people" else None) for arm, by_seed in arms.items()
        }
        for source, arms in cells.items()
    }


def main() -> None:
    """Measure what is missing, then write all results with their summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sources", nargs="+", choices=list(SIZES), default=list(SIZES))
    arguments = parser.parse_args()
    names = [f"{source}/{arm}/{seed}" for source in SIZES for arm in ARMS for seed in SEEDS]
    files = {name: RUNS / f"{name.replace('/', '-').replace(', ', '-').replace(' ', '-')}.json" for name in names}
    for name, file in files.items():
        source, arm, seed = name.split("/")
        if source in arguments.sources and not file.is_file():
            write_json(file, measure(source, arm, int(seed), arguments.data))
            print(name, read_json(file), flush=True)
    results = {name: read_json(file) for name, file in files.items() if file.is_file()}
    write_json(RESULTS, {"summary": summary_of(results), "runs": results})


if __name__ == "__main__":
    main()
