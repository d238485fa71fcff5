"""A model folder: equal bytes, detected changes, and no partial files."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import DataError, ModelError
from sparsecbm.base.files import write_json
from sparsecbm.model import storage
from sparsecbm.model.storage import compute_checksums
from tests.support.tiny_models import random_masks

TEXTS = ["the food was good", "bad service"]


@pytest.fixture
def folder(model, tmp_path):
    model.means = {"activations": {}, "label_share": {}, "concept_shares": {}}
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_saving_a_loaded_model_gives_the_same_bytes(folder, tmp_path):
    loaded = SparseCBM.from_pretrained(folder)
    loaded.predict(TEXTS)  # a tokenizer remembers its last call, but its file must not
    loaded.save_pretrained(tmp_path / "again")
    assert compute_checksums(tmp_path / "again") == compute_checksums(folder)


def test_the_folder_contains_no_path_of_this_machine(folder, tmp_path):
    for file in folder.rglob("*"):
        if file.is_file():
            assert str(tmp_path).encode() not in file.read_bytes(), file.name


def test_a_fresh_process_predicts_the_same_to_the_bit(folder):
    code = (
        "import json, sys; from sparsecbm import SparseCBM;"
        f"print(json.dumps([p.to_dict() for p in SparseCBM.from_pretrained(sys.argv[1]).predict({TEXTS!r})]))"
    )
    run = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    expected = [p.to_dict() for p in SparseCBM.from_pretrained(folder).predict(TEXTS)]
    assert json.loads(run.stdout) == expected


def test_a_hard_head_is_loaded_frozen(folder, model, tmp_path):
    assert SparseCBM.from_pretrained(folder).hard_head is None
    V, b = torch.arange(15.0).reshape(3, 5), torch.tensor([0.5, -1e4, 0.25])
    model.add_hard_head().set(V, b)
    model.save_pretrained(tmp_path / "fitted")
    loaded = SparseCBM.from_pretrained(tmp_path / "fitted")
    assert torch.equal(loaded.hard_head.V("noise"), V[:, 3:]) and torch.equal(loaded.hard_head.linear.bias, b)
    assert not torch.equal(loaded.label_head.linear.weight, V)
    assert not any(parameter.requires_grad for parameter in loaded.hard_head.parameters())
    loaded.save_pretrained(tmp_path / "again")
    assert compute_checksums(tmp_path / "again") == compute_checksums(tmp_path / "fitted")


@pytest.mark.parametrize("name", ["model.safetensors", "concepts.json", "tokenizer/tokenizer.json"])
def test_one_flipped_byte_is_detected(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} was altered"):
        SparseCBM.from_pretrained(folder)


def test_a_loaded_masked_model_has_the_same_masks_and_predictions(model, tmp_path):
    model.means = {"activations": {}, "label_share": {}, "concept_shares": {}}
    dense = [p.to_dict() for p in model.predict(TEXTS)]
    model.masks = random_masks(model)
    model.save_pretrained(tmp_path / "sparse")
    loaded = SparseCBM.from_pretrained(tmp_path / "sparse")
    assert loaded.masks == model.masks
    predictions = [p.to_dict() for p in loaded.predict(TEXTS)]
    assert predictions == [p.to_dict() for p in model.predict(TEXTS)] != dense
    assert f"each concept keeps: food {model.masks['food'].density:.1%}" in (tmp_path / "sparse/README.md").read_text()


def test_missing_and_added_files_are_detected(folder):
    (folder / "README.md").unlink()
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"README.md is missing; extra.bin is not listed"):
        SparseCBM.from_pretrained(folder)


def test_no_model_and_a_model_of_another_format(folder, tmp_path):
    with pytest.raises(ModelError, match="nowhere does not exist; `make run` writes models/sparse"):
        SparseCBM.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"is not a model folder: it has no checksums\.json"):
        SparseCBM.from_pretrained(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "format": 99})
    write_json(folder / "checksums.json", compute_checksums(folder))
    with pytest.raises(ModelError, match="has model format 99; this version reads 1 and 2"):
        SparseCBM.from_pretrained(folder)
    write_json(folder / "config.json", {**config, "format": 1})
    write_json(folder / "checksums.json", compute_checksums(folder))
    assert SparseCBM.from_pretrained(folder).hard_head is None


def test_weights_that_do_not_fit_are_an_error(folder):
    config = json.loads((folder / "config.json").read_text())
    config["backbone"]["hidden_size"] = 32
    write_json(folder / "config.json", config)
    write_json(folder / "checksums.json", compute_checksums(folder))
    with pytest.raises(ModelError, match="does not fit config"):
        SparseCBM.from_pretrained(folder)


def test_a_hard_head_of_other_concepts_is_an_error(folder):
    weights = load_file(folder / "model.safetensors")
    other = {"hard_head.linear.weight": torch.zeros(3, 4), "hard_head.linear.bias": torch.zeros(3)}
    save_file(weights | other, folder / "model.safetensors")
    write_json(folder / "checksums.json", compute_checksums(folder))
    with pytest.raises(ModelError, match="does not fit config"):
        SparseCBM.from_pretrained(folder)


def test_a_full_disk_keeps_the_old_model(folder, model, monkeypatch):
    before = compute_checksums(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.raises(DataError, match="No space left on device"):
        model.save_pretrained(folder)
    assert compute_checksums(folder) == before
    assert os.listdir(folder.parent) == ["model"]
