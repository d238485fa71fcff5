"""The short list of a subnetwork: its heads and its strongest neurons, and what each of these neurons fires on.

A head or a neuron counts by its effect: the logit of the predicted state with it minus without it, as the mean over
texts. Heads are all removed one by one. Of the thousands of neurons, those with the largest first-order effect
(activation times gradient, as in Molchanov et al., arXiv 1906.10771) are removed for real. A neuron fires on the words
at which its mean activation is highest.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.base.progress import progress
from sparsecbm.explain.ablation import ablate_units
from sparsecbm.explain.subnetworks import Subnetworks, UnitShares
from sparsecbm.explain.words import TokenizedText, tokenize_words
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked import first_masked_block
from sparsecbm.model.remembered_states import RememberedStates, remembering_copy
from sparsecbm.model.units import LayerPart, find_units_for

RESAMPLES = 1000
BATCH = 16  # texts
WORDS = 5  # that a neuron fires on
LEAST_TEXTS = 3  # that hold such a word; a rarer one may be a name


@dataclass(frozen=True)
class PartEffect:
    """What one head or neuron does for a concept.

    Attributes:
        block, index: number of the block, and of the head or neuron in it, from 0
        exclusive: share of its weights that this concept alone keeps
        effect: mean logit of the predicted state with it minus without it
        interval: 95 %, by bootstrap over groups of texts
        words: of a neuron, on which it fires, the strongest first
    """

    block: int
    index: int
    exclusive: float
    effect: float
    interval: tuple[float, float]
    words: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """Plain form for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Parts:
    """Heads and strongest neurons of one concept's subnetwork, the largest effect first."""

    heads: tuple[PartEffect, ...]
    neurons: tuple[PartEffect, ...]

    def to_dict(self) -> dict:
        """Plain form for JSON."""
        return {"heads": [part.to_dict() for part in self.heads], "neurons": [part.to_dict() for part in self.neurons]}


@dataclass(frozen=True)
class PartTexts:
    """The texts behind the effects, the group of each, and the texts on whose words neurons may fire."""

    texts: Sequence[str]
    groups: Sequence[str]
    reading: Sequence[str]


def describe_parts(
    model: ConceptBottleneck, subnetworks: Subnetworks, texts: PartTexts, neurons: int = 10, seed: int = 0
) -> dict[str, Parts]:
    """Describe the parts of each concept's subnetwork.

    Args:
        model: a masked model
        subnetworks: of this model
        neurons: number of neurons for each concept
        seed: of the resamples

    Returns:
        concept -> parts

    Raises:
        ModelError: the heads and neurons of the backbone's family are not known.
    """
    groups = find_units_for(model.backbone, "subnetworks cannot be listed part by part")
    outputs = {group.block: group.parts[-1] for group in groups if group.kind == "neuron"}
    first = first_masked_block(model.backbone)
    fast = remembering_copy(model, RememberedStates(first))  # shared blocks run once for each text
    ablations = ablate_units(model, texts.texts, kinds=("head",), first=first)
    tokenized = tokenize_words(model.tokenizer, texts.reading, model.settings.max_length)
    found = {}
    for name in progress(model.concept_set.names, "describe parts", "concept"):
        of_heads, of_neurons = subnetworks.heads.get(name, {}), subnetworks.neurons.get(name, {})
        masked = {block: part for block, part in outputs.items() if block in of_neurons}
        columns = [i for i, each in enumerate(ablations[0][name].effects) if each.unit.block in of_heads]
        units = [ablations[0][name].effects[i].unit for i in columns]
        effects = np.array([[by_concept[name].effects[i].effect for i in columns] for by_concept in ablations])
        heads = _parts([(unit.block, unit.head or 0) for unit in units], effects, of_heads, texts.groups, seed)
        strongest = _strongest(model, name, texts.texts, masked, neurons) if masked else []
        effects = _removed(fast, name, texts.texts, masked, strongest)
        fires = _fires_on(fast, name, tokenized, masked, strongest) if strongest else {}
        found[name] = Parts(heads, _parts(strongest, effects, of_neurons, texts.groups, seed, fires))
    return found


def _parts(
    names: Sequence[tuple[int, int]],
    effects: np.ndarray,
    shares: Mapping[int, UnitShares],
    groups: Sequence[str],
    seed: int,
    words: Mapping[tuple[int, int], tuple[str, ...]] | None = None,
) -> tuple[PartEffect, ...]:
    """Parts from their effects, [texts, parts]; `shares` has what the concept keeps of each block's units."""
    if not names:
        return ()
    draws = resampled_means(effects, np.asarray(groups), RESAMPLES, seed)
    parts = []
    for column, (block, index) in enumerate(names):
        low, high = interval(draws[:, column])
        share, fires = float(shares[block].exclusive[index]), (words or {}).get((block, index), ())
        parts.append(PartEffect(block, index, share, float(effects[:, column].mean()), (low, high), fires))
    return tuple(sorted(parts, key=lambda part: -part.effect))


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(-1, keepdim=True)


