"""Tiny models of the families whose heads and neurons can be cut out, and masks of whole ones."""

import torch

from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from tests.support.tiny_models import tiny_model, write_backbone

SIZES = {  # four attention units each; a unit of Llama has two query heads
    "bert": {"num_attention_heads": 4},
    "roberta": {"num_attention_heads": 4},
    "distilbert": {"n_heads": 4},
    "gpt2": {"n_head": 4},
    "opt": {"num_attention_heads": 4},
    "llama": {"num_attention_heads": 8, "num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True},
}


def family_model(tmp_path, family):
    """Return a tiny model with random biases and norms; fresh ones are zero and one, which would hide a wrong cut."""
    model = tiny_model(write_backbone(tmp_path / family, family, num_hidden_layers=3, **SIZES[family]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def structured(model, masked_from=0, patterns=("*",), seed=0):
    """Return masks that keep 1 to 3 of 4 heads and some neurons of each block, different for each concept."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {
        layer: tuple(m.weight.shape) for layer, m in prunable_layers(model.backbone, patterns, masked_from).items()
    }
    masks = {}
    for name in model.concept_set.names:
        masks[name] = {}
        for group in find_units(model.backbone):
            if group.layers[0] in shapes:
                ranks = torch.rand(group.count, generator=draw).argsort()
                share = torch.rand(1, generator=draw).item()
                kept = ranks < 1 + int(share * (group.count - 1))
                masks[name].update(group.masks(kept, shapes))
    return MaskSet.from_masks(masks)
