"""Makes the inputs of each map of a graph alike in size before int8 rounds them; its few largest ones stay float32.

One scale rounds all inputs of a map. In a transformer, a few inputs are many times larger than the others on every
text, which leaves a fraction of the 256 steps to the others (Dettmers et al. 2022, "LLM.int8()"). The others are
divided by the square root of their size, and their weights multiplied by it (Xiao et al. 2023, "SmoothQuant", eq. 4,
without the sizes of weights). In float32, the map gives the same as before.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from sparsecbm.export.engines import Inputs
from sparsecbm.export.graph import PredictionGraph

MOST_EXACT, EXACT_SHARE = 16, 1 / 8  # of the inputs of a map; chosen on texts that are not in the documented figures


class EvenLinear(nn.Module):
    """A linear map in two parts: the largest inputs, and the others, evened out.

    Args:
        linear: the map; it stays as it is
        sizes: largest absolute value of each input over texts, [inputs]
    """

    factors: Tensor
    largest: Tensor

    def __init__(self, linear: nn.Linear, sizes: Tensor):
        super().__init__()
        largest = sizes.topk(min(MOST_EXACT, math.ceil(EXACT_SHARE * len(sizes)))).indices.sort().values
        middle = sizes.median().clamp(min=1e-6)
        divisors = (sizes / middle).clamp(min=0.1).sqrt()
        factors, weight = 1 / divisors, linear.weight.detach() * divisors
        factors[largest], weight[:, largest] = 0, 0
        self.register_buffer("factors", factors)
        self.register_buffer("largest", largest)
        self.others = _linear(weight, linear.bias)  # here, engines add the bias within the product
        self.exact = _linear(linear.weight.detach()[:, largest], None)

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        outputs: Tensor = self.others(inputs * self.factors) + self.exact(inputs.index_select(-1, self.largest))
        return outputs


@torch.no_grad()
def even_inputs(graph: PredictionGraph, batches: Iterable[Inputs]) -> None:
    """Replace each linear map of the backbone.

    Args:
        batches: texts by which the sizes of inputs are measured
    """
    backbone = graph.model.backbone
    maps = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    sizes: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
            largest = inputs[0].abs().flatten(0, -2).amax(0)
            sizes[name] = torch.maximum(sizes.get(name, largest), largest)

        return hook

    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in maps.items()]
    for ids, mask in batches:
        graph(torch.from_numpy(ids), torch.from_numpy(mask))
    for hook in hooks:
        hook.remove()
    for name, largest in sizes.items():
        parent, _, own = name.rpartition(".")
        setattr(backbone.get_submodule(parent), own, EvenLinear(maps[name], largest))


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach())
    return linear
