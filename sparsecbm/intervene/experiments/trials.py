"""Trials: patches of texts with wrong predictions, made with the annotated state and judged on unseen texts.

An oracle knows which texts are wrong and what their states are. So a trial measures what a patch achieves for a person
who is right, not the value of finding mistakes. Every trial counts: one that reaches no patch, or that does too much
harm, is a failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsecbm.base.metrics import wilson_interval
from sparsecbm.base.numbers import six_decimals
from sparsecbm.base.progress import progress
from sparsecbm.intervene.experiments.controls import choose_wrong_state, draw_random_flips
from sparsecbm.intervene.experiments.policies import set_state
from sparsecbm.intervene.patches.bits import Positions, bit_budget, mask_checksum, toggled
from sparsecbm.intervene.patches.effects import Effects
from sparsecbm.intervene.patches.make import Safeguards, UnreachedError, make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.protection import Protection, protect
from sparsecbm.intervene.patches.side_effects import SideEffectOptions, SideEffects, measure_side_effects
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.intervene.reference import Reference, predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import text_checksum


@dataclass(frozen=True)
class TrialSettings:
    """How many patches are tried, and how they are made and judged.

    Attributes:
        texts: with a wrong prediction, over all concepts
        max_flipped_share: share of the mask's bits that a patch may flip
        margin: how far the logit of the target state must exceed the others
        protected: correct predictions that are protected
        max_harm: share of a concept's correct predictions that a patch may harm
        neighbours, resamples: as in `SideEffectOptions`
        random_draws: of random flips of equal number
    """

    texts: int
    max_flipped_share: float
    margin: float
    protected: int
    max_harm: float
    neighbours: int = 10
    resamples: int = 200
    random_draws: int = 5

    def budget(self, model: ConceptBottleneck) -> int:
        """Return the bits that a patch may flip, an even number of at least 2.

        Raises:
            InterventionError: the model has no masks.
        """
        return bit_budget(model, self.max_flipped_share)


@dataclass(frozen=True)
class OracleTrial:
    """One attempt to give a text with a wrong prediction its annotated state.

    Attributes:
        text: its sha256
        state, predicted_state: annotated state, and the prediction without the patch
        patch: None if the state was not reached
        side_effects: of the patch
        restored: whether the mask was the same to the bit after the patch was removed
        random: share of draws of random flips of equal number that fixed the text; None without a patch
        wrong_state: whether a patch for another wrong state gave the text the annotated one; None if there is no other
            state. This patch is made without protection, which is faster
        shuffled: whether the patch of another text of this concept fixed the text; None if there is none
        label_before, label_patched, label_edited: whether the label is correct as predicted, under the patch, and after
            the concept edit by the same oracle
    """

    seed: int
    concept: str
    text: str
    state: str
    predicted_state: str
    patch: MaskPatch | None
    side_effects: SideEffects | None
    restored: bool
    random: float | None
    wrong_state: bool | None
    shuffled: bool | None
    label_before: bool
    label_patched: bool | None
    label_edited: bool

    def repaired(self, max_harm: float) -> bool:
        """Return whether there is a patch that harms no more than is allowed."""
        return self.patch is not None and (self.side_effects.harmed.share or 0.0) <= max_harm

    def row(self, max_harm: float) -> dict:
        """Return one row of the table of trials."""
        effects = self.side_effects
        return {
            "seed": self.seed,
            "concept": self.concept,
            "text": self.text[:12],
            "state": self.state,
            "read": self.predicted_state,
            "reached": self.patch is not None,
            "repaired": self.repaired(max_harm),
            "bits": self.patch.bits if self.patch else None,
            "restored": self.restored,
            "harmed": effects and effects.harmed.count,
            "right_before": effects and effects.harmed.of,
            "fixed": effects and effects.fixed.count,
            "wrong_before": effects and effects.fixed.of,
            "neighbours_harmed": effects and effects.neighbours.harmed,
            "neighbours_fixed": effects and effects.neighbours.fixed,
            "random": self.random,
            "wrong_state": self.wrong_state,
            "shuffled": self.shuffled,
            "label_before": self.label_before,
            "label_patched": self.label_patched,
            "label_edited": self.label_edited,
        }


def run_trials(
    model: ConceptBottleneck,
    reference: Reference,
    settings: TrialSettings,
    seeds: Sequence[int],
    more_protecting: Reference | None = None,
) -> dict[int, list[OracleTrial]]:
    """Patch samples of texts with wrong predictions, as evenly over the concepts as possible.

    A model that remembers the states of its texts, from `remembering_copy`, makes this faster.

    For each seed, one half of the groups protects. The other half holds the sampled texts, and side effects are
    measured on it. The seeds of a concept follow each other, since their protecting texts overlap.

    Args:
        more_protecting: texts of other groups that protect as well

    Returns:
        seed -> its trials
    """
    runs = {seed: _TrialRun.draw(model, reference, settings, seed, more_protecting) for seed in seeds}
    trials: dict[int, list[OracleTrial]] = {seed: [] for seed in seeds}
    drawn = [(concept, seed, row) for seed, run in runs.items() for concept, row in run.sample]
    effects = protection = None
    protected: tuple[str, int] | None = None
    order = list(reference.gold)
    for concept, seed, row in progress(sorted(drawn, key=lambda trial: order.index(trial[0])), "try patches", "text"):
        run = runs[seed]
        if effects is None or effects.concept != concept:
            effects = Effects(model, concept)  # of one concept at a time: they are large
        if protected != (concept, seed):
            protected = concept, seed
            protection = protect(model, run.protecting, concept, settings.protected, effects)
        earlier = [t.patch for t in trials[seed] if t.concept == concept and t.patch is not None]
        trials[seed].append(run.try_patch(concept, row, protection, earlier))
    return trials


def sample_mispredicted(held_out: Reference, texts: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Sample (concept, row) of wrong predictions: the concepts in turn, each concept's texts in random order."""
    remaining = {
        concept: list(rng.permutation(np.flatnonzero(held_out.incorrect(concept)))) for concept in held_out.gold
    }
    sample: list[tuple[str, int]] = []
    while len(sample) < texts and any(remaining.values()):
        for concept, rows in remaining.items():
            if rows and len(sample) < texts:
                sample.append((concept, int(rows.pop(0))))
    return sorted(sample, key=lambda pair: list(remaining).index(pair[0]))


