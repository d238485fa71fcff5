"""First-order effects of masked weights, kept as the factors that they are made of.

The gradient of a value v_r of text r with respect to a layer's masked weight is a sum over the text's tokens t,

    dv_r / d(w m)_oi = sum_t slope[r, t, o] * input[r, t, i],

so a text takes (in + out) numbers a token and layer instead of in * out, texts of one batch are told apart, and the
effects of some bits can be had without those of all others. They exist where a bit is 0, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import evaluation_mode
from sparsecbm.model.masked import MaskedLinear


@dataclass(frozen=True, eq=False)
class Factors:
    """The gradients of one value a text with respect to one layer's masked weight.

    Attributes:
        inputs: [texts, tokens, in]
        slopes: of the value with respect to the layer's outputs, [texts, tokens, out]
        input_first: whether the weight is [in, out] (`Conv1D`) and not [out, in] (`nn.Linear`)
    """

    inputs: Tensor
    slopes: Tensor
    input_first: bool

    def gradient(self, weights: Tensor) -> Tensor:
        """The weighted sum of the texts' gradients, in the weight's shape; weights: [texts]."""
        slopes = (self.slopes.float() * weights[:, None, None]).flatten(0, 1)
        inputs = self.inputs.float().flatten(0, 1)
        return inputs.T @ slopes if self.input_first else slopes.T @ inputs

    def at(self, positions: Tensor) -> Tensor:
        """The gradient of each text at some places of the flattened weight, [texts, places]."""
        width = (self.slopes if self.input_first else self.inputs).shape[-1]
        outs, ins = _ends(positions, width, self.input_first)
        return (self.slopes[..., outs].float() * self.inputs[..., ins].float()).sum(1)

    def stored(self) -> "Stored":
        """The same, kept for looking up many places many times."""
        inputs, slopes = (t.to(torch.bfloat16).permute(2, 0, 1).contiguous() for t in (self.inputs, self.slopes))
        return Stored(inputs, slopes, self.input_first)


@dataclass(frozen=True, eq=False)
class Stored:
    """Factors in bfloat16, the numbers of all texts and tokens side by side: places are looked up ten times as fast.

    Attributes:
        inputs: [in, texts, tokens]
        slopes: [out, texts, tokens]
        input_first: as in `Factors`
    """

    inputs: Tensor
    slopes: Tensor
    input_first: bool

    def at(self, positions: Tensor) -> Tensor:
        """As `Factors.at`."""
        width = len(self.slopes if self.input_first else self.inputs)
        outs, ins = _ends(positions, width, self.input_first)
        return (self.slopes[outs] * self.inputs[ins]).sum(-1, dtype=torch.float32).T

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return 2 * (self.inputs.numel() + self.slopes.numel())


def _ends(positions: Tensor, width: int, input_first: bool) -> tuple[Tensor, Tensor]:
    """Outputs and inputs that the weights at some places of a flattened weight join."""
    rows, columns = positions // width, positions % width
    return (columns, rows) if input_first else (rows, columns)


def log_odds(logits: Tensor, states: Tensor) -> Tensor:
    """log p / (1 - p) of a state of each text, [texts], from logits [texts, states] and indices [texts].

    The gradient of CE(logits, state) is that of the log-odds times -(1 - p), so both rank bits alike, and the log-odds
    of a text that is read with confidence have a gradient as well.
    """
    of_state = logits.gather(1, states[:, None]).squeeze(1)
    others = logits.scatter(1, states[:, None], float("-inf")).logsumexp(1)
    return of_state - others


def read_factors(
    model: ConceptBottleneck, concept: str, texts: list[str], states: Tensor
) -> tuple[Tensor, dict[str, Factors]]:
    """Read one concept of a few texts, and how the log-odds of the given states depend on its masked weights.

    Args:
        model: a masked model; it reads in eval mode
        states: index of a state for each text, [texts]

    Returns:
        logits, [texts, states]; and the factors by masked layer
    """
    ids, mask = pad(encode(model.tokenizer, texts, model.settings.max_length), model.tokenizer.pad_token_id)
    rows = {concept: torch.arange(len(texts), device=model.device)}
    with _kept(model) as kept, torch.enable_grad():
        pooled = model.represent(ids.to(model.device), mask.to(model.device), rows)
        logits = model.concept_heads(pooled)[concept]
        value = log_odds(logits, states.to(model.device)).sum()
        layers = list(kept)
        slopes = iter(torch.autograd.grad(value, [out for layer in layers for _, out in kept[layer]]))
    factors = {}
    for layer in layers:
        calls = [(inputs, next(slopes)) for inputs, _ in kept[layer]]
        inputs, outputs = (
            torch.cat([part.reshape(len(texts), -1, part.shape[-1]) for part in parts], dim=1)
            for parts in zip(*calls, strict=True)
        )
        factors[layer] = Factors(inputs, outputs, model.backbone.get_submodule(layer).input_first)
    return logits.detach(), factors


@contextmanager
def _kept(model: ConceptBottleneck) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """What goes into each masked layer and what comes out while the block runs, by layer, one pair a call."""
    kept: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def keep(layer: MaskedLinear, arguments: tuple[Tensor], output: Tensor) -> Tensor:
        if not output.requires_grad:  # the weights are frozen, and nothing below asks for a gradient
            output = output.detach().requires_grad_()
        kept.setdefault(layer.name, []).append((arguments[0].detach(), output))
        return output

    masked = [module for module in model.backbone.modules() if isinstance(module, MaskedLinear)]
    handles = [module.register_forward_hook(keep) for module in masked]
    try:
        with evaluation_mode(model):
            yield kept
    finally:
        for handle in handles:
            handle.remove()
