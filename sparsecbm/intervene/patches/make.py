"""A patch of a concept's mask, from texts that are misread to a file that a person can judge."""

from collections.abc import Sequence

import numpy as np

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.bits import mask_checksum, place_of
from sparsecbm.intervene.patches.patch import MaskPatch, StatePrediction
from sparsecbm.intervene.patches.protection import Protection
from sparsecbm.intervene.patches.search import CAUTION, Aim, Found, search
from sparsecbm.intervene.patches.side_effects import Bill, make_bill
from sparsecbm.intervene.patches.stack import bare_checksum, patches_of, untouchable
from sparsecbm.intervene.reference import Reference
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import text_checksum, weights_checksum
from sparsecbm.model.prediction import softmax


class Unreached(InterventionError):
    """No patch within the budget makes the texts read as wanted; `found` is the best that there is."""

    def __init__(self, message: str, found: Found):
        super().__init__(message)
        self.found = found


class Harmful(InterventionError):
    """The patch does more harm than is allowed; `found` and `bill` say what and how much."""

    def __init__(self, message: str, found: Found, bill: Bill):
        super().__init__(message)
        self.found, self.bill = found, bill


def make_patch(
    model: ConceptBottleneck,
    texts: str | Sequence[str],
    concept: str,
    state: str,
    budget: int,
    *,
    margin: float = 0.05,
    share: float = 1.0,
    layers: Sequence[str] = ("*",),
    scope: str = "global",
    caution: float = CAUTION,
    protection: Protection | None = None,
    reference: Reference | None = None,
    max_harm: float = 0.01,
    force: bool = False,
    author: str = "",
    note: str = "",
) -> MaskPatch:
    """Find bits of a concept's mask to flip so that texts are read as a wanted state; the model stays as it is.

    Patches that are in force stay so: the new one is made on top of the last of them on this concept, its parent.

    Args:
        texts: one text, or several that share a mistake
        state: how the concept should read, by name
        budget: bits that may be flipped, dropped and grown ones together
        margin, share, layers, scope, caution: as in `Aim`
        protection: right readings to be left alone, from `protect`
        reference: what the patch is billed on, texts of other groups than the protected ones; those are left out
        max_harm: share of the reference's right readings of this concept that may become wrong
        force: make it even if it does more harm; the patch says so

    Raises:
        Unreached: the state cannot be reached; says the best margin.
        Harmful: it can, but at too much harm.
        InterventionError: an unknown concept, a dense model, no texts, a budget below 2, nothing to change, or texts
            that are to be read in two ways.
        ConfigError: an unknown state, scope or layer pattern.
    """
    texts = [texts] if isinstance(texts, str) else list(dict.fromkeys(texts))
    place_of(model, concept)
    wanted = model.concept_set[concept].index(state)
    aim = Aim(budget, margin, share, tuple(layers), scope, caution)
    _check(model, texts, concept, state, protection)
    found = search(model, concept, texts, [wanted] * len(texts), aim, protection, untouchable(model, concept))
    _check_found(found, texts, concept, state, aim)
    bill = None
    if reference is not None:
        groups = protection.groups if protection is not None else ()
        bill = make_bill(model, concept, found.flipped, reference, texts, groups)
        if (bill.harmed.share or 0) > max_harm and not force:
            raise Harmful(
                f"a patch of {found.bits} bits makes {concept!r} read {state!r}, but it spoils {bill.harmed.count} of "
                f"{bill.harmed.of} right readings ({100 * bill.harmed.share:.1f} %, at most {100 * max_harm:g} % are "
                "allowed). Protect more texts, or edit the concept instead; `force` makes the patch all the same",
                found,
                bill,
            )
    states = model.concept_set[concept].states
    parents = patches_of(model, concept)
    return MaskPatch(
        concept=concept,
        state=state,
        texts=tuple(text_checksum(text) for text in texts),
        dropped=found.dropped,
        grown=found.grown,
        weights=weights_checksum(model),
        mask=bare_checksum(model, concept),
        size=model.masks.size,
        before=_readings(found.before, states),
        after=_readings(found.after, states),
        made={
            "budget": budget, "margin": margin, "share": share, "layers": list(layers), "scope": scope,
            "caution": caution, "protected": len(protection.texts) if protection else 0, "strength": found.strength,
            "max_harm": max_harm if reference is not None else None, "forced": force,
        },
        side_effects=bill.to_dict() if bill else None,
        author=author,
        note=note,
        parent=parents[-1].id if parents else None,
    )  # fmt: skip


def _check(model: ConceptBottleneck, texts: list[str], concept: str, state: str, protection: Protection | None) -> None:
    if not texts:
        raise InterventionError("no text was given to make a patch for")
    if protection is None:
        return
    if protection.concept != concept:
        raise InterventionError(f"the protection is of {protection.concept!r}; a patch of {concept!r} needs its own")
    if protection.mask != mask_checksum(model.masks[concept]):
        raise InterventionError(
            f"the protection was taken under another mask of {concept!r}; make it again under the patches in force"
        )
    for text in texts:
        for other, protected in zip(protection.texts, protection.states, strict=True):
            if text == other and protected != state:
                raise InterventionError(
                    f"the examples are contradictory: {text[:60]!r} is to be read as {state!r}, but it is among the "
                    f"protected texts, which read it rightly as {protected!r}; leave it out of one of them"
                )


def _check_found(found: Found, texts: list[str], concept: str, state: str, aim: Aim) -> None:
    if found.reached and not found.bits:
        raise InterventionError(
            f"{concept!r} reads {state!r} already, by the margin asked for; there is nothing to patch"
        )
    if not found.reached:
        wins = int((found.margins >= aim.margin).sum())
        raise Unreached(
            f"{aim.budget} bits do not make {concept!r} read {state!r}: the best of {found.rounds} attempts reaches "
            f"{wins} of {len(texts)} texts, and its mean margin is {found.margins.mean():.2f} (it was "
            f"{found.margins_before.mean():.2f}, {aim.margin:g} is wanted). "
            "Nothing was changed. Allow more bits, fewer protected texts, or edit the concept instead",
            found,
        )


def _readings(logits: np.ndarray, states: tuple[str, ...]) -> tuple[StatePrediction, ...]:
    shares = softmax(logits).round(6)
    return tuple(
        StatePrediction(states[int(row.argmax())], dict(zip(states, p.tolist(), strict=True)))
        for row, p in zip(logits, shares, strict=True)
    )
