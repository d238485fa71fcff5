"""A run's description."""

from sparsecbm.track.headline import headline

SCORE = {"accuracy": 0.6, "accuracy_interval": [0.55, 0.6504], "majority": 0.25, "confusion": [[1]]}
HEAD = ["|  | accuracy | 95 % | majority | bag of words |", "| --- | --- | --- | --- | --- |"]


def test_the_rows_of_the_description_by_hand():
    scores = {
        "split": "test",
        "label": SCORE,
        "label_hard": {**SCORE, "accuracy": 0.5},
        "label_hard_refitted": {**SCORE, "accuracy": 0.58},
        "concepts": {"food": SCORE, "mean": {**SCORE, "accuracy": 0.9}},
        "bag_of_words": {"label": 0.37, "concepts": {"food": 0.5, "mean": 0.57}},
    }
    lines = headline(scores).splitlines()
    assert lines[:2] == ["Split `test`:", ""]
    assert lines[2:4] == HEAD
    assert lines[4:] == [
        "| label | 0.600 | 0.550 to 0.650 | 0.250 | 0.370 |",
        "| label, hard concepts | 0.500 | 0.550 to 0.650 | 0.250 |  |",
        "| label, hard, head refitted | 0.580 | 0.550 to 0.650 | 0.250 |  |",
        "| concepts, mean | 0.900 | 0.550 to 0.650 | 0.250 | 0.570 |",
    ]


def test_undefined_and_absent_figures_are_left_out():
    undefined = {"accuracy": None, "accuracy_interval": [None, None], "majority": None}
    box = {"split": "dev", "label": undefined, "label_hard": None, "concepts": {}, "bag_of_words": None}
    assert headline(box).splitlines()[4:] == ["| label |  |  |  |  |"]
    assert headline({"concepts": {"food": SCORE}}) == ""
