"""How many tokens of a text a backbone has positions for."""

from torch import nn
from transformers import PreTrainedModel

from sparsecbm.base.errors import ConfigError


def most_tokens(backbone: PreTrainedModel) -> int | None:
    """The most tokens that a text can have; None if the backbone sets no limit.

    A table of learnt positions ends. Other positions could be continued, but the backbone was never trained on them.
    DeBERTa looks at clipped distances alone if it has no table.
    """
    config = backbone.config
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0 or getattr(config, "position_biased_input", True) is False:
        return None
    for name, module in backbone.named_modules():
        # RoBERTa and its relatives count positions from the number of the pad token on.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.num_embeddings - module.padding_idx - 1
    return positions


def check_max_length(backbone: PreTrainedModel, max_length: int, source: str = "") -> None:
    """Check that a backbone has a position for every token of the longest text.

    Args:
        source: of the setting, if it is not `params.yaml`

    Raises:
        ConfigError: names the key and the most that it can be.
    """
    most = most_tokens(backbone)
    if most is not None and max_length > most:
        key = f"{source}: max_length" if source else "model.max_length"
        raise ConfigError(
            f"{key}: {max_length} is above the positions of the backbone, a {backbone.config.model_type}; set it to "
            f"{most} at most"
        )
