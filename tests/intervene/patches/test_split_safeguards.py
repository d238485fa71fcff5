"""What a patch is made from in a workspace: the same with and without a cache, and new where the data is new."""

from dataclasses import replace

import pytest
import torch

from sparsecbm.base.params import load_params
from sparsecbm.intervene.patches import split_safeguards
from sparsecbm.intervene.patches.make import make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.split_safeguards import SplitSource
from sparsecbm.intervene.tensor_cache import CacheWarning, RenewedCache, TensorCache
from sparsecbm.model import remembered_states
from sparsecbm.model.checksums import text_checksum
from sparsecbm.model.masks import MaskSet
from tests.support.patches import other_food_state
from tests.support.tiny_models import with_large_weights
from tests.support.tiny_pipeline import ROOT
from tests.support.tiny_tables import annotated

TEXT = "a loud place but we came again and the food was bad"


@pytest.fixture
def shallow(model):
    """Return a model with large weights, and masks in the second of two blocks alone."""
    with_large_weights(model, masked_from=1)
    logits = model.logits(annotated(40, seed=9)["text"].tolist()).concepts
    with torch.no_grad():
        for name, values in logits.items():
            model.concept_heads.head(name).bias -= torch.from_numpy(values).mean(0)
    return model


@pytest.fixture
def tables(monkeypatch):
    splits = {"train": annotated(20, seed=3), "validation": annotated(40, seed=5)}
    monkeypatch.setattr(split_safeguards, "read_split", lambda folder, split: splits[split])
    monkeypatch.setattr(split_safeguards, "split_names", lambda folder: list(splits))
    return splits


@pytest.fixture
def source(tmp_path, tables):
    """Return a source with a cache."""
    params = load_params(ROOT / "params.yaml")
    params = params.model_copy(update={"intervene": params.intervene.model_copy(update={"training_texts": 10})})
    return SplitSource(tmp_path, "validation", params, TensorCache(tmp_path / "cache", 10**8))


@pytest.fixture
def lower_runs(monkeypatch):
    """Return the number of texts of each run of the blocks that no patch changes."""
    runs, run_lower = [], remembered_states._Feed._run_lower

    def count(self, concept, ids, mask):
        runs.append(len(ids))
        return run_lower(self, concept, ids, mask)

    monkeypatch.setattr(remembered_states._Feed, "_run_lower", count)
    return runs


def make(model, source, layers=("*",)):
    base = source.prepare(model, "food", [TEXT], layers)
    state = other_food_state(model, TEXT)
    options = PatchOptions(60, layers=layers, force=True)
    return make_patch(base.model, TEXT, "food", state, options, base.safeguards)


def test_a_patch_is_the_same_without_a_cache_with_an_empty_one_and_with_a_full_one(shallow, source, lower_runs):
    without = make(shallow, replace(source, cache=None))
    lower_runs.clear()
    first = make(shallow, source)
    assert sum(lower_runs) >= 40  # some of the 50 texts are equal
    lower_runs.clear()
    second = make(shallow, source)
    assert lower_runs == [1, 1]  # the text of the patch, and one to see what a block returns
    assert without == first == second
    assert without.made["protected"] > 5 and without.side_effects.texts > 10


def test_the_predictions_of_all_concepts_are_those_that_a_patch_of_one_looks_up(shallow, source, lower_runs):
    without = make(shallow, replace(source, cache=None))
    predictions = replace(source, cache=RenewedCache(source.cache.folder, 10**8)).predict(shallow, ("noise", "food"))
    assert set(predictions.training.logits) == set(predictions.whole.logits) == {"food", "noise"}
    entries = {path: path.stat().st_mtime_ns for path in source.cache.folder.iterdir()}
    assert len(entries) == 4  # of the split, of the training texts for each concept, and states
    lower_runs.clear()
    assert make(shallow, source) == without
    assert lower_runs == [1, 1]
    assert set(source.cache.folder.iterdir()) == set(entries)


def test_a_renewed_cache_is_not_read(shallow, source, lower_runs):
    renewing = replace(source, cache=RenewedCache(source.cache.folder, 10**8))
    first = renewing.predict(shallow, ("food",))
    for path in source.cache.folder.iterdir():
        path.write_bytes(b"damaged")
    lower_runs.clear()
    again = renewing.predict(shallow, ("food",))
    assert sum(lower_runs) >= 40
    assert all((first.whole.logits[name] == again.whole.logits[name]).all() for name in first.whole.logits)
    assert make(shallow, source).side_effects.texts > 10  # and the damaged files were replaced, so nothing warns


def test_only_layers_above_a_masked_block(lively, source, lower_runs):
    """States that depend on the concept are kept for it alone."""
    layers = ("encoder.layer.1.*",)
    first = make(lively, source, layers)
    lower_runs.clear()
    assert make(lively, source, layers) == first == make(lively, replace(source, cache=None), layers)
    assert lower_runs[:2] == [1, 1]
    assert all(layer.startswith("encoder.layer.1.") for layer in first.flipped)
    lower_runs.clear()
    source.prepare(lively, "noise", [TEXT], layers)
    assert sum(lower_runs) > 20


def test_another_text_another_mask_or_another_annotation_counts_at_once(shallow, source, tables, lower_runs):
    source.prepare(shallow, "food", [TEXT], ("*",))
    tables["validation"].loc[0, "text"] += " again"
    lower_runs.clear()
    base = source.prepare(shallow, "food", [TEXT], ("*",))
    assert sum(lower_runs) >= 40
    known = len(base.safeguards.protection.texts)
    for split in tables.values():
        split["concept.food"] = None
    lower_runs.clear()
    assert source.prepare(shallow, "food", [TEXT], ("*",)).safeguards.protection is None and known > 5
    assert not lower_runs
    shallow.masks = MaskSet.dense(shallow.masks.concepts, shallow.masks.shapes)
    source.prepare(shallow, "food", [TEXT], ("*",))
    assert sum(lower_runs) >= 40


def test_a_damaged_cache_is_told_and_computed_again(shallow, source):
    expected = make(shallow, source)
    files = sorted(source.cache.folder.iterdir())
    assert len(files) == 3  # predictions of two tables, and states
    for path in files:
        path.write_bytes(path.read_bytes()[:-4] + b"0000")
    with pytest.warns(CacheWarning) as told:
        assert make(shallow, source) == expected
    assert len(told) == 3
    assert make(shallow, source) == expected


def test_every_file_states_the_checksums_of_its_texts(shallow, source, tables):
    source.prepare(shallow, "food", [TEXT], ("*",))
    holders = {
        split: sum(
            text_checksum(table["text"].iloc[0]).encode() in path.read_bytes() for path in source.cache.folder.iterdir()
        )
        for split, table in tables.items()
    }
    assert holders["validation"] == 2  # its predictions, and the states
    assert not any(text_checksum(TEXT).encode() in path.read_bytes() for path in source.cache.folder.iterdir())
