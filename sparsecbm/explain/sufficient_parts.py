"""The smallest set of heads and neurons of a concept's subnetwork that keeps the concept's prediction for one text.

The search is greedy. Units are ranked by integrated gradients on their gates (arXiv 1703.01365, equation 1, on the path
from no unit to all), and the shortest beginning of this order that keeps the prediction is taken. Ranking and cutting
go on within that set until it shrinks no more. Then units are left out as long as the prediction stays. So no single
unit of the result can be spared, but a smaller set of other units may exist. A set in which another state becomes the
most likely one does not keep the prediction.

Sets are tried in batches. As a control, random sets with as many heads and neurons of each block are tried as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from sparsecbm.base.progress import progress
from sparsecbm.explain.gated_model import GatedModel, KeptUnit
from sparsecbm.explain.gradients import gauss_legendre
from sparsecbm.explain.words import TokenizedText, tokenize_words
from sparsecbm.model.batches import pad
from sparsecbm.model.cbm import ConceptBottleneck

NODES = 8  # gradients of one ranking
SIZES = 12  # of sets that one batch tries
DRAWS = 20  # random sets


@dataclass(frozen=True)
class SufficientPart:
    """A head or neuron of the set.

    Attributes:
        kind: head | neuron
        block, index: number of the block, and of the head or neuron in it, from 0
        effect: logit of the predicted state with the whole set minus without this part of it
        word: of a neuron, the word of the text at which it is most active when the set alone runs
    """

    kind: str
    block: int
    index: int
    effect: float
    word: str | None


@dataclass(frozen=True)
class SetTrial:
    """The prediction of a concept with one choice of heads and neurons, and with random choices of the same size.

    Attributes:
        state: the predicted state
        probability: of the state that the whole subnetwork predicts
        random_kept: share of the random choices with which the whole subnetwork's prediction stays
        random_probability: mean probability of that state with random choices
    """

    state: str
    probability: float
    random_kept: float
    random_probability: float


@dataclass(frozen=True)
class SufficientParts:
    """The smallest set of parts found that keeps the prediction of a concept.

    Attributes:
        heads, neurons: numbers of heads and neurons in the whole subnetwork
        parts: of the set, the largest effect first; empty if the prediction stays without any part
        none_state: the predicted state without any part
        only: with these parts alone
        without: with all parts but these
        draws: number of random choices; each has as many heads and neurons of each block
    """

    heads: int
    neurons: int
    parts: tuple[SufficientPart, ...]
    none_state: str
    only: SetTrial
    without: SetTrial
    draws: int


def find_sufficient_parts(
    model: ConceptBottleneck, texts: Sequence[str], concepts: Sequence[str] | None = None, seed: int = 0
) -> list[dict[str, SufficientParts]]:
    """Find the smallest set of parts for each text and concept. The model is not changed.

    Args:
        concepts: names; by default all
        seed: of the random sets

    Returns:
        for each text: concept -> its set

    Raises:
        ConfigError: unknown concept; names the choices.
        ModelError: the model has no masks, is compact, or the heads and neurons of its family are not known; or its
            tokenizer does not give the positions of tokens in the text.
    """
    names = model.concept_set.names if concepts is None else [model.concept_set[name].name for name in concepts]
    gated = GatedModel(model)
    tokenized = tokenize_words(model.tokenizer, texts, model.settings.max_length)
    results: list[dict[str, SufficientParts]] = []
    for text in progress(tokenized, "search parts", "text"):
        ids = pad([text.ids], model.tokenizer.pad_token_id)[0].to(model.device)  # one token for a text without tokens
        draw = np.random.default_rng([seed, crc32(text.text.encode())])
        results.append({})
        for name in names:
            search = _Search(gated, name, ids)
            results[-1][name] = _describe(search, search.smallest_set(), model.concept_set[name].states, text, draw)
    return results


class _Search:
    """The search for one text and concept.

    A set is a boolean array over the concept's units, [units].
    """

    def __init__(self, gated: GatedModel, concept: str, ids: Tensor):
        self.gated, self.concept, self.ids = gated, concept, ids
        self.units = gated.units[concept]
        self.state = int(self.logits(self.whole[None])[0].argmax())

    @property
    def whole(self) -> np.ndarray:
        """The set of all units."""
        return np.ones(len(self.units), dtype=bool)

    @torch.no_grad()
    def logits(self, sets: np.ndarray) -> Tensor:
        """Logits with each set alone, [sets, states], from [sets, units]."""
        gates = torch.tensor(sets, dtype=torch.float32, device=self.ids.device)
        return self.gated.logits(self.concept, self.ids, gates).double().cpu()

    def keeps(self, sets: np.ndarray) -> np.ndarray:
        """The lead of the state over the best other one with each set alone, [sets]; above 0 the prediction stays."""
        return _leads(self.logits(sets), self.state).numpy()

    def smallest_set(self) -> np.ndarray:
        """The set that the search ends with."""
        members = self.whole
        while True:
            order = self._ranked(members)
            size = self._shortest_beginning(order)
            if size == len(order):
                return self._without_spare(members)
            members = self._set_of(order[:size])

    def _set_of(self, indices: np.ndarray) -> np.ndarray:
        members = np.zeros(len(self.units), dtype=bool)
        members[indices] = True
        return members

    def _ranked(self, members: np.ndarray) -> np.ndarray:
        """Indices of the units of a set, the one that adds most to the lead of the state first."""
        nodes, weights = gauss_legendre(NODES)
        path = torch.tensor(nodes[:, None] * members, dtype=torch.float32, device=self.ids.device).requires_grad_()
        lead = _leads(self.gated.logits(self.concept, self.ids, path), self.state).sum()
        slopes = torch.autograd.grad(lead, path)[0].double().cpu().numpy()
        order = np.argsort(-(weights @ slopes), kind="stable")
        return order[members[order]]

    def _shortest_beginning(self, order: np.ndarray) -> int:
        """The length of a beginning of the order that keeps the prediction, while one unit less does not.

        Lengths are tried in a grid that gets finer, so a shorter one between its points may be missed.
        """
        fails, holds = -1, len(order)
        while holds - fails > 1:
            steps = np.unique(np.geomspace(1, holds - fails, SIZES + 1).round().astype(int))
            sizes = fails + steps[steps < holds - fails]
            kept = np.flatnonzero(self.keeps(np.array([self._set_of(order[:size]) for size in sizes])) > 0)
            if not len(kept):
                fails = sizes[-1]
                continue
            holds = sizes[kept[0]]
            fails = sizes[kept[0] - 1] if kept[0] else fails
        return int(holds)

    def _without_spare(self, members: np.ndarray) -> np.ndarray:
        """Leave units out of a set, the most dispensable ones first, until each one is needed."""
        while members.any():
            indices = np.flatnonzero(members)
            leads = self.keeps(np.array([self.all_but(members, [index]) for index in indices]))
            spare = indices[np.argsort(-leads, kind="stable")][: int((leads > 0).sum())]
            if not len(spare):
                break
            counts = np.unique([*(2 ** np.arange(int(np.log2(len(spare))) + 1)), len(spare)])
            together = self.keeps(np.array([self.all_but(members, spare[:count]) for count in counts]))
            kept = np.flatnonzero(together > 0)
            if not len(kept):  # a lead of nearly 0 may change its sign with the number of rows in a pass
                break
            members = self.all_but(members, spare[: counts[kept[-1]]])
        return members

    @staticmethod
    def all_but(members: np.ndarray, indices: np.ndarray | Sequence[int]) -> np.ndarray:
        """A set without some of its units."""
        fewer = members.copy()
        fewer[indices] = False
        return fewer


def _leads(logits: Tensor, state: int) -> Tensor:
    """The logit of a state minus the largest of the other states, [rows], from [rows, states]."""
    others = torch.cat([logits[:, :state], logits[:, state + 1 :]], dim=1)
    return logits[:, state] - others.amax(1)


def _describe(
    search: _Search, members: np.ndarray, states: Sequence[str], text: TokenizedText, draw: np.random.Generator
) -> SufficientParts:
    units, whole = search.units, search.whole
    random_sets = np.array([_random_set(units, members, draw) for _ in range(DRAWS)])
    one_less = [search.all_but(members, [index]) for index in np.flatnonzero(members)]
    logits = search.logits(np.array([members, *one_less]))
    centred = (logits - logits.mean(-1, keepdim=True))[:, search.state].numpy()
    words = _words(search, members, text)
    parts = [
        SufficientPart(units[index].kind, units[index].block, units[index].index, float(effect), words.get(index))
        for index, effect in zip(np.flatnonzero(members), centred[0] - centred[1:], strict=True)
    ]
    heads = sum(unit.kind == "head" for unit in units)
    return SufficientParts(
        heads=heads,
        neurons=len(units) - heads,
        parts=tuple(sorted(parts, key=lambda part: -part.effect)),
        none_state=states[int(search.logits(~whole[None])[0].argmax())],
        only=_trial(search, members, random_sets, states),
        without=_trial(search, ~members, ~random_sets, states),
        draws=DRAWS,
    )


def _trial(search: _Search, chosen: np.ndarray, random_sets: np.ndarray, states: Sequence[str]) -> SetTrial:
    logits = search.logits(np.concatenate([chosen[None], random_sets]))
    predicted, probabilities = logits.argmax(-1), logits.softmax(-1)[:, search.state]
    kept = (predicted[1:] == search.state).double().mean()
    return SetTrial(states[int(predicted[0])], float(probabilities[0]), float(kept), float(probabilities[1:].mean()))


def _random_set(units: Sequence[KeptUnit], members: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A random set with as many units of each kind and block as the given one."""
    groups = [(unit.kind, unit.block) for unit in units]
    drawn = np.zeros(len(units), dtype=bool)
    for group in dict.fromkeys(groups):
        indices = np.array([index for index, other in enumerate(groups) if other == group])
        drawn[draw.permutation(indices)[: int(members[indices].sum())]] = True
    return drawn


def _words(search: _Search, members: np.ndarray, text: TokenizedText) -> dict[int, str]:
    """For each neuron of a set, the word at which it is most active when the set alone runs."""
    gates = torch.tensor(members, dtype=torch.float32, device=search.ids.device)
    neurons = [index for index in np.flatnonzero(members) if search.units[index].kind == "neuron"]
    in_word = np.flatnonzero(text.word_indices >= 0)
    if not neurons or not len(in_word):
        return {}
    activations = search.gated.activations(search.concept, search.ids, gates)
    words = {}
    for index in neurons:
        by_token = activations[search.units[index].block][in_word, search.units[index].index]
        words[index] = text.words[text.word_indices[in_word[int(by_token.argmax())]]]
    return words
