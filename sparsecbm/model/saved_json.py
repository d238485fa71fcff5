"""The JSON files of a model folder, checked in full: each fault is one message that names the file and the key."""

import math
import re
from pathlib import Path
from typing import Any

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.model.folder_entries import read_settings

CHOICES = {
    "mode": ("standard", "joint", "sequential", "independent"),
    "pooling": ("mean", "cls", "last_token"),
    "activation": ("soft", "logits", "hard"),
}
MOST_TOKENS = 2**24
REMEDY = "restore the folder (`dvc checkout`) or train again"


def read_checksums(path: Path) -> dict[str, str]:
    """File -> sha256 as hex.

    Raises:
        ModelError: an entry is no sha256 of a file.
    """
    content = read_settings(path)
    for name, sha256 in content.items():
        if not isinstance(sha256, str) or re.fullmatch("[0-9a-f]{64}", sha256) is None:
            raise ModelError(f"{path}: the entry of {name!r} must be a sha256 of 64 digits; {REMEDY}")
    return content


def read_config(path: Path, readable: tuple[int, ...]) -> dict[str, Any]:
    """The configuration of a model: `backbone`, a plain configuration, and the settings, without `format`.

    Args:
        readable: formats that can be read

    Raises:
        ModelError: the format is another one, or a key is missing, unknown or has a wrong value.
    """
    content = read_settings(path)
    model_format = content.pop("format", None)
    if model_format not in readable or isinstance(model_format, bool):
        known = " and ".join(map(str, readable))
        raise ModelError(
            f"{path} has model format {model_format!r:.40}; this version reads {known}; train the model again"
        )
    keys = ("backbone", *CHOICES, "max_length", "dropout")
    for key in keys:
        if key not in content:
            raise ModelError(f"{path} has no key {key!r}; {REMEDY}")
    for key in content:
        if key not in keys:
            raise ModelError(f"{path}: {unknown('key', key, keys)}; {REMEDY}")
    if not isinstance(content["backbone"], dict):
        raise ModelError(f"{path}: backbone must be an object; {REMEDY}")
    for key, choices in CHOICES.items():
        if not isinstance(content[key], str) or content[key] not in choices:
            raise ModelError(f"{path}: {unknown(key, content[key], choices)}; {REMEDY}")
    length, dropout = content["max_length"], content["dropout"]
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= MOST_TOKENS:
        raise ModelError(f"{path}: max_length must be a whole number from 1 to {MOST_TOKENS}; {REMEDY}")
    if not _is_number(dropout) or not 0 <= dropout < 1:
        raise ModelError(f"{path}: dropout must be a number from 0, below 1; {REMEDY}")
    return content


def read_concepts(path: Path) -> ConceptSet:
    """The concepts of a model and its label.

    Raises:
        ModelError: a name or a list of states is missing, or they make no concept set.
    """
    content = read_settings(path)
    label, concepts = content.get("label"), content.get("concepts")
    if not isinstance(concepts, list):
        raise ModelError(f"{path}: concepts must be a list; {REMEDY}")
    for position, variable in enumerate([label, *concepts]):
        name = "label" if position == 0 else f"concepts[{position - 1}]"
        if not isinstance(variable, dict) or not isinstance(variable.get("states"), list):
            raise ModelError(f"{path}: {name} must be an object with a name and a list of states; {REMEDY}")
        if not isinstance(variable.get("name"), str):
            raise ModelError(f"{path}: {name} has no name; {REMEDY}")
    try:
        return ConceptSet.from_dict(content)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}; {REMEDY}") from None


def read_means(path: Path, concept_set: ConceptSet) -> dict[str, Any]:
    """The training means of a model, empty if it was never trained.

    Raises:
        ModelError: an entry is not a number for each state of a known concept.
    """
    means = read_settings(path)
    states = {concept.name: concept.states for concept in concept_set}
    for key, value in means.items():
        if not isinstance(value, dict):
            raise ModelError(f"{path}: {key} must be an object; {REMEDY}")
        of_label = key == "label_share"
        known = {concept_set.label.name: concept_set.label.states} if of_label else states
        tables = {concept_set.label.name: value} if of_label and value else value
        for name, table in tables.items():
            if name not in known:
                raise ModelError(f"{path}: {key}: {unknown('concept', name, known)}; {REMEDY}")
            if not isinstance(table, dict) or set(table) != set(known[name]):
                raise ModelError(f"{path}: {key}.{name} must have a number for each of its states; {REMEDY}")
            if not all(_is_number(number) for number in table.values()):
                raise ModelError(f"{path}: {key}.{name} holds something that is no finite number; {REMEDY}")
        missing = [name for name in known if tables and name not in tables]
        if missing:
            raise ModelError(f"{path}: {key} lacks the concept {missing[0]!r}; {REMEDY}")
    return means


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63 and math.isfinite(value)
    )
