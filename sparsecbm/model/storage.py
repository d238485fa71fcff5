"""A model on disk: safetensors and JSON, no pickle. Loading verifies the checksum of every file.

config.json            format version, backbone configuration, pooling, activation, mode, lengths
model.safetensors      all weights, including those of a fitted `hard_head`
masks.safetensors      masks of a sparse model, one bit for each weight and concept
tokenizer/             the tokenizer's own files
concepts.json          names and states of the concepts and the label
training_means.json    mean activation and share of each state in the training set
README.md              the model card; folders that a stage of the pipeline writes have none
checksums.json         sha256 of each file above
"""

import os
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import read_json_object, recover, replacing_folder, sha256_file, write_json, write_text
from sparsecbm.base.foreign_faults import foreign_faults
from sparsecbm.base.outputs import CHECKSUMS, EXPORT, check_model_folder, refuse_inside_model
from sparsecbm.model.architecture import (
    check_weights_file,
    empty_backbone,
    make_config,
    stored_names,
    without_memory,
)
from sparsecbm.model.backbone import embedding_rows
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.folder_entries import check_entries
from sparsecbm.model.hub import KEPT_FILES, cache_links, parse_address, snapshot_address
from sparsecbm.model.hub_models import download_model
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.positions import check_max_length
from sparsecbm.model.saved_json import read_checksums, read_concepts, read_config, read_means
from sparsecbm.model.tokenizer import check_filled, check_vocabulary, forget_padding, load_tokenizer

Model = TypeVar("Model", bound=ConceptBottleneck)

FORMAT = 2
READABLE = (1, 2)  # a model of format 1 has no `hard_head`
WEIGHTS = "model.safetensors"
MASKS = "masks.safetensors"


def save(model: ConceptBottleneck, path: Path, card: str | None = None) -> None:
    """Write a model folder. It replaces an older one only when it is complete.

    Args:
        card: text of README.md; without it the folder has no card

    Raises:
        WriteError: something else than a model is at `path`, the path is inside a model folder, or writing failed.
    """
    refuse_inside_model(path)
    with replacing_folder(path, check_model_folder) as folder:
        write_json(folder / "config.json", {"format": FORMAT, **model.config()})
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        if model.masks is not None:
            model.masks.save(folder / MASKS)
        _save_tokenizer(model, folder / "tokenizer")
        write_json(folder / "concepts.json", model.concept_set.to_dict())
        write_json(folder / "training_means.json", model.means)
        if card is not None:
            write_text(folder / "README.md", card)
        write_json(folder / CHECKSUMS, compute_checksums(folder))


def load(path: Path, model_class: type[Model] = ConceptBottleneck) -> Model:  # type: ignore[assignment]
    """Read a model folder after verifying it.

    Args:
        path: of the folder, or `name@revision` of a repository on a hub, which is downloaded
        model_class: class of the model that is returned; its `origin` names the repository and the commit

    Raises:
        ModelError: there is no model, its format is unknown, a file is missing, added or altered, or the weights do
            not fit the configuration; or as `download_model`.
    """
    path = local_folder(path)
    recover(path)
    verify_checksums(path)
    source = str(path / "config.json")
    config = read_config(path / "config.json", READABLE)
    concept_set = read_concepts(path / "concepts.json")
    means = read_means(path / "training_means.json", concept_set)
    tokenizer = load_tokenizer(path / "tokenizer")
    empty_backbone(make_config(config["backbone"], source), source)
    names = stored_names(path / WEIGHTS)

    def build() -> Model:
        model = model_class.from_config(config, tokenizer, concept_set, means)
        if any(name.startswith("hard_head.") for name in names):
            model.add_hard_head()
        return model

    with foreign_faults(f"{source} describes no model that can be built"):
        check_weights_file(without_memory(build), path / WEIGHTS)
        model = build()
        model.load_state_dict(load_file(path / WEIGHTS))
    if (path / MASKS).is_file():
        model.masks = MaskSet.load(path / MASKS)
    _check_use(model.eval(), path)
    origin = snapshot_address(path)
    model.origin = None if origin is None else str(origin)
    return model


def local_folder(path: Path | str) -> Path:
    """The folder of a model on this machine. A model of a hub, `name@revision`, is downloaded first.

    Raises:
        ModelError: as `download_model`.
    """
    address = parse_address(path)
    return Path(path) if address is None else download_model(address)


def _check_use(model: ConceptBottleneck, path: Path) -> None:
    """Check that a loaded model can predict: values of a configuration may fit the weights and yet not work."""
    rows = embedding_rows(model.backbone)
    check_vocabulary(model.tokenizer, rows, model.settings.max_length, str(path / "tokenizer"))
    check_filled(model.tokenizer, path / "tokenizer", rows)
    check_max_length(model.backbone, model.settings.max_length, str(path / "config.json"))
    with foreign_faults(f"the model in {path} cannot predict"), inference_mode(model):
        ids, mask = pad(encode(model.tokenizer, ["a"], model.settings.max_length), model.tokenizer.pad_token_id)
        model.represent(ids, mask, dict.fromkeys(model.concept_set.names[:1], torch.tensor([0])))  # one is enough


def compute_checksums(folder: Path) -> dict[str, str]:
    """sha256 of every file in a folder, by its path in it, except the checksum file itself."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / CHECKSUMS)
    return {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}


def verify_checksums(path: Path) -> None:
    """Compare a model folder with its checksums. Beside a model of a hub, its card may lie and what the hub wrote.

    Raises:
        ModelError: names every file that is missing, not listed, or altered.
    """
    if not path.exists():
        hint = "" if path.is_absolute() else f"; a model of a hub is named with its revision: {path}@main"
        raise ModelError(f"{path} does not exist; `make run` writes models/sparse{hint}")
    if os.path.lexists(path / EXPORT):
        raise ModelError(
            f"{path} is an exported model, which only predicts (`sparsecbm predict`); for anything else name the model "
            "that it was exported from"
        )
    if not os.path.lexists(path / CHECKSUMS):
        raise ModelError(f"{path} is not a model folder: it has no {CHECKSUMS}")
    links = cache_links(path)
    check_entries(path, links)
    expected, actual = read_checksums(path / CHECKSUMS), compute_checksums(path)
    if links is not None:
        actual = {name: sha256 for name, sha256 in actual.items() if name in expected or name not in KEPT_FILES}
    faults = [f"{name} is missing" for name in sorted(expected.keys() - actual.keys())]
    faults += [f"{name} is not listed" for name in sorted(actual.keys() - expected.keys())]
    faults += [
        f"{name} was altered" for name in sorted(expected.keys() & actual.keys()) if expected[name] != actual[name]
    ]
    if faults:
        remedy = "Restore the folder (`dvc checkout`) or train again"
        if links is not None:
            remedy = "Delete this folder and the files that it links to, and load again; if the fault stays, the hub's "
            remedy += "copy differs from its manifest, so trust another revision only"
        raise ModelError(f"{path}: {'; '.join(faults)}. {remedy}")


def _save_tokenizer(model: ConceptBottleneck, folder: Path) -> None:
    """Write the tokenizer so that its bytes depend neither on where it came from nor on its last call."""
    forget_padding(model.tokenizer)
    model.tokenizer.save_pretrained(folder)
    config = read_json_object(folder / "tokenizer_config.json")
    for key in ("name_or_path", "is_local", "local_files_only"):
        config.pop(key, None)
    write_json(folder / "tokenizer_config.json", config)
