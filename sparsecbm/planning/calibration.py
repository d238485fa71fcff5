"""How long an update takes on this machine: a few updates of each kind, on the real weights, for about ten seconds."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecbm.base.params import Params
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked import prunable_layers, weight_leaves
from sparsecbm.model.masks import MaskSet
from sparsecbm.train.adapters import add_adapters, remove_adapters
from sparsecbm.train.gradient_checkpointing import gradient_checkpointing
from sparsecbm.train.loop import make_accelerator
from sparsecbm.train.method import make_adamw, train_all

SECONDS = 3.0  # for each kind


@dataclass(frozen=True)
class Calibration:
    """Seconds on this machine.

    Attributes:
        dense_update: of the dense model, for a batch
        masked_update: of the masks, for a batch
        masked_pass: of a batch through the masks of all concepts, without gradients
    """

    dense_update: float
    masked_update: float
    masked_pass: float


def calibrate(model: ConceptBottleneck, params: Params, tokens: int) -> Calibration:
    """Measure updates of batches of texts of a mean length. The model is used up: its weights get masks.

    Args:
        tokens: of each text
    """
    accelerator = make_accelerator(params.finetune)
    model.to(accelerator.device)
    size = params.finetune.batch_size
    ids = torch.randint(len(model.tokenizer), (size, tokens), device=accelerator.device)
    mask = torch.ones_like(ids)
    if params.finetune.adapter == "lora":
        add_adapters(model.backbone, params.finetune.lora)
    train_all(model.train(), params.finetune)
    optimizer = make_adamw(model, params.finetune)

    def loss_of(pooled: dict[str, Tensor]) -> Tensor:
        return torch.stack([logits.square().sum() for logits in model.concept_heads(pooled).values()]).sum()

    def dense_update() -> None:
        with accelerator.autocast():
            loss = loss_of(model.represent(ids, mask)) if model.has_bottleneck else model(ids, mask).label_logits.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    with gradient_checkpointing(model.backbone, params.finetune.gradient_checkpointing):
        dense = _median_seconds(dense_update)
    remove_adapters(model.backbone)
    if not model.has_bottleneck:
        return Calibration(dense, 0.0, 0.0)
    layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from)
    names = model.concept_set.names
    model.masks = MaskSet.dense(names, {layer: tuple(module.weight.shape) for layer, module in layers.items()})
    model.backbone.requires_grad_(params.prune.weights == "trained")
    routed = names if params.prune.concepts == "all" else names[:1]
    rows = dict.fromkeys(routed, torch.arange(size, device=ids.device))

    def masked_update() -> None:
        with weight_leaves(), accelerator.autocast():
            loss = loss_of(model.represent(ids, mask, rows))
        loss.backward()

    with gradient_checkpointing(model.backbone, params.finetune.gradient_checkpointing):
        masked = _median_seconds(masked_update)
    with inference_mode(model):
        return Calibration(dense, masked, _median_seconds(lambda: model.represent(ids, mask)))


def _median_seconds(run: Callable[[], object]) -> float:
    """The median time of a run; the first one, which warms up, does not count."""
    run()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begun < SECONDS:
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
