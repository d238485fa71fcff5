"""Which parts of a subnetwork carry a concept's reading of a text: each is taken away, and the text is read again.

A unit is an attention head, the feed-forward part of a block (ffn), or a whole block. To ablate it is to set its
weights to zero in the subnetwork of one concept; biases and the residual stream stay, and so do the other concepts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.variants import KINDS, Unit, Variants
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck


@dataclass(frozen=True)
class UnitEffect:
    """What one unit does to the reading of a concept.

    Attributes:
        effect: logit of the explained state with the unit minus without it; above 0, the unit speaks for the state
        read: the state that is read without the unit
        probability: of the explained state without the unit
    """

    unit: Unit
    effect: float
    read: str
    probability: float


@dataclass(frozen=True)
class Ablation:
    """All units of one concept's subnetwork on one text.

    Logits are taken minus their mean over the concept's states, since softmax ignores a common shift.

    Attributes:
        state: the state that is explained
        logit, probability: of that state with all units
        masked: whether the concept reads through a subnetwork of its own; else the units are those of the dense
            backbone, ablated for this concept alone all the same
        effects: one a unit, in the order of the blocks
    """

    concept: str
    state: str
    logit: float
    probability: float
    masked: bool
    effects: tuple[UnitEffect, ...]

    def largest(self, kind: str, count: int = 5) -> tuple[UnitEffect, ...]:
        """The units of one kind (block | head | ffn) that change the logit most, either way.

        Raises:
            ConfigError: unknown kind; names the choices.
        """
        if kind not in KINDS:
            raise ConfigError(unknown("kind of unit", kind, KINDS))
        of_kind = [found for found in self.effects if found.unit.kind == kind]
        return tuple(sorted(of_kind, key=lambda found: -abs(found.effect))[:count])

    def to_dict(self) -> dict:
        """Plain form, as JSON holds it: one flat entry a unit."""
        entries = [asdict(found) for found in self.effects]
        return {**asdict(self), "effects": [{**entry.pop("unit"), **entry} for entry in entries]}


def ablate_units(
    model: ConceptBottleneck,
    texts: Sequence[str],
    states: Mapping[str, str | None] | None = None,
    kinds: Sequence[str] = KINDS,
    batch_size: int = 4,
    first: int = 0,
) -> list[dict[str, Ablation]]:
    """Ablate every unit of every concept's subnetwork, for each text. The model is never changed.

    Args:
        states: concept -> the state to explain, None for the one that is read; by default all concepts as read
        kinds: which units: block | head | ffn; heads take most of the time
        batch_size: texts read together; each takes 1 + units rows
        first: number of the first block whose units are ablated; those below the masks are no part of a subnetwork

    Returns:
        one dictionary a text, by concept

    Raises:
        ModelError: the model has no bottleneck, is a compact one, or the units of its family are not known.
        ConfigError: unknown concept, state or kind; names the choices.
    """
    if isinstance(texts, str):
        raise TypeError("ablate_units takes a list of texts; wrap a single text: ablate_units(model, [text])")
    states = dict.fromkeys(model.concept_set.names) if states is None else dict(states)
    wanted = {name: None if state is None else model.concept_set[name].index(state) for name, state in states.items()}
    variants = Variants(model, list(states), kinds, first)
    rows = encode(model.tokenizer, texts, model.settings.max_length)
    results: list[dict[str, Ablation]] = [{} for _ in rows]
    for members in batch_by_length([len(row) for row in rows], batch_size):
        ids, mask = pad([rows[i] for i in members], model.tokenizer.pad_token_id)
        for name, logits in variants.logits(ids.to(model.device), mask.to(model.device)).items():
            for text, of_text in zip(members, logits.double().cpu().unbind(1), strict=True):
                found = _ablation(model.concept_set[name], wanted[name], model.masked, variants.units, of_text)
                results[text][name] = found
    return results


def _ablation(concept: Concept, state: int | None, masked: bool, units: tuple[Unit, ...], logits: Tensor) -> Ablation:
    """The result for one text from its logits, [1 + units, states], the first with all units."""
    state = int(logits[0].argmax()) if state is None else state
    explained = (logits - logits.mean(-1, keepdim=True))[:, state].tolist()
    probabilities = logits.softmax(-1)[:, state].tolist()
    read = [concept.states[winner] for winner in logits.argmax(-1).tolist()]
    effects = [
        UnitEffect(unit, explained[0] - explained[i], read[i], probabilities[i]) for i, unit in enumerate(units, 1)
    ]
    return Ablation(concept.name, concept.states[state], explained[0], probabilities[0], masked, tuple(effects))
