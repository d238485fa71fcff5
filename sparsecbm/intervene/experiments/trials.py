"""Patches of misread texts, made with the annotated state and judged on texts that had no part in them.

An oracle knows which texts are misread and what they should read, so what is measured here is what a patch can do for a
person who is right, and not what finding the mistakes is worth. Every attempt counts: one that reaches no patch, or
that does too much harm, is a failure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from sparsecbm.intervene.edits import label_logits
from sparsecbm.intervene.experiments.controls import random_flips, wrong_state
from sparsecbm.intervene.experiments.policies import set_to
from sparsecbm.intervene.patches.bits import mask_checksum, masked_layers, toggled
from sparsecbm.intervene.patches.make import UnreachedError, make_patch
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.protection import Protection, protect
from sparsecbm.intervene.patches.side_effects import SideEffects, measure_side_effects
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.intervene.reference import Reference, predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import text_checksum


@dataclass(frozen=True)
class TrialSettings:
    """What patches are made under.

    Attributes:
        bits: share of the mask's bits that a patch may flip
        margin: by which the wanted state must win
        protect: right readings that are protected
        max_harm: share of a concept's right readings that a patch may spoil
    """

    bits: float
    margin: float
    protect: int
    max_harm: float
    neighbours: int = 10
    resamples: int = 200

    def budget(self, model: ConceptBottleneck) -> int:
        """Bits that a patch may flip, an even number, 2 at least.

        Raises:
            InterventionError: the model has no masks.
        """
        size = sum(layer.weight.numel() for layer in masked_layers(model).values())
        return max(2, int(self.bits * size) // 2 * 2)


@dataclass(frozen=True)
class OracleTrial:
    """One attempt to make a misread text read its annotated state.

    Attributes:
        text: its sha256
        state, read: annotated state, and what is read without the patch
        patch: None if the state was not reached
        bill: of the patch
        restored: whether the mask was the same to the bit after it was taken off
        random: share of draws of random flips of equal number that did it; None without a patch
        wrong_state: whether a patch for another wrong state, made without protection, which is quick, made the text
            read the annotated one; None if there is none
        shuffled: whether the patch of another text of this concept did it; None if there is none
        label_before, label_patched, label_edited: whether the label is right: as read, under the patch, and after the
            concept edit by the same oracle
    """

    seed: int
    concept: str
    text: str
    state: str
    read: str
    patch: MaskPatch | None
    bill: SideEffects | None
    restored: bool
    random: float | None
    wrong_state: bool | None
    shuffled: bool | None
    label_before: bool
    label_patched: bool | None
    label_edited: bool

    def repaired(self, max_harm: float) -> bool:
        """Whether there is a patch and it spoils no more than is allowed."""
        return self.patch is not None and (self.bill.harmed.share or 0.0) <= max_harm

    def row(self, max_harm: float) -> dict:
        """One row of the table of trials."""
        plain = {
            "seed": self.seed, "concept": self.concept, "text": self.text[:12], "state": self.state, "read": self.read,
            "reached": self.patch is not None, "repaired": self.repaired(max_harm),
            "bits": self.patch.bits if self.patch else None, "restored": self.restored,
        }  # fmt: skip
        bill = self.bill
        plain |= {
            "harmed": bill and bill.harmed.count, "right_before": bill and bill.harmed.of,
            "fixed": bill and bill.fixed.count, "wrong_before": bill and bill.fixed.of,
            "neighbours_harmed": bill and bill.neighbours.harmed, "neighbours_fixed": bill and bill.neighbours.fixed,
        }  # fmt: skip
        controls = ("random", "wrong_state", "shuffled")
        labels = ("label_before", "label_patched", "label_edited")
        return plain | {name: getattr(self, name) for name in (*controls, *labels)}


def run_trials(
    model: ConceptBottleneck,
    reference: Reference,
    texts: int,
    terms: TrialSettings,
    seed: int,
    beside: Reference | None = None,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> list[OracleTrial]:
    """Patch a sample of misread texts, as many of each concept as possible.

    One half of the groups protects; the other holds the misread texts and pays the bill.

    Args:
        texts: how many, over all concepts
        beside: texts of other groups that protect as well
        report: told after each attempt how many are done, and of how many
    """
    protecting, held_out = reference.halves(0.5, seed)
    protecting = protecting.joined(beside) if beside else protecting
    draw = np.random.default_rng([seed, 1])
    sample = sample_mispredicted(held_out, texts, draw)
    protections: dict[str, Protection | None] = {}
    trials: list[OracleTrial] = []
    for number, (concept, row) in enumerate(sample, start=1):
        if concept not in protections:
            protections = {concept: protect(model, protecting, concept, terms.protect)}  # one at a time: they are large
        earlier = [t.patch for t in trials if t.concept == concept and t.patch is not None]
        trials.append(attempt(model, held_out, concept, row, terms, protections[concept], earlier, seed, draw))
        report(number, len(sample))
    return trials


def attempt(
    model: ConceptBottleneck,
    held_out: Reference,
    concept: str,
    row: int,
    terms: TrialSettings,
    protection: Protection | None,
    earlier: list[MaskPatch],
    seed: int,
    draw: np.random.Generator,
    draws: int = 5,
) -> OracleTrial:
    """One attempt with its controls.

    Args:
        held_out: what the patch is billed on; it holds the text
        row: of the misread text
        protection: taken from other groups
        earlier: patches of other texts of this concept; the last of another wanted state is the shuffled control
        draws: of random flips
    """
    text, states = str(held_out.texts[row]), model.concept_set[concept].states
    gold, read = int(held_out.gold[concept][row]), int(held_out.read(concept)[row])
    before = mask_checksum(model.masks[concept])
    patch = _try(model, text, concept, states[gold], terms, protection)
    bill = random = label_patched = None
    shuffled = next((_reads(model, concept, other.flipped, text) == gold for other in reversed(earlier)), None)
    if patch is not None:
        groups = protection.groups if protection else ()
        bill = measure_side_effects(
            model, concept, patch.flipped, held_out, [text], groups, terms.neighbours, terms.resamples, seed
        )
        flips = [random_flips(model, patch, draw) for _ in range(draws)]
        random = float(np.mean([_reads(model, concept, flip, text) == gold for flip in flips]))
        with patched(model, patch):
            patched_logits = predict_concept_logits(model, concept, [text])[0]
        label_patched = _label_right(model, held_out, row, concept, patched_logits)
    wrong, other = wrong_state(len(states), gold, read), None
    if wrong is not None:
        found = _try(model, text, concept, states[wrong], terms, None)
        other = found is not None and _reads(model, concept, found.flipped, text) == gold
    own = held_out.logits[concept][[row]]
    return OracleTrial(
        seed=seed,
        concept=concept,
        text=text_checksum(text),
        state=states[gold],
        read=states[read],
        patch=patch,
        bill=bill,
        restored=mask_checksum(model.masks[concept]) == before,
        random=random,
        wrong_state=other,
        shuffled=shuffled,
        label_before=_label_right(model, held_out, row, concept, own),
        label_patched=label_patched,
        label_edited=_label_right(model, held_out, row, concept, set_to(model, concept, gold, own)),
    )


def summary(trials: list[OracleTrial], max_harm: float) -> dict:
    """Figures over all attempts; None where nothing can be said."""
    done = [trial for trial in trials if trial.patch is not None]
    near = [trial.bill.neighbours for trial in done]

    def mean(values: list) -> float | None:
        known = [float(value) for value in values if value is not None]
        return round(float(np.mean(known)), 6) if known else None

    harmed, right = (sum(getattr(trial.bill.harmed, part) for trial in done) for part in ("count", "of"))
    return {
        "attempts": len(trials),
        "reached": mean([trial.patch is not None for trial in trials]),
        "repaired": mean([trial.repaired(max_harm) for trial in trials]),
        "repaired_interval": _wilson(sum(trial.repaired(max_harm) for trial in trials), len(trials)),
        "bits": {"median": float(np.median([t.patch.bits for t in done])), "most": max(t.patch.bits for t in done)}
        if done
        else None,
        "harm": round(harmed / right, 6) if right else None,
        "within_harm": mean([trial.repaired(max_harm) for trial in done]),
        "neighbours": {"fixed": sum(n.fixed for n in near), "harmed": sum(n.harmed for n in near)},
        "restored": mean([trial.restored for trial in trials]),
        "label": {
            "before": mean([trial.label_before for trial in trials]),
            "patched": mean([trial.label_patched for trial in trials]),
            "edited": mean([trial.label_edited for trial in trials]),
        },
        "controls": {
            "random_reached": mean([trial.random for trial in trials]),
            "wrong_state_reached": mean([trial.wrong_state for trial in trials]),
            "shuffled_reached": mean([trial.shuffled for trial in trials]),
            "concept_edit_reached": 1.0 if trials else None,
        },
    }


def _wilson(count: int, of: int) -> list[float] | None:
    """95 % interval of a share of few attempts; None without any."""
    if not of:
        return None
    found = binomtest(count, of).proportion_ci(method="wilson")
    return [round(float(found.low), 6), round(float(found.high), 6)]


def sample_mispredicted(held_out: Reference, texts: int, draw: np.random.Generator) -> list[tuple[str, int]]:
    """Misread texts in turn over the concepts, each concept's in a random order."""
    left = {concept: list(draw.permutation(np.flatnonzero(held_out.wrong(concept)))) for concept in held_out.gold}
    found: list[tuple[str, int]] = []
    while len(found) < texts and any(left.values()):
        for concept, rows in left.items():
            if rows and len(found) < texts:
                found.append((concept, int(rows.pop(0))))
    return sorted(found, key=lambda pair: list(left).index(pair[0]))


def _try(
    model: ConceptBottleneck, text: str, concept: str, state: str, terms: TrialSettings, protection: Protection | None
) -> MaskPatch | None:
    try:
        return make_patch(model, text, concept, state, terms.budget(model), margin=terms.margin, protection=protection)
    except UnreachedError:
        return None


def _reads(model: ConceptBottleneck, concept: str, flips: dict[str, tuple[int, ...]], text: str) -> int:
    with toggled(model, concept, flips):
        return int(predict_concept_logits(model, concept, [text])[0][0].argmax())


def _label_right(model: ConceptBottleneck, held_out: Reference, row: int, concept: str, logits: np.ndarray) -> bool:
    one = {name: values[[row]] for name, values in held_out.logits.items()} | {concept: logits}
    return bool(label_logits(model, one).argmax(-1)[0] == held_out.label_gold[row])
