"""A tiny model with known weights for each concept.

Words are stored in dimensions 0 to 7 of their tokens. Two neurons of the last block copy "bad" and "good" to
dimensions 8 and 9, two more copy "loud" and "quiet" to 10 and 11, and the heads use these copies only. Without neurons
of its own, a concept is always predicted to be in its fallback state.
"""

from pathlib import Path

import torch
from torch import nn

from sparsecbm.api import SparseCBM
from sparsecbm.model.masks import MaskSet
from tests.support.tiny_models import WORDS, tiny_model

FALLBACK = {"food": "unknown", "noise": "loud"}
NEURONS = {"food": [0, 1], "noise": [2, 3]}
INNER, OUTER = "encoder.layer.1.intermediate.dense", "encoder.layer.1.output.dense"


@torch.no_grad()
def planted_model(backbone: Path) -> SparseCBM:
    """Return the dense model, which predicts every text of `tests.support.tiny_tables.annotated` correctly."""
    model = tiny_model(backbone)
    for module in model.backbone.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.zero_()
        if isinstance(module, nn.Linear):
            module.bias.zero_()
    tokenizer, words = model.tokenizer, model.backbone.embeddings.word_embeddings.weight
    copied = ["bad", "good", "loud", "quiet"]
    for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]):
        dimension = copied.index(word) if word in copied else 4 + number % 4
        words[tokenizer.convert_tokens_to_ids(word), dimension] = 1.0
    layers = dict(model.backbone.named_modules())
    for neuron in range(len(copied)):
        layers[INNER].weight[neuron, neuron] = 1.0
        layers[INNER].bias[neuron] = -2.0  # active for its word only
        layers[OUTER].weight[8 + neuron, neuron] = 2.0
    dimensions = {"food": [8, 9, 15], "noise": [10, 11]}  # dimension 15 stays empty
    for name, head in zip(model.concept_set.names, model.concept_heads.heads, strict=True):
        head.weight.zero_()
        head.bias.zero_()
        for state, dimension in enumerate(dimensions[name]):
            head.weight[state, dimension] = 1.0
        head.bias[model.concept_set[name].index(FALLBACK[name])] = 0.01
    return model


def planted_masks() -> MaskSet:
    """Return masks that keep a concept's two neurons and those of no concept: 960 of 1,024 weights, 896 shared."""
    masks = {}
    for name in NEURONS:
        inner = torch.ones(32, 16, dtype=torch.bool)
        inner[[neuron for other in NEURONS if other != name for neuron in NEURONS[other]]] = False
        masks[name] = {INNER: inner, OUTER: inner.T.clone()}
    return MaskSet.from_masks(masks)


def identical_masks() -> MaskSet:
    """Return masks with which both concepts keep all weights."""
    masks = planted_masks()
    return MaskSet.dense(masks.concepts, masks.shapes)
