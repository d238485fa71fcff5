"""Concept heads fitted to their finished subnetworks.

While masks change, heads lag behind them: at the end a subnetwork passes more information than its head uses. Heads are
linear, so their best weights on the pooled training texts can be computed. The loss is that of dense training, of the
label and the concepts together. The targets may be mixed with the dense model's predictions: their uncertainty tells
the label more than plain states do, and their mistakes cost the concepts some accuracy.

The penalty is strong. Weakly regularised heads use any detail that their mask passes, under random masks as well. Then
the heads, and not the choice of weights, make subnetworks differ.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import activate
from sparsecbm.train.examples import Examples
from sparsecbm.train.loss import cross_entropy

INVERSE_STRENGTH = 0.01  # of the L2 penalty on standardised inputs, as for the probes
LABEL_INVERSE_STRENGTH = 10.0  # for the label head, whose few inputs need little regularisation
ITERATIONS = 400  # after 100 the fit still changes label accuracy by half a point


def refit_concept_heads(
    model: ConceptBottleneck, data: Examples, pooled: Mapping[str, Tensor], gamma: float | None
) -> None:
    """Replace concept heads by those that minimise the loss of the model's mode plus an L2 penalty.

    In mode `joint` the loss is CE(u, y) + gamma * mean_k CE(logits_k, c*_k). Its label head is temporary: the model's
    own is fitted last, as after every training. In other modes each concept is fitted by itself.

    Args:
        data: has the targets, `concept_targets` and `label_target`
        pooled: concept -> [texts, hidden], from `pooled_under_masks`; heads of other concepts stay
        gamma: weight of the mean concept's loss against the label's, in mode `joint`; None fits each concept by itself
            in any mode
    """
    means = {name: texts.double().mean(0) for name, texts in pooled.items()}
    scales = {name: texts.double().std(0).clamp(min=1e-6) for name, texts in pooled.items()}
    inputs = {name: (texts.double() - means[name]) / scales[name] for name, texts in pooled.items()}
    weights = {n: _zeros(data.concept_targets[n].shape[1], texts.shape[1]) for n, texts in inputs.items()}
    biases = {name: _zeros(len(weight)) for name, weight in weights.items()}
    states, classes = sum(map(len, weights.values())), data.label_target.shape[1]
    V, b = _zeros(classes, states), _zeros(classes)
    joint = model.settings.mode == "joint" and gamma is not None
    # A hard activation has no gradient, so the fit uses the soft one.
    kind = "logits" if model.settings.activation == "logits" else "soft"

    def loss() -> Tensor:
        logits = {name: texts @ weights[name].T + biases[name] for name, texts in inputs.items()}
        parts = [
            cross_entropy(logits[n], data.concept_targets[n]) + _penalty(weights[n], INVERSE_STRENGTH, len(data))
            for n in logits
        ]
        total = (1.0 if gamma is None else gamma) * torch.stack(parts).mean()
        if joint:
            label = torch.cat([activate(values, kind) for values in logits.values()], dim=-1) @ V.T + b
            total = total + cross_entropy(label, data.label_target) + _penalty(V, LABEL_INVERSE_STRENGTH, len(data))
        return total

    _minimise(loss, [*weights.values(), *biases.values(), *([V, b] if joint else [])])
    for name, weight in weights.items():
        head, raw = model.concept_heads.head(name), weight.detach() / scales[name]
        with torch.no_grad():
            head.weight.copy_(raw)
            head.bias.copy_(biases[name] - raw @ means[name])


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64, requires_grad=True)


def _penalty(weight: Tensor, inverse_strength: float, texts: int) -> Tensor:
    return weight.square().sum() / (2 * inverse_strength * texts)


def _minimise(loss: Callable[[], Tensor], parameters: Iterable[Tensor]) -> None:
    """Minimise by L-BFGS, in place, from the parameters' current values."""
    optimizer = torch.optim.LBFGS(list(parameters), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
