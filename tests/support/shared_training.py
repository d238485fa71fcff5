"""Trains a tiny model and its masks, alone or together with other processes, and writes what came out.

    python tests/support/shared_training.py BACKBONE FOLDER [SLOWLY]

`SLOWLY` is a number of seconds that each printed update takes, so that a test can end a process between two of them.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.fault_boundary import exit_code
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.pruning.gradients import draw_gradient_batches, stream_gradients
from sparsecbm.train.examples import build_examples
from sparsecbm.train.loop import join_training
from sparsecbm.train.modes import fit
from sparsecbm.train.processes import check_shares, join_processes, rank, writes
from sparsecbm.train.reproducible import reproducible
from tests.support.prune_settings import pruning
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, finetuning, training_run

FINETUNE = {"batch_size": 4, "accumulate": 4, "epochs": 2, "ema_decay": 0.9, "checkpoint_seconds": 0.0}
TABLES = annotated(100, 1), annotated(30, 2)  # 25 batches: the last update of an epoch has one, so one process has none


def message_of(call, *arguments) -> str:
    """Return the message of the error that a call raises."""
    try:
        call(*arguments)
    except SparseCBMError as error:
        return str(error)
    return ""


def train(backbone: Path, folder: Path, slowly: float = 0.0) -> dict:
    """Train, prune and compute gradients; the first process returns and writes the results."""
    cpu, params = torch.device("cpu"), finetuning(**FINETUNE)
    messages = [message_of(join_processes, cpu, "bf16" if rank() or os.environ.get("RANK") == "1" else "float32")]
    messages.append(message_of(check_shares, 3, 8))
    written = []
    if not writes():
        sys.addaudithook(
            lambda event, values: event == "os.rename" and str(folder) in str(values) and written.append(str(values))
        )
    join_training(params)

    def show(step, figures):
        os.write(1, f"{rank()} {step} {os.getpid()}\n".encode())  # at once, since the processes share this output
        time.sleep(slowly)

    with reproducible(0, 1):
        model = tiny_model(backbone)
        history = fit(model, *TABLES, params, training_run(folder / "finetune", on_step=show))
        options = PruneOptions(pruning(epochs=1, core=0.5), params)
        sparse = fit_masks(model, *TABLES, options, training_run(folder / "prune"))
        masked = tiny_model(backbone)
        masked.masks = random_masks(masked)
        batches = draw_gradient_batches(masked, build_examples(TABLES[0], masked), pruning(gradients=5), seed=0, step=0)
        gradients = dict(stream_gradients(masked, "food", batches, memory_mb=10))
    assert not written, f"process {rank()} wrote {written[:3]}"
    if writes():
        bits = {f"mask:{name}": packed for name, packed in sparse.model.masks.bits.items()}
        save_file(copy_weights(model), folder / "dense.safetensors")
        save_file(copy_weights(sparse.model) | bits, folder / "sparse.safetensors")
        save_file({name: rows.contiguous() for name, rows in gradients.items()}, folder / "gradients.safetensors")
        report = {"messages": messages, "curves": history.curves, "epochs": history.epochs}
        report |= {"prune": sparse.history.epochs}
        (folder / "report.json").write_text(json.dumps(report))
    return {}


def main(backbone: str, folder: str, slowly: str = "0") -> int:
    """Train in a folder that exists."""
    train(Path(backbone), Path(folder), float(slowly))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(*sys.argv[1:])))
