"""The training loop: updates, validation, selection, checkpoints. It knows nothing of DVC or MLflow."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from tqdm import tqdm
from transformers import get_linear_schedule_with_warmup

from sparsecbm.base.metrics import accuracy
from sparsecbm.base.params import Finetune
from sparsecbm.model.batches import batch_by_length, shuffle_batches
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.train.average import WeightAverage
from sparsecbm.train.checkpoint import Checkpoints, Progress
from sparsecbm.train.examples import MISSING, Examples, batch
from sparsecbm.train.method import Method

OnStep = Callable[[int, dict[str, float]], None]
LOG_EVERY = 10  # updates between two points of a curve


@dataclass(frozen=True)
class History:
    """What happened: the loss curve, the score of each epoch, what the method did at times, and what was kept."""

    curves: list[dict[str, float]]
    epochs: list[dict[str, float]]
    events: list[dict[str, float]]
    best_step: int
    best_score: float


def precision(wanted: str, device: torch.device) -> str:
    """accelerate's name for the precision: `auto` takes bf16 only where the hardware multiplies it."""
    if wanted == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            capabilities = torch.cpu.get_capabilities()
            fast = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
        wanted = "bf16" if fast else "float32"
    return "bf16" if wanted == "bf16" else "no"


def accelerator_for(params: Finetune) -> Accelerator:
    """Device and precision as configured."""
    cpu = params.device == "cpu"
    # accelerate keeps one state a process and refuses a second training with other settings; each starts afresh here.
    AcceleratorState._reset_state(reset_partial_state=True)
    device = PartialState(cpu=cpu).device
    return Accelerator(cpu=cpu, mixed_precision=precision(params.precision, device))


def score(model: ConceptBottleneck, data: Examples, batch_size: int) -> dict[str, float]:
    """Accuracies on a split, and `score`, by which checkpoints are selected: the mean of label and concepts."""
    label = torch.zeros(len(data), dtype=torch.long)
    read = {name: torch.zeros(len(data), dtype=torch.long) for name in data.concepts}
    with inference_mode(model):
        for members in batch_by_length(data.lengths, batch_size):
            b = batch(data, members, model.tokenizer.pad_token_id, model.device)
            output = model(b.ids, b.mask)
            label[members] = output.label_logits.argmax(-1).cpu()
            for name, logits in output.concept_logits.items():
                read[name][members] = logits.argmax(-1).cpu()
    figures = {}
    if model.settings.mode in ("standard", "joint"):
        figures["label.accuracy"] = accuracy(data.label.numpy(), label.numpy(), MISSING)
    if model.has_bottleneck:
        by_concept = [accuracy(data.concepts[name].numpy(), read[name].numpy(), MISSING) for name in read]
        figures["concepts.mean.accuracy"] = sum(by_concept) / len(by_concept)
    return {**figures, "score": sum(figures.values()) / len(figures)}


def train(
    model: ConceptBottleneck,
    training: Examples,
    validation: Examples,
    params: Finetune,
    seed: int,
    method: Method,
    checkpoints: Checkpoints,
    on_step: OnStep = lambda step, figures: None,
) -> History:
    """Train in place and leave the best weights in the model.

    Args:
        on_step: called with the update's number and figures, for live curves; it sees only what this
            process computes, the returned history holds everything.
    """
    accelerator = accelerator_for(params)
    model.to(accelerator.device)
    optimizer = method.optimizer(model)
    updates = -(-len(training) // (params.batch_size * params.accumulate))  # in an epoch
    total = updates * params.epochs
    average = WeightAverage(model, params.average)
    progress = checkpoints.restore(model, optimizer, average, method)
    schedule = get_linear_schedule_with_warmup(
        optimizer, int(params.warmup * total), total, last_epoch=progress.step - 1
    )
    saved_at = time.monotonic()
    pause = 1.0 if sys.stderr.isatty() else 20.0  # a log file needs fewer lines than a terminal
    bar = tqdm(total=total, initial=progress.step, unit="update", desc=method.name, mininterval=pause)

    while not progress.finished:
        batches = shuffle_batches(training.lengths, params.batch_size, seed * 10_007 + progress.epoch)
        model.train()
        for first in range(progress.step_in_epoch * params.accumulate, len(batches), params.accumulate):
            torch.manual_seed(seed * 1_000_003 + progress.step)  # dropout of this update, whoever runs it
            parts = batches[first : first + params.accumulate]
            event = method.before(model, progress.step)
            if event:
                progress.events.append({"step": progress.step, **event})
                on_step(progress.step, event)
            figures = _update(model, training, parts, params, method, progress.step, accelerator, optimizer)
            rate = schedule.get_last_lr()[0]
            schedule.step()
            progress.step += 1
            progress.step_in_epoch += 1
            average.update(model, progress.step)
            bar.update()
            if progress.step % LOG_EVERY == 0 or progress.step == total:
                point = {f"train.{name}": value for name, value in {**figures, "learning_rate": rate}.items()}
                progress.curves.append({"step": progress.step, **point})
                bar.set_postfix(loss=f"{figures['loss']:.3f}")
                on_step(progress.step, point)
            if time.monotonic() - saved_at >= params.checkpoint_seconds:
                checkpoints.save(model, optimizer, average, method, progress)
                saved_at = time.monotonic()
        with average.applied(model):
            _end_epoch(model, validation, params, method, progress, checkpoints, on_step)
        checkpoints.save(model, optimizer, average, method, progress)
        saved_at = time.monotonic()
    bar.close()
    checkpoints.load_best(model, progress.best_step)
    model.eval()
    return History(progress.curves, progress.epochs, progress.events, progress.best_step, progress.best_score)


def _update(model, training, parts, params, method: Method, step: int, accelerator, optimizer) -> dict[str, float]:
    """One update from the gradients of one or more batches; returns the mean losses."""
    sums = torch.zeros(3)
    for members in parts:
        b = batch(training, members, model.tokenizer.pad_token_id, accelerator.device)
        with accelerator.autocast():
            parts_of_loss = method.losses(model, b, step)
        accelerator.backward(parts_of_loss.total / len(parts))
        sums += torch.stack([parts_of_loss.total, parts_of_loss.label, parts_of_loss.concept]).detach().float().cpu()
        method.after_backward(model)
    accelerator.clip_grad_norm_(model.parameters(), params.clip)
    optimizer.step()
    optimizer.zero_grad()
    return dict(zip(("loss", "label_loss", "concept_loss"), (sums / len(parts)).tolist(), strict=True))


def _end_epoch(
    model, validation, params, method, progress: Progress, checkpoints: Checkpoints, on_step: OnStep
) -> None:
    """Validate, keep the weights if they are the best so far, and decide whether to stop."""
    figures = score(model, validation, params.batch_size * 2)
    progress.epoch += 1
    progress.step_in_epoch = 0
    if not method.keeps(progress.step):
        pass
    elif figures["score"] > progress.best_score:
        progress.best_score, progress.best_step, progress.epochs_without_gain = figures["score"], progress.step, 0
        checkpoints.save_best(model, progress.step)
    else:
        progress.epochs_without_gain += 1
    progress.finished = progress.epoch >= params.epochs or progress.epochs_without_gain >= params.patience
    named = {f"validation.{name}": value for name, value in figures.items()}
    progress.epochs.append({"epoch": progress.epoch, "step": progress.step, **named})
    tqdm.write(f"epoch {progress.epoch}: " + ", ".join(f"{name} {value:.3f}" for name, value in named.items()))
    on_step(progress.step, named)
