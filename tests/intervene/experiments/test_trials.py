"""Trials on texts with a wrong prediction: counts, and restored masks."""

from dataclasses import replace

import numpy as np
import pytest

from sparsecbm.intervene.experiments.trials import TrialSettings, run_trials, summary
from sparsecbm.intervene.reference import predict_reference
from tests.support.tiny_tables import annotated

SETTINGS = TrialSettings(
    texts=6, max_flipped_share=0.02, margin=0.05, protected=8, max_harm=0.5, neighbours=5, resamples=20
)


@pytest.fixture
def reference(lively):
    return predict_reference(lively, annotated(60, seed=5))


def test_every_trial_counts_and_restores_the_masks(lively, reference):
    masks = lively.masks.content_hash()
    trials = run_trials(lively, reference, SETTINGS, [0])[0]
    assert len(trials) == 6
    assert lively.masks.content_hash() == masks and all(trial.restored for trial in trials)
    assert {trial.concept for trial in trials} == {"food", "noise"}
    for trial in trials:
        assert trial.state != trial.predicted_state
        if trial.patch is not None:
            assert trial.patch.bits <= SETTINGS.budget(lively)
            assert trial.patch.after[0].state == trial.state
            assert trial.repaired(1.0) and not trial.repaired(-1.0)
            assert trial.side_effects.texts < len(reference) / 2 + 2  # the other half is protected
    assert trials == run_trials(lively, reference, SETTINGS, [0])[0]
    assert [t.text for t in trials] != [t.text for t in run_trials(lively, reference, SETTINGS, [1])[1]]


def test_added_texts_are_protected_and_not_used_for_side_effects(lively, reference):
    """If all fit, the correct predictions of the first half and of the added texts are protected."""
    frame = annotated(20, seed=11)
    beside = predict_reference(lively, frame.assign(group="beside-" + frame["group"]))
    settings = replace(SETTINGS, texts=4, protected=1000)
    without, with_it = (run_trials(lively, reference, settings, [0], more)[0] for more in (None, beside))
    protecting, held_out = reference.halves(0.5, 0)
    for alone, more in zip(without, with_it, strict=True):
        assert alone.text == more.text
        assert alone.side_effects.texts == more.side_effects.texts <= len(held_out)
        correct = [part.correct(more.concept).sum() for part in (protecting, beside)]
        assert alone.patch.made["protected"] == correct[0]
        assert more.patch.made["protected"] == sum(correct) > correct[0]


def test_a_summary_counts_failures(lively, reference):
    trials = run_trials(lively, reference, replace(SETTINGS, texts=4), [0])[0]
    assert any(trial.patch for trial in trials)
    totals = summary(trials, max_harm=1.0)
    assert totals["attempts"] == 4
    assert totals["reached"] == np.mean([trial.patch is not None for trial in trials])
    done = [trial for trial in trials if trial.patch is not None]
    counts = [(t.side_effects.harmed.count, t.side_effects.harmed.of) for t in done]
    assert totals["harm"] == pytest.approx(sum(c for c, _ in counts) / sum(total for _, total in counts), abs=1e-6)
    failed = [replace(trial, patch=None, side_effects=None, random=None) for trial in trials]
    none = summary(failed, max_harm=1.0)
    assert (none["reached"], none["repaired"], none["harm"], none["bits"]) == (0.0, 0.0, None, None)
    assert none["repaired_interval"] == pytest.approx([0, 3.841459 / (4 + 3.841459)], abs=1e-6), "Wilson's, by hand"
    assert summary([], 1.0)["repaired"] is summary([], 1.0)["repaired_interval"] is None


def test_a_trial_fails_if_the_budget_is_too_small(lively, reference):
    trials = run_trials(lively, reference, replace(SETTINGS, texts=4, max_flipped_share=1e-6, margin=1e6), [0])[0]
    assert [trial.patch for trial in trials] == [None] * 4
    rows = [trial.row(0.01) for trial in trials]
    assert {(row["reached"], row["repaired"], row["bits"], row["restored"]) for row in rows} == {
        (False, False, None, True)
    }


def test_a_concept_of_two_states_has_no_wrong_state_control(lively, reference):
    trials = run_trials(lively, reference, SETTINGS, [0])[0]
    assert {trial.wrong_state for trial in trials if trial.concept == "noise"} == {None}
    assert None not in {trial.wrong_state for trial in trials if trial.concept == "food"}


def test_long_trials_show_how_many_are_done(lively, reference, monkeypatch, capsys):
    monkeypatch.setattr("sparsecbm.base.progress.DELAY", 0.0)
    run_trials(lively, reference, replace(SETTINGS, texts=1), [3, 4])
    out, err = capsys.readouterr()
    assert out == "" and "try patches" in err and "2/2" in err
