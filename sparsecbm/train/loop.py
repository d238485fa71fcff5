"""The training loop: updates, validation, selection and checkpoints. It knows nothing of DVC or MLflow."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from torch import Tensor
from tqdm import tqdm
from transformers import get_linear_schedule_with_warmup

from sparsecbm.base.errors import ModelError
from sparsecbm.base.metrics import accuracy
from sparsecbm.base.params import Finetune
from sparsecbm.base.progress import no_progress, pause
from sparsecbm.model.batches import batch_by_length, shuffle_batches
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.execution import multiplies_bf16
from sparsecbm.model.inference import inference_mode
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.ema import WeightAverage
from sparsecbm.train.examples import MISSING, Examples, build_batch
from sparsecbm.train.gradient_checkpointing import gradient_checkpointing
from sparsecbm.train.method import TrainingMethod
from sparsecbm.train.processes import (
    add_up,
    add_up_gradients,
    check_shares,
    first_process_first,
    join_processes,
    share,
    wait_for_all,
    writes,
)

OnStep = Callable[[int, dict[str, float]], None]
LOG_EVERY = 10  # updates between two points of a curve


def ignore_figures(step: int, figures: dict[str, float]) -> None:
    """An `OnStep` that does nothing."""


@dataclass(frozen=True)
class TrainingRun:
    """What sets one run of a training apart from another with the same data and parameters.

    Attributes:
        seed: of the order of texts and of dropout
        checkpoints: where the training saves its state and resumes from
        on_step: receives the number of updates and figures, for live curves. It sees only the work of this process;
            the returned `History` holds everything.
    """

    seed: int
    checkpoints: Checkpoints
    on_step: OnStep = ignore_figures


@dataclass(frozen=True)
class History:
    """What a training did.

    Attributes:
        curves: losses and learning rate, every few updates
        epochs: validation scores after each epoch
        events: figures of the pruning events
        best_step: number of updates of the kept weights
        best_score: their validation score
    """

    curves: list[dict[str, float]]
    epochs: list[dict[str, float]]
    events: list[dict[str, float]]
    best_step: int
    best_score: float


def choose_precision(setting: str, device: torch.device) -> str:
    """accelerate's name for a precision (auto | float32 | bf16); `auto` is bf16 where the hardware multiplies it."""
    if setting == "auto":
        setting = "bf16" if multiplies_bf16(device) else "float32"
    return "bf16" if setting == "bf16" else "no"


def _configured_device(params: Finetune) -> torch.device:
    return torch.device("cuda" if params.device != "cpu" and torch.cuda.is_available() else "cpu")


def in_bf16(params: Finetune) -> bool:
    """Whether a training on the configured device computes in bf16."""
    return choose_precision(params.precision, _configured_device(params)) == "bf16"


def join_training(params: Finetune) -> None:
    """Meet the other processes of the training, if `accelerate launch` or `torchrun` started several.

    Raises:
        ConfigError: the batches of an update cannot be shared among them.
        ModelError: a process is gone, or they differ in device or precision.
    """
    join_processes(_configured_device(params), "bf16" if in_bf16(params) else "float32")
    check_shares(params.accumulate, params.batch_size)


def make_accelerator(params: Finetune) -> Accelerator:
    """An accelerator with the configured device and precision."""
    cpu = params.device == "cpu"
    # accelerate keeps one state for each process and refuses a second training with other settings, so it is reset.
    AcceleratorState._reset_state(reset_partial_state=True)
    device = PartialState(cpu=cpu).device
    if params.precision == "bf16" and not multiplies_bf16(device) and writes():
        print(
            "finetune.precision: bf16 is imitated, since the hardware has no instructions for it, which takes longer "
            "than float32; auto takes bf16 only where it is fast",
            file=sys.stderr,
        )
    return Accelerator(cpu=cpu, mixed_precision=choose_precision(params.precision, device))


