"""Attributions by gradients on the embeddings of words, through the subnetwork of each concept.

Integrated gradients (Sundararajan et al., arXiv 1703.01365, equation 1) of many texts and concepts at once. captum's
version takes one output in each pass. Here rows of one batch go through different subnetworks, and the blocks below the
first masked one run forward once for all concepts. captum is the oracle of the tests and of the benchmark.

Along its path, the value of a pruned model can be nearly a step at one point and smooth elsewhere. More nodes on the
whole path would help little. So the path is divided where it is rough: integrated gradients of a part should add up to
the change of the value over that part, and the parts where they miss it most are halved.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from sparsecbm.base.progress import progress
from sparsecbm.explain.subject import Ends, Subject, TokenScores
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import concept_blocks

MIDDLE = (0.3, 0.5, 0.7)  # of the path, at which the quick method takes gradients


@dataclass(frozen=True)
class PathParts:
    """Parts of the paths of texts, each in use for some of the concepts.

    Attributes:
        texts: number of each part's text, [parts]
        start, end: in 0 (the baseline) to 1 (the text), [parts]
        before, after: values at both ends, [parts, concepts]
        used: for which concepts a part counts; the others have halves of it, [parts, concepts]
    """

    texts: np.ndarray
    start: np.ndarray
    end: np.ndarray
    before: np.ndarray
    after: np.ndarray
    used: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def halves(self, middle: np.ndarray, rough: np.ndarray) -> "PathParts":
        """Both halves of the parts that are rough for some concept.

        Args:
            middle: values half-way, [parts, concepts]
            rough: [parts, concepts]
        """
        halved = rough.any(1)
        half = (self.start + self.end) / 2
        first = (self.texts, self.start, half, self.before, middle, rough)
        second = (self.texts, half, self.end, middle, self.after, rough)
        return PathParts(*(np.concatenate([a[halved], b[halved]]) for a, b in zip(first, second, strict=True)))

    def joined(self, others: "PathParts") -> "PathParts":
        """These parts and then others."""
        return PathParts(*(np.concatenate([getattr(self, f.name), getattr(others, f.name)]) for f in fields(self)))


def integrated_gradients(subject: Subject, steps: int, tolerance: float, max_steps: int) -> TokenScores:
    """Integrated gradients, by Gauss-Legendre quadrature, until the completeness gap is below a tolerance.

    A value is done when the gaps of the parts of its path, each taken as positive, add up to `tolerance` times the
    change of the value between baseline and text at most (times 1 if the change is smaller). Its completeness gap is
    then as small, even if gaps do not cancel out. Until then, the parts with the largest gaps are halved. If the values
    of a text's concepts are added up, the same holds for the sum.

    Args:
        steps: gradients taken in each part; the first part is the whole path
        max_steps: a text and concept that took this many gradients are done, whatever the gap
    """
    taken = subject.no_steps()
    nodes, weights = gauss_legendre(steps)
    with_words = np.flatnonzero([bool(text.words) for text in subject.texts])
    count, concepts = len(with_words), len(subject.concepts)
    ends = subject.baseline_values[with_words], subject.values[with_words]
    new = parts = PathParts(with_words, np.zeros(count), np.ones(count), *ends, np.ones((count, concepts), dtype=bool))
    integrals = np.zeros((0, *subject.no_scores().shape[1:]))
    while len(new):
        integrals = np.concatenate([integrals, _integrals(subject, new, nodes, weights)])
        np.add.at(taken, new.texts, steps * new.used)
        gaps = np.abs(integrals.sum(-1) - (parts.after - parts.before))
        rough = _rough_parts(subject, parts, gaps, tolerance, taken < max_steps)
        middle = subject.values_at(parts.texts, (parts.start + parts.end) / 2, rough)
        new = parts.halves(middle, rough)
        parts = replace(parts, used=parts.used & ~rough).joined(new)
    scores = subject.no_scores()
    np.add.at(scores, parts.texts, integrals * parts.used[:, :, None])
    return TokenScores(scores, taken)


def _rough_parts(
    subject: Subject, parts: PathParts, gaps: np.ndarray, tolerance: float, may_go_on: np.ndarray
) -> np.ndarray:
    """Which parts to halve, [parts, concepts]: those with the largest gaps, of each value that is not done.

    The others keep at most half of the tolerance, so the halves may have the other half.

    Args:
        gaps: [parts, concepts]
        may_go_on: [texts, concepts]
    """
    rough = np.zeros(gaps.shape, dtype=bool)
    groups = [list(range(len(subject.concepts)))] if subject.summed else [[k] for k in range(len(subject.concepts))]
    for text in np.unique(parts.texts):
        rows = np.flatnonzero(parts.texts == text)
        for group in groups:
            allowed = tolerance * max(1, abs(subject.changes[text, group].sum()))
            cells = [(row, k) for row in rows for k in group if parts.used[row, k]]
            of_cells = np.array([gaps[cell] for cell in cells])
            if of_cells.sum() <= allowed:
                continue
            order = np.argsort(of_cells, kind="stable")
            for index in order[of_cells[order].cumsum() > allowed / 2]:
                row, k = cells[index]
                rough[row, k] = may_go_on[text, k]
    return rough


def mid_path_gradients(subject: Subject, points: Sequence[float] = MIDDLE) -> TokenScores:
    """The mean gradient at a few points around the middle of the path, times the way from the baseline to the text.

    It is quick, and not complete. At the text itself a prediction is saturated, so that its gradient misleads. The
    default points were chosen on validation texts (docs/benchmarks.md, Faithfulness).

    Args:
        points: of the path, from 0 at the baseline to 1 at the text
    """
    scores = subject.no_scores()
    numbers, at = np.repeat(np.arange(len(subject.texts)), len(points)), np.tile(points, len(subject.texts))
    for batch in progress(list(subject.batches(numbers)), "gradients", "batch"):
        texts = numbers[batch]
        ends = subject.ends(texts)
        for concept, gradient in _gradients(subject, ends, texts, at[batch], subject.concepts):
            slopes = _sum_width(gradient * (ends.end - ends.start))
            np.add.at(scores[:, concept, : slopes.shape[1]], texts, slopes / len(points))
    return TokenScores(scores, subject.no_steps() + len(points))


def gauss_legendre(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in 0 to 1 and their weights, which add up to 1, [steps] each."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (nodes + 1) / 2, weights / 2


def _integrals(subject: Subject, parts: PathParts, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Integrated gradients over each part for the concepts that use it, [parts, concepts, tokens]."""
    integrals = np.zeros((len(parts), *subject.no_scores().shape[1:]))
    share = parts.end - parts.start
    for names, used_parts in subject.group_by_concepts(parts.used):
        part_of_node = np.repeat(used_parts, len(nodes))
        at = parts.start[part_of_node] + share[part_of_node] * np.tile(nodes, len(used_parts))
        weight = share[part_of_node] * np.tile(weights, len(used_parts))
        for batch in progress(list(subject.batches(parts.texts[part_of_node])), "gradients", "batch"):
            texts = parts.texts[part_of_node[batch]]
            ends = subject.ends(texts)
            for concept, gradient in _gradients(subject, ends, texts, at[batch], names):
                slopes = _sum_width(gradient * (ends.end - ends.start))
                np.add.at(integrals[:, concept, : slopes.shape[1]], part_of_node[batch], slopes * weight[batch, None])
    return integrals


