"""Training of four masks: time that a joint pass over a batch saves, compared with K separate passes.

    python benchmarks/mask_training.py [--texts 64] [--batch-size 16]

Backbone, texts, masks, batch size and update (forward, loss, backward, learnt scores, AdamW) are the same. All ways
take turns in one run. A text counts once its update is complete:

- `all`: every text through every mask, in one call;
- `sampled`: each batch through one mask, concepts in turn;
- `split`: every text through one of the masks;
- `separate`: every text through every mask, one full pass of the backbone for each concept, padded like the others;
- `separate, 512`: the same, every text padded to 512 tokens.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from throughput import LONG, padded_to

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.ingest import ingest
from sparsecbm.model.batches import shuffle_batches
from sparsecbm.model.cbm import Settings
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.event import choose_masks
from sparsecbm.pruning.mask_sources import make_mask_source
from sparsecbm.pruning.schedule import PruningEvents
from sparsecbm.pruning.training import MaskTraining
from sparsecbm.train.examples import Batch, build_batch, build_examples
from sparsecbm.train.loss import Losses
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results" / "mask-training.json"


class Separate(MaskTraining):
    """The simple way: one concept at a time, each with its own forward pass, loss and backward pass."""

    def compute_losses(self, model: SparseCBM, batch: Batch, step: int) -> Losses:
        """Return the losses of K concepts; it runs all backward passes except the last."""
        for turn, _ in enumerate(model.concept_set.names):
            parts = super().compute_losses(model, batch, turn)
            if turn < len(model.concept_set) - 1:
                parts.total.backward()
                self.after_backward(model)
        return parts


def main() -> None:
    """Measure all ways, print them side by side and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    workspace = Workspace.find(Path(__file__).parent)
    params = load_params(workspace.params)
    with reproducible(params.seed, params.threads):
        splits, manifest = ingest(params.source, params.split, params.seed, workspace.root)
        settings = Settings(**params.model.model_dump(exclude={"backbone"}))
        model = SparseCBM.build(params.model.backbone, ConceptSet.from_dict(manifest["vocabulary"]), settings).train()
        data = build_examples(splits["train"], model)
        batches = shuffle_batches(data.lengths, arguments.batch_size, params.seed)[
            : -(-arguments.texts // arguments.batch_size)
        ]
        layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from)
        shapes = {layer: tuple(module.weight.shape) for layer, module in layers.items()}
        model.masks = MaskSet.dense(model.concept_set.names, shapes)
        drawn = torch.Generator().manual_seed(params.seed)
        scores = {n: {la: torch.rand(s, generator=drawn) for la, s in shapes.items()} for n in model.concept_set.names}
        model.masks = choose_masks(model, params.prune, scores, params.prune.sparsity)

        with TemporaryDirectory() as folder:

            def way(concepts: str, kind: type[MaskTraining] = MaskTraining) -> Callable[[Batch, int], None]:
                prune = params.prune.model_copy(update={"concepts": concepts, "first_scores": "random"})
                source = make_mask_source(prune, data, params.seed, Path(folder))
                events = PruningEvents.plan(prune, updates=1000)
                method = kind(prune, params.finetune, data.concept_targets, events, source)
                optimizer = method.make_optimizer(model)

                def update(b: Batch, step: int) -> None:
                    method.compute_losses(model, b, step).total.backward()
                    method.after_backward(model)
                    torch.nn.utils.clip_grad_norm_(model.parameters(), params.finetune.max_grad_norm)
                    optimizer.step()
                    optimizer.zero_grad()

                return update

            ways = {"all": way("all"), "sampled": way("sampled"), "split": way("split")}
            ways["separate"] = ways[f"separate, {LONG}"] = way("sampled", Separate)
            clock, cpu = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
            pad_id = model.tokenizer.pad_token_id
            for step, rows in enumerate([batches[0], *batches]):
                short = build_batch(data, rows, pad_id, model.device)
                for name, update in ways.items():
                    b = padded_to(LONG, short, pad_id) if name.endswith(str(LONG)) else short
                    if step == 0 and name.endswith(str(LONG)):
                        continue  # the first round allocates memory, so it does not count
                    wall, used = time.perf_counter(), time.process_time()
                    update(b, step)
                    if step:
                        clock[name] += time.perf_counter() - wall
                        cpu[name] += time.process_time() - used
        texts = sum(len(rows) for rows in batches)
        results = {
            name: {"texts_a_second": round(texts / clock[name], 3), "cpu_seconds_a_text": round(cpu[name] / texts, 4)}
            for name in ways
        }
        for name, result in results.items():
            result["times_separate"] = round(cpu["separate"] / cpu[name], 2)
            result["times_separate_512"] = round(cpu[f"separate, {LONG}"] / cpu[name], 1)
            print(
                f"{name:14} {result['texts_a_second']:7.2f} texts/s, {result['cpu_seconds_a_text']:.3f} CPU s a text; "
                f"{result['times_separate']:.2f} x separate, {result['times_separate_512']:.1f} x separate at {LONG}"
            )
        write_json(RESULTS, {"texts": texts, "batch_size": arguments.batch_size, "ways": results})


if __name__ == "__main__":
    main()
