"""What a model makes of texts: probabilities of states, and the pooled texts behind each concept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.base.progress import progress
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.prediction import softmax

LABEL = "label"


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of one model for texts.

    Attributes:
        probabilities: variable (a concept, or `label`) -> [texts, states]
        disagreement: [texts], whether the label head for one-hot concepts gives another label
        pooled: concept -> [sampled texts, hidden]; a dense model has one representation, under the name `text`
    """

    probabilities: dict[str, np.ndarray]
    disagreement: np.ndarray
    pooled: dict[str, np.ndarray]

    @property
    def states(self) -> dict[str, np.ndarray]:
        """Variable -> [texts], indices of the predicted states."""
        return {name: values.argmax(-1) for name, values in self.probabilities.items()}

    @property
    def label_confidence(self) -> np.ndarray:
        """[texts], probability of the predicted label."""
        return self.probabilities[LABEL].max(-1)

    @property
    def concept_confidence(self) -> np.ndarray:
        """[texts], mean probability of the concepts' predicted states."""
        return np.mean([values.max(-1) for name, values in self.probabilities.items() if name != LABEL], axis=0)


def compute_outputs(
    model: ConceptBottleneck, texts: Sequence[str], sample: int, seed: int, batch_size: int = 32
) -> Outputs:
    """Run a model once over texts.

    Args:
        sample: most texts whose representations are kept; they are drawn by the seed

    Raises:
        ModelError: the model predicts no concepts.
    """
    if not model.has_bottleneck:
        raise ModelError("a model of mode `standard` predicts no concepts; drift is measured on a concept bottleneck")
    names = model.concept_set.names
    kept = np.sort(np.random.default_rng(seed).permutation(len(texts))[:sample])
    position = {int(row): index for index, row in enumerate(kept)}
    token_ids = encode(model.tokenizer, texts, model.settings.max_length)
    logits = {name: np.zeros((len(texts), len(model.concept_set[name])), np.float32) for name in names}
    label = np.zeros((len(texts), len(model.concept_set.label)), np.float32)
    pooled: dict[str, np.ndarray] = {}
    with inference_mode(model):
        for rows in progress(batch_by_length([len(ids) for ids in token_ids], batch_size), "predict", "batch"):
            ids, mask = pad([token_ids[row] for row in rows], model.tokenizer.pad_token_id)
            represented = model.represent(ids.to(model.device), mask.to(model.device))
            output = model.output(model.concept_heads(represented))
            label[rows] = output.label_logits.float().cpu().numpy()
            for name in names:
                logits[name][rows] = output.concept_logits[name].float().cpu().numpy()
            chosen = [index for index, row in enumerate(rows) if row in position]
            for name, values in represented.items() if model.masked else {"text": represented[names[0]]}.items():
                if name not in pooled:
                    pooled[name] = np.zeros((len(kept), values.shape[-1]), np.float32)
                at = [position[rows[index]] for index in chosen]
                pooled[name][at] = values[torch.as_tensor(chosen, dtype=torch.long)].float().cpu().numpy()
    hard = label if model.hard_head is None else model.label_logits(logits, "hard")
    probabilities = {LABEL: softmax(label)} | {name: softmax(values) for name, values in logits.items()}
    return Outputs(probabilities, hard.argmax(-1) != label.argmax(-1), pooled)