@dataclass(frozen=True, eq=False)
class _TrialRun:
    """The trials of one seed.

    Attributes:
        protecting: predictions that patches protect
        held_out: predictions that side effects are measured on, which also hold the sampled texts
        sample: (concept, row in `held_out`) of the texts to patch, those of a concept one after the other
        rng: of random flips
    """

    model: ConceptBottleneck
    protecting: Reference
    held_out: Reference
    settings: TrialSettings
    seed: int
    sample: list[tuple[str, int]]
    rng: np.random.Generator

    @classmethod
    def draw(
        cls, model: ConceptBottleneck, reference: Reference, settings: TrialSettings, seed: int, more: Reference | None
    ) -> "_TrialRun":
        """Draw the halves and the texts of a seed."""
        protecting, held_out = reference.halves(0.5, seed)
        rng = np.random.default_rng([seed, 1])
        sample = sample_mispredicted(held_out, settings.texts, rng)
        return cls(model, protecting.joined(more) if more else protecting, held_out, settings, seed, sample, rng)

    def try_patch(
        self, concept: str, row: int, protection: Protection | None, earlier: Sequence[MaskPatch]
    ) -> OracleTrial:
        """Run one trial with its controls.

        Args:
            row: of the text in `held_out`
            protection: from other groups
            earlier: patches of other texts of this concept; the last of them is the shuffled control
        """
        text, states = str(self.held_out.texts[row]), self.model.concept_set[concept].states
        gold = int(self.held_out.gold[concept][row])
        predicted = int(self.held_out.predicted(concept)[row])
        checksum = mask_checksum(self.model.masks[concept])
        patch = self._make_patch(text, concept, states[gold], protection)
        side_effects = random = label_patched = None
        shuffled = next((self._predict(concept, other.flipped, text) == gold for other in reversed(earlier)), None)
        if patch is not None:
            side_effects = self._measure(patch, text, protection)
            flips = [draw_random_flips(self.model, patch, self.rng) for _ in range(self.settings.random_draws)]
            random = float(np.mean([self._predict(concept, flip, text) == gold for flip in flips]))
            with patched(self.model, patch):
                patched_logits, _ = predict_concept_logits(self.model, concept, [text])
            label_patched = self._label_correct(row, concept, patched_logits)
        wrong, wrong_state_reached = choose_wrong_state(len(states), gold, predicted), None
        if wrong is not None:
            wrong_patch = self._make_patch(text, concept, states[wrong], None)
            wrong_state_reached = wrong_patch is not None and self._predict(concept, wrong_patch.flipped, text) == gold
        logits = self.held_out.logits[concept][[row]]
        return OracleTrial(
            seed=self.seed,
            concept=concept,
            text=text_checksum(text),
            state=states[gold],
            predicted_state=states[predicted],
            patch=patch,
            side_effects=side_effects,
            restored=mask_checksum(self.model.masks[concept]) == checksum,
            random=random,
            wrong_state=wrong_state_reached,
            shuffled=shuffled,
            label_before=self._label_correct(row, concept, logits),
            label_patched=label_patched,
            label_edited=self._label_correct(row, concept, set_state(self.model, concept, gold, logits)),
        )

    def _make_patch(self, text: str, concept: str, state: str, protection: Protection | None) -> MaskPatch | None:
        options = PatchOptions(self.settings.budget(self.model), self.settings.margin, max_harm=self.settings.max_harm)
        try:
            return make_patch(self.model, text, concept, state, options, Safeguards(protection))
        except UnreachedError:
            return None

    def _measure(self, patch: MaskPatch, text: str, protection: Protection | None) -> SideEffects:
        unseen = self.held_out.without(protection.groups) if protection else self.held_out
        options = SideEffectOptions(self.settings.neighbours, self.settings.resamples, self.seed)
        return measure_side_effects(self.model, patch.concept, patch.flipped, unseen, [text], options)

    def _predict(self, concept: str, flips: Positions, text: str) -> int:
        with toggled(self.model, concept, flips):
            return int(predict_concept_logits(self.model, concept, [text])[0][0].argmax())

    def _label_correct(self, row: int, concept: str, logits: np.ndarray) -> bool:
        row_logits = {name: values[[row]] for name, values in self.held_out.logits.items()} | {concept: logits}
        return bool(self.model.label_logits(row_logits).argmax(-1)[0] == self.held_out.label_gold[row])


