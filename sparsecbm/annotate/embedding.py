"""The annotator `embedding`: likeness of a text with the definitions of states, calibrated on labels of people."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from sparsecbm.annotate.annotator import AbstentionWarning
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.duration import describe_minutes, measured_minutes
from sparsecbm.annotate.label_rows import Origin, learnt_from, state_rows
from sparsecbm.annotate.labels import label_table
from sparsecbm.annotate.learning.concept_labels import ConceptLabels, describe_learning, find_labels
from sparsecbm.annotate.learning.cross_fit import cross_fit
from sparsecbm.annotate.learning.embedded_texts import embed_texts
from sparsecbm.annotate.learning.likeness import Tone, Views, embed_definitions, make_views
from sparsecbm.annotate.learning.state_classifier import predict_states
from sparsecbm.annotate.people import nobody
from sparsecbm.annotate.sentence_encoder import Encode, SentenceEncoder
from sparsecbm.base.params.annotate import Embedding
from sparsecbm.train.label_head import fit_temperature
from sparsecbm.train.reproducible import reproducible


class EmbeddingAnnotator:
    """Compares texts with definitions, and learns from labels of people what the comparison means.

    Args:
        params: the encoder, and the confidence below which a cell gets no state
        seed: of the folds
        threads: of the encoder
        encode: the encoder; by default the one that `params` names is loaded
    """

    name = "embedding"
    learns, in_parts = True, False

    def __init__(self, params: Embedding, seed: int, threads: int, encode: Encode | None = None) -> None:
        self.params, self.seed, self.threads, self.encode = params, seed, threads, encode
        self.version = learnt_from(f"{params.model_dump()} {seed}", nobody())

    def annotate(
        self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame
    ) -> pd.DataFrame:
        """Label texts (see `Annotator`). A concept with too few labels of people gets none, and a warning says so.

        Raises:
            ModelError: the encoder cannot be loaded.
        """
        labelled = {concept.name: find_labels(texts, people, concept) for concept in concepts}
        views = self._views(texts, concepts) if any(labelled[c.name].fault(c) is None for c in concepts) else {}
        origin = Origin(self.params.encoder, learnt_from(self.version, people))
        rows = []
        for concept in concepts:
            fault = labelled[concept.name].fault(concept)
            if fault is None:
                probabilities = self._probabilities(views[concept.name], labelled[concept.name], len(concept.states))
            else:
                warnings.warn(
                    f"embedding: {fault}. Likeness without such labels is nearly worthless (on CEBaB its kappa was .06 "
                    "with a larger encoder), so it gives none; label texts with `sparsecbm annotate review`",
                    AbstentionWarning,
                    stacklevel=2,
                )
                probabilities = np.full((len(texts), len(concept.states)), np.nan)
            rows += state_rows(texts["key"], concept, probabilities, self.params.min_confidence, origin)
        return label_table(rows)

    def estimate(self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame) -> list[str]:
        """What it would learn from, and how long it would take, in sentences (see `Estimating`)."""
        lines = describe_learning(texts, concepts, people)
        if all(find_labels(texts, people, concept).fault(concept) for concept in concepts):
            return lines
        encode = self.encode or SentenceEncoder(self.params.encoder)
        with reproducible(self.seed, self.threads):
            minutes = measured_minutes(lambda some: embed_texts(encode, some), texts["text"].tolist())
        return [*lines, describe_minutes(minutes, "the encoder, which takes most of the time")]

    def _views(self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition]) -> dict[str, Views]:
        with reproducible(self.seed, self.threads):
            encode = self.encode or SentenceEncoder(self.params.encoder)
            embedded = embed_texts(encode, texts["text"].tolist())
            return make_views(embedded, Tone(embedded.texts, texts["label"]), embed_definitions(encode, concepts))

    def _probabilities(self, views: Views, labelled: ConceptLabels, states: int) -> np.ndarray:
        """[texts, states]; the temperature is that of held-out groups."""

        def predict(learn: np.ndarray) -> np.ndarray:
            return predict_states(views, labelled.known[learn], labelled.states[learn], states)

        logs = cross_fit(predict, labelled.known, labelled.states, labelled.groups, self.seed)
        return softmax(logs / fit_temperature(logs[labelled.known], labelled.states), axis=1)
