"""Training throughput: dynamic padding with length buckets, compared with padding every text to 512 tokens.

    python benchmarks/throughput.py [--texts 96] [--batch-size 16]

Backbone, batch size, texts and updates (forward, loss, backward, clip, AdamW) are the same. Both ways take turns in one
run, so that a machine whose speed drifts affects both equally. The output shows CPU seconds next to clock seconds,
since they exclude time that the machine spent on other programs.
"""

import argparse
import time
from pathlib import Path

import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.ingest import ingest
from sparsecbm.model.batches import shuffle_batches
from sparsecbm.model.cbm import Settings
from sparsecbm.train.examples import Batch, Examples, build_batch, build_examples
from sparsecbm.train.loss import ClassWeights, mode_losses
from sparsecbm.train.method import DenseTraining
from sparsecbm.train.reproducible import reproducible

LONG = 512


def padded_to(length: int, b: Batch, pad_id: int) -> Batch:
    """Return the same batch with every text padded to a fixed length."""
    ids = torch.full((len(b.ids), length), pad_id)
    mask = torch.zeros_like(ids)
    ids[:, : b.ids.shape[1]], mask[:, : b.mask.shape[1]] = b.ids, b.mask
    return Batch(ids, mask, b.label, b.concepts)


def main() -> None:
    """Measure and print the texts per second of both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    workspace = Workspace.find(Path(__file__).parent)
    params = load_params(workspace.params)
    with reproducible(params.seed, params.threads):
        splits, manifest = ingest(params.source, params.split, params.seed, workspace.root)
        settings = Settings(**params.model.model_dump(exclude={"backbone"}))
        model = SparseCBM.build(params.model.backbone, ConceptSet.from_dict(manifest["vocabulary"]), settings).train()
        optimizer = DenseTraining(params.finetune, ClassWeights()).make_optimizer(model)
        data: Examples = build_examples(splits["train"], model)
        batches = shuffle_batches(data.lengths, arguments.batch_size, params.seed)[
            : -(-arguments.texts // arguments.batch_size)
        ]
        clock, cpu = {"dynamic": 0.0, LONG: 0.0}, {"dynamic": 0.0, LONG: 0.0}
        pad_id = model.tokenizer.pad_token_id

        def update(b: Batch) -> None:
            mode_losses(model(b.ids, b.mask), b, "joint", params.finetune.gamma, ClassWeights()).total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), params.finetune.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()

        update(build_batch(data, batches[0], pad_id, model.device))  # the first round allocates memory
        for rows in batches:
            short = build_batch(data, rows, pad_id, model.device)
            for name, b in (("dynamic", short), (LONG, padded_to(LONG, short, pad_id))):
                wall, used = time.perf_counter(), time.process_time()
                update(b)
                clock[name] += time.perf_counter() - wall
                cpu[name] += time.process_time() - used
        texts = sum(len(rows) for rows in batches)
        for name in clock:
            print(f"padding {name}: {texts / clock[name]:.2f} texts/s, {cpu[name] / texts:.3f} CPU s a text")
        print(f"ratio: {clock[LONG] / clock['dynamic']:.1f} by the clock, {cpu[LONG] / cpu['dynamic']:.1f} by CPU time")


if __name__ == "__main__":
    main()
