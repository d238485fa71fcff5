"""Norms of the inputs of each pruned layer through a concept's subnetwork: one forward pass, and no gradients."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked import MaskedLinear, call_recorder, masked_layers
from sparsecbm.train.examples import Batch
from sparsecbm.train.processes import add_up, share


def stream_activation_norms(
    model: ConceptBottleneck, concept: str, batches: Sequence[Batch]
) -> Iterator[tuple[str, Tensor]]:
    """The norm of the input that each weight is multiplied with, over all tokens but padding (X_j in arXiv 2306.11695).

    Args:
        model: a masked model; it runs in eval mode, without dropout
        batches: the texts

    Yields:
        layer name and norms, [1, weights of the layer]: one number for each input, repeated for each output
    """
    layers = masked_layers(model.backbone)
    squares = {name: torch.zeros(_inputs(layer), device=layer.weight.device) for name, layer in layers.items()}
    padding = torch.empty(0)

    def record(layer: MaskedLinear, inputs: Tensor, outputs: Tensor) -> Tensor:
        tokens = inputs.detach().float().flatten(0, -2)
        if len(tokens) == padding.numel():  # DeBERTa also maps relative positions, which have no padding
            tokens = tokens * padding.reshape(-1, 1)
        squares[layer.name] += tokens.square().sum(0)
        return outputs

    with inference_mode(model), call_recorder(record):
        for batch in share(batches):
            padding = batch.mask
            model.represent(batch.ids, batch.mask, {concept: torch.arange(len(batch.ids), device=batch.ids.device)})
    add_up(squares.values())
    for name, layer in layers.items():
        norms = squares.pop(name).sqrt().cpu()
        spread = norms[:, None] if layer.input_first else norms[None]
        yield name, spread.expand(layer.weight.shape).reshape(1, -1)


def _inputs(layer: MaskedLinear) -> int:
    return layer.weight.shape[0 if layer.input_first else 1]
