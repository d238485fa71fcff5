"""From a dense model and annotated tables to a sparse model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sparsecbm.base.errors import ModelError
from sparsecbm.base.params import Finetune, Prune
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import activate
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.prune.head_fit import refit_concept_heads
from sparsecbm.prune.training import ControlTraining, MaskTraining
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import Examples, examples
from sparsecbm.train.loop import History, OnStep, train
from sparsecbm.train.modes import fit_hard_head, refit_label_head, training_means
from sparsecbm.train.oom import SMALLER_BATCH, memory_hint
from sparsecbm.train.pooled import pooled_under_masks


@memory_hint(SMALLER_BATCH, "set prune.concepts to sampled")
def fit_masks(
    model: ConceptBottleneck,
    training: pd.DataFrame,
    validation: pd.DataFrame,
    params: Prune,
    finetune: Finetune,
    seed: int,
    checkpoints: Checkpoints,
    on_step: OnStep = lambda step, figures: None,
    control_of: Path | None = None,
) -> History:
    """Give a dense model a mask for each concept; masks, weights, heads and training means are in it afterwards.

    The masks of each event lie in the checkpoints' folder, under `events`.

    Args:
        training, validation: annotated tables (columns as in `sparsecbm.data.tables`)
        params: how masks are found
        finetune: what else the loop needs, as it was for the dense model
        control_of: the folder `events` of a finished training; then its masks are shuffled and nothing is chosen

    Raises:
        ModelError: the model has no bottleneck, or the GPU is out of memory.
        ConfigError: a layer pattern matches nothing, or another setting does not fit the model.
    """
    if not model.has_bottleneck:
        raise ModelError("a model of mode `standard` has no concepts, so there is nothing to find masks for")
    # No average: masks change by jumps, and averaged heads would lag behind what the masks let through.
    changes = {"epochs": params.epochs, "learning_rate": params.learning_rate, "average": 0.0}
    finetune = finetune.model_copy(update=changes)
    train_examples = annotated = examples(training, model, finetune.targets)
    validation_examples = examples(validation, model)
    dense_read = model.logits(training["text"].tolist()).concepts
    if params.distill:
        train_examples = distilled(train_examples, dense_read, params.distill)
    layers = prunable_layers(model.backbone, params.layers, params.masked_from)
    shapes = {layer: tuple(module.weight.shape) for layer, module in layers.items()}
    model.masks = MaskSet.dense(model.concept_set.names, shapes)
    updates = -(-len(train_examples) // (finetune.batch_size * finetune.accumulate)) * finetune.epochs
    arguments = params, finetune, train_examples, updates, seed, checkpoints.folder / "events"
    method = ControlTraining(*arguments, control_of) if control_of else MaskTraining(*arguments)
    history = train(model, train_examples, validation_examples, finetune, seed, method, checkpoints, on_step)
    pooled = pooled_under_masks(model, train_examples)
    refit_concept_heads(model, distilled(annotated, dense_read, params.head_distill), pooled, params.head_gamma)
    read = _read(model, pooled)
    held_out = validation_examples, _read(model, pooled_under_masks(model, validation_examples))
    if model.settings.mode != "joint" or finetune.refit_label_head:
        refit_label_head(model, train_examples, read, *held_out)
    fit_hard_head(model, train_examples, read, *held_out)
    model.means = training_means(model, train_examples, read)
    return history


def _read(model: ConceptBottleneck, pooled: dict[str, Tensor]) -> Logits:
    """What the heads read off pooled texts, without a second pass through the backbone."""
    with inference_mode(model):
        output = model.output(model.concept_heads({name: texts.to(model.device) for name, texts in pooled.items()}))
    concepts = {name: logits.cpu().numpy() for name, logits in output.concept_logits.items()}
    return Logits(concepts, output.label_logits.cpu().numpy())


def distilled(data: Examples, read: Mapping[str, np.ndarray], share: float) -> Examples:
    """Examples whose concept targets are mixed with what a (dense) model reads.

    Args:
        read: concept -> logits of the texts, [texts, states]
        share: of the reading in each target; a text whose state nobody knows gets the reading alone
    """
    mixed = {}
    for name, target in data.concept_targets.items():
        reading = activate(torch.from_numpy(read[name]), "soft")
        known = target.sum(-1, keepdim=True) > 0
        mixed[name] = torch.where(known, (1 - share) * target + share * reading, reading)
    return replace(data, concept_targets=mixed)
