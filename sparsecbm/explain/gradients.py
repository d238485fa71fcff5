"""Attributions by gradients on the embeddings of words, through the subnetwork of each concept.

Integrated gradients (Sundararajan et al., arXiv 1703.01365, equation 1) of many texts and concepts at once. captum's
take one output a pass. Here rows of one batch go through different subnetworks, and what they have in common below the
first masked block runs forward once for all concepts. captum is the oracle of the tests and of the benchmark.

A pruned model can be rough along its path: nearly a step somewhere, smooth elsewhere. More nodes on the whole path are
spent in vain on that. So the path is cut where it is rough: integrated gradients of a part of it add up to the change
of the value over that part, and a part in which they do not is halved.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsecbm.explain.subject import Ends, Subject, TokenScores
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import concept_blocks


@dataclass(frozen=True)
class Parts:
    """Parts of the paths of texts, each open for some of the concepts.

    Attributes:
        texts: number of each part's text, [parts]
        start, end: in 0 (the baseline) to 1 (the text), [parts]
        before, after: values at both ends, [parts, concepts]
        open: for which concepts it is still to be integrated, [parts, concepts]
    """

    texts: np.ndarray
    start: np.ndarray
    end: np.ndarray
    before: np.ndarray
    after: np.ndarray
    open: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def halves(self, middle: np.ndarray, rough: np.ndarray) -> "Parts":
        """Both halves of the parts that are rough for a concept.

        Args:
            middle: values half-way, [parts, concepts]
            rough: [parts, concepts]
        """
        cut = rough.any(1)
        half = (self.start + self.end) / 2
        first = (self.texts, self.start, half, self.before, middle, rough)
        second = (self.texts, half, self.end, middle, self.after, rough)
        return Parts(*(np.concatenate([a[cut], b[cut]]) for a, b in zip(first, second, strict=True)))


def integrated_gradients(subject: Subject, steps: int, tolerance: float, max_steps: int) -> TokenScores:
    """Integrated gradients, by Gauss-Legendre quadrature, until the completeness gap is below a tolerance.

    A part of the path is done when its gap is at most `tolerance` times its share of the path times the change of the
    value between baseline and text, or times 1 where the change is smaller. The gaps of the whole path are then within
    `tolerance` of the change, without one part's making up for another's.

    Args:
        steps: gradients taken in each part; the first part is the whole path
        max_steps: a text and concept that took as many is done whatever its gap
    """
    scores, taken = subject.no_scores(), subject.no_steps()
    allowed = tolerance * np.maximum(1, np.abs(subject.changes))
    nodes, weights = gauss_legendre(steps)
    worded = np.flatnonzero([bool(text.words) for text in subject.texts])
    count, concepts = len(worded), len(subject.concepts)
    ends = subject.baseline_values[worded], subject.values[worded]
    parts = Parts(worded, np.zeros(count), np.ones(count), *ends, np.ones((count, concepts), dtype=bool))
    while len(parts):
        found = _integrals(subject, parts, nodes, weights)
        np.add.at(taken, parts.texts, steps * parts.open)
        gaps = np.abs(found.sum(-1) - (parts.after - parts.before))
        share = (parts.end - parts.start)[:, None]
        rough = parts.open & (gaps > allowed[parts.texts] * share) & (taken[parts.texts] < max_steps)
        np.add.at(scores, parts.texts, found * (parts.open & ~rough)[:, :, None])
        parts = parts.halves(subject.values_at(parts.texts, (parts.start + parts.end) / 2, rough), rough)
    return TokenScores(scores, taken)


def gradient_x_input(subject: Subject) -> TokenScores:
    """The gradient at the text times the embedding, summed over its width; needs no baseline (arXiv 1605.01713)."""
    scores, numbers = subject.no_scores(), np.arange(len(subject.texts))
    for members in subject.batches(numbers):
        ends = subject.ends(members)
        for place, gradient in _gradients(subject, ends, members, np.ones(len(members)), subject.concepts):
            scores[members, place, : ends.mask.shape[1]] = _numbers(gradient * ends.end)
    return TokenScores(scores, subject.no_steps() + 1)


def gauss_legendre(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in 0 to 1 and their weights, which add up to 1, [steps] each."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def _integrals(subject: Subject, parts: Parts, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Integrated gradients over each part for the concepts it is open for, [parts, concepts, tokens]."""
    found = np.zeros((len(parts), *subject.no_scores().shape[1:]))
    share = parts.end - parts.start
    for names, members in subject.alike(parts.open):
        owners = np.repeat(members, len(nodes))
        at = parts.start[owners] + share[owners] * np.tile(nodes, len(members))
        weight = share[owners] * np.tile(weights, len(members))
        for rows in subject.batches(parts.texts[owners]):
            ends = subject.ends(parts.texts[owners[rows]])
            for place, gradient in _gradients(subject, ends, parts.texts[owners[rows]], at[rows], names):
                slopes = _numbers(gradient * (ends.end - ends.start))
                np.add.at(found[:, place, : slopes.shape[1]], owners[rows], slopes * weight[rows, None])
    return found


def _gradients(
    subject: Subject, ends: Ends, numbers: np.ndarray, at: np.ndarray, concepts: Sequence[str]
) -> Iterator[tuple[int, Tensor]]:
    """Each concept's place and its gradient, [batch, tokens, width], at points of the paths of a batch of texts.

    What the concepts share runs forward once for all of them, and backward once for each. Their own blocks run both
    ways once: autograd would go back through the blocks of all of them for each, with gradients of zero.
    """
    point = ends.between(at).requires_grad_()
    with _parted(subject.model) as parted:
        values = subject.compute_values(point, ends.mask, numbers, concepts)
    sources = [(value.sum(), None) for value in values.values()]
    if parted:
        sources = list(zip(parted, torch.autograd.grad(sum(total for total, _ in sources), parted), strict=True))
    for left, name, (source, gradient) in zip(reversed(range(len(values))), values, sources, strict=True):
        yield subject.concepts.index(name), *torch.autograd.grad(source, point, gradient, retain_graph=left > 0)


@contextmanager
def _parted(model: ConceptBottleneck) -> Iterator[list[Tensor]]:
    """Hidden states with which each concept's own blocks begin, in the order in which they run while the block does."""
    parted: list[Tensor] = []
    first = concept_blocks(model.backbone)[:1]
    hooks = [
        branch.register_forward_pre_hook(lambda _, inputs: parted.append(inputs[0]))
        for block in first
        for branch in block.branches
    ]
    try:
        yield parted
    finally:
        for hook in hooks:
            hook.remove()


def _numbers(product: Tensor) -> np.ndarray:
    return product.sum(-1).double().cpu().numpy()
