"""Inference of all concepts at 75 % sparsity, compared with one dense forward pass.

    python benchmarks/inference.py [--rounds 20] [--texts 32] [--masked-from 0] [--output FILE]

Unstructured masks run in three ways: in one call, in one pass for each concept, and in one call with the masks
multiplied out (`unfold`). Structured masks run compacted (`compact`). The backbone is the default one (MiniLM-L6).
Texts are embedded reviews of about 40 tokens. OMP_NUM_THREADS sets the number of threads.

Time does not depend on which weights are dropped, so masks are random: single weights, or one score for each head and
neuron. The ways take turns, so that a machine whose speed drifts affects all equally. A ratio to one dense forward pass
is the median of the ratios within a round. CPU time excludes time that the machine spent on other programs.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.ingest import ingest
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import Settings
from sparsecbm.model.compact import unfold
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from sparsecbm.pruning.structured import select_units

RESULT = Path(__file__).parent / "results" / "inference.json"
SPARSITY = 0.75
TOKENS = 40


def unstructured_masks(model: SparseCBM, masked_from: int) -> MaskSet:
    """Return masks that keep a random quarter of each layer."""
    layers = prunable_layers(model.backbone, masked_from=masked_from)
    return MaskSet.from_masks(
        {
            name: {layer: torch.rand(module.weight.shape) >= SPARSITY for layer, module in layers.items()}
            for name in model.concept_set.names
        }
    )


def structured_masks(model: SparseCBM, masked_from: int) -> tuple[MaskSet, dict[str, dict[str, int]]]:
    """Return masks that keep random heads and neurons, a quarter of each block, and the kept units of each concept."""
    layers = prunable_layers(model.backbone, masked_from=masked_from)
    units = find_units(model.backbone)
    masks, kept = {}, {}
    for name in model.concept_set.names:
        values = {layer: torch.zeros_like(module.weight) for layer, module in layers.items()}
        for group in (group for group in units if group.layers[0] in layers):
            scores = torch.rand(group.count)
            for part in group.parts:
                spread = scores.repeat_interleave(part.width)
                shape = (-1, 1) if part.axis == 0 else (1, -1)
                values[part.layer].narrow(part.axis, part.start, len(spread)).copy_(spread.view(shape))
        selection = select_units(units, values, SPARSITY)
        masks[name] = selection.masks
        kept[name] = {
            kind: sum(number for (unit_kind, _), number in selection.kept.items() if unit_kind == kind)
            for kind in ("head", "neuron")
        }
    return MaskSet.from_masks(masks), kept


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Return median clock and CPU milliseconds of each way, and its ratio to the first."""
    clock, cpu = {name: [] for name in ways}, {name: [] for name in ways}
    names = list(ways)
    for number in range(-2, rounds):  # the first two warm up
        for name in names[number % len(names) :] + names[: number % len(names)]:
            wall, used = time.perf_counter(), time.process_time()
            ways[name]()
            wall, used = time.perf_counter() - wall, time.process_time() - used
            if number >= 0:
                clock[name].append(1000 * wall)
                cpu[name].append(1000 * used)

    def ratio(times: dict[str, list[float]], name: str) -> float:
        return round(statistics.median(a / b for a, b in zip(times[name], times[names[0]], strict=True)), 3)

    return {
        name: {
            "clock_ms": round(statistics.median(clock[name]), 1),
            "cpu_ms": round(statistics.median(cpu[name]), 1),
            "clock_ratio": ratio(clock, name),
            "cpu_ratio": ratio(cpu, name),
        }
        for name in names
    }


@torch.inference_mode()
def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--masked-from", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    workspace = Workspace.find(Path(__file__).parent)
    params = load_params(workspace.params)
    torch.manual_seed(params.seed)
    splits, manifest = ingest(params.source, params.split, params.seed, workspace.root)
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    settings = Settings(**params.model.model_dump(exclude={"backbone"}))
    dense, masked, structured = (SparseCBM.build(params.model.backbone, concept_set, settings).eval() for _ in range(3))
    masked.masks = unstructured_masks(masked, arguments.masked_from)
    structured.masks, kept = structured_masks(structured, arguments.masked_from)
    compact, unfolded = structured.compact(), unfold(masked)

    rows = encode(dense.tokenizer, list(splits["train"]["text"]), settings.max_length)
    rows = sorted(rows, key=lambda row: abs(len(row) - TOKENS))[: arguments.texts]
    ids, mask = pad(rows, dense.tokenizer.pad_token_id)
    for slow, fast in ((structured, compact), (masked, unfolded)):
        torch.testing.assert_close(fast(ids, mask).label_logits, slow(ids, mask).label_logits, atol=1e-5, rtol=1e-5)

    every = torch.arange(len(ids))
    ways = {
        "dense": lambda: dense(ids, mask),
        "unstructured": lambda: masked(ids, mask),
        "separate": lambda: [masked.represent(ids, mask, {name: every}) for name in concept_set.names],
        "unfolded": lambda: unfolded(ids, mask),
        "compact": lambda: compact(ids, mask),
    }
    result = {
        "backbone": params.model.backbone,
        "concepts": len(concept_set),
        "sparsity": SPARSITY,
        "masked_from": arguments.masked_from,
        "texts": len(rows),
        "tokens": {"mean": round(sum(map(len, rows)) / len(rows), 1), "padded": ids.shape[1]},
        "rounds": arguments.rounds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "units_kept": kept,
        "parameters": {
            "dense": sum(p.numel() for p in dense.backbone.parameters()),
            "unfolded": sum(p.numel() for p in unfolded.backbone.parameters()),
            "compact": sum(p.numel() for p in compact.backbone.parameters()),
            "compact_by_concept": compact.parameters_by_concept(),
        },
        "ways": measure(ways, arguments.rounds),
    }
    for name, times in result["ways"].items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in times.items()))
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