def validation_scores(model: ConceptBottleneck, data: Examples, batch_size: int) -> dict[str, float]:
    """Accuracies on a split, and `score`, their mean over label and concepts, which selects checkpoints.

    Args:
        data: has the gold states of the concepts that are scored, which may be fewer than the model has
    """
    label = torch.zeros(len(data), dtype=torch.long)
    concepts = {name: torch.zeros(len(data), dtype=torch.long) for name in data.concepts}
    with inference_mode(model):
        for indices in share(batch_by_length(data.lengths, batch_size)):
            batch = build_batch(data, indices, model.tokenizer.pad_token_id, model.device)
            output = model(batch.ids, batch.mask)
            label[indices] = output.label_logits.argmax(-1).cpu()
            for name, logits in output.concept_logits.items():
                if name in concepts:
                    concepts[name][indices] = logits.argmax(-1).cpu()
    add_up([label, *concepts.values()])
    figures = {}
    if model.settings.mode in ("standard", "joint"):
        figures["label.accuracy"] = accuracy(data.label.numpy(), label.numpy(), MISSING)
    if model.has_bottleneck:
        by_concept = [accuracy(data.concepts[name].numpy(), concepts[name].numpy(), MISSING) for name in concepts]
        figures["concepts.mean.accuracy"] = sum(by_concept) / len(by_concept)
    return {**figures, "score": sum(figures.values()) / len(figures)}


def train(
    model: ConceptBottleneck,
    training: Examples,
    validation: Examples,
    params: Finetune,
    method: TrainingMethod,
    run: TrainingRun,
) -> History:
    """Train in place, from the last checkpoint if there is one, and leave the best weights in the model.

    Raises:
        ModelError: the loss or its gradient is no longer a finite number.
    """
    with gradient_checkpointing(model.backbone, params.gradient_checkpointing), no_progress():  # but the loop's own bar
        loop = _Loop(model, training, validation, params, method, run)
        while not loop.progress.finished:
            loop.train_epoch()
            loop.end_epoch()
    wait_for_all()  # the first process writes the best weights, which all load
    loop.bar.close()
    progress = loop.progress
    run.checkpoints.load_best(model, progress.best_step)
    wait_for_all()
    model.eval()
    return History(progress.curves, progress.epochs, progress.events, progress.best_step, progress.best_score)


