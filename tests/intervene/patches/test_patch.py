"""Patches on disk: a saved patch can be loaded, and any other file is an error."""

import json
from dataclasses import replace

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.patch import METADATA, MaskPatch, StatePrediction
from sparsecbm.intervene.patches.side_effects import Change, Neighbours, Share, SideEffects

NOTHING = Share(0, 0, None, (None, None))
SAME = Change(0.5, 0.5, (0.0, 0.0))
EFFECTS = SideEffects(
    10, 6, 6e-6, SAME, SAME, Share(1, 5, 0.2, (0.0, None)), NOTHING, NOTHING, NOTHING, Neighbours(0, 0, 0)
)
PATCH = MaskPatch(
    concept="food",
    state="Positive",
    texts=("a" * 64,),
    dropped={"encoder.layer.1": (3, 70000), "encoder.layer.0": (1,)},
    grown={"encoder.layer.0": (0, 2, 5)},
    weights="b" * 64,
    mask="c" * 64,
    size=1_000_000,
    before=(StatePrediction("Negative", {"Negative": 0.7, "Positive": 0.3}),),
    after=(StatePrediction("Positive", {"Negative": 0.4, "Positive": 0.6}),),
    made={"budget": 6, "layers": ["*"]},
    side_effects=EFFECTS,
    author="Ann",
    note="the waiter, not the food",
    parent="d" * 64,
)


@pytest.fixture
def saved(tmp_path):
    PATCH.save(tmp_path / "a.patch")
    return tmp_path / "a.patch"


def rewritten(path, change):
    """Return a file with changed metadata and tensors under the old id."""
    with safe_open(path, framework="pt") as file:
        metadata, tensors = json.loads(file.metadata()[METADATA]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(metadata, tensors)
    save_file(tensors, path, {METADATA: json.dumps(metadata)})
    return path


def test_a_loaded_patch_equals_the_saved_one(saved):
    loaded = MaskPatch.load(saved)
    assert loaded == PATCH
    assert loaded.id == PATCH.id


def test_the_bytes_depend_on_the_patch_only(saved, tmp_path):
    for number in range(5):
        MaskPatch.load(saved).save(tmp_path / f"{number}.patch")
        assert (tmp_path / f"{number}.patch").read_bytes() == saved.read_bytes()


def test_a_large_patch_is_a_small_file(tmp_path):
    many = tuple(range(1000))
    replace(PATCH, dropped={"x": many}, grown={"y": many}, texts=("e" * 64,) * 20).save(tmp_path / "b.patch")
    assert (tmp_path / "b.patch").stat().st_size < 64 * 1024


def test_figures_of_a_patch_by_hand():
    assert PATCH.bits == 6
    assert PATCH.share == 6e-6
    assert PATCH.flipped == {"encoder.layer.0": (1, 0, 2, 5), "encoder.layer.1": (3, 70000)}
    metadata = PATCH.to_dict()
    assert (metadata["id"], metadata["format"], metadata["bits"], metadata["share"]) == (PATCH.id, 1, 6, 6e-6)
    assert metadata["side_effects"]["harmed"] == {"count": 1, "of": 5, "share": 0.2, "interval": [0.0, None]}
    assert metadata["by_layer"]["dropped"] == {"encoder.layer.0": 1, "encoder.layer.1": 2}
    assert "dropped" not in metadata
    assert json.loads(json.dumps(metadata)) == metadata


def test_every_field_changes_the_id():
    changes = {
        "concept": "noise", "state": "Negative", "texts": (), "dropped": {}, "grown": {}, "weights": "", "mask": "",
        "size": 1, "before": (), "after": (), "made": {}, "side_effects": None, "author": "", "note": "",
        "parent": None,
    }  # fmt: skip
    assert changes.keys() == MaskPatch.__dataclass_fields__.keys()
    ids = {replace(PATCH, **{name: value}).id for name, value in changes.items()}
    assert len(ids) == len(changes)
    assert PATCH.id not in ids


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InterventionError, match="does not exist"):
        MaskPatch.load(tmp_path / "none.patch")


def test_every_truncation_is_an_error(saved):
    content = saved.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(InterventionError, match="is not a complete patch"):
            MaskPatch.load(saved)


def test_every_flipped_byte_is_an_error(saved):
    content = saved.read_bytes()
    for offset in range(8, len(content), 41):
        saved.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
        with pytest.raises(InterventionError):
            MaskPatch.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata, tensors: metadata.update(state="Negative"),
        lambda metadata, tensors: metadata.update(side_effects=None),
        lambda metadata, tensors: metadata["made"].update(budget=7),
        lambda metadata, tensors: tensors["grown/encoder.layer.0"].add_(1),
        lambda metadata, tensors: tensors.pop("dropped/encoder.layer.1"),
        lambda metadata, tensors: tensors.update({"grown/encoder.layer.1": tensors.pop("dropped/encoder.layer.1")}),
    ],
)
def test_altered_contents_are_an_error(saved, change):
    with pytest.raises(InterventionError, match="was altered: its contents do not match the sha256"):
        MaskPatch.load(rewritten(saved, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metadata, tensors: metadata.update(more=1), "is not a complete patch"),
        (lambda metadata, tensors: metadata.pop("mask"), "is not a complete patch"),
        (lambda metadata, tensors: metadata.update(format=2), "has patch format 2; this version reads format 1"),
    ],
)
def test_other_formats_are_an_error(saved, change, message):
    with pytest.raises(InterventionError, match=message):
        MaskPatch.load(rewritten(saved, change))


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("sparsecbm.intervene.patches.patch.save_file", fail)
    with pytest.raises(Exception, match="nothing was changed"):
        replace(PATCH, note="another").save(saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_a_rewritten_file_without_changes_is_accepted(saved):
    assert MaskPatch.load(rewritten(saved, lambda metadata, tensors: None)) == PATCH
