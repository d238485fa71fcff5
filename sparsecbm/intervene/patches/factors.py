"""First-order effects of masked weights, kept as the factors that they are products of.

The gradient of a value v_r of text r with respect to a layer's masked weight is a sum over the text's tokens t,

    dv_r / d(w m)_oi = sum_t slope[r, t, o] * input[r, t, i].

So a text takes (in + out) numbers for each token and layer instead of in * out. The texts of one batch stay separate,
and the effects of a few bits are computed without those of all others. Bits that are 0 have effects, too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import evaluation_mode
from sparsecbm.model.masked import MaskedLinear, call_recorder


@dataclass(frozen=True, eq=False)
class Factors:
    """The gradients of one value for each text with respect to one layer's masked weight.

    Attributes:
        inputs: [texts, tokens, in]
        slopes: gradients of the value with respect to the layer's outputs, [texts, tokens, out]
        input_first: whether the weight is [in, out] (`Conv1D`) and not [out, in] (`nn.Linear`)
    """

    inputs: Tensor
    slopes: Tensor
    input_first: bool

    def gradient(self, weights: Tensor) -> Tensor:
        """Return the weighted sum of the texts' gradients, in the weight's shape; weights: [texts]."""
        slopes = (self.slopes.float() * weights[:, None, None]).flatten(0, 1)
        inputs = self.inputs.float().flatten(0, 1)
        return inputs.T @ slopes if self.input_first else slopes.T @ inputs

    def at(self, positions: Tensor) -> Tensor:
        """Return the gradient of each text at some positions of the flattened weight, [texts, positions]."""
        width = (self.slopes if self.input_first else self.inputs).shape[-1]
        output_indices, input_indices = _weight_ends(positions, width, self.input_first)
        return (self.slopes[..., output_indices].float() * self.inputs[..., input_indices].float()).sum(1)

    def compact(self) -> "CompactFactors":
        """Return the same factors in a form for looking up many positions many times."""
        inputs, slopes = (t.to(torch.bfloat16).permute(2, 0, 1).contiguous() for t in (self.inputs, self.slopes))
        return CompactFactors(inputs, slopes, self.input_first)


@dataclass(frozen=True, eq=False)
class CompactFactors:
    """Factors in bfloat16, with the numbers of all texts and tokens side by side: look-ups are ten times as fast.

    Attributes:
        inputs: [in, texts, tokens]
        slopes: [out, texts, tokens]
        input_first: as in `Factors`
    """

    inputs: Tensor
    slopes: Tensor
    input_first: bool

    def at(self, positions: Tensor) -> Tensor:
        """Return the same as `Factors.at`."""
        width = len(self.slopes if self.input_first else self.inputs)
        output_indices, input_indices = _weight_ends(positions, width, self.input_first)
        return (self.slopes[output_indices] * self.inputs[input_indices]).sum(-1, dtype=torch.float32).T

    @property
    def bytes(self) -> int:
        """Memory in bytes."""
        return 2 * (self.inputs.numel() + self.slopes.numel())


def _weight_ends(positions: Tensor, width: int, input_first: bool) -> tuple[Tensor, Tensor]:
    """Return the outputs and the inputs that the weights at some positions of a flattened weight connect."""
    rows, columns = positions // width, positions % width
    return (columns, rows) if input_first else (rows, columns)


def log_odds(logits: Tensor, states: Tensor) -> Tensor:
    """Return log p / (1 - p) of one state of each text, [texts], from logits [texts, states] and indices [texts].

    The gradient of CE(logits, state) is that of the log-odds times -(1 - p), so both rank bits alike. The gradient of
    the log-odds does not vanish for a text that is predicted with confidence.
    """
    state_logits = logits.gather(1, states[:, None]).squeeze(1)
    other_logits = logits.scatter(1, states[:, None], float("-inf")).logsumexp(1)
    return state_logits - other_logits


def compute_factors(
    model: ConceptBottleneck, concept: str, texts: list[str], states: Tensor
) -> tuple[Tensor, dict[str, Factors]]:
    """Predict one concept of a few texts, and compute how the log-odds of given states depend on its masked weights.

    Args:
        model: a masked model; it runs in eval mode
        states: index of a state for each text, [texts]

    Returns:
        logits, [texts, states]; and the factors by masked layer
    """
    ids, mask = pad(encode(model.tokenizer, texts, model.settings.max_length), model.tokenizer.pad_token_id)
    rows = {concept: torch.arange(len(texts), device=model.device)}
    with _recorded_calls(model) as calls_by_layer, torch.enable_grad():
        pooled = model.represent(ids.to(model.device), mask.to(model.device), rows)
        logits = model.concept_heads(pooled)[concept]
        value = log_odds(logits, states.to(model.device)).sum()
        layers = list(calls_by_layer)
        outputs = [output for layer in layers for _, output in calls_by_layer[layer]]
        slopes = iter(torch.autograd.grad(value, outputs))
    factors = {}
    for layer in layers:
        calls = [(inputs, next(slopes)) for inputs, _ in calls_by_layer[layer]]
        layer_inputs, layer_slopes = (_tokens_of_calls(parts, len(texts)) for parts in zip(*calls, strict=True))
        factors[layer] = Factors(layer_inputs, layer_slopes, model.backbone.get_submodule(layer).input_first)
    return logits.detach(), factors


def _tokens_of_calls(parts: Sequence[Tensor], texts: int) -> Tensor:
    """Return what a layer received or gave in several calls, [texts, tokens of all calls, width]."""
    by_text = [part.reshape(texts, -1, part.shape[-1]) for part in parts]
    return by_text[0] if len(by_text) == 1 else torch.cat(by_text, dim=1)


@contextmanager
def _recorded_calls(model: ConceptBottleneck) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Record the input and output of every call of a masked layer while the block runs, by layer."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def record(layer: MaskedLinear, inputs: Tensor, output: Tensor) -> Tensor:
        if not output.requires_grad:  # the weights are frozen, and no layer below needs a gradient
            output = output.detach().requires_grad_()
        calls.setdefault(layer.name, []).append((inputs.detach(), output))
        return output

    with evaluation_mode(model), call_recorder(record):
        yield calls
