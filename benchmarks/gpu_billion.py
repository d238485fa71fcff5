"""A random decoder of a billion weights with four concepts in 24 GB: announced by arithmetic, and measured on a GPU.

    python -m benchmarks.gpu_billion --announce          the arithmetic alone, on any machine, in a minute
    python -m benchmarks.gpu_billion [--texts 64]        fine-tunes and prunes on the GPU, and measures
    python -m benchmarks.gpu_billion --tiny              the same steps with a tiny decoder, on the CPU too

The decoder has the sizes of Llama 3.2 1B and random weights, so nothing is learnt; memory and time are what counts. It
is fine-tuned with adapters of low rank and gradient checkpointing, and gets masks from low-rank scores. On a GPU the
process may take 24 GB and no more, and peaks are those of torch's allocator. Each stage is written to
benchmarks/results/gpu-billion.json at once (with --tiny: nothing is written).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from benchmarks.planning import MINILM, WORKSPACE
from benchmarks.tables import annotated
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params, load_params, parse_params, plain_params
from sparsecbm.model.architecture import without_memory
from sparsecbm.model.backbone import describe_backbone
from sparsecbm.model.cbm import ConceptBottleneck, Settings
from sparsecbm.planning.memory import DRY_RUN, StageMemory, Texts, memory_of_stages
from sparsecbm.planning.saved_tensors import without_weights
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.modes import fit
from sparsecbm.train.reproducible import reproducible

RESULT = Path(__file__).parent / "results" / "gpu-billion.json"
GIGABYTE = 2**30
LIMIT = 24  # gigabytes that the process may take
TOKENS = 64
LLAMA_1B = {
    "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 8192, "vocab_size": 128_256, "max_position_embeddings": 2048,
}  # fmt: skip
TINY = {**LLAMA_1B, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
TINY["vocab_size"] = 30_522  # as many as the tokenizer has
SETTINGS = {
    "model": {"max_length": TOKENS},
    "finetune": {"epochs": 1, "batch_size": 4, "adapter": "lora", "gradient_checkpointing": True},
    "prune": {"scores": "low_rank", "masked_from": 8, "events": 1, "gradients": 4, "end": 0.0},
}


def settings(**sections: dict) -> Params:
    """Return the parameters of params.yaml with those of this benchmark, and other ones over them."""
    plain = plain_params(load_params(WORKSPACE.params))
    for section, values in SETTINGS.items():
        plain[section] |= values | sections.get(section, {})
    return parse_params(plain)


def build(sizes: dict, concepts: ConceptSet, params: Params, device: torch.device) -> ConceptBottleneck:
    """Return a decoder of random weights with heads; on the device `meta` its weights take no memory."""
    config = AutoConfig.for_model("llama", use_cache=False, **sizes)
    tokenizer = describe_backbone(MINILM)[1]
    of_model = Settings(**params.model.model_dump(exclude={"backbone"}))
    if device.type == "meta":
        backbone = without_memory(lambda: AutoModel.from_config(config))
        return without_weights(ConceptBottleneck(backbone, tokenizer, concepts, of_model))
    with device:  # random numbers of a billion weights take minutes on a processor
        return ConceptBottleneck(AutoModel.from_config(config), tokenizer, concepts, of_model)


def announced(sizes: dict, concepts: ConceptSet, params: Params) -> dict[str, StageMemory]:
    """Return the memory of each stage on a GPU by arithmetic, for batches of the longest texts."""
    shell = build(sizes, concepts, params, torch.device("meta"))
    stages = memory_of_stages(shell, params, Texts(1000, TOKENS), base=0)
    # The first part is the process, which is not on the GPU.
    on_gpu = {stage.stage: tuple(part for part in stage.parts[1:] if part.name != DRY_RUN) for stage in stages}
    return {stage: StageMemory(stage, parts) for stage, parts in on_gpu.items()}


def print_announced(sizes: dict, concepts: ConceptSet) -> None:
    """Print the arithmetic of what fits, and of what does not without adapters and low-rank scores."""
    for name, params in {
        "adapters, gradient checkpointing, low-rank scores": settings(),
        "all weights, full scores": settings(
            finetune={"adapter": "none", "gradient_checkpointing": False}, prune={"scores": "full"}
        ),
    }.items():
        for stage, memory in announced(sizes, concepts, params).items():
            parts = "; ".join(f"{part.name} {part.size / GIGABYTE:.2f}" for part in memory.parts)
            print(f"{name}, {stage}: {memory.size / GIGABYTE:.1f} GB ({parts})", flush=True)


def measured(name: str, device: torch.device, action) -> tuple[object, dict]:
    """Run a stage; return its result, its seconds and the most memory that tensors took on the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    result = action()
    row = {"seconds": round(time.perf_counter() - start, 1)}
    if device.type == "cuda":
        row["peak_gb"] = round(torch.cuda.max_memory_allocated() / GIGABYTE, 2)
    print(name, row, flush=True)
    return result, row


def main() -> None:
    """Announce, and measure where there is a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--announce", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--texts", type=int, default=64)
    arguments = parser.parse_args()
    sizes, params = TINY if arguments.tiny else LLAMA_1B, settings()
    frames, concepts = annotated(params)
    if arguments.announce:
        print_announced(sizes, concepts)
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not arguments.tiny:
        parser.error("a billion weights need a GPU here; --announce and --tiny do not")
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(LIMIT * GIGABYTE / torch.cuda.get_device_properties(0).total_memory)
    longest = frames["train"].iloc[frames["train"]["text"].str.len().argsort()[::-1][: arguments.texts + 16]]
    tables = longest[: arguments.texts], longest[arguments.texts :]
    expected = announced(sizes, concepts, params)
    results: dict = {"device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu", "stages": {}}
    with reproducible(params.seed, torch.get_num_threads()), tempfile.TemporaryDirectory() as scratch:
        model = build(sizes, concepts, params, device)
        results["parameters"] = sum(weight.numel() for weight in model.parameters())
        results["masked_from"] = params.prune.masked_from
        runs = {name: TrainingRun(params.seed, Checkpoints(Path(scratch) / name)) for name in expected}
        options = PruneOptions(params.prune, params.finetune)
        stages = {
            "finetune": lambda: fit(model, *tables, params.finetune, runs["finetune"]),
            "prune": lambda: fit_masks(model, *tables, options, runs["prune"]),
        }
        for name, action in stages.items():
            _, row = measured(name, device, action)
            results["stages"][name] = {**row, "announced_gb": round(expected[name].size / GIGABYTE, 2)}
            if not arguments.tiny:
                write_json(RESULT, results)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
