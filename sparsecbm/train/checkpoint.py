"""The state of a training on disk. A training that was killed resumes from it and ends with the same bytes.

No random state is stored: the order of an epoch depends on (seed, epoch), and dropout on (seed, step). Nor are frozen
weights: a training that resumes is given the same ones, and they may be gigabytes.
"""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from sparsecbm.base.errors import DataError, WriteError
from sparsecbm.base.files import read_json_object, recover, replacing, replacing_folder, write_json
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masks import MaskSet
from sparsecbm.train.ema import WeightAverage
from sparsecbm.train.method import TrainingMethod

MASK_PREFIX = "mask:"  # separates the names of masked layers from those of weights
MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"
AVERAGE, METHOD = "average.safetensors", "method.safetensors"
PROGRESS = "progress.json"
_BEST = re.compile(r"best-\d+\.safetensors")


@dataclass
class Progress:
    """How far a training has come. `step` counts updates; `best_step` is 0 until a model may be kept."""

    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    best_score: float = float("-inf")
    best_step: int = 0
    epochs_without_gain: int = 0
    finished: bool = False
    curves: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)
    events: list[dict[str, float]] = field(default_factory=list)


class Checkpoints:
    """The checkpoint folder of one training: the last state, and the weights with the best score.

    Args:
        training: identifies the training, by a hash of its inputs; states of another one are refused. It may be empty
            if the folder's name does this
    """

    def __init__(self, folder: Path, training: str = ""):
        self.folder, self.training = Path(folder), training

    def _best(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"

    def save(
        self,
        model: ConceptBottleneck,
        optimizer: Optimizer,
        average: WeightAverage,
        method: TrainingMethod,
        progress: Progress,
    ) -> None:
        """Write the last state. The earlier one stays until the new one is complete."""
        with replacing_folder(self.folder / "last", _check_files) as folder:
            save_file(_plain(trained_weights(model)), folder / MODEL)
            save_file(_optimizer_tensors(optimizer), folder / OPTIMIZER)
            save_file(_plain(average.averages), folder / AVERAGE)
            save_file(_plain(method.state(model)), folder / METHOD)
            best_score = None if progress.best_step == 0 else progress.best_score
            state = {**vars(progress), "best_score": best_score, "training": self.training}
            write_json(folder / PROGRESS, state)
        for file in self.folder.iterdir():
            if _BEST.fullmatch(file.name) and file != self._best(progress.best_step):
                file.unlink()

    def save_best(self, model: ConceptBottleneck, step: int) -> None:
        """Write the trained weights, and the masks, of the best validation so far. `save` removes the earlier ones."""
        masks = {} if model.masks is None else model.masks.bits
        with replacing(self._best(step)) as path:
            bits = {MASK_PREFIX + layer: packed for layer, packed in masks.items()}
            save_file(_plain(trained_weights(model) | bits), path)

    def restore(
        self, model: ConceptBottleneck, optimizer: Optimizer, average: WeightAverage, method: TrainingMethod
    ) -> Progress:
        """Load the last state into model, optimizer, average and method; without one, return a fresh `Progress`.

        Raises:
            DataError: the state is damaged, or of another training.
        """
        last = self.folder / "last"
        recover(last)
        if not last.is_dir():
            return Progress()
        progress = self.progress()
        self._load(model, load_file(last / MODEL))
        _restore_optimizer(optimizer, load_file(last / OPTIMIZER))
        average.averages = {name: t.to(model.device) for name, t in load_file(last / AVERAGE).items()}
        method.restore(model, load_file(last / METHOD))
        return progress

    def progress(self) -> Progress:
        """How far the training had come when its last state was written.

        Raises:
            DataError: the file is damaged, or of another training.
        """
        path = self.folder / "last" / PROGRESS
        state = read_json_object(path)
        if state.pop("training", "") != self.training:
            raise self._another_training()
        if state.get("best_score") is None:
            state["best_score"] = float("-inf")
        try:
            TypeAdapter(Progress).validate_python(state)
            return Progress(**state)  # not the validated one, in which whole numbers are floats
        except (ValidationError, TypeError) as error:
            fault = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
            raise DataError(f"{path} is damaged ({fault}); remove {self.folder} to train from the start") from None

    def load_best(self, model: ConceptBottleneck, step: int) -> None:
        """Load the best weights, and masks if they are stored, into the model."""
        tensors = load_file(self._best(step))
        stored = [name for name in tensors if name.startswith(MASK_PREFIX)]
        bits = {name.removeprefix(MASK_PREFIX): tensors.pop(name) for name in stored}
        self._load(model, tensors)
        if bits:
            model.masks = MaskSet(model.masks.concepts, model.masks.shapes, bits)

    def _load(self, model: ConceptBottleneck, tensors: dict[str, Tensor]) -> None:
        weights = trained_weights(model)
        if weights.keys() != tensors.keys():
            raise self._another_training()
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(tensors[name])

    def _another_training(self) -> DataError:
        return DataError(
            f"{self.folder} holds the state of another training, with other data, settings or weights; remove it to "
            "train from the start, or name another folder for checkpoints"
        )

    def clear(self) -> None:
        """Remove the folder, once the training's outputs are written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def trained_weights(model: ConceptBottleneck) -> dict[str, Tensor]:
    """The weights that the optimizer trains. All others are those that the training was given."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _check_files(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but a training's state."""
    others = {file.name for file in folder.iterdir()} - {MODEL, OPTIMIZER, AVERAGE, METHOD, PROGRESS}
    if others:
        raise WriteError(folder, f"it holds {min(others)}, which is no checkpoint; name another folder for checkpoints")


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """AdamW's moments and step counts, named by the parameter's number and the tensor's name."""
    state = optimizer.state_dict()["state"]
    tensors = {f"{i}.{key}": value.detach().cpu() for i, entry in state.items() for key, value in entry.items()}
    return tensors or {"none": torch.zeros(1)}


def _restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name != "none":
            number, key = name.split(".", 1)
            state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
