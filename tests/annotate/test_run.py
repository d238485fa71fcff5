"""One annotator on a task: what is labelled, what is kept, what a failure leaves."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pytest

from sparsecbm.annotate.annotator import AbstentionWarning, IncompleteError
from sparsecbm.annotate.annotator_input import AnnotatorInput
from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import empty_labels, label_table, read_labels, text_key, write_labels
from sparsecbm.annotate.run import run_annotator
from sparsecbm.annotate.shards import Sharding, annotate_in_shards, shard_of
from sparsecbm.base.engines import thread_engine
from sparsecbm.base.errors import ConfigError, DataError
from tests.support.counting_annotator import CountingAnnotator

FOOD = ConceptDefinition("food", "", {"bad": "It is criticised.", "good": "It is praised."})
NOISE = ConceptDefinition("noise", "", {"loud": "It is loud.", "quiet": "It is quiet."})
TEXTS = [f"Text number {number}." for number in range(40)]


def make_task(texts: Sequence[str] = TEXTS) -> AnnotatorInput:
    frame = pd.DataFrame({"key": [text_key(text) for text in texts], "text": texts, "split": "train"})
    return AnnotatorInput(frame, pd.DataFrame({"key": [], "concept": [], "state": []}, dtype="str"))


def sharding(tmp_path, shards: int = 4, workers: int = 1) -> Sharding:
    return Sharding(shards, thread_engine(workers), tmp_path / "parts")


def test_all_cells_are_labelled_once_and_a_second_run_asks_nothing(tmp_path):
    annotator, path = CountingAnnotator(), tmp_path / "counting.parquet"
    outcome = run_annotator(annotator, make_task(), [FOOD, NOISE], path, sharding(tmp_path))
    assert (outcome.kept, outcome.labelled, outcome.abstained, outcome.stopped) == (0, 72, 8, None)
    assert len(annotator.asked) == 80 and set(annotator.asked.values()) == {1}
    again = run_annotator(annotator, make_task(), [FOOD, NOISE], path, sharding(tmp_path))
    assert (again.kept, again.labelled, again.abstained) == (80, 0, 0)
    assert set(annotator.asked.values()) == {1}


def test_another_definition_or_text_is_labelled_and_nothing_else(tmp_path):
    annotator, path = CountingAnnotator(), tmp_path / "counting.parquet"
    run_annotator(annotator, make_task(TEXTS[:30]), [FOOD, NOISE], path, sharding(tmp_path))
    annotator.asked.clear()
    other = replace(NOISE, description="How loud it is.")
    outcome = run_annotator(annotator, make_task(TEXTS[:31]), [FOOD, other], path, sharding(tmp_path))
    assert Counter(name for _, name in annotator.asked) == {"noise": 31, "food": 1}
    assert (outcome.kept, outcome.labelled, outcome.abstained) == (
        30,
        27,
        5,
    )  # 0, 10, 20, 30; and food of 30
    table = read_labels(path)
    assert set(table.loc[table["concept"] == "noise", "definition"]) == {other.hash}


def test_another_version_of_the_annotator_labels_all_again(tmp_path):
    annotator, path = CountingAnnotator(), tmp_path / "counting.parquet"
    run_annotator(annotator, make_task(), [FOOD], path, sharding(tmp_path))
    annotator.version = "v2"
    assert run_annotator(annotator, make_task(), [FOOD], path, sharding(tmp_path)).kept == 0
    assert set(annotator.asked.values()) == {2}


def test_the_table_does_not_depend_on_shards_and_workers(tmp_path):
    content = []
    for number, (shards, workers) in enumerate([(1, 1), (4, 1), (4, 3), (40, 8)]):
        path = tmp_path / str(number) / "counting.parquet"
        run_annotator(CountingAnnotator(), make_task(), [FOOD], path, sharding(path.parent, shards, workers))
        content.append(path.read_bytes())
    assert len(set(content)) == 1


def test_a_shard_that_fails_is_tried_again_alone(tmp_path):
    annotator = CountingAnnotator(fails=[DataError("the line dropped")])
    labels = annotate_in_shards(annotator, make_task().texts, [FOOD], sharding(tmp_path))
    assert len(labels) == 40 and set(annotator.asked.values()) == {1}
    assert not list((tmp_path / "parts").iterdir())


def test_a_shard_that_fails_twice_ends_the_run_and_finished_shards_are_kept(tmp_path):
    annotator = CountingAnnotator()
    broken = shard_of(text_key(TEXTS[0]), 4)
    real = annotator.annotate

    def failing(texts, concepts, people):
        if shard_of(texts["key"].iloc[0], 4) == broken:
            raise DataError("the line dropped")
        return real(texts, concepts, people)

    annotator.annotate = failing
    path = tmp_path / "counting.parquet"
    with pytest.raises(DataError, match="the line dropped"):
        run_annotator(annotator, make_task(), [FOOD], path, sharding(tmp_path))
    assert not path.exists()
    annotator.annotate = real
    run_annotator(annotator, make_task(), [FOOD], path, sharding(tmp_path))
    assert len(annotator.asked) == 40 and set(annotator.asked.values()) == {1}


def test_a_wrong_configuration_is_not_tried_again(tmp_path):
    annotator = CountingAnnotator(fails=[ConfigError("no key"), ConfigError("no key")])
    with pytest.raises(ConfigError, match="no key"):
        run_annotator(annotator, make_task(), [FOOD], tmp_path / "counting.parquet", sharding(tmp_path, 1))
    assert len(annotator.fails) == 1


def test_labels_until_an_early_stop_are_kept_and_the_rest_is_done_later(tmp_path):
    first = make_task().texts.iloc[0]
    row = {"key": first["key"], "concept": "food", "state": "good", "definition": FOOD.hash, "prompt": "v1"}
    stop = IncompleteError("the budget is spent; 39 texts remain", label_table([row]))
    annotator, path = CountingAnnotator(fails=[stop]), tmp_path / "counting.parquet"
    outcome = run_annotator(annotator, make_task(), [FOOD], path, sharding(tmp_path, 1))
    assert (outcome.labelled, outcome.stopped) == (1, "the budget is spent; 39 texts remain")
    assert read_labels(path)["state"].tolist() == ["good"]
    rest = run_annotator(annotator, make_task(), [FOOD], path, sharding(tmp_path, 1))
    assert rest.kept == 1 and len(annotator.asked) == 39


def test_an_annotator_that_learns_labels_everything_anew(tmp_path):
    annotator, path = CountingAnnotator(learns=True, in_parts=False), tmp_path / "counting.parquet"
    for _ in range(2):
        outcome = run_annotator(annotator, make_task(), [FOOD], path, sharding(tmp_path))
    assert (outcome.kept, outcome.labelled) == (0, 36) and set(annotator.asked.values()) == {2}


def test_nothing_to_label_writes_nothing(tmp_path):
    empty = make_task([])
    outcome = run_annotator(CountingAnnotator(), empty, [FOOD], tmp_path / "a.parquet", sharding(tmp_path))
    assert (outcome.labelled, outcome.kept) == (0, 0) and not (tmp_path / "a.parquet").exists()
    assert empty_labels().empty


def test_abstentions_are_told_and_other_warnings_go_on(tmp_path):
    class Doubtful(CountingAnnotator):
        def annotate(self, texts, concepts, people):
            warnings.warn("nobody labelled food yet", AbstentionWarning, stacklevel=1)
            warnings.warn("the disk is old", UserWarning, stacklevel=1)
            return super().annotate(texts, concepts, people)

    annotator = Doubtful(learns=True, in_parts=False)
    annotator.notes = ["3 texts were cut"]
    with pytest.warns(UserWarning, match="the disk is old") as others:
        outcome = run_annotator(annotator, make_task(), [FOOD], tmp_path / "a.parquet", sharding(tmp_path))
    assert outcome.notes == ("nobody labelled food yet", "3 texts were cut") and len(others) == 1


def test_what_a_run_left_that_was_killed_just_after_it_wrote_a_part_is_cleared(tmp_path, monkeypatch):
    def write_and_leave(path, labels):
        write_labels(path, labels)
        work = path.with_name(f".{path.name}.0123abcd.partial")  # as `replacing` leaves it after such a kill
        work.mkdir()
        (work / "lock").touch()

    monkeypatch.setattr("sparsecbm.annotate.shards.write_labels", write_and_leave)
    labels = annotate_in_shards(CountingAnnotator(), make_task().texts, [FOOD], sharding(tmp_path))
    assert len(labels) == 40 and list((tmp_path / "parts").iterdir()) == []
