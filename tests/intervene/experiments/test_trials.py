"""Attempts on misread texts: what is counted, and that nothing stays behind."""

from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.intervene.experiments.trials import TrialSettings, run_trials, summary
from sparsecbm.intervene.reference import predict_reference
from tests.support.tiny_tables import annotated

TERMS = TrialSettings(bits=0.02, margin=0.05, protect=8, max_harm=0.5, neighbours=5, resamples=20)


@pytest.fixture
def reference(lively):
    return predict_reference(lively, annotated(60, seed=5))


def test_every_attempt_is_counted_and_leaves_the_masks_alone(lively, reference):
    masks, told = lively.masks.content_hash(), []
    trials = run_trials(lively, reference, 6, TERMS, seed=0, report=lambda *done: told.append(done))
    assert told == [(n, 6) for n in range(1, 7)]
    assert lively.masks.content_hash() == masks and all(trial.restored for trial in trials)
    assert {trial.concept for trial in trials} == {"food", "noise"}
    for trial in trials:
        assert trial.state != trial.read
        if trial.patch is not None:
            assert trial.patch.bits <= TERMS.budget(lively)
            assert trial.patch.after[0].state == trial.state
            assert trial.repaired(1.0) and not trial.repaired(-1.0)
            assert trial.bill.texts < len(reference) / 2 + 2  # the other half protects
    assert trials == run_trials(lively, reference, 6, TERMS, seed=0)
    assert [t.text for t in trials] != [t.text for t in run_trials(lively, reference, 6, TERMS, seed=1)]


def test_texts_beside_protect_and_are_not_billed(lively, reference):
    """With room for all right readings, those of both halves' first and of the texts beside it are protected."""
    frame = annotated(20, seed=11)
    beside = predict_reference(lively, frame.assign(group="beside-" + frame["group"]))
    terms = replace(TERMS, protect=1000)
    without, with_it = (run_trials(lively, reference, 4, terms, 0, given) for given in (None, beside))
    protecting, held_out = reference.halves(0.5, 0)
    for alone, more in zip(without, with_it, strict=True):
        assert alone.text == more.text
        assert alone.bill.texts == more.bill.texts <= len(held_out)
        right = [part.right(more.concept).sum() for part in (protecting, beside)]
        assert alone.patch.made["protected"] == right[0]
        assert more.patch.made["protected"] == sum(right) > right[0]


def test_a_summary_counts_failures(lively, reference):
    trials = run_trials(lively, reference, 4, TERMS, seed=0)
    assert any(trial.patch for trial in trials)
    whole = summary(trials, max_harm=1.0)
    assert whole["attempts"] == 4
    assert whole["reached"] == np.mean([trial.patch is not None for trial in trials])
    done = [trial for trial in trials if trial.patch is not None]
    counts = [(t.bill.harmed.count, t.bill.harmed.of) for t in done]
    assert whole["harm"] == pytest.approx(sum(c for c, _ in counts) / sum(of for _, of in counts), abs=1e-6)
    failed = [replace(trial, patch=None, bill=None, random=None) for trial in trials]
    none = summary(failed, max_harm=1.0)
    assert (none["reached"], none["repaired"], none["harm"], none["bits"]) == (0.0, 0.0, None, None)
    assert none["repaired_interval"] == pytest.approx([0, 3.841459 / (4 + 3.841459)], abs=1e-6), "Wilson's, by hand"
    assert summary([], 1.0)["repaired"] is summary([], 1.0)["repaired_interval"] is None


def test_a_budget_too_small_is_a_failure_and_no_crash(lively, reference):
    trials = run_trials(lively, reference, 4, replace(TERMS, bits=1e-6, margin=1e6), seed=0)
    assert [trial.patch for trial in trials] == [None] * 4
    rows = [trial.row(0.01) for trial in trials]
    assert {(row["reached"], row["repaired"], row["bits"], row["restored"]) for row in rows} == {
        (False, False, None, True)
    }


def test_two_states_have_no_third_to_be_wrong(lively, reference):
    trials = run_trials(lively, reference, 6, TERMS, seed=0)
    assert {trial.wrong_state for trial in trials if trial.concept == "noise"} == {None}
    assert None not in {trial.wrong_state for trial in trials if trial.concept == "food"}
