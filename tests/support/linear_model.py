"""A model that is linear in the embeddings of its words, so that attributions can be computed by hand."""

from types import SimpleNamespace

import torch
from torch import nn

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.model.cbm import Settings
from tests.support.tiny_models import tiny_tokenizer

EMBEDDINGS = {"[PAD]": (1, 0), "[CLS]": (0, 4), "[SEP]": (0, -4), "good": (5, 0), "bad": (-3, 2), "food": (1, 1)}
CONCEPTS = ConceptSet((Concept("food", ("Negative", "Positive")),), Concept("rating", ("1", "2", "3")))


class LinearBackbone(nn.Module):
    """Returns the embeddings of the words."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(model_type="linear", hidden_size=2)
        self.embedding = nn.Embedding(30, 2)
        self.layers = nn.ModuleList([nn.Identity()])

    def get_input_embeddings(self):
        return self.embedding

    def forward(self, input_ids=None, inputs_embeds=None, attention_mask=None):
        states = self.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        return SimpleNamespace(last_hidden_state=self.layers[0](states))


@torch.no_grad()
def linear_model(activation: str = "soft", sharpness: float = 1.0) -> SparseCBM:
    """logits = sharpness * (0, x_0 + 2 x_1) of the mean embedding x, and V = ((0, 3), (0, 0), (0, -9))."""
    backbone, tokenizer = LinearBackbone(), tiny_tokenizer()
    backbone.embedding.weight.zero_()
    for word, values in EMBEDDINGS.items():
        backbone.embedding.weight[tokenizer.convert_tokens_to_ids(word)] = torch.tensor(values, dtype=torch.float32)
    model = SparseCBM(backbone, tokenizer, CONCEPTS, Settings(max_length=16, activation=activation)).eval()
    model.concept_heads.heads[0].weight.copy_(sharpness * torch.tensor([[0.0, 0], [1, 2]]))
    model.concept_heads.heads[0].bias.zero_()
    model.label_head.linear.weight.copy_(torch.tensor([[0.0, 3], [0, 0], [0, -9]]))
    return model