def summary(trials: Sequence[OracleTrial], max_harm: float) -> dict:
    """Return figures over all trials, as `metrics/intervene.json` holds them; None where a figure is undefined."""
    done = [trial for trial in trials if trial.patch is not None]
    neighbours = [trial.side_effects.neighbours for trial in done]

    def mean(values: list) -> float | None:
        known = [float(value) for value in values if value is not None]
        return round(float(np.mean(known)), 6) if known else None

    harmed = sum(trial.side_effects.harmed.count for trial in done)
    correct_before = sum(trial.side_effects.harmed.of for trial in done)
    repaired = sum(trial.repaired(max_harm) for trial in trials)
    bits = [trial.patch.bits for trial in done]
    return {
        "attempts": len(trials),
        "reached": mean([trial.patch is not None for trial in trials]),
        "repaired": mean([trial.repaired(max_harm) for trial in trials]),
        "repaired_interval": [six_decimals(end) for end in wilson_interval(repaired, len(trials))] if trials else None,
        "bits": {"median": float(np.median(bits)), "most": max(bits)} if done else None,
        "harm": round(harmed / correct_before, 6) if correct_before else None,
        "within_harm": mean([trial.repaired(max_harm) for trial in done]),
        "neighbours": {"fixed": sum(n.fixed for n in neighbours), "harmed": sum(n.harmed for n in neighbours)},
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
