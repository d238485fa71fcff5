"""Which parts of a subnetwork carry a prediction: each is removed, and the concept is predicted again.

A unit is an attention head, the feed-forward part of a block (ffn), or a whole block. Ablating it means setting its
weights to zero in the subnetwork of one concept. Biases, the residual stream and the other concepts stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.progress import progress
from sparsecbm.explain.variants import KINDS, Unit, Variants
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck


@dataclass(frozen=True)
class UnitEffect:
    """The effect of one unit on the prediction of a concept.

    Attributes:
        effect: logit of the explained state with the unit minus without it; above 0, the unit speaks for the state
        read: the predicted state without the unit
        probability: probability of the explained state without the unit
    """

    unit: Unit
    effect: float
    read: str
    probability: float


@dataclass(frozen=True)
class Ablation:
    """The effects of all units of one concept's subnetwork on one text.

    Logits are centred over the concept's states, since softmax ignores a common shift.

    Attributes:
        state: the explained state
        logit, probability: of that state with all units
        masked: whether the concept has a subnetwork of its own; otherwise units of the dense backbone are ablated, for
            this concept only
        effects: one for each unit, in the order of the blocks
    """

    concept: str
    state: str
    logit: float
    probability: float
    masked: bool
    effects: tuple[UnitEffect, ...]

    def largest(self, kind: str, count: int = 5) -> tuple[UnitEffect, ...]:
        """The units of one kind (block | head | ffn) with the largest effects, positive or negative.

        Raises:
            ConfigError: unknown kind; names the choices.
        """
        if kind not in KINDS:
            raise ConfigError(unknown("kind of unit", kind, KINDS))
        effects = [effect for effect in self.effects if effect.unit.kind == kind]
        return tuple(sorted(effects, key=lambda effect: -abs(effect.effect))[:count])

    def to_dict(self) -> dict:
        """Plain form for JSON, with one flat entry for each unit."""
        entries = [asdict(effect) for effect in self.effects]
        return {**asdict(self), "effects": [{**entry.pop("unit"), **entry} for entry in entries]}


def ablate_units(
    model: ConceptBottleneck,
    texts: Sequence[str],
    states: Mapping[str, str | None] | None = None,
    kinds: Sequence[str] = KINDS,
    batch_size: int = 4,
    first: int = 0,
) -> list[dict[str, Ablation]]:
    """Ablate every unit of every concept's subnetwork, for each text. The model is not changed.

    Args:
        states: concept -> the state to explain, or None for the predicted one; by default the predicted states of all
            concepts
        kinds: kinds of units: block | head | ffn; heads take most of the time
        batch_size: texts in a batch; each of them takes 1 + units rows
        first: number of the first block whose units are ablated; blocks without masks belong to no subnetwork

    Returns:
        for each text: concept -> ablation

    Raises:
        ModelError: the model has no bottleneck, is compact, or the units of its family are not known.
        ConfigError: unknown concept, state or kind; names the choices.
    """
    if isinstance(texts, str):
        raise TypeError("ablate_units takes a list of texts; wrap a single text: ablate_units(model, [text])")
    states = dict.fromkeys(model.concept_set.names) if states is None else dict(states)
    indices = {name: None if state is None else model.concept_set[name].index(state) for name, state in states.items()}
    variants = Variants(model, list(states), kinds, first)
    token_ids = encode(model.tokenizer, texts, model.settings.max_length)
    ablations: list[dict[str, Ablation]] = [{} for _ in token_ids]
    batches = batch_by_length([len(ids) for ids in token_ids], batch_size)
    for rows in progress(batches, "ablate units", "batch"):
        ids, mask = pad([token_ids[row] for row in rows], model.tokenizer.pad_token_id)
        for name, logits in variants.logits(ids.to(model.device), mask.to(model.device)).items():
            for row, text_logits in zip(rows, logits.double().cpu().unbind(1), strict=True):
                concept = model.concept_set[name]
                ablations[row][name] = _ablation(concept, indices[name], model.masked, variants.units, text_logits)
    return ablations


def _ablation(concept: Concept, state: int | None, masked: bool, units: tuple[Unit, ...], logits: Tensor) -> Ablation:
    """The ablation of one text from its logits, [1 + units, states]; the first row is with all units."""
    state = int(logits[0].argmax()) if state is None else state
    explained = (logits - logits.mean(-1, keepdim=True))[:, state].tolist()
    probabilities = logits.softmax(-1)[:, state].tolist()
    predicted = [concept.states[index] for index in logits.argmax(-1).tolist()]
    effects = [
        UnitEffect(unit, explained[0] - explained[i], predicted[i], probabilities[i]) for i, unit in enumerate(units, 1)
    ]
    return Ablation(concept.name, concept.states[state], explained[0], probabilities[0], masked, tuple(effects))
