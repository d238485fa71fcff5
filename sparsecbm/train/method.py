"""What a training does in an update, apart from the loop's own business of order, schedule and checkpoints."""

from typing import Protocol

import torch
from torch import Tensor
from torch.optim import AdamW

from sparsecbm.base.params import Finetune
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.train.examples import Batch
from sparsecbm.train.loss import ClassWeights, Losses, mode_losses


class TrainingMethod(Protocol):
    """A way to train. Every call is a function of the model, the step and what `state` holds, so that a
    training that was killed goes on to the same bytes."""

    name: str  # shown beside the progress bar

    def optimizer(self, model: ConceptBottleneck) -> AdamW:
        """The optimizer, over all that is trained; what is not has `requires_grad` off."""

    def before(self, model: ConceptBottleneck, step: int) -> dict[str, float]:
        """Called before the update of this number (from 0); returns figures for the curves, mostly none."""

    def losses(self, model: ConceptBottleneck, batch: Batch, step: int) -> Losses:
        """Loss of one batch."""

    def after_backward(self, model: ConceptBottleneck) -> None:
        """Called when a batch's gradients are there."""

    def keeps(self, updates: int) -> bool:
        """Whether the model after this many updates may be the one that is kept."""

    def state(self, model: ConceptBottleneck) -> dict[str, Tensor]:
        """What a checkpoint must hold besides weights and optimizer."""

    def restore(self, model: ConceptBottleneck, state: dict[str, Tensor]) -> None:
        """Inverse of `state`."""


class DenseTraining:
    """All weights at once, by the loss of the model's mode."""

    name = "finetune"

    def __init__(self, params: Finetune, weights: ClassWeights):
        self.params = params
        self.weights = weights

    def optimizer(self, model: ConceptBottleneck) -> AdamW:
        """AdamW over all weights, word embeddings if they are not frozen."""
        model.requires_grad_(True)
        model.backbone.get_input_embeddings().weight.requires_grad_(not self.params.freeze_embeddings)
        return make_adamw(model, self.params)

    def before(self, model: ConceptBottleneck, step: int) -> dict[str, float]:
        """Nothing."""
        return {}

    def losses(self, model: ConceptBottleneck, batch: Batch, step: int) -> Losses:
        """Loss of the model's mode on all texts and concepts."""
        output = model(batch.ids, batch.mask)
        params = self.params
        return mode_losses(output, batch, model.settings.mode, params.gamma, self.weights, params.label_smoothing)

    def after_backward(self, model: ConceptBottleneck) -> None:
        """Nothing."""

    def keeps(self, updates: int) -> bool:
        """Always."""
        return True

    def state(self, model: ConceptBottleneck) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, model: ConceptBottleneck, state: dict[str, Tensor]) -> None:
        """Nothing."""


def make_adamw(model: ConceptBottleneck, params: Finetune, *more: dict) -> AdamW:
    """AdamW with a rate each for backbone, concept heads and label head; biases and norms do not decay.

    The label head's inputs are probabilities, so its weights have far to go and need the largest rate.

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
            # A weight under masks does not decay: outside every mask it must stay as it is.
            decays = parameter.ndim > 1 and not (model.masked and name.startswith("backbone."))
            groups.setdefault((rate, params.weight_decay if decays else 0.0), []).append(parameter)
    listed = [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]
    listed += [{"weight_decay": 0.0, **group} for group in more]
    # A schedule that starts in the middle needs `initial_lr`.
    return AdamW([{**group, "initial_lr": group["lr"]} for group in listed], fused=True)
