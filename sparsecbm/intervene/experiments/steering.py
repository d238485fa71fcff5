"""Steering, a control for patches: activations of a few heads move along a probe's direction in every text.

This is inference-time intervention (Li et al., arXiv 2306.03341) for one concept. For each head of the masked blocks,
a probe tells texts that are predicted correctly as one state from those of another, by the head's mean output over the
tokens. Its direction t is the difference of the means of the two classes, of length 1 (the paper's mass mean shift),
with the standard deviation s along it. The heads whose probes are most accurate on texts that they were not fitted on
are chosen, and each token's output of these heads moves by

    strength * s * t.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import require_masked_layers
from sparsecbm.intervene.reference import predict_concept_logits
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked import MaskedLinear, call_recorder
from sparsecbm.model.units import LayerPart, find_units

HEADS = 4  # that are steered
FITTED_SHARE = 0.8  # of the texts; the probes are judged on the others
MAX_STRENGTH = 256.0  # in standard deviations
BISECTIONS = 6


@dataclass(frozen=True, eq=False)
class Steering:
    """What is added to the output of heads, for a strength of 1.

    Attributes:
        shifts: layer that maps the heads' outputs -> [width of its input], 0 at the other heads
        accuracies: of the chosen heads' probes, the best first
    """

    concept: str
    shifts: dict[str, Tensor]
    accuracies: tuple[float, ...]


def fit_steering(
    model: ConceptBottleneck, concept: str, towards: Sequence[str], away: Sequence[str], seed: int = 0
) -> Steering:
    """Fit a probe on each head of the masked blocks, and take the best heads.

    Args:
        towards, away: texts of the wanted state, and of the state that is predicted instead

    Raises:
        InterventionError: one of the classes has fewer than five texts.
        ModelError: the heads of the backbone's family are not known.
    """
    if min(len(towards), len(away)) < 5:
        raise InterventionError(f"a probe of {concept!r} needs five texts of each of two states")
    masked = require_masked_layers(model)
    parts = {u.parts[-1].layer: (u.parts[-1], u.count) for u in find_units(model.backbone) if u.kind == "head"}
    parts = {layer: part for layer, part in parts.items() if layer in masked}
    outputs = _mean_outputs(model, concept, [*towards, *away], tuple(parts))
    wanted = np.arange(len(towards) + len(away)) < len(towards)
    fitted = _stratified(wanted, np.random.default_rng(seed))
    heads = []
    for layer, (part, count) in parts.items():
        for head in range(count):
            columns = _columns(part, head)
            heads.append((*_fit_probe(outputs[layer][:, columns], wanted, fitted), layer, columns))
    heads.sort(key=lambda head: -head[0])
    shifts: dict[str, Tensor] = {}
    for _, direction, layer, columns in heads[:HEADS]:
        shift = shifts.setdefault(layer, torch.zeros(outputs[layer].shape[1]))
        shift[columns] = torch.from_numpy(direction).float()
    return Steering(concept, shifts, tuple(accuracy for accuracy, *_ in heads[:HEADS]))


@contextmanager
def steered(model: ConceptBottleneck, steering: Steering, strength: float) -> Iterator[None]:
    """Steer all texts while the block runs, in every thread that uses the model; predict the concept alone."""
    layers = require_masked_layers(model)
    with ExitStack() as stack:
        for layer, shift in steering.shifts.items():
            moved = strength * shift
            handle = layers[layer].register_forward_pre_hook(lambda _, inputs, moved=moved: (inputs[0] + moved,))
            stack.callback(handle.remove)
        yield


def find_strength(model: ConceptBottleneck, steering: Steering, text: str, state: int, margin: float) -> float | None:
    """Return the smallest strength that gives a text a state by a margin, to some per cent; None if none does."""

    def reaches(strength: float) -> bool:
        with steered(model, steering, strength):
            logits = predict_concept_logits(model, steering.concept, [text])[0][0]
        return bool(logits[state] - np.delete(logits, state).max() >= margin)

    high = 0.25
    while not reaches(high):
        high *= 2
        if high > MAX_STRENGTH:
            return None
    low = high / 2 if high > 0.25 else 0.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _fit_probe(outputs: np.ndarray, wanted: np.ndarray, fitted: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the accuracy of a probe on texts that it was not fitted on, and its direction times the deviation."""
    means = [outputs[fitted & (wanted == kind)].mean(0) for kind in (True, False)]
    direction = (means[0] - means[1]) / max(float(np.linalg.norm(means[0] - means[1])), 1e-12)
    values, boundary = outputs @ direction, (means[0] + means[1]) @ direction / 2
    hits = [((values > boundary) == wanted)[~fitted & (wanted == kind)].mean() for kind in (True, False)]
    return float(np.mean(hits)), direction * values[fitted].std()


def _stratified(wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which texts probes are fitted on, the same share of both classes, [texts], bool."""
    fitted = np.zeros(len(wanted), bool)
    for kind in (True, False):
        rows = rng.permutation(np.flatnonzero(wanted == kind))
        fitted[rows[: int(FITTED_SHARE * len(rows))]] = True
    return fitted


def _columns(part: LayerPart, head: int) -> slice:
    return slice(part.start + head * part.width, part.start + (head + 1) * part.width)


def _mean_outputs(
    model: ConceptBottleneck, concept: str, texts: list[str], layers: tuple[str, ...], batch_size: int = 32
) -> dict[str, np.ndarray]:
    """Return the mean input of each layer over the tokens of each text, [texts, width]."""
    rows = encode(model.tokenizer, texts, model.settings.max_length)
    means: dict[str, np.ndarray] = {}
    for batch in batch_by_length([len(row) for row in rows], batch_size):
        ids, mask = pad([rows[i] for i in batch], model.tokenizer.pad_token_id)
        weights = (mask / mask.sum(1, keepdim=True))[..., None]

        def keep(layer: MaskedLinear, inputs: Tensor, output: Tensor, batch=batch, weights=weights) -> Tensor:
            if layer.name in layers:
                pooled = (inputs.reshape(len(batch), -1, inputs.shape[-1]).float().cpu() * weights).sum(1)
                means.setdefault(layer.name, np.zeros((len(rows), inputs.shape[-1])))[batch] = pooled.numpy()
            return output

        with inference_mode(model), call_recorder(keep):
            model.represent(
                ids.to(model.device), mask.to(model.device), {concept: torch.arange(len(batch), device=model.device)}
            )
    return means
