"""Tiny backbones of random weights, one for each family, in the format of a hub."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import Settings
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.pooling import pool

WORDS = (
    "the", "food", "was", "good", "bad", "and", "service", "slow", "quick", "but", "a", "place", "loud", "quiet",
    "dull", "pretty", "we", "came", "again",
)  # fmt: skip
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY_SIZE = 40  # rows of the embeddings; words that no text has fill them up
CONCEPTS = ConceptSet((Concept("food"), Concept("noise", ("loud", "quiet"))), Concept("rating", ("1", "2", "3")))

SMALL = {"vocab_size": VOCABULARY_SIZE, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
FAMILIES = {
    "bert": {**SMALL, "intermediate_size": 32},
    "roberta": {**SMALL, "intermediate_size": 32, "max_position_embeddings": 70},
    "distilbert": {"vocab_size": VOCABULARY_SIZE, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "deberta": {**SMALL, "intermediate_size": 32},
    "deberta-v2": {**SMALL, "intermediate_size": 32},
    "gpt2": {"vocab_size": VOCABULARY_SIZE, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "opt": {**SMALL, "ffn_dim": 32, "word_embed_proj_dim": 12},
    "llama": {**SMALL, "intermediate_size": 32, "num_key_value_heads": 1},
}
DECODERS = ("gpt2", "gpt_neox", "opt", "llama", "mistral", "qwen3", "gemma3_text")
# Families whose blocks are not all alike: some attend to a window of tokens only.
MIXED = {
    **SMALL,
    "num_hidden_layers": 4,
    "intermediate_size": 32,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
MIXED_FAMILIES = {
    "modernbert": {
        **MIXED,
        "local_attention": 4,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    },
    "gemma3_text": {**MIXED, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 2},
}
# Every family of docs/backbones.md that works, with four blocks, so that there are blocks with and without masks.
DEEP = {**SMALL, "num_hidden_layers": 4, "intermediate_size": 32, "max_position_embeddings": 64}
DEEP_FAMILIES = {
    "bert": DEEP,
    "roberta": {**DEEP, "pad_token_id": 0},
    "distilbert": {**FAMILIES["distilbert"], "n_layers": 4},
    "deberta-v2": {
        **DEEP,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_buckets": 8,
        "type_vocab_size": 0,
    },
    "electra": {**DEEP, "embedding_size": 8},
    "mobilebert": {**DEEP, "embedding_size": 8, "intra_bottleneck_size": 8, "num_feedforward_networks": 2},
    "modernbert": MIXED_FAMILIES["modernbert"],
    "gpt2": {**FAMILIES["gpt2"], "n_layer": 4},
    "gpt_neox": DEEP,
    "opt": {**FAMILIES["opt"], "num_hidden_layers": 4},
    "llama": {**DEEP, "num_key_value_heads": 1},
    "mistral": {**DEEP, "num_key_value_heads": 1, "sliding_window": 4},
    "qwen3": {**DEEP, "num_key_value_heads": 1, "head_dim": 8},
    "gemma3_text": MIXED_FAMILIES["gemma3_text"],
}
TEXTS = ["the food was good", "slow service", "a loud place but we came again and the food was bad"]


def tiny_tokenizer(decoder: bool = False) -> PreTrainedTokenizerFast:
    """Return a word tokenizer; a decoder's tokenizer has an end token and no pad token."""
    known = [*SPECIAL, *WORDS]
    spare = [f"spare{i}" for i in range(len(known), VOCABULARY_SIZE)]
    vocabulary = {word: i for i, word in enumerate([*known, *spare])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if decoder:
        return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", eos_token="[SEP]")
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def write_backbone(folder: Path, family: str = "bert", seed: int = 0, **sizes: int) -> Path:
    """Save a tiny backbone and its tokenizer to a folder; `sizes` replaces sizes of the family."""
    torch.manual_seed(seed)
    known = {**DEEP_FAMILIES, **FAMILIES, **MIXED_FAMILIES}.get(family, {})
    AutoModel.from_config(AutoConfig.for_model(family, **{**known, **sizes})).save_pretrained(folder)
    tiny_tokenizer(family in DECODERS).save_pretrained(folder)
    return folder


def tiny_model(folder: Path, concept_set: ConceptSet = CONCEPTS, **settings) -> SparseCBM:
    """Return a bottleneck with random weights over a tiny backbone in a folder."""
    torch.manual_seed(1)
    model = SparseCBM.build(str(folder), concept_set, Settings(**{"max_length": 16, **settings})).eval()
    if model.has_bottleneck:  # a new label head is zero and would give every text the same label
        torch.nn.init.normal_(model.label_head.linear.weight)
    return model


def random_masks(model: SparseCBM, density: float = 0.5, masked_from: int = 0, seed: int = 0) -> MaskSet:
    """Return masks that keep each weight with the given probability, drawn for each concept."""
    draw = torch.Generator().manual_seed(seed)
    layers = prunable_layers(model.backbone, masked_from=masked_from)
    return MaskSet.from_masks(
        {
            name: {layer: torch.rand(m.weight.shape, generator=draw) < density for layer, m in layers.items()}
            for name in model.concept_set.names
        }
    )


def batch_of(model: SparseCBM, texts: Sequence[str] = TEXTS) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask of texts, [texts, tokens] each."""
    return pad(encode(model.tokenizer, texts, model.settings.max_length), model.tokenizer.pad_token_id)


def run_copies(dense: SparseCBM, masks: MaskSet, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return concept logits of an oracle: a dense copy for each concept, with weights multiplied by the mask."""
    logits = {}
    for concept in masks.concepts:
        copied = copy.deepcopy(dense).eval()
        layers = dict(copied.backbone.named_modules())
        for layer, kept in masks[concept].items():
            layers[layer].weight.data *= kept
        states = copied.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = pool(states, mask, copied.settings.pooling)
        logits[concept] = copied.concept_heads({concept: pooled})[concept]
    return logits


def with_large_weights(model: SparseCBM, masked_from: int = 0) -> SparseCBM:
    """Give a tiny model large weights and half of the bits, so that its texts differ; return it."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "label_head" not in name:
                weight.copy_(0.4 * torch.randn(weight.shape, generator=draw))
    model.masks = random_masks(model, masked_from=masked_from)
    return model