def _strongest(
    model: ConceptBottleneck, name: str, texts: Sequence[str], outputs: Mapping[int, LayerPart], count: int
) -> list[tuple[int, int]]:
    """(block, neuron) of those with the largest mean first-order effect on the logit of the predicted state."""
    totals: dict[int, Tensor] = {}
    with inference_mode(model), torch.inference_mode(False), torch.enable_grad():
        for _, ids, mask in _batches(model, texts):
            with _captured(model.backbone, outputs) as activations:
                logits = _concept_logits(model, name, ids, mask)
            value = _centred(logits).gather(1, logits.argmax(-1, keepdim=True)).sum()
            gradients = torch.autograd.grad(value, list(activations.values()))
            for (block, activation), gradient in zip(activations.items(), gradients, strict=True):
                effect = (activation.detach() * gradient).double().sum((0, 1)).cpu()
                totals[block] = totals[block] + effect if block in totals else effect
    joined = torch.cat(list(totals.values()))
    pairs = [(block, index) for block, total in totals.items() for index in range(len(total))]
    return [pairs[i] for i in joined.argsort(descending=True, stable=True)[:count].tolist()]


def _removed(
    model: ConceptBottleneck,
    name: str,
    texts: Sequence[str],
    outputs: Mapping[int, LayerPart],
    neurons: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Logit of the predicted state with each neuron minus without it, [texts, neurons]."""
    effects = np.zeros((len(texts), len(neurons)))
    with inference_mode(model):
        for rows, ids, mask in _batches(model, texts):
            whole = _centred(_concept_logits(model, name, ids, mask).double())
            state = whole.argmax(-1, keepdim=True)
            for column, (block, neuron) in enumerate(neurons):
                with _zeroed(model.backbone, outputs[block], neuron):
                    without = _centred(_concept_logits(model, name, ids, mask).double())
                effects[rows, column] = (whole - without).gather(1, state)[:, 0].cpu().numpy()
    return effects


def _fires_on(
    model: ConceptBottleneck,
    name: str,
    tokenized: Sequence[TokenizedText],
    outputs: Mapping[int, LayerPart],
    neurons: Sequence[tuple[int, int]],
) -> dict[tuple[int, int], tuple[str, ...]]:
    """The words with the highest mean activation of each neuron, among words of several texts."""
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(neurons)))
    counts: dict[str, int] = defaultdict(int)
    holders: dict[str, set[int]] = defaultdict(set)
    with inference_mode(model):
        for rows in batch_by_length([len(text.ids) for text in tokenized], BATCH):
            ids, mask = pad([list(tokenized[row].ids) for row in rows], model.tokenizer.pad_token_id)
            with _captured(model.backbone, outputs) as activations:
                _concept_logits(model, name, ids.to(model.device), mask.to(model.device))
            fired = torch.stack([activations[block][..., neuron] for block, neuron in neurons], dim=-1)
            for row, by_token in zip(rows, fired.double().cpu().numpy(), strict=True):
                text = tokenized[row]
                for position, word_index in enumerate(text.word_indices):
                    if word_index >= 0:
                        word = text.words[word_index].lower()
                        sums[word] += by_token[position]
                        counts[word] += 1
                        holders[word].add(row)
    words = sorted(word for word, rows in holders.items() if len(rows) >= LEAST_TEXTS)
    if not words:
        return {}
    means = np.stack([sums[word] / counts[word] for word in words])
    order = np.argsort(-means, axis=0, kind="stable")[:WORDS]
    return {neuron: tuple(words[i] for i in order[:, column]) for column, neuron in enumerate(neurons)}


def _batches(model: ConceptBottleneck, texts: Sequence[str]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Row numbers, token ids and padding mask of each batch of texts."""
    token_ids = encode(model.tokenizer, texts, model.settings.max_length)
    for rows in batch_by_length([len(ids) for ids in token_ids], BATCH):
        ids, mask = pad([token_ids[row] for row in rows], model.tokenizer.pad_token_id)
        yield list(rows), ids.to(model.device), mask.to(model.device)


def _concept_logits(model: ConceptBottleneck, name: str, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits of one concept, [batch, states], through its own subnetwork alone."""
    pooled = model.represent(ids, mask, {name: torch.arange(len(ids), device=ids.device)})
    logits: Tensor = model.concept_heads(pooled)[name]
    return logits


@contextmanager
def _captured(backbone: nn.Module, outputs: Mapping[int, LayerPart]) -> Iterator[dict[int, Tensor]]:
    """The activations of the neurons of each block in a forward pass, block -> [rows, tokens, neurons]."""
    activations: dict[int, Tensor] = {}

    def keep(block: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            activations[block] = inputs[0]

        return hook

    handles = [backbone.get_submodule(p.layer).register_forward_pre_hook(keep(b)) for b, p in outputs.items()]
    try:
        yield activations
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _zeroed(backbone: nn.Module, part: LayerPart, neuron: int) -> Iterator[None]:
    """Without the output of one neuron."""

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        changed = inputs[0].clone()
        changed[..., part.start + neuron] = 0
        return (changed, *inputs[1:])

    handle = backbone.get_submodule(part.layer).register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
