"""Single weights: for how many does the gradient of one concept surely exceed those of the others?

    python benchmarks/weight_contrast.py --seeds 1 2 3 --set threads=1 [--data FOLDER]

The idea: a weight becomes a concept's own only where a test says so. On the dense model of `benchmarks/masks.py`, with
the null concepts of `prune.null_concepts`, each batch of training texts gives every weight and concept a gradient. The
contrast of a weight in a batch is log g_k^2 minus the mean of log g_i^2 over the other real concepts, less the mean of
its layer. Over batches that share no group of texts, Student's t asks whether it is above 0, and a weight is found if
its p-value passes Benjamini-Hochberg at 5 % among the weights of its layer. `found` is the share of weights.

The control, `control`, compares a concept with itself on other batches, where nothing can be found but by error.
Each result goes to benchmarks/results/weight-contrast-SOURCE.json at once.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from cebab import dense_model, subject
from masks import RESULTS, settings_of
from scipy.stats import false_discovery_control, t
from seed_results import measure_seeds
from tables import annotated, configured, source_parser
from torch import Tensor

from sparsecbm.api import SparseCBM
from sparsecbm.base.params import Params
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.gradients import stream_gradients
from sparsecbm.pruning.head_fit import refit_concept_heads
from sparsecbm.pruning.null_concepts import choose_null_concepts, with_null_concepts, with_null_states
from sparsecbm.train.examples import Batch, build_batch, build_examples
from sparsecbm.train.pooled import pooled_under_masks
from sparsecbm.train.reproducible import reproducible

NULLS = 4  # two of each kind
BATCHES, TEXTS = 48, 4
RATE = 0.05  # of false discoveries
MEMORY = 160.0  # MB for the gradients of a concept: the largest layer of MiniLM


def found(contrasts: Tensor) -> int:
    """Return how many weights have a mean contrast above 0, from contrasts [batches, weights]."""
    count = len(contrasts)
    error = contrasts.std(0).clamp(min=1e-12) / math.sqrt(count)
    p = t.sf((contrasts.mean(0) / error).numpy(), count - 1)
    return int((false_discovery_control(p) <= RATE).sum())


def logarithms(gradients: Tensor) -> Tensor:
    """Return log g^2 less its mean over the layer, [batches, weights]. A gradient of 0 counts as the smallest one."""
    squares = gradients.square()
    squares.clamp_(min=float(squares[squares > 0].min()))
    logs = squares.log_()
    return logs.sub_(logs.mean(1, keepdim=True))


def shares(model: SparseCBM, batches: Sequence[Batch], real: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the share of weights that is found for each concept, against the others and against itself."""
    names = model.concept_set.names
    counts = {"found": dict.fromkeys(names, 0), "control": dict.fromkeys(names, 0)}
    streams: dict[str, Iterator[tuple[str, Tensor]]] = {
        name: stream_gradients(model, name, batches, MEMORY) for name in names
    }
    weights = 0
    for layers in zip(*streams.values(), strict=True):
        logs = {name: logarithms(gradients) for name, (_, gradients) in zip(names, layers, strict=True)}
        total = torch.stack([logs[name] for name in real]).sum(0)
        weights += total.shape[1]
        for name in names:
            others = (total - logs[name]) / (len(real) - 1) if name in real else total / len(real)
            counts["found"][name] += found(logs[name] - others)
            counts["control"][name] += found(logs[name][::2] - logs[name][1::2])
    return {kind: {name: round(n / weights, 4) for name, n in by_name.items()} for kind, by_name in counts.items()}


def measure(params: Params) -> dict:
    """Measure one seed."""
    with reproducible(params.seed, params.threads):
        frames, concept_set = annotated(params)
        dense = dense_model(params, frames, concept_set)
        nulls = choose_null_concepts(frames["train"], concept_set, NULLS, params.seed)
        model = with_null_concepts(dense, nulls)
        training = with_null_states(frames["train"], nulls)
        data = build_examples(training, model, params.finetune.targets)
        layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from)
        parameters = dict(model.backbone.named_parameters())
        shapes = {layer: tuple(parameters[f"{layer}.weight"].shape) for layer in layers}
        model.masks = MaskSet.dense(model.concept_set.names, shapes)
        refit_concept_heads(model, data, pooled_under_masks(model, data), gamma=None)
        # One text of each group, so that batches are independent.
        drawn = training.reset_index(drop=True).sample(frac=1, random_state=params.seed).drop_duplicates("group").index
        chosen = np.array(drawn)[: BATCHES * TEXTS].reshape(-1, TEXTS)
        pad_id = model.tokenizer.pad_token_id
        batches = [build_batch(data, indices.tolist(), pad_id, model.device) for indices in chosen]
        return {"settings": settings_of(params), "batches": len(batches), **shares(model, batches, concept_set.names)}


def main() -> None:
    """Measure the missing results, then print."""
    arguments = source_parser(__doc__.splitlines()[0]).parse_args()
    profiles = ("cebab",) if arguments.data else ()
    runs = [configured(arguments.data, "joint", seed, arguments.set, profiles) for seed in arguments.seeds]
    path = RESULTS / f"weight-contrast-{subject(runs[0])}.json"
    for seed, result in measure_seeds(path, runs, settings_of, measure).items():
        for kind in ("found", "control"):
            cells = [f"{name} {100 * share:.1f} %" for name, share in result[kind].items()]
            print(f"seed {seed} {kind:8} " + ", ".join(cells))


if __name__ == "__main__":
    main()