class _Loop:
    """One training under way: its model, optimizer, running average and progress."""

    def __init__(
        self,
        model: ConceptBottleneck,
        training: Examples,
        validation: Examples,
        params: Finetune,
        method: TrainingMethod,
        run: TrainingRun,
    ):
        self.model, self.training, self.validation = model, training, validation
        self.params, self.method, self.run = params, method, run
        self.accelerator = make_accelerator(params)
        model.to(self.accelerator.device)
        self.optimizer = method.make_optimizer(model)
        updates = -(-len(training) // (params.batch_size * params.accumulate))  # in an epoch
        self.total = updates * params.epochs
        self.average = WeightAverage(model, params.ema_decay)
        with first_process_first():  # it repairs what a kill left behind
            self.progress = run.checkpoints.restore(model, self.optimizer, self.average, method)
        self.schedule = get_linear_schedule_with_warmup(
            self.optimizer, int(params.warmup * self.total), self.total, last_epoch=self.progress.step - 1
        )
        self.saved_at = time.monotonic()
        self.bar = tqdm(
            total=self.total,
            initial=self.progress.step,
            unit=" update",
            desc=method.name,
            mininterval=pause(),
            disable=not writes(),
        )

    def train_epoch(self) -> None:
        """The updates of an epoch that are still to do."""
        params, progress = self.params, self.progress
        batches = shuffle_batches(self.training.lengths, params.batch_size, self.run.seed * 10_007 + progress.epoch)
        self.model.train()
        for first in range(progress.step_in_epoch * params.accumulate, len(batches), params.accumulate):
            # Dropout of this update, whether or not the training was resumed.
            torch.manual_seed(self.run.seed * 1_000_003 + progress.step)
            event = self.method.before_update(self.model, progress.step)
            if event:
                progress.events.append({"step": progress.step, **event})
                self.run.on_step(progress.step, event)
            figures = self._update(batches[first : first + params.accumulate])
            rate = self.schedule.get_last_lr()[0]
            self.schedule.step()
            progress.step += 1
            progress.step_in_epoch += 1
            self.average.update(self.model, progress.step)
            self.bar.update()
            if progress.step % LOG_EVERY == 0 or progress.step == self.total:
                point = {f"train.{name}": value for name, value in {**figures, "learning_rate": rate}.items()}
                progress.curves.append({"step": progress.step, **point})
                self.bar.set_postfix(loss=f"{figures['loss']:.3f}")
                self.run.on_step(progress.step, point)
            if time.monotonic() - self.saved_at >= params.checkpoint_seconds:
                self._save()

    def end_epoch(self) -> None:
        """Validate the averaged weights, keep them if they are the best so far, and decide whether to stop."""
        with self.average.applied(self.model):
            self._validate()
        self._save()

    def _update(self, batches: list[list[int]]) -> dict[str, float]:
        """One update from the gradients of one or more batches, shared among processes; returns the mean losses."""
        sums = torch.zeros(3)
        for number, indices in share(list(enumerate(batches))):
            if number:  # the dropout of a batch is the same in whichever process it runs
                torch.manual_seed(self.run.seed * 1_000_003 + self.progress.step + number * 998_244_353)
            batch = build_batch(self.training, indices, self.model.tokenizer.pad_token_id, self.accelerator.device)
            with self.accelerator.autocast():
                losses = self.method.compute_losses(self.model, batch, self.progress.step)
            self.accelerator.backward(losses.total / len(batches))
            sums += torch.stack([losses.total, losses.label, losses.concept]).detach().float().cpu()
            self.method.after_backward(self.model)
        add_up_gradients(weight for group in self.optimizer.param_groups for weight in group["params"])
        add_up([sums])
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.params.max_grad_norm)
        self._check_finite(sums, norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return dict(zip(("loss", "label_loss", "concept_loss"), (sums / len(batches)).tolist(), strict=True))

    def _check_finite(self, losses: Tensor, norm: Tensor) -> None:
        """Insist that an update would not make weights NaN, after which every prediction is the first class."""
        for name, value in (("loss", losses.sum()), ("gradient", norm)):
            if not bool(torch.isfinite(value)):
                raise ModelError(
                    f"{self.method.name}: the {name} of update {self.progress.step + 1} of {self.total} is "
                    f"{float(value)}, so the training diverges; lower {self.method.learning_rates}, or set "
                    "finetune.precision=float32"
                )

    def _validate(self) -> None:
        params, progress = self.params, self.progress
        figures = validation_scores(self.model, self.validation, params.batch_size * 2)
        progress.epoch += 1
        progress.step_in_epoch = 0
        if self.method.may_keep(progress.step):
            if figures["score"] > progress.best_score:
                progress.best_score, progress.best_step = figures["score"], progress.step
                progress.epochs_without_gain = 0
                if writes():
                    self.run.checkpoints.save_best(self.model, progress.step)
            else:
                progress.epochs_without_gain += 1
        progress.finished = progress.epoch >= params.epochs or progress.epochs_without_gain >= params.patience
        named = {f"validation.{name}": value for name, value in figures.items()}
        progress.epochs.append({"epoch": progress.epoch, "step": progress.step, **named})
        if writes():
            scores = ", ".join(f"{name} {value:.3f}" for name, value in named.items())
            tqdm.write(f"epoch {progress.epoch}{self.method.scored}: {scores}")
        self.run.on_step(progress.step, named)

    def _save(self) -> None:
        if writes():
            self.run.checkpoints.save(self.model, self.optimizer, self.average, self.method, self.progress)
        self.saved_at = time.monotonic()
