"""Whatever a patch file holds, reading it gives a patch that can be used, or one error that names the file."""

import json
import os
import random
import struct
from dataclasses import replace

import pytest

from sparsecbm.base.errors import InterventionError
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import check_patch_fits, patched
from tests.support.mutations import mutate_bytes, mutate_json
from tests.support.patches import patch_by_hand

LAYER = "encoder.layer.0.output.dense"


@pytest.fixture
def patch(lively):
    return replace(patch_by_hand(lively, {LAYER: (0, 1, 2, 5)}), texts=("a" * 64,), made={"budget": 4}, note="x")


def split(content):
    """Return the header of a safetensors file as an object, and the data behind it."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(header, data):
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def outcome(path, model):
    """Return what happens to a file: an error of ours, or a patch that is used."""
    try:
        loaded = MaskPatch.load(path)
    except InterventionError as error:
        assert str(path) in str(error) and "Traceback" not in str(error) and len(str(error).splitlines()) == 1
        return "refused"
    json.dumps(loaded.to_dict(), allow_nan=False)
    try:
        check_patch_fits(model, loaded)
        with patched(model, loaded):
            model.predict("the food was good")
    except InterventionError:
        return "does not fit"
    return "used"


def test_mutations_of_bytes(lively, patch, tmp_path):
    path, rng = tmp_path / "food.patch", random.Random(1)
    patch.save(path)
    content = path.read_bytes()
    assert outcome(path, lively) == "used"  # control: the file as it was written
    outcomes = []
    for _ in range(200):
        path.write_bytes(mutate_bytes(content, rng))
        outcomes.append(outcome(path, lively))
    assert outcomes.count("used") < 10 and outcomes.count("refused") > 150


def test_mutations_of_the_description_with_a_checksum_that_fits(lively, patch, tmp_path, monkeypatch):
    """The sha256 in a patch is no signature: whoever changes the rest can change it, too."""
    path, rng = tmp_path / "food.patch", random.Random(2)
    patch.save(path)
    header, data = split(path.read_bytes())
    plain = json.loads(header["__metadata__"]["patch"])
    for _ in range(200):
        changed = mutate_json(plain, rng)
        if isinstance(changed, dict):
            changed["id"] = sealed(changed, patch)
        path.write_bytes(join({**header, "__metadata__": {"patch": json.dumps(changed)}}, data))
        outcome(path, lively)


def sealed(plain, patch):
    """Return the id that a description would have, if it is one."""
    fields = {name: value for name, value in plain.items() if name not in ("id", "format")}
    try:
        return MaskPatch(**fields, dropped=patch.dropped, grown=patch.grown).id
    except Exception:
        return plain.get("id")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"made": ' + '{"a": ' * 40 + "1" + "}" * 40 + "}", "nested too deeply"),
        ('{"size": NaN}', "which is no number"),
        ('{"note": "\\ud800"}', "half of a surrogate pair"),
        ("7", "holds no JSON object"),
        ('{"size": ' + "9" * 5000 + "}", "too many digits"),
        ('{"format": 1, "size": 0}', "is missing"),
    ],
)
def test_descriptions_that_are_none(patch, tmp_path, metadata, message):
    path = tmp_path / "food.patch"
    patch.save(path)
    header, data = split(path.read_bytes())
    path.write_bytes(join({**header, "__metadata__": {"patch": metadata}}, data))
    with pytest.raises(InterventionError, match=message) as error:
        MaskPatch.load(path)
    assert str(path) in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize("field", ["weights", "mask", "parent", "texts"])
def test_checksums_are_checksums(patch, tmp_path, field):
    value = "../../elsewhere"
    replace(patch, **{field: (value,) if field == "texts" else value}).save(tmp_path / "food.patch")
    with pytest.raises(InterventionError, match=r"must be 64 hexadecimal digits, not '\.\./\.\./elsewhere'"):
        MaskPatch.load(tmp_path / "food.patch")


def test_what_is_no_file_is_no_patch(tmp_path):
    os.mkfifo(tmp_path / "pipe.patch")
    (tmp_path / "folder.patch").mkdir()
    for name in ("pipe.patch", "folder.patch"):
        with pytest.raises(InterventionError, match="is no file, so it holds no patch"):
            MaskPatch.load(tmp_path / name)


@pytest.mark.parametrize(
    ("flips", "message"), [({LAYER: (-1,)}, "holds no positions of bits"), ({}, "it flips 0 of 4096 bits")]
)
def test_positions_are_whole_numbers_from_zero(patch, tmp_path, flips, message):
    replace(patch, dropped=flips, grown={}).save(tmp_path / "food.patch")
    with pytest.raises(InterventionError, match=message):
        MaskPatch.load(tmp_path / "food.patch")
