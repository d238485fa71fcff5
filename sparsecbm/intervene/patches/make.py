"""Making a patch: from texts with a wrong prediction to a patch that a person can judge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import concept_index, mask_checksum
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.patch import MaskPatch, StatePrediction
from sparsecbm.intervene.patches.protection import Protection
from sparsecbm.intervene.patches.search import SearchResult, search
from sparsecbm.intervene.patches.side_effects import SideEffects, measure_side_effects
from sparsecbm.intervene.patches.stack import patches_in_force, unpatched_mask_checksum
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import text_checksum, weights_checksum
from sparsecbm.model.prediction import softmax


class UnreachedError(InterventionError):
    """No patch within the budget gives the texts the state.

    Attributes:
        fact: the message without the advice, which names options of the command line
        result: the best attempt
    """

    def __init__(self, fact: str, advice: str, result: SearchResult):
        super().__init__(f"{fact}. {advice}")
        self.fact, self.result = fact, result

    @property
    def several(self) -> bool:
        """Whether the patch was for more than one text."""
        return len(self.result.margins) > 1


class HarmfulError(InterventionError):
    """The patch does more harm than is allowed.

    Attributes:
        fact: the message without the advice, which names options of the command line
        result, side_effects: what it reaches, and what it harms
    """

    def __init__(self, fact: str, advice: str, result: SearchResult, side_effects: SideEffects):
        super().__init__(f"{fact}. {advice}")
        self.fact, self.result, self.side_effects = fact, result, side_effects


@dataclass(frozen=True)
class Safeguards:
    """Predictions that keep a patch from doing harm.

    Attributes:
        protection: correct predictions that should not change, from `protect`
        reference: predictions to measure side effects on; groups that protect are left out
    """

    protection: Protection | None = None
    reference: Reference | None = None

    @property
    def unseen(self) -> Reference | None:
        """The predictions that side effects are measured on."""
        if self.reference is None or self.protection is None:
            return self.reference
        return self.reference.without(self.protection.groups)


NO_SAFEGUARDS = Safeguards()
HARM_ADVICE = (
    "Allow fewer bits (--bits, or budget), raise intervene.protect, edit the concept instead, or make the patch anyway "
    "(--force, or force=True)"
)


def make_patch(
    model: ConceptBottleneck,
    texts: str | Sequence[str],
    concept: str,
    state: str,
    options: PatchOptions,
    safeguards: Safeguards = NO_SAFEGUARDS,
) -> MaskPatch:
    """Find bits of a concept's mask to flip so that the model predicts a state for texts; the model stays unchanged.

    Patches in force stay in force. The new patch is made on top of the last of them on this concept, its parent. Its
    author and a note can be added by `dataclasses.replace`.

    Args:
        texts: one text, or several that share a mistake
        state: name of the state that the model should predict
        safeguards: without them the patch protects nothing, and its side effects are unknown

    Raises:
        UnreachedError: the state cannot be reached; the message gives the best margin.
        HarmfulError: the state can be reached, but with too much harm.
        InterventionError: an unknown concept, a dense model, no texts, nothing to change, or texts that are protected
            in another state.
        ConfigError: an unknown state or layer pattern.
    """
    protection, unseen = safeguards.protection, safeguards.unseen
    texts = [texts] if isinstance(texts, str) else list(dict.fromkeys(texts))
    concept_index(model, concept)
    states = model.concept_set[concept].states
    target = model.concept_set[concept].index(state)
    _check_arguments(model, texts, concept, state, protection)
    result = search(model, concept, texts, [target] * len(texts), options, protection)
    _check_result(result, texts, concept, state, options)
    side_effects = None
    if unseen is not None:
        side_effects = measure_side_effects(model, concept, result.flipped, unseen, texts)
        if (side_effects.harmed.share or 0) > options.max_harm and not options.force:
            fact = _harm_message(concept, state, result, side_effects, options)
            raise HarmfulError(fact, HARM_ADVICE, result, side_effects)
    parents = patches_in_force(model, concept)
    return MaskPatch(
        concept=concept,
        state=state,
        texts=tuple(text_checksum(text) for text in texts),
        dropped=result.dropped,
        grown=result.grown,
        weights=weights_checksum(model),
        mask=unpatched_mask_checksum(model, concept),
        size=model.masks.size,
        before=_predictions(result.before, states),
        after=_predictions(result.after, states),
        made={
            # Keys of the published form; `share` and `caution` keep their first names.
            "budget": options.budget,
            "margin": options.margin,
            "share": options.min_fixed_share,
            "layers": list(options.layers),
            "scope": options.scope,
            "caution": options.protection_strength,
            "protected": len(protection.texts) if protection else 0,
            "strength": result.strength,
            "max_harm": options.max_harm if unseen is not None else None,
            "forced": options.force,
        },
        side_effects=side_effects,
        parent=parents[-1].id if parents else None,
    )


def _check_arguments(
    model: ConceptBottleneck, texts: list[str], concept: str, state: str, protection: Protection | None
) -> None:
    if not texts:
        raise InterventionError("no text was given to make a patch for")
    if protection is None:
        return
    if protection.concept != concept:
        raise InterventionError(
            f"the protection belongs to {protection.concept!r}; a patch of {concept!r} needs one of its own"
        )
    if protection.mask != mask_checksum(model.masks[concept]):
        raise InterventionError(
            f"the protection was computed under another mask of {concept!r}; "
            "compute it again under the patches in force"
        )
    protected_states = dict(zip(protection.texts, protection.states, strict=True))
    for text in texts:
        if protected_states.get(text, state) != state:
            raise InterventionError(
                f"the examples contradict each other: {text[:60]!r} should get {state!r}, but it is a protected text "
                f"that is correctly predicted as {protected_states[text]!r}; remove it from one of the two"
            )


def _check_result(result: SearchResult, texts: list[str], concept: str, state: str, options: PatchOptions) -> None:
    if result.reached and not result.bits:
        raise InterventionError(
            f"the model already predicts {concept}={state} with the requested margin; there is nothing to patch"
        )
    if not result.reached:
        fixed = int((result.margins >= options.margin).sum())
        raise UnreachedError(
            f"{options.budget} bits are too few to make {concept!r} predict {state!r}: the best of {result.passes} "
            f"attempts fixes {fixed} of {len(texts)} texts, with a mean margin of {result.margins.mean():.2f} "
            f"({result.margins_before.mean():.2f} before, {options.margin:g} required). Nothing was changed",
            "Allow more bits (--bits), protect fewer texts (intervene.protect), or edit the concept instead",
            result,
        )


def _harm_message(
    concept: str, state: str, result: SearchResult, side_effects: SideEffects, options: PatchOptions
) -> str:
    harmed = side_effects.harmed
    return (
        f"a patch of {result.bits} bits makes {concept!r} predict {state!r}, but it harms {harmed.count} "
        f"of {harmed.of} correct predictions ({100 * harmed.share:.1f} %; {100 * options.max_harm:g} % are allowed)"
    )


def _predictions(logits: np.ndarray, states: tuple[str, ...]) -> tuple[StatePrediction, ...]:
    probabilities = softmax(logits).round(6)
    return tuple(
        StatePrediction(states[int(row.argmax())], dict(zip(states, p.tolist(), strict=True)))
        for row, p in zip(logits, probabilities, strict=True)
    )
