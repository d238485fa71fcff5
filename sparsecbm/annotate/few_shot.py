"""The annotator `few_shot`: the project's own model, trained on people's labels and on guesses, labels the rest.

Trained on a hundred labelled texts alone, the model is far worse than `embedding` (docs/annotation.md). So it learns
all training texts: people's states where they labelled, else the probabilities of `embedding` (self-training with soft
targets, as in Xie et al., arXiv 1911.04252). Its probabilities are multiplied with those of `embedding`. In further
rounds these products are its targets.

A fifth of people's groups is held out of what the network learns, guesses included: it calibrates the probabilities,
stops the rounds, and shows how good the labels are. The `embedding` of the product may learn from them, since it is
cross-fitted: it learns nothing from the group of a text that it labels.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax

from sparsecbm.annotate.annotator import AbstentionWarning
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.embedding import EmbeddingAnnotator
from sparsecbm.annotate.label_rows import Origin, learnt_from, state_rows
from sparsecbm.annotate.labels import label_table
from sparsecbm.annotate.learning.concept_labels import ConceptLabels, find_labels
from sparsecbm.annotate.learning.concept_network import predict_by_network
from sparsecbm.annotate.people import nobody
from sparsecbm.annotate.sentence_encoder import Encode, SentenceEncoder, remembering
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Params
from sparsecbm.data.splitting import hold_out_groups
from sparsecbm.train.label_head import fit_temperature

HELD_OUT = 0.2  # share of people's texts, in whole groups
LEAST_PROBABILITY = 1e-6  # of a state, before its logarithm is taken

Probabilities = dict[str, np.ndarray]  # concept -> [texts, states]


@dataclass(frozen=True)
class PeoplesLabels:
    """What people say about the texts.

    Attributes:
        cells: concept -> the texts that they labelled with it
        held_out: [texts], whether the labels of a text are held out
    """

    cells: dict[str, ConceptLabels]
    held_out: np.ndarray

    def learnt(self, concept: str) -> ConceptLabels:
        """The texts whose labels are learnt."""
        own = self.cells[concept]
        return own.part(~self.held_out[own.known])

    def checked(self, concept: str) -> ConceptLabels:
        """The texts whose labels are held out."""
        own = self.cells[concept]
        return own.part(self.held_out[own.known])


class FewShotAnnotator:
    """Trains a concept bottleneck on few labels of people, and labels the other texts with it.

    Args:
        params: the blocks `model`, `finetune` and `annotate`, seed and threads
        encode: the encoder of `embedding`; by default the one that `params` names is loaded
    """

    name = "few_shot"
    learns, in_parts = True, False

    def __init__(self, params: Params, encode: Encode | None = None) -> None:
        self.params, self.encode = params, encode
        self.options = params.annotate.few_shot
        blocks = (params.model, params.finetune, params.annotate.embedding, self.options)
        told = json.dumps([block.model_dump() for block in blocks])
        self.version = learnt_from(f"{told} {params.seed}", nobody())

    def annotate(
        self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame
    ) -> pd.DataFrame:
        """Label texts (see `Annotator`). It abstains on texts whose labels it learnt from.

        A concept that people labelled too little gets no label, and a warning says so.

        Raises:
            DataError: no concept has enough labels, or the texts have fewer than two different labels.
            ModelError: the backbone or the encoder cannot be loaded.
        """
        cells = {concept.name: find_labels(texts, people, concept) for concept in concepts}
        labels = PeoplesLabels(cells, self._hold_out(texts, people))
        usable = _find_usable(concepts, labels)
        probabilities = self._probabilities(texts, usable, people, labels)
        origin = Origin(self.params.model.backbone, learnt_from(self.version, people))
        rows = []
        for concept in concepts:
            shown = probabilities.get(concept.name, np.full((len(texts), len(concept.states)), np.nan))
            shown[labels.learnt(concept.name).known] = np.nan
            rows += state_rows(texts["key"], concept, shown, self.options.min_confidence, origin)
        return label_table(rows)

    def estimate(self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame) -> list[str]:
        """What it would learn from, and how long it would take, in sentences (see `Estimating`)."""
        params = self.params
        guess = EmbeddingAnnotator(params.annotate.embedding, params.seed, params.threads, self.encode)
        training = int((texts["split"] == "train").sum())
        return [
            *guess.estimate(texts, concepts, people),
            f"a training of the network on {training:,} texts comes on top, up to {self.options.rounds} time(s) "
            f"{self.options.epochs} epoch(s); its time is not measured beforehand",
        ]

    def _hold_out(self, texts: pd.DataFrame, people: pd.DataFrame) -> np.ndarray:
        labelled = texts[texts["key"].isin(people["key"])]
        groups = hold_out_groups(labelled["group"], labelled["label"], HELD_OUT, self.params.seed)
        return (texts["group"].isin(groups) & texts["key"].isin(people["key"])).to_numpy()

    def _probabilities(
        self,
        texts: pd.DataFrame,
        concepts: Sequence[ConceptDefinition],
        people: pd.DataFrame,
        labels: PeoplesLabels,
    ) -> Probabilities:
        """Those of the round with the least loss on held-out labels; a round that is no better is the last one."""
        encode = remembering(self.encode or SentenceEncoder(self.params.annotate.embedding.encoder))
        guesses = self._guess(texts, concepts, people, encode)
        learnt = people[~people["key"].isin(texts["key"][labels.held_out])]
        targets = start = self._guess(texts, concepts, learnt, encode)
        kept: Probabilities | None = None
        least = np.inf
        for _ in range(self.options.rounds):
            logits = predict_by_network(texts, _with_people(targets, labels), concepts, self.params)
            products = _calibrated_products(guesses, logits, labels)
            loss = _mean_loss(products, labels)
            if kept is not None and loss >= least:
                break
            kept, least = products, loss
            targets = _calibrated_products(start, logits, labels)
        assert kept is not None, "there is at least one round"
        return kept

    def _guess(
        self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame, encode: Encode
    ) -> Probabilities:
        """What `embedding` says, which learns from these labels."""
        params = self.params
        embedding = EmbeddingAnnotator(params.annotate.embedding, params.seed, params.threads, encode)
        labels = embedding.annotate(texts, concepts, people)
        guesses = {}
        for concept in concepts:
            cells = labels[labels["concept"] == concept.name].set_index("key")["probabilities"]
            rows = texts["key"].map(cells).map(json.loads)
            guesses[concept.name] = np.array([[row[state] for state in concept.states] for row in rows])
        return guesses


def _find_usable(concepts: Sequence[ConceptDefinition], labels: PeoplesLabels) -> list[ConceptDefinition]:
    """The concepts with enough labels to learn from, besides those that are held out."""
    faults = {concept.name: labels.learnt(concept.name).fault(concept) for concept in concepts}
    told = [f"{fault}, besides the fifth that is held out" for fault in faults.values() if fault is not None]
    if len(told) == len(concepts):
        raise DataError(
            "few_shot can learn no concept:\n  "
            + "\n  ".join(told)
            + "\nLabel more texts with `sparsecbm annotate review`"
        )
    for fault in told:
        warnings.warn(f"few_shot: {fault}; it gets no label", AbstentionWarning, stacklevel=3)
    return [concept for concept in concepts if faults[concept.name] is None]


def _with_people(targets: Probabilities, labels: PeoplesLabels) -> Probabilities:
    """A copy in which the states that people gave are certain, except where they are held out."""
    result = {}
    for name, values in targets.items():
        learnt = labels.learnt(name)
        result[name] = values.copy()
        result[name][learnt.known] = np.eye(values.shape[1])[learnt.states]
    return result


def _calibrated_products(guesses: Probabilities, logits: dict[str, np.ndarray], labels: PeoplesLabels) -> Probabilities:
    """Geometric means of guesses and a network's probabilities, at the temperature that suits held-out labels."""
    products = {}
    for name, guess in guesses.items():
        logs = (np.log(guess.clip(LEAST_PROBABILITY)) + log_softmax(logits[name].astype(float), axis=1)) / 2
        logs = log_softmax(logs, axis=1)
        checked = labels.checked(name)
        products[name] = softmax(logs / fit_temperature(logs[checked.known], checked.states), axis=1)
    return products


def _mean_loss(probabilities: Probabilities, labels: PeoplesLabels) -> float:
    """Mean log-loss over the held-out cells; infinity without any, so that there is one round."""
    losses: list[float] = []
    for name, values in probabilities.items():
        checked = labels.checked(name)
        losses += (-np.log(values[checked.known, checked.states].clip(LEAST_PROBABILITY))).tolist()
    return float(np.mean(losses)) if losses else float("inf")
