from sparsecbm.annotate.summary import summarise
from tests.support.small_tables import CONCEPTS, good_rows


def test_the_summary_counts_states_sources_and_confidence():
    frame = good_rows(3)
    frame.loc[1, ["concept.food", "source.food"]] = [None, "blank"]
    frame.loc[2, ["concept.food", "source.food"]] = [None, "no majority"]
    frame["confidence.food"] = [0.8, None, None]
    summary = summarise(frame, CONCEPTS)
    assert summary["food"] == {
        "states": {"Negative": 1, "Positive": 0, "unknown": 0},
        "missing": 2,
        "sources": {"human": 1, "blank": 1, "no majority": 1},
        "mean_confidence": 0.8,
    }
    assert summary["price"]["states"] == {"low": 2, "high": 1} and summary["price"]["mean_confidence"] is None