def _gradients(
    subject: Subject, ends: Ends, numbers: np.ndarray, at: np.ndarray, concepts: Sequence[str]
) -> Iterator[tuple[int, Tensor]]:
    """Each concept's index and its gradient, [batch, tokens, width], at points of the paths of a batch of texts.

    Shared blocks run forward once for all concepts, and backward once for each. The concepts' own blocks run backward
    once, together. Otherwise autograd would run through the blocks of all concepts for each of them, with zeros.
    """
    point = ends.between(at).requires_grad_()
    with _record_branch_inputs(subject.model) as inputs:
        values = subject.compute_values(point, ends.mask, numbers, concepts)
    sources = [(value.sum(), None) for value in values.values()]
    if inputs:
        sources = list(zip(inputs, torch.autograd.grad(sum(total for total, _ in sources), inputs), strict=True))
    for remaining, name, (source, gradient) in zip(reversed(range(len(values))), values, sources, strict=True):
        yield subject.concepts.index(name), *torch.autograd.grad(source, point, gradient, retain_graph=remaining > 0)


@contextmanager
def _record_branch_inputs(model: ConceptBottleneck) -> Iterator[list[Tensor]]:
    """Record the inputs of each concept's first own block while the block runs, in the order of the concepts."""
    branch_inputs: list[Tensor] = []
    first = concept_blocks(model.backbone)[:1]
    hooks = [
        branch.register_forward_pre_hook(lambda _, inputs: branch_inputs.append(inputs[0]))
        for block in first
        for branch in block.branches
    ]
    try:
        yield branch_inputs
    finally:
        for hook in hooks:
            hook.remove()


def _sum_width(product: Tensor) -> np.ndarray:
    """[batch, tokens, width] -> [batch, tokens], float64."""
    return product.sum(-1).double().cpu().numpy()
