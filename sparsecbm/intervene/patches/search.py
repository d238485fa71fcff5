"""Search for few, harmless flips that make a concept predict a given state; weights never change.

The effects of flips are known to first order only, so the search goes in rounds. A round chooses a few moves by the
gradients under the current mask, flips the bits, and predicts again. The penalty for moving protected predictions
starts high and is halved while the budget is too small. So a search ends with the most protection that works.

More bits protect better to first order, and sometimes worse in truth. So if the flips harm protected texts, searches
with smaller budgets follow, and all are compared (see `preference`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sparsecbm.base.progress import progress
from sparsecbm.intervene.patches.bits import Positions, concept_index, toggled
from sparsecbm.intervene.patches.candidates import CandidateOptions, Candidates, select_candidates
from sparsecbm.intervene.patches.factors import Factors, compute_factors
from sparsecbm.intervene.patches.layers import match_layers
from sparsecbm.intervene.patches.moves import Move, MoveLimits, apply_moves, choose_moves
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.preference import Outcome, rank
from sparsecbm.intervene.patches.protection import Protection
from sparsecbm.intervene.patches.stack import flipped_positions
from sparsecbm.intervene.reference import predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck

CANDIDATES = 4000  # of each kind, dropped and grown
MOVES_PER_ROUND = 8  # two bits each
MIN_ROUNDS_PER_STRENGTH = 10
MIN_PROGRESS = 0.02  # of the mean margin in a round whose budget is spent
# Of the share of texts that a patch may harm, for protected ones: the search keeps these, so unseen ones suffer more.
PROTECTED_SHARE = 0.5
PREDICTED = 128  # protected texts that a search's flips are tried on


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Where a search ended.

    Attributes:
        reached: whether the target state wins by the margin in the required share of texts
        dropped, grown: flipped bits by layer
        before, after: logits of the texts, [texts, states]
        margins_before, margins: logit of the target state less the largest other, of each text, [texts]
        strength: protection strength of the last attempt
        passes: forward and backward passes of the search
    """

    reached: bool
    dropped: dict[str, tuple[int, ...]]
    grown: dict[str, tuple[int, ...]]
    before: np.ndarray
    after: np.ndarray
    margins_before: np.ndarray
    margins: np.ndarray
    strength: float
    passes: int

    @property
    def flipped(self) -> dict[str, tuple[int, ...]]:
        """All flipped bits by layer."""
        layers = sorted(self.dropped.keys() | self.grown.keys())
        return {layer: (*self.dropped.get(layer, ()), *self.grown.get(layer, ())) for layer in layers}

    @property
    def bits(self) -> int:
        """Number of flipped bits."""
        return sum(len(positions) for positions in self.flipped.values())


def search(
    model: ConceptBottleneck,
    concept: str,
    texts: Sequence[str],
    states: Sequence[int],
    options: PatchOptions,
    protection: Protection | None = None,
) -> SearchResult:
    """Search for flips; afterwards the model's mask is as it was. Bits of patches in force stay as they are.

    Args:
        texts: few; they form one batch
        states: index of the target state of each text, [texts]
        protection: correct predictions that should not change

    Raises:
        ConfigError: a layer pattern matches no masked layer.
        InterventionError: the concept is unknown, or the model has no masks.
    """
    layers = tuple(match_layers(model, options.layers))
    evaluator = _Evaluator(model, concept, list(texts), torch.as_tensor(states))
    start = evaluator.evaluate({})
    candidates = select_candidates(
        model,
        concept,
        start.factors,
        start.weights,
        CandidateOptions(layers, CANDIDATES, options.scope, flipped_positions(model, concept)),
        protection,
    )
    budgets = [options.budget] if protection is None else options.budgets
    tolerated = 0 if protection is None else int(PROTECTED_SHARE * options.max_harm * len(protection.texts))
    attempts = []
    for budget in budgets:
        attempt = _search_within(evaluator, candidates, start, replace(options, budget=budget), protection)
        attempts.append(attempt)
        if not attempt.outcome.reached or attempt.outcome.harmed <= tolerated:
            break
    best = min(attempts, key=lambda attempt: rank(attempt.outcome, tolerated))
    kinds = np.repeat(np.arange(len(candidates.starts) - 1) % 2, np.diff(candidates.starts))
    dropped, grown = (
        {
            layer: tuple(sorted(map(int, positions)))
            for layer, positions in candidates.positions(best.flipped & (kinds == kind)).items()
        }
        for kind in (0, 1)
    )
    return SearchResult(
        reached=best.outcome.reached,
        dropped=dropped,
        grown=grown,
        before=start.logits.numpy(),
        after=best.evaluation.logits.numpy(),
        margins_before=start.margins,
        margins=best.evaluation.margins,
        strength=best.strength,
        passes=evaluator.passes,
    )


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """The texts under some flips. The weight of each is 1 - p of its target state, as in cross-entropy."""

    logits: torch.Tensor
    factors: dict[str, Factors]
    margins: np.ndarray
    weights: torch.Tensor

    def reaches(self, options: PatchOptions) -> bool:
        return bool((self.margins >= options.margin).mean() >= options.min_fixed_share)


