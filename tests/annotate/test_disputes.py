"""Which texts have labels that contradict each other: states of a table, of two people and of a machine."""

import pandas as pd

from sparsecbm.annotate.disputes import is_disputed
from sparsecbm.annotate.human_labels import HUMAN_FILE, Decision, append_decisions
from sparsecbm.annotate.labels import label_path, label_table, text_key, write_labels

FRAME = pd.DataFrame(
    {"text": ["one", "two", "three", "four"], "concept.food": ["good", "bad", None, None], "concept.noise": "loud"}
)


def decision(text, state, author="Ada", action="label"):
    return Decision(text_key(text), "food", state, author, "2026-12-01T08:00:00+00:00", action)


def test_two_sources_that_differ_make_a_dispute(tmp_path):
    def disputed():
        return is_disputed(FRAME, tmp_path, ["food", "noise", "service"]).tolist()

    assert disputed() == [False] * 4
    machine = [
        {"key": text_key(text), "concept": "food", "state": "good", "confidence": 0.9} for text in ("one", "two")
    ]
    write_labels(label_path(tmp_path, "llm"), label_table(machine))
    assert disputed() == [False, True, False, False], "the machine agrees on `one` and not on `two`"
    append_decisions(tmp_path / HUMAN_FILE, [decision("three", "good"), decision("four", "good")])
    assert disputed() == [False, True, False, False], "one voice is no dispute"
    append_decisions(tmp_path / HUMAN_FILE, [decision("four", "bad", "Bea"), decision("three", None, "Bea")])
    assert disputed() == [False, True, False, True], "who cannot decide contradicts nobody"
    append_decisions(tmp_path / HUMAN_FILE, [decision("four", None, "Bea", "undo")])
    assert disputed() == [False, True, False, False]
