"""Prediction of four concepts and a label, from texts to logits: our ways, one dense pass, and what is simpler.

    python benchmarks/prediction_speed.py [--texts 1000] [--words 20 100] [--chunk 50] [--output FILE]

The backbone is MiniLM-L6; masks are random, since time does not depend on which weights are dropped. `packed` and
`multiplied` have the masks of the default, 75 % of single weights in blocks 3 to 5. `compact` has those of the profile
`fast`. Texts are windows of words of the embedded reviews, in batches of
32, one thread. OpenVINO is left out where it is not installed, and bf16 where the processor does not multiply it.

`classifier` is MiniLM with one linear map to the label, as SetFit trains it. `static` averages rows of a table of word
pieces and applies one linear map, which is what model2vec computes: 256 numbers for each of MiniLM's pieces.

The ways take turns on each chunk of texts. A ratio to `dense` is the median over chunks of the CPU times' ratios, so a
machine whose speed drifts affects all alike. CPU time excludes the time of other programs, but not what they evict from
caches; the load is recorded.
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from inference import SPARSITY, unstructured_masks
from tables import configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.ingest import ingest
from sparsecbm.export.exporter import LowPrecision, export_model
from sparsecbm.export.runner import ExportedModel
from sparsecbm.model.batches import encode
from sparsecbm.model.cbm import Settings
from sparsecbm.model.execution import Execution, multiplies_bf16, prediction_copy
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.event import choose_masks

RESULT = Path(__file__).parent / "results" / "prediction-speed.json"
MASKED_FROM = 3
STATIC_WIDTH = 256
CALIBRATION = 40

Way = Callable[[Sequence[str]], object]


def windows(texts: Sequence[str], words: int, count: int) -> list[str]:
    """Return texts of so many words each, cut out of the given texts one after another."""
    stream = " ".join(texts).split()
    stream *= -(-words * count // len(stream))
    return [" ".join(stream[n * words : (n + 1) * words]) for n in range(count)]


def fast_masks(model: SparseCBM) -> MaskSet:
    """Return random masks of the profile `fast`, chosen as in its training."""
    prune = configured(None, "joint", 1, [], ("fast",)).prune
    layers = prunable_layers(model.backbone, prune.layers, prune.masked_from)
    names, shapes = model.concept_set.names, {layer: tuple(m.weight.shape) for layer, m in layers.items()}
    model.masks = MaskSet.dense(names, shapes)
    scores = {name: {layer: torch.rand(shape) for layer, shape in shapes.items()} for name in names}
    return choose_masks(model, prune, scores, prune.sparsity, regrow=True)


def static_embedding(model: SparseCBM) -> Way:
    """Return a classifier on the mean of fixed vectors of a text's pieces."""
    draw = np.random.default_rng(0)
    table = draw.standard_normal((len(model.tokenizer), STATIC_WIDTH), np.float32)
    head = draw.standard_normal((STATIC_WIDTH, len(model.concept_set.label)), np.float32)

    def predict(texts: Sequence[str]) -> np.ndarray:
        rows = encode(model.tokenizer, texts, model.settings.max_length)
        return np.stack([table[row].mean(0) for row in rows]) @ head

    return predict


def exported_ways(models: dict[str, SparseCBM], frame: pd.DataFrame, folder: Path) -> dict[str, Way]:
    """Return the exported forms of each model, by name."""
    ways: dict[str, Way] = {}
    bf16, int8 = (
        LowPrecision(name, "train", frame[:CALIBRATION], frame["text"].tolist()[:CALIBRATION])
        for name in ("bf16", "int8")
    )
    precisions = {"onnx": (None, int8), "openvino": (None, bf16, int8)}
    if not multiplies_bf16(torch.device("cpu")):
        precisions["openvino"] = (None, int8)
    for name, model in models.items():
        model.save_pretrained(folder / name)
        for engine, of_engine in precisions.items():
            if importlib.util.find_spec(engine) is None:
                continue
            for low in of_engine:
                precision = low.precision if low else "float32"
                target = folder / f"{name}-{engine}-{precision}"
                export_model(folder / name, target, engine, low)
                ways[f"{name}, {engine} {precision}"] = ExportedModel.from_pretrained(target, threads=1).logits
    return ways