@dataclass(frozen=True, eq=False)
class _Attempt:
    """Where the search within one budget ended.

    Attributes:
        flipped: which candidates are flipped, [bits], bool
        strength: of the last rounds
    """

    flipped: np.ndarray
    evaluation: "_Evaluation"
    strength: float
    outcome: Outcome


def _search_within(
    evaluator: "_Evaluator",
    candidates: Candidates,
    start: "_Evaluation",
    options: PatchOptions,
    protection: Protection | None,
) -> _Attempt:
    """Search within the budget of the options, from the original mask."""
    flipped, current = np.zeros(len(candidates), bool), start
    best = flipped, current
    strengths = (0.0,) if protection is None else options.strengths
    for strength in progress(strengths, "search for bits", "attempt"):
        flipped, current = _run_rounds(evaluator, candidates, flipped, current, options, strength)
        if current.margins.mean() > best[1].margins.mean() or current.reaches(options):
            best = flipped, current
        if current.reaches(options):
            break
    flipped, current = best
    reached, harmed = current.reaches(options), 0
    if reached and protection is not None:
        harmed = _count_harmed(evaluator.model, protection, candidates.positions(flipped))
    outcome = Outcome(reached, float(current.margins.mean()), harmed, int(flipped.sum()))
    return _Attempt(flipped, current, strength, outcome)


def _count_harmed(model: ConceptBottleneck, protection: Protection, positions: Positions) -> int:
    """Count the protected texts that flips harm, among those closest to the decision boundary, which go first."""
    closest = protection.gold_log_odds.argsort(stable=True)[:PREDICTED]
    texts = [protection.texts[row] for row in closest.tolist()]
    with toggled(model, protection.concept, positions):
        logits, _ = predict_concept_logits(model, protection.concept, texts)
    return int((logits.argmax(-1) != protection.gold[closest].numpy()).sum())


class _Evaluator:
    """Predicts the texts under flips of the mask, and counts the passes."""

    def __init__(self, model: ConceptBottleneck, concept: str, texts: list[str], states: torch.Tensor):
        concept_index(model, concept)
        self.model, self.concept, self.texts, self.states = model, concept, texts, states
        self.passes = 0

    def evaluate(self, positions: Positions) -> _Evaluation:
        with toggled(self.model, self.concept, positions):
            logits, factors = compute_factors(self.model, self.concept, self.texts, self.states)
        self.passes += 1
        logits = logits.float().cpu()
        wanted_logits = logits.gather(1, self.states[:, None]).squeeze(1)
        largest_others = logits.scatter(1, self.states[:, None], -torch.inf).max(1).values
        missing = 1 - logits.softmax(-1).gather(1, self.states[:, None]).squeeze(1)
        margins = (wanted_logits - largest_others).numpy()
        return _Evaluation(logits, factors, margins, missing / missing.sum().clamp(min=1e-30))


def _run_rounds(
    evaluator: _Evaluator,
    candidates: Candidates,
    flipped: np.ndarray,
    current: _Evaluation,
    options: PatchOptions,
    strength: float,
) -> tuple[np.ndarray, _Evaluation]:
    """Run rounds under one strength, until the options are met or nothing improves."""
    for _ in range(max(MIN_ROUNDS_PER_STRENGTH, options.budget // (2 * MOVES_PER_ROUND))):  # enough to spend the budget
        required_gain = float(current.weights @ torch.from_numpy(options.margin - current.margins).clamp(min=0))
        budget_spent = flipped.sum() + 2 > options.budget
        moves = choose_moves(
            candidates.gains(current.factors, current.weights),
            candidates.effects,
            candidates.starts,
            flipped,
            MoveLimits(strength, options.budget, required_gain, MOVES_PER_ROUND),
        )
        if not moves:
            break
        flipped_before, margin_before = flipped, current.margins.mean()
        flipped = apply_moves(flipped, moves)
        current = evaluator.evaluate(candidates.positions(flipped))
        if current.reaches(options):
            return _shortest_start(evaluator, candidates, flipped_before, moves, options)
        if budget_spent and current.margins.mean() < margin_before + MIN_PROGRESS:
            break
    return flipped, current


def _shortest_start(
    evaluator: _Evaluator, candidates: Candidates, flipped: np.ndarray, moves: list[Move], options: PatchOptions
) -> tuple[np.ndarray, _Evaluation]:
    """Return the shortest start of the last round's moves that meets the options, by bisection."""
    low, high, best = 0, len(moves), None
    while high - low > 1 or best is None:
        middle = high if best is None else (low + high) // 2
        flipped_at_middle = apply_moves(flipped, moves[:middle])
        evaluation = evaluator.evaluate(candidates.positions(flipped_at_middle))
        if evaluation.reaches(options):
            high, best = middle, (flipped_at_middle, evaluation)
        else:
            low = middle
    return best
