"""The review queue: what comes next, what is stored, and what survives kills, other people and other processes."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparsecbm.annotate.human_labels import Decision, append_decisions, current_labels, read_decisions
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.review.queue import TAKEN_BACK, ReviewQueue
from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.base.workspace import Workspace
from tests.support.review_workspace import TEXTS, make_review_workspace, write_machine_labels

COLD, HOT, SPOKE, BAND, LONG, SHORT = TEXTS["train"]
UNSURE, SURE = {"bad": 0.5, "good": 0.5}, {"bad": 0.99, "good": 0.01}


@pytest.fixture
def workspace(tmp_path):
    """Return a workspace in which machines doubt the food of three texts, and the source's food of one."""
    workspace = make_review_workspace(tmp_path / "workspace")
    food = {
        BAND: UNSURE,
        LONG: {"bad": 0.3, "good": 0.7},
        COLD: SURE,
        HOT: SURE,
        SPOKE: SURE,
        SHORT: {"bad": 0.8, "good": 0.2},
    }
    write_machine_labels(workspace, "llm", {(text, "food"): states for text, states in food.items()})
    return workspace


def opened(workspace, author="ann", split="train", concepts=("food",)):
    return ReviewQueue.open(workspace, split, author, concepts)


def stored(workspace):
    return read_decisions(workspace.annotations / "human.jsonl")


def answer_all(queue, state="good"):
    """Answer every question, and return the texts in order."""
    texts = []
    while (question := queue.next()) is not None:
        texts.append(question.text)
        for concept in question.concepts:
            queue.decide(question.key, concept, state)
    return texts


def test_doubtful_cells_come_first_then_labels_that_machines_contradict(workspace):
    queue = opened(workspace)
    question = queue.next()
    assert (question.text, question.concepts, question.reason) == (BAND, ("food",), "machines are unsure")
    assert answer_all(queue) == [BAND, LONG, SHORT, HOT, SPOKE], "the food of the cold soup is labelled and uncontested"
    assert [d.key for d in stored(workspace)] == [text_key(text) for text in (BAND, LONG, SHORT, HOT, SPOKE)]
    assert {(d.concept, d.state, d.author, d.action) for d in stored(workspace)} == {("food", "good", "ann", "label")}


def test_a_review_goes_on_where_it_was_and_asks_a_second_time_only_where_machines_contradict(workspace):
    queue = opened(workspace)
    for _ in range(4):
        queue.decide(queue.next().key, "food", "good")
    # Machines contradict the label of the short evening (bad .8) by .6, that of the long one not at all.
    assert answer_all(opened(workspace)) == [SHORT, SPOKE]
    assert answer_all(opened(workspace)) == [SPOKE], "the hot soup and the short evening were looked at twice"
    assert answer_all(opened(workspace)) == []


def test_undo_brings_the_cell_back_at_once(workspace):
    queue = opened(workspace)
    first, second = queue.next(), None
    queue.decide(first.key, "food", "good")
    second = queue.next()
    queue.decide(second.key, "food", None)
    assert queue.undo().key == second.key and queue.next().key == second.key
    assert queue.undo().key == first.key and queue.next().key == first.key
    assert queue.undo() is None
    assert (queue.session, current_labels(stored(workspace)).empty) == ([], True)
    assert answer_all(queue)[:2] == [first.text, second.text]


def test_undo_reaches_earlier_sessions_of_the_same_author_only(workspace):
    queue = opened(workspace)
    queue.decide(queue.next().key, "food", "bad")
    assert opened(workspace, "bob").undo() is None
    later = opened(workspace)
    assert later.undo().state == "bad"
    assert (later.next().text, later.next().reason) == (BAND, TAKEN_BACK)


def test_skipped_cells_come_again_in_the_next_review_and_nothing_is_stored(workspace):
    queue = opened(workspace)
    queue.skip(queue.next().key, ["food"])
    assert queue.next().text == LONG and stored(workspace) == []
    queue.close()
    assert opened(workspace).next().text == BAND


