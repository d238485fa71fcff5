"""Training in tests, and comparisons of weights."""

from pathlib import Path

import torch
from torch import Tensor, nn

from sparsecbm.base.params import Finetune
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import OnStep, TrainingRun, ignore_figures


def finetuning(**changes) -> Finetune:
    """Return settings of three short epochs without averages, smoothing or frozen weights."""
    values = {
        "epochs": 3, "batch_size": 8, "accumulate": 1, "learning_rate": 3e-3, "head_learning_rate": 3e-2,
        "label_head_learning_rate": 0.3, "weight_decay": 0.0, "warmup": 0.1, "max_grad_norm": 1.0, "gamma": 1.0,
        "ema_decay": 0.0, "refit_label_head": False, "targets": "majority", "label_smoothing": 0.0,
        "freeze_embeddings": False, "class_weights": "none",
        "patience": 3, "precision": "float32", "device": "cpu", "checkpoint_seconds": 1e9,
    }  # fmt: skip
    return Finetune(**(values | changes))


def training_run(folder: Path, seed: int = 0, on_step: OnStep = ignore_figures) -> TrainingRun:
    """Return a run with its checkpoints in a folder."""
    return TrainingRun(seed, Checkpoints(folder), on_step)


def copy_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights of a module."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Return whether two copies have the same weights to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
