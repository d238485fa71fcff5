"""CEBaB with few labels of people: how good the annotators are, and the model that is trained on their labels.

    python benchmarks/few_labels.py annotators --data FOLDER --annotator embedding --labels 25 100 --draws 1 2 3
    python benchmarks/few_labels.py model --data FOLDER --annotator embedding --labels 100 300 --draws 1 2 3

FOLDER holds the released JSON files. Each draw takes its own validation tenth of `train_exclusive` and its own texts,
spread over the stars and over originals. People's labels of these texts are kept, those of all other training and
validation texts are hidden, and annotators label them with the definitions in benchmarks/concepts/cebab.yaml. The stars
stay. All scores are on `dev`, against people; blank aspects count as `unknown`. Settings are those of params.yaml and
profiles/cebab.yaml. Each result goes to benchmarks/results/few-labels-WHAT-ANNOTATOR.json at once, and one with the
same settings is not computed again. Labels stay in .sparsecbm/benchmarks/few-labels; both kinds of results share them.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from cebab import RESULTS
from safetensors.numpy import load_file, save_file
from sklearn.metrics import cohen_kappa_score
from tables import WORKSPACE, annotated, configured

from sparsecbm.annotate.annotator import Annotator
from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.annotate.embedding import EmbeddingAnnotator
from sparsecbm.annotate.few_shot import FewShotAnnotator
from sparsecbm.annotate.labels import read_labels, text_key, write_labels
from sparsecbm.annotate.sentence_encoder import SentenceEncoder
from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params
from sparsecbm.evaluate.scores.bag_of_words import fit_bag_of_words
from sparsecbm.evaluate.scores.scores import ScoredTable, score_split
from sparsecbm.model.cbm import Settings
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.modes import fit
from sparsecbm.train.reproducible import reproducible

DEFINITIONS = Path(__file__).parent / "concepts" / "cebab.yaml"
HIDDEN = ("train", "validation")
KEPT = WORKSPACE.root / ".sparsecbm" / "benchmarks" / "few-labels"


class CachedEncoder:
    """The default encoder, which keeps its vectors on disk, since all draws have the same texts."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.file = name, folder / "vectors.safetensors"
        self.vectors: dict[str, np.ndarray] = {}
        if self.file.is_file():
            stored = load_file(self.file)["vectors"]
            self.vectors = dict(zip(read_json(self.file.with_suffix(".json"))["texts"], stored, strict=True))

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of unit length, [texts, width]."""
        new = [text for text in dict.fromkeys(texts) if text not in self.vectors]
        if new:
            self.vectors |= dict(zip(new, SentenceEncoder(self.name)(new), strict=True))
            self.file.parent.mkdir(parents=True, exist_ok=True)
            save_file({"vectors": np.stack(list(self.vectors.values()))}, self.file)
            write_json(self.file.with_suffix(".json"), {"texts": list(self.vectors)})
        return np.stack([self.vectors[text] for text in texts])


def draw_texts(train: pd.DataFrame, number: int, seed: int) -> pd.Series:
    """Return which rows people label: in turn one of each label, at random among those of a label, and one a group."""
    shuffled = train.sample(frac=1, random_state=seed).drop_duplicates("group")
    turn = shuffled.groupby(shuffled["label"].fillna("")).cumcount()
    chosen = turn.sort_values(kind="stable").index[:number]
    return train.index.to_series().isin(chosen)


def task(frames: dict[str, pd.DataFrame], chosen: pd.Series, concept_set: ConceptSet) -> tuple[pd.DataFrame, ...]:
    """Return the texts and people's labels, as annotators are given them (see `Annotator`)."""
    parts = []
    for split, frame in frames.items():
        columns = {"key": frame["text"].map(text_key), "text": frame["text"], "group": frame["group"], "split": split}
        parts.append(pd.DataFrame(columns | {"label": frame["label"] if split in HIDDEN else None}))
    texts = pd.concat(parts, ignore_index=True).drop_duplicates("key", ignore_index=True)
    labelled = frames["train"][chosen]
    keys = labelled["text"].map(text_key)
    cells = [{"key": keys, "concept": name, "state": labelled[f"concept.{name}"]} for name in concept_set.names]
    people = pd.concat(map(pd.DataFrame, cells), ignore_index=True)
    return texts, people.dropna(subset="state").reset_index(drop=True)


def most_probable(cell: str) -> str:
    """Return the state with the highest probability of a cell of `probabilities`."""
    probabilities = json.loads(cell)
    return max(probabilities, key=probabilities.__getitem__)


def agreement(labels: pd.DataFrame, frame: pd.DataFrame, concept_set: ConceptSet) -> dict:
    """Return the agreement with people, with the most probable state of each cell, and what abstaining leaves out."""
    keys, result = frame["text"].map(text_key), {}
    for concept in concept_set:
        own = labels[labels["concept"] == concept.name].set_index("key")
        gold = frame[f"concept.{concept.name}"]
        said = keys.map(own["probabilities"].dropna().map(most_probable))
        given, known = keys.map(own["state"]), gold.notna()
        kept = known & given.notna()
        result[concept.name] = {
            "kappa": round(cohen_kappa_score(gold[known], said[known]), 6),
            "accuracy": round(float((gold == said)[known].mean()), 6),
            "labelled": round(float(given[known].notna().mean()), 6),
            "accuracy_of_labelled": round(float((gold == given)[kept].mean()), 6),
            "mean_confidence": round(float(keys.map(own["confidence"])[known].mean()), 6),
        }
    names = list(next(iter(result.values())))
    result["mean"] = {name: round(float(np.mean([result[c.name][name] for c in concept_set])), 6) for name in names}
    return result


