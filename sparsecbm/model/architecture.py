"""From a plain configuration to the architecture of a backbone, checked before any memory is taken.

A configuration may come from anybody: one number in it can ask for all memory of a machine. So numbers have bounds, and
the architecture is built without memory first (on torch's device `meta`), to compare it with the weights in the file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from sparsecbm.base.errors import ModelError
from sparsecbm.base.foreign_faults import foreign_faults as foreign_faults

TEXT_MODELS = {
    *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    *MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    *MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}
REFUSED = {
    "xlnet": "its blocks lay the tokens before the texts, so rows of texts cannot be routed to concepts",
    "albert": "its blocks are one block that runs many times, so a mask of one would cut all of them",
}
# Keys that change how weights are stored or which code runs, not what the network is.
FOREIGN_KEYS = ("quantization_config", "auto_map", "attn_implementation", "_attn_implementation")
# The most of each number. The largest published models have 126 blocks, 53,248 neurons and 262,208 words.
BOUNDS = {
    "num_hidden_layers": 512,
    "num_attention_heads": 1024,
    "num_key_value_heads": 1024,
    "hidden_size": 2**16,
    "embedding_size": 2**16,
    "intermediate_size": 2**19,
    "vocab_size": 2**22,
    "max_position_embeddings": 2**24,
    "type_vocab_size": 2**16,
}
MOST_OF_ANY = 2**31  # of every other number, such as a base of rotary positions
MOST_MODULES = {"layer": 512, "block": 512, "expert": 1024, "group": 1024}  # of keys that count modules
MOST_BUFFER_BYTES = 2**31


def make_config(plain: Mapping[str, Any], source: str) -> PreTrainedConfig:
    """A backbone's configuration from its plain form.

    Args:
        source: of the plain form, which messages name

    Raises:
        ModelError: it describes no text model that can be a backbone, or a number is out of bounds.
    """
    family = plain.get("model_type")
    if not isinstance(family, str):
        raise ModelError(f"{source}: model_type must name a family of models, such as 'bert', not {family!r}")
    for key in FOREIGN_KEYS:
        if plain.get(key) is not None:
            raise ModelError(f"{source}: {key} cannot be used here; remove the key")
    _check_numbers(plain, source)
    if family in REFUSED:
        raise ModelError(f"{source}: a {family} cannot be a backbone: {REFUSED[family]}; {TAKE}")
    with foreign_faults(f"{source} describes no model that can be built"):
        config: PreTrainedConfig = AutoConfig.for_model(**plain)
    if getattr(config, "is_encoder_decoder", False) or family == "t5":
        raise ModelError(
            f"{source}: a {family} is an encoder and a decoder, which cannot be a backbone: it would need a second "
            f"text to decode; {TAKE}"
        )
    if family not in TEXT_MODELS or config.sub_configs:
        raise ModelError(f"{source}: a {family} is no model of texts alone, so it cannot be a backbone; {TAKE}")
    for key, most in BOUNDS.items():
        _check_bound(getattr(config, key, None), key, most, source)
    return config


TAKE = "take an encoder or a decoder alone (docs/backbones.md lists families that work)"


def without_memory(build: Any) -> Any:
    """Run a function that builds a module, without memory for its weights and without random numbers."""
    with torch.random.fork_rng([]), torch.device("meta"):
        return build()


def empty_backbone(config: PreTrainedConfig, source: str) -> PreTrainedModel:
    """The backbone of a configuration, without memory for its weights.

    Raises:
        ModelError: the configuration describes no model.
    """
    with foreign_faults(f"{source} describes no model that can be built"):
        backbone: PreTrainedModel = without_memory(lambda: AutoModel.from_config(config, trust_remote_code=False))
    if sum(buffer.numel() * buffer.itemsize for buffer in backbone.buffers()) > MOST_BUFFER_BYTES:
        raise ModelError(f"{source}: its tables of positions would take more than 2 GB; lower the sizes")
    return backbone


@contextmanager
def _open_weights(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist; restore the folder")
    with foreign_faults(f"{path} is not a file of weights"), safe_open(path, framework="pt") as file:
        yield file


def stored_names(path: Path) -> set[str]:
    """The names of the tensors in a file.

    Raises:
        ModelError: the file is missing or damaged.
    """
    with _open_weights(path) as file:
        return set(file.keys())


def check_weights_file(shell: nn.Module, path: Path) -> None:
    """Compare names, shapes and types of the weights in a file with those of a module, before any memory is taken.

    Args:
        shell: the module, without memory

    Raises:
        ModelError: the file is damaged, or its weights are not those of the module.
    """
    expected = shell.state_dict()
    with _open_weights(path) as file:
        names = set(file.keys())
        entries = {name: file.get_slice(name) for name in names}
        shapes = {name: tuple(entry.get_shape()) for name, entry in entries.items()}
        types = {name: entry.get_dtype() for name, entry in entries.items()}
    fault = None
    if missing := sorted(expected.keys() - names):
        fault = f"{missing[0]} is missing"
    elif unknown_names := sorted(names - expected.keys()):
        fault = f"{unknown_names[0]} is no weight of the model"
    else:
        for name, tensor in expected.items():
            if shapes[name] != tuple(tensor.shape):
                fault = f"{name} has the shape {list(shapes[name])}, not {list(tensor.shape)}"
                break
            if tensor.is_floating_point() and types[name] not in ("F32", "F16", "BF16", "F64"):
                fault = f"{name} has numbers of the type {types[name]}"
                break
    if fault is not None:
        raise ModelError(f"{path} does not fit config.json and concepts.json: {fault}; restore the folder")


def _check_numbers(plain: object, source: str, path: str = "") -> None:
    if isinstance(plain, Mapping):
        for key, value in plain.items():
            _check_numbers(value, source, f"{path}.{key}" if path else str(key))
    elif isinstance(plain, list):
        for value in plain:
            _check_numbers(value, source, path)
    elif isinstance(plain, int | float) and not isinstance(plain, bool):
        key = path.rpartition(".")[2]
        counted = key.startswith(("num_", "n_")) or key.endswith(("_layers", "_layer", "_blocks", "_experts"))
        bounds = [most for part, most in MOST_MODULES.items() if counted and part in key]
        _check_bound(plain, path, min(bounds, default=MOST_OF_ANY), source, least=-MOST_OF_ANY)


def _check_bound(value: object, key: str, most: int, source: str, least: int = 0) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int | float) and least <= value <= most:
        return
    shown = str(value) if not isinstance(value, int) or abs(value) < 10**30 else "a number of many digits"
    raise ModelError(f"{source}: {key} is {shown[:60]}, but it can be {least} to {most}; restore the file")
