"""The annotator `embedding` with an encoder that counts words."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from sparsecbm.annotate.annotator import AbstentionWarning
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.embedding import EmbeddingAnnotator
from sparsecbm.annotate.labels import text_key, write_labels
from sparsecbm.base.params.annotate import Embedding
from tests.support.few_label_texts import CONCEPTS, accuracy, few_label_task
from tests.support.word_encoder import encode_words


def annotator(**options) -> EmbeddingAnnotator:
    """Return the annotator with a seed, one thread and the encoder of words."""
    return EmbeddingAnnotator(Embedding(**options), seed=1, threads=1, encode=encode_words)


def test_few_labels_are_enough_where_words_tell_the_state():
    task = few_label_task(texts=160, labelled=40)
    labels = annotator().annotate(task.texts, CONCEPTS, task.people)
    assert len(labels) == 160 * 2
    assert accuracy(labels, task.hidden) > 0.9
    shuffled = task.people.assign(state=np.random.default_rng(0).permutation(task.people["state"]))
    assert accuracy(annotator().annotate(task.texts, CONCEPTS, shuffled), task.hidden) < 0.6  # control


def test_without_labels_it_abstains_and_says_so():
    task = few_label_task(texts=30, labelled=0)
    with pytest.warns(AbstentionWarning) as told:
        labels = annotator().annotate(task.texts, CONCEPTS, task.people)
    for concept, warning in zip(CONCEPTS, told, strict=True):
        assert f"concept {concept.name!r} has 0 label(s) of people" in str(warning.message)
        assert "nearly worthless" in str(warning.message)
    assert len(labels) == 60
    assert labels[["state", "confidence", "probabilities"]].isna().all(axis=None)


def test_a_dry_run_counts_what_it_would_learn_from():
    task = few_label_task(texts=30, labelled=12)
    food = task.people[task.people["concept"] == "food"]
    *lines, minutes = annotator().estimate(task.texts, CONCEPTS, food)
    assert minutes.endswith("measured on a few texts")
    assert annotator().estimate(task.texts, CONCEPTS[1:], food)[-1] == lines[-1], "nothing would be encoded"
    assert lines == [
        "it learns from labels of people: 12 of food, 0 of service",
        "it will give no label, since concept 'service' has 0 label(s) of people, and 10 are needed",
        "no text leaves this machine, and nothing is paid",
    ]


def test_a_concept_with_one_state_alone_is_left_out_and_the_other_is_labelled():
    task = few_label_task(texts=160, labelled=40)
    one_state = task.people.assign(state=task.people["state"].mask(task.people["concept"] == "service", "Positive"))
    with pytest.warns(AbstentionWarning, match="'service': people gave 0 'Negative', 40 'Positive', 0 'unknown'"):
        labels = annotator().annotate(task.texts, CONCEPTS, one_state)
    assert labels.loc[labels["concept"] == "service", "state"].isna().all()
    assert labels.loc[labels["concept"] == "food", "state"].notna().mean() > 0.5


def test_a_cell_below_the_least_confidence_has_no_state():
    task = few_label_task(texts=120, labelled=30)
    labels = annotator(min_confidence=0.9).annotate(task.texts, CONCEPTS, task.people)
    assert ((labels["confidence"] >= 0.9) == labels["state"].notna()).all()
    assert 0 < labels["state"].notna().mean() < 1
    best = [max(json.loads(cell).values()) for cell in labels["probabilities"]]
    assert labels["confidence"].tolist() == best


def test_labels_repeat_to_the_byte_and_name_what_they_were_learnt_from(tmp_path):
    task = few_label_task(texts=80, labelled=30)
    for name in ("first", "second"):
        write_labels(tmp_path / name, annotator().annotate(task.texts, CONCEPTS, task.people))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    fewer = annotator().annotate(task.texts, CONCEPTS, task.people[2:])
    whole = annotator().annotate(task.texts, CONCEPTS, task.people)
    assert set(fewer["prompt"]) != set(whole["prompt"])


def test_texts_without_known_words_and_one_concept_alone_do_no_harm():
    task = few_label_task(texts=60, labelled=30)
    strange = pd.DataFrame({"key": [text_key("zzz")], "text": ["zzz"], "group": "g", "label": [None], "split": "train"})
    texts = pd.concat([task.texts, strange], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = annotator(min_confidence=0.0).annotate(texts, CONCEPTS[:1], task.people)
    assert labels["state"].notna().all()


def test_its_version_tells_options_apart():
    other = ConceptDefinition("food", "", {"a": "x", "b": "y"})
    assert other.hash != CONCEPTS[0].hash
    assert annotator().version == annotator().version
    assert annotator().version != annotator(min_confidence=0.9).version
