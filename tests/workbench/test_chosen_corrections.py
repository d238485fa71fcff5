"""Kept corrections that a person chooses: one patch for several texts, and a memory that offers them."""

import pytest

from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.data.tables import read_split
from sparsecbm.intervene.memory.recall import SIMILAR, predict_with_corrections
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.workbench import patch_jobs
from sparsecbm.workbench.journal import Journal
from tests.support.tiny_tables import annotated

TEXTS = annotated(8, 77)["text"].tolist()[:3]


@pytest.fixture
def kept(ask, workspace, snapshot):
    """Return the records of three corrections: two set food to unknown, one sets the noise to another state."""
    noise = snapshot.model.predict([TEXTS[2]])[0].concepts["noise"].state
    settings = [
        {"set.food": "unknown"},
        {"set.food": "unknown"},
        {"set.noise": "loud" if noise == "quiet" else "quiet"},
    ]
    for text, setting in zip(TEXTS, settings, strict=True):
        assert ask(
            "POST", "/corrections", data={"text": text, "author": "Ann", "reason": "irony", **setting}
        ).is_success
    return read_json_lines(workspace.state / "corrections.jsonl")


@pytest.fixture
def seen(monkeypatch):
    """Return a list of the jobs that were started; none begins."""
    started = []
    monkeypatch.setattr(patch_jobs.PatchJobs, "_run", lambda self, name: started.append(name))
    return started


def tick(*records):
    return {
        f"pick.{record['id']}.{concept}": state for record in records for concept, state in record["concepts"].items()
    }


def test_corrections_to_the_same_state_become_one_patch(ask, words_of, workspace, kept, seen):
    form = {**tick(*kept[:2]), "author": "Bea", "reason": "both ironic", "min_fixed": "50", "bits": "60"}
    assert "in 2 texts" in words_of(ask("POST", "/patches/of-corrections", data=form))
    request = patch_jobs.PatchJobs(workspace, workspace.root).job(seen[0]).request
    assert (request.texts, request.concept, request.state, request.author) == (
        (TEXTS[0], TEXTS[1]), "food", "unknown", "Bea",
    )  # fmt: skip
    assert (request.limits.min_fixed_share, request.limits.bits) == (0.5, 60)
    page = words_of(ask("GET", "/patches", whole=True))
    assert "2 texts" in page and all(text in page for text in TEXTS[:2])


@pytest.mark.parametrize("path", ["/patches/of-corrections", "/memory"])
def test_a_choice_that_says_nothing_is_told(ask, words_of, workspace, kept, seen, path):
    person = {"author": "Bea", "reason": "irony"}
    none = ask("POST", path, data=person)
    assert none.status_code == 422 and "no correction is chosen" in words_of(none)
    gone = ask("POST", path, data={**person, f"pick.{'0' * 32}.food": "unknown"})
    assert gone.status_code == 422 and "no longer kept" in words_of(gone)
    assert seen == [] and not (workspace.state / "memory").exists()


def test_corrections_to_different_states_give_no_patch(ask, words_of, kept, seen):
    mixed = ask("POST", "/patches/of-corrections", data={**tick(*kept), "author": "Bea", "reason": "irony"})
    assert mixed.status_code == 422 and "you chose food unknown, noise" in words_of(mixed) and seen == []


def test_a_remembered_correction_is_offered_for_similar_texts_and_changes_no_reading(
    ask, words_of, workspace, kept, snapshot
):
    before = snapshot.model.predict(TEXTS)
    told = ask("POST", "/memory", data={**tick(kept[0]), "author": "Bea"})
    assert "Remembered: food unknown" in words_of(told)
    (entry,) = Memory(workspace.state / "memory").corrections()
    assert (entry.concept, entry.state, entry.author) == ("food", "unknown", "Bea")
    offered = words_of(ask("POST", "/offers", data={"text": TEXTS[0]}))
    label = snapshot.model.intervene(TEXTS[0], {"food": "unknown"}).after.label.state
    assert f"Bea set food to unknown in a text that is 100% alike: {TEXTS[0]}" in offered
    assert f"With it, rating would be {label}." in offered
    assert words_of(ask("POST", "/offers", data={"text": "slow"})) == ""  # the negative control
    assert snapshot.model.predict(TEXTS) == before


def test_remembering_twice_keeps_one_entry_and_taking_back_leaves_none(ask, words_of, workspace, kept):
    form, memory = {**tick(kept[0]), "author": "Bea"}, Memory(workspace.state / "memory")
    for _ in range(2):
        ask("POST", "/memory", data=form)
    (entry,) = memory.corrections()
    assert "food unknown is remembered" in words_of(ask("GET", "/corrections", whole=True))
    told = ask("POST", f"/memory/{entry.id[:12]}", data={"author": "Cem"})
    assert "No longer remembered" in words_of(told) and memory.corrections() == []
    assert "is remembered" not in words_of(ask("GET", "/corrections", whole=True))
    assert words_of(ask("POST", "/offers", data={"text": TEXTS[0]})) == ""
    ask("POST", "/memory", data=form)
    entries = [each for each in Journal(workspace.state / "workbench.jsonl").entries() if "memory" in each]
    assert [(each["action"], each["by"]) for each in entries] == [
        ("remember", "Bea"), ("stop remembering", "Cem"), ("remember", "Bea"),
    ]  # fmt: skip
    gone = ask("GET", "/memory/0000")
    assert gone.status_code == 422 and "not remembered" in words_of(gone)


def test_the_page_says_which_readings_a_remembered_correction_changes(ask, words_of, workspace, kept, snapshot):
    """The oracle lets the memory act on each text of the validation split by hand."""
    ask("POST", "/memory", data={**tick(kept[0]), "author": "Bea"})
    memory = Memory(workspace.state / "memory")
    frame = read_split(workspace.annotated, "validation")
    results = predict_with_corrections(snapshot.model, memory, frame["text"].tolist(), SIMILAR)
    changed, harmed, repaired = 0, [], []
    for result, (_, row) in zip(results, frame.iterrows(), strict=True):
        pairs = [(row["concept.food"], result.before.concepts["food"].state, result.after.concepts["food"].state)]
        pairs += [(row["label"], result.before.label.state, result.after.label.state)]
        changed += any(old != new for _, old, new in pairs)
        if any(gold == old != new for gold, old, new in pairs):
            harmed.append(row["text"])
        elif any(gold == new != old for gold, old, new in pairs):
            repaired.append(row["text"])
    assert changed
    (entry,) = memory.corrections()
    page = words_of(ask("GET", f"/memory/{entry.id[:12]}"))
    assert f"Of the {len(frame)} validation texts it would change the reading of {changed}." in page
    assert f"{len(harmed)} harmed, {len(repaired)} repaired" in page
    assert all(f"{text} harmed" in page for text in harmed) and all(f"{text} repaired" in page for text in repaired)
