"""What a training does in an update. The loop adds order, learning rate schedule, validation and checkpoints."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from sparsecbm.base.params import Finetune
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.train.adapters import freeze_under_adapters
from sparsecbm.train.examples import Batch
from sparsecbm.train.loss import ClassWeights, ConceptLoss, Losses, mode_losses
from sparsecbm.train.mixup import draw_mixture, mixed_forward


class TrainingMethod(ABC):
    """A way to train.

    Every call depends on the model, the step and the content of `state` only. So a training that was killed resumes
    and ends with the same bytes.
    """

    name: str  # shown next to the progress bar
    learning_rates: str  # the keys of the configuration, for messages
    scored: str = ""  # what the scores after an epoch lack, for the terminal

    @abstractmethod
    def make_optimizer(self, model: ConceptBottleneck) -> AdamW:
        """The optimizer over all trained parameters; `requires_grad` is switched off for all others."""

    @abstractmethod
    def compute_losses(self, model: ConceptBottleneck, batch: Batch, step: int) -> Losses:
        """Losses of one batch."""

    def before_update(self, model: ConceptBottleneck, step: int) -> dict[str, float]:
        """Prepare the update of this number (from 0). Returns figures for the curves, mostly none."""
        return {}

    def after_backward(self, model: ConceptBottleneck) -> None:  # noqa: B027 (a method may need nothing here)
        """Complete the gradients of one batch."""

    def may_keep(self, updates: int) -> bool:
        """Whether the model after this many updates is a candidate for the best one."""
        return True

    def state(self, model: ConceptBottleneck) -> dict[str, Tensor]:
        """What a checkpoint holds besides weights and optimizer."""
        return {}

    def restore(self, model: ConceptBottleneck, state: dict[str, Tensor]) -> None:  # noqa: B027 (see above)
        """Inverse of `state`."""


class DenseTraining(TrainingMethod):
    """Train all weights together, by the loss of the model's mode."""

    name = "finetune"
    learning_rates = "finetune.learning_rate, finetune.head_learning_rate or finetune.label_head_learning_rate"

    def __init__(self, params: Finetune, weights: ClassWeights):
        self.params = params
        self.weights = weights

    def make_optimizer(self, model: ConceptBottleneck) -> AdamW:
        """AdamW over all weights, or over heads and adapters; over the word embeddings only if they are not frozen."""
        train_all(model, self.params)
        return make_adamw(model, self.params)

    def compute_losses(self, model: ConceptBottleneck, batch: Batch, step: int) -> Losses:
        """Losses of the model's mode, over all texts and concepts."""
        params, alpha = self.params, self.params.noise.mixup
        if alpha and model.has_bottleneck:
            output, batch = mixed_forward(model, batch, draw_mixture(len(batch.ids), alpha))
        else:
            output = model(batch.ids, batch.mask)
        return mode_losses(output, batch, model.settings.mode, params.gamma, self.weights, ConceptLoss.of(params))


def train_all(model: ConceptBottleneck, params: Finetune) -> None:
    """Train all weights of a dense model, or its heads and adapters if it has adapters."""
    model.requires_grad_(True)
    train_embeddings(model, not params.freeze_embeddings)
    freeze_under_adapters(model.backbone)


def train_embeddings(model: ConceptBottleneck, trained: bool) -> None:
    """Train the word embeddings, or freeze them."""
    model.backbone.get_input_embeddings().weight.requires_grad_(trained)


def make_adamw(model: ConceptBottleneck, params: Finetune, *more: dict[str, Any]) -> AdamW:
    """AdamW with separate learning rates for backbone, concept heads and label head. Biases and norms do not decay.

    The label head gets the largest rate: its inputs are probabilities, so its weights must grow large.

    Args:
        more: further parameter groups, each with `params` and `lr`
    """
    rates = {
        "backbone.": params.learning_rate,
        "label_head.": params.label_head_learning_rate,
        "": params.head_learning_rate,
    }
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = next(rate for prefix, rate in rates.items() if name.startswith(prefix))
            # A weight under masks does not decay, since a weight outside every mask must keep its value.
            decays = parameter.ndim > 1 and not (model.masked and name.startswith("backbone."))
            groups.setdefault((rate, params.weight_decay if decays else 0.0), []).append(parameter)
    listed = [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]
    listed += [{"weight_decay": 0.0, **group} for group in more]
    # A learning rate schedule that resumes in the middle needs `initial_lr`.
    return AdamW([{**group, "initial_lr": group["lr"]} for group in listed], fused=True)