def annotators(params: Params) -> dict[str, Annotator]:
    """Return the annotators that are compared, by name."""
    encode = CachedEncoder(params.annotate.embedding.encoder, KEPT)
    embedding = EmbeddingAnnotator(params.annotate.embedding, params.seed, params.threads, encode)
    return {"embedding": embedding, "few_shot": FewShotAnnotator(params, encode)}


def fill(frame: pd.DataFrame, labels: pd.DataFrame, kept: pd.Series, concept_set: ConceptSet) -> pd.DataFrame:
    """Return a copy in which machine labels replace all cells but those of the kept rows; none where they abstain."""
    keys, changed = frame["text"].map(text_key), {}
    for concept in concept_set:
        own = labels[(labels["concept"] == concept.name) & labels["state"].notna()].set_index("key")
        changed[f"concept.{concept.name}"] = frame[f"concept.{concept.name}"].where(kept, keys.map(own["state"]))
        cells = own["probabilities"].map(json.loads)
        for state in concept.states:
            name = f"share.{concept.name}.{state}"
            probability = keys.map(cells.map(lambda cell, state=state: cell[state]))
            changed[name] = frame[name].where(kept, probability.astype(float))
    return frame.assign(**changed)


TABLES: dict[int, tuple[dict[str, pd.DataFrame], ConceptSet]] = {}  # draw -> its tables, which take seconds to make


def tables(params: Params) -> tuple[dict[str, pd.DataFrame], ConceptSet]:
    """Return the annotated tables of a draw, and the concepts."""
    if params.seed not in TABLES:
        TABLES[params.seed] = annotated(params)
    return TABLES[params.seed]


def label_texts(params: Params, name: str, number: int) -> tuple[pd.DataFrame, dict, ConceptSet, pd.Series]:
    """Return an annotator's labels, the tables, the concepts and the texts that people labelled."""
    frames, concept_set = tables(params)
    chosen = draw_texts(frames["train"], number, params.seed)
    annotator = annotators(params)[name]
    path = KEPT / f"{name}-{number}-{params.seed}-{annotator.version}.parquet"
    if not path.is_file():
        texts, people = task(frames, chosen, concept_set)
        labels = annotator.annotate(texts, read_concept_file(DEFINITIONS).concepts, people)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(path, labels)
    return read_labels(path), frames, concept_set, chosen


def measure_annotator(params: Params, name: str, number: int) -> dict:
    """Return how well an annotator agrees with people on dev."""
    start = time.process_time()
    labels, frames, concept_set, chosen = label_texts(params, name, number)
    seconds = round(time.process_time() - start)
    dev = agreement(labels, frames["dev"], concept_set)
    return {"cpu_seconds": seconds, "texts_of_people": int(chosen.sum()), "dev": dev}


def measure_model(params: Params, name: str, number: int) -> dict:
    """Train the final model on people's labels and an annotator's, and return its scores on dev."""
    start = time.process_time()
    labels, frames, concept_set, chosen = label_texts(params, name, number)
    nobody = pd.Series(False, frames["validation"].index)
    training = fill(frames["train"], labels, chosen, concept_set)
    validation = fill(frames["validation"], labels, nobody, concept_set)
    with reproducible(params.seed, params.threads), tempfile.TemporaryDirectory() as folder:
        settings = Settings(**params.model.model_dump(exclude={"backbone"}))
        model = SparseCBM.build(params.model.backbone, concept_set, settings)
        history = fit(model, training, validation, params.finetune, TrainingRun(params.seed, Checkpoints(Path(folder))))
        model.to("cpu").save_pretrained(KEPT / f"model-{name}-{number}-{params.seed}")
        words = fit_bag_of_words(training, concept_set)
        scores = score_split(model, ScoredTable("dev", frames["dev"]), params.evaluate, params.seed, words)
    return {
        "cpu_seconds": round(time.process_time() - start),
        "epochs": len(history.epochs),
        "dev": scores.model_dump(exclude={"label": {"confusion"}, "concepts": {"__all__": {"confusion"}}}),
    }


def settings_of(params: Params, name: str, what: str) -> dict:
    """Return the settings that a result depends on, besides draw and data."""
    version = {"annotator": annotators(params.model_copy(update={"seed": 0}))[name].version}
    if what == "annotators":
        return version
    return version | {"model": params.model.model_dump(), "finetune": params.finetune.model_dump()}


def summary(result: dict, what: str) -> str:
    """Return the figures of a result that the targets name."""
    dev = result["dev"]
    if what == "annotators":
        return f"concepts {dev['mean']['accuracy']:.3f}, kappa {dev['mean']['kappa']:.3f}"
    return f"concepts {dev['concepts']['mean']['accuracy']:.3f}, label {dev['label']['accuracy']:.3f}"


def main() -> None:
    """Measure the missing results; print the main figures of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["annotators", "model"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--annotator", choices=["embedding", "few_shot"], required=True)
    parser.add_argument("--labels", nargs="+", type=int, default=[25, 50, 100, 300, 1000])
    parser.add_argument("--draws", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    arguments = parser.parse_args()
    what, name = arguments.what, arguments.annotator
    measure = {"annotators": measure_annotator, "model": measure_model}[what]
    path = RESULTS / f"few-labels-{what}-{name}.json"
    results = read_json(path) if path.is_file() else {}
    for number in arguments.labels:
        own = results.setdefault(str(number), {})
        for draw in arguments.draws:
            params = configured(arguments.data, "joint", draw, arguments.set)
            settings = settings_of(params, name, what)
            if own.get(str(draw), {}).get("settings") != settings:
                own[str(draw)] = {"settings": settings, **measure(params, name, number)}
                write_json(path, results)
            print(f"{name}, {number} labels, draw {draw}: {summary(own[str(draw)], what)}", flush=True)


if __name__ == "__main__":
    main()