def measure(ways: dict[str, Way], texts: list[str], chunk: int) -> dict[str, dict[str, float]]:
    """Return CPU milliseconds a text of each way, and its ratio to the first, the median over chunks.

    `faster` says how many times faster a way is than the same model in torch and float32, whose name comes before the
    comma.
    """
    chunks = [texts[start : start + chunk] for start in range(0, len(texts), chunk)]
    used: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for name in names:
        ways[name](chunks[0])  # warms up
    for number, part in enumerate(chunks):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            before = time.process_time()
            ways[name](part)
            used[name].append((time.process_time() - before) / len(part))
    figures = {
        name: {
            "cpu_ms_a_text": round(1000 * statistics.median(times), 3),
            "ratio": round(statistics.median(a / b for a, b in zip(times, used[names[0]], strict=True)), 3),
        }
        for name, times in used.items()
    }
    for name, of_way in figures.items():
        of_way["faster"] = round(figures[name.partition(",")[0]]["ratio"] / of_way["ratio"], 2)
    return figures


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--words", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--chunk", type=int, default=50)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    workspace = Workspace.find(Path(__file__).parent)
    params = load_params(workspace.params)
    torch.manual_seed(params.seed)
    splits, manifest = ingest(params.source, params.split, params.seed, workspace.root)
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    settings = params.model.model_dump(exclude={"backbone"})
    dense, masked, fast = (SparseCBM.build(params.model.backbone, concept_set, Settings(**settings)) for _ in "123")
    classifier = SparseCBM.build(params.model.backbone, concept_set, Settings(**{**settings, "mode": "standard"}))
    masked.masks = unstructured_masks(masked, MASKED_FROM)
    fast.masks = fast_masks(fast)
    ways: dict[str, Way] = {
        "dense": prediction_copy(dense, Execution("packed", "float32")).logits,
        "packed": prediction_copy(masked, Execution("packed", "float32")).logits,
        "multiplied": prediction_copy(masked, Execution("multiplied", "float32")).logits,
        "compact": prediction_copy(fast, Execution("compact", "float32")).logits,
        "classifier": prediction_copy(classifier, Execution("packed", "float32")).logits,
        "static": static_embedding(dense),
    }
    if multiplies_bf16(torch.device("cpu")):
        ways["dense, bf16"] = prediction_copy(dense, Execution("packed", "bf16")).logits
        ways["multiplied, bf16"] = prediction_copy(masked, Execution("multiplied", "bf16")).logits
        ways["compact, bf16"] = prediction_copy(fast, Execution("compact", "bf16")).logits
    with tempfile.TemporaryDirectory() as scratch:
        models = {"multiplied": masked, "compact": fast, "classifier": classifier}
        ways |= exported_ways(models, splits["train"], Path(scratch))
        before, rows = os.getloadavg(), {}
        for words in arguments.words:
            texts = windows(splits["train"]["text"].tolist(), words, arguments.texts)
            rows[str(words)] = measure(ways, texts, arguments.chunk)
            for name, figures in rows[str(words)].items():
                print(f"{words} words, {name}: {figures['cpu_ms_a_text']} ms of CPU a text, ratio {figures['ratio']}")
    flags = torch.cpu.get_capabilities()
    result = {
        "backbone": params.model.backbone,
        "concepts": len(concept_set),
        "sparsity": SPARSITY,
        "masked_from": MASKED_FROM,
        "texts": arguments.texts,
        "chunk": arguments.chunk,
        "torch": torch.__version__,
        "processor": [
            name for name in ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flags.get(name)
        ],
        "load": {"before": round(before[0], 1), "after": round(os.getloadavg()[0], 1), "cores": os.cpu_count()},
        "words": rows,
    }
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
