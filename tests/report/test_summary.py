"""The figures that people compare: a selection of about forty, whatever the number of concepts."""

from sparsecbm.base.files import read_json
from sparsecbm.report.summary import summarise
from tests.support.tiny_pipeline import ROOT


def test_a_summary_holds_the_chosen_figures_and_no_other():
    metrics = {
        "validate": {"accepted": True, "rows": {"test": {"in": 9, "out": 8, "quarantined": 1}}},
        "evaluate": {
            "label": {"accuracy": 0.5, "accuracy_interval": [0.4, 0.6], "majority": 0.2},
            "concepts": {
                "food/drink": {"accuracy": 0.75, "majority": 0.5},
                "mean": {"accuracy": 0.75, "macro_f1": 0.7},
            },
            "bag_of_words": {"label": 0.4, "concepts": {"mean": 0.3, "food/drink": 0.3}},
            "splits": {"validation": {"label": {"accuracy": 0.25, "macro_f1": 0.2}}},
        },
        "annotate": {"rows": {"test": {"out": 8}}},
        "prune": {},
    }
    assert summarise(metrics) == {
        "validate": {"rows.test.out": 8.0, "rows.test.quarantined": 1.0},
        "evaluate": {
            "label.accuracy": 0.5,
            "concepts.food_drink.accuracy": 0.75,
            "concepts.mean.accuracy": 0.75,
            "concepts.mean.macro_f1": 0.7,
            "bag_of_words.label": 0.4,
            "bag_of_words.concepts.mean": 0.3,
            "splits.validation.label.accuracy": 0.25,
        },
    }


def test_the_reference_of_the_embedded_data_has_about_forty_figures():
    reference = read_json(ROOT / "reference" / "restaurants.json")
    assert 35 <= sum(len(figures) for figures in reference.values()) <= 50
    assert {"validate", "finetune", "prune", "explain", "intervene", "evaluate"} == set(reference)