def test_two_people_are_asked_different_texts_and_see_each_other(workspace):
    ann, bob = opened(workspace), opened(workspace, "bob")
    assert (ann.next().text, bob.next().text) == (BAND, LONG)
    ann.decide(text_key(BAND), "food", "bad")
    assert bob.next().text == LONG
    ann.close()
    bob.decide(text_key(LONG), "food", "bad")
    assert [bob.next().text, ann.next().text] == [SHORT, HOT]


def test_all_concepts_of_a_text_come_together(workspace):
    queue = opened(workspace, concepts=())
    question = queue.next()
    assert set(question.concepts) == {"food", "noise"}
    assert len(answer_all_with(queue)) == 6 and queue.labels().notna().all(axis=None)


def answer_all_with(queue):
    texts = []
    while (question := queue.next()) is not None:
        texts.append(question.text)
        for concept in question.concepts:
            queue.decide(question.key, concept, next(iter(queue.texts.concept(concept).states)))
    return texts


def test_another_split_comes_at_random_whatever_machines_say(workspace):
    queue = opened(workspace, split="test")
    before = [queue.next().text, *answer_all(queue)[1:]]
    assert queue.at_random and sorted(before) == sorted(TEXTS["test"])
    other = make_review_workspace(workspace.root.parent / "other")
    write_machine_labels(other, "llm", {(text, "food"): SURE for text in before[:1]})
    queue = opened(other, split="test")
    assert (queue.next().reason, answer_all(queue)) == ("drawn at random", before)


def test_labels_for_another_definition_do_not_count(workspace):
    path = workspace.concept_file
    path.write_text(path.read_text().replace("The meal was poor.", "The meal was cold."))
    queue = opened(workspace)
    assert queue.texts.machines["llm"].empty and queue.next().reason == "spread over the texts"


def test_unknown_states_concepts_and_splits_are_refused(workspace):
    queue = opened(workspace)
    with pytest.raises(ConfigError, match="unknown state of 'food' 'awful'"):
        queue.decide(queue.next().key, "food", "awful")
    with pytest.raises(ConfigError, match=r"unknown concept 'taste'.*food, noise"):
        opened(workspace, concepts=["taste"])
    with pytest.raises(DataError, match="unknown split 'dev'"):
        opened(workspace, split="dev")
    with pytest.raises(ConfigError, match="unknown concept 'taste'"):
        queue.decide(queue.next().key, "taste", None)
    with pytest.raises(DataError, match="no text of this queue has the key 'abc'"):
        queue.decide("abc", "food", "bad")
    assert stored(workspace) == []


def test_without_checked_texts_the_message_names_the_command(tmp_path):
    (tmp_path / "params.yaml").touch()
    with pytest.raises(DataError, match="run `sparsecbm run validate` first"):
        opened(Workspace(tmp_path))


APPEND = """
import sys
from pathlib import Path
from sparsecbm.annotate.human_labels import Decision, append_decisions
for number in range(int(sys.argv[3])):
    append_decisions(Path(sys.argv[1]), [Decision(str(number), "food", "bad" * 2000, sys.argv[2], "2026-01-01")])
    print(number, flush=True)
"""


def test_processes_that_append_at_once_lose_nothing(tmp_path):
    path = tmp_path / "human.jsonl"
    with ThreadPoolExecutor() as pool:
        arguments = [[sys.executable, "-c", APPEND, path, author, "40"] for author in ("ann", "bob", "eve")]
        results = list(pool.map(lambda a: subprocess.run(a, capture_output=True, check=True), arguments))
    assert [len(result.stdout.split()) for result in results] == [40] * 3
    decisions = read_decisions(path)
    assert len(decisions) == 120 and len({(d.key, d.author) for d in decisions}) == 120


def test_a_kill_loses_no_decision_that_was_told(tmp_path):
    path = tmp_path / "human.jsonl"
    for killed_after in (1, 12):
        path.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", APPEND, path, "ann", "100000"], stdout=subprocess.PIPE)
        told = [process.stdout.readline() for _ in range(killed_after)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.communicate()[0].splitlines()
        keys = [decision.key for decision in read_decisions(path)]
        assert keys[: len(told)] == [str(number) for number in range(len(told))] and len(keys) - len(told) <= 1
        append_decisions(path, [Decision("next", "food", "bad", "ann", "2026-01-01")])
        assert read_decisions(path)[-1].key == "next"
