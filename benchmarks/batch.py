"""`sparsecbm batch`: its rate against bare forward passes, its memory by the size of the input, one and two workers.

    python benchmarks/batch.py [--texts 3000] [--sizes 10000 100000] [--workers-texts 2000] [--output FILE]

**Rate.** MiniLM-L6 with random masks for four concepts, as in `prediction_speed.py`; texts are windows of 20 words of
the embedded reviews, in a csv file, one thread. After each part, the same model runs the bare forward passes on the
same batches, already tokenised; every second part they come first. The batch has all the rest: the CPU time of reading
twice, tokenising, making rows, compressing, writing and checksums. The ratio is of CPU times, since other programs
share the machine.

**Memory.** A tiny transformer, so that many texts go through in a short time: the most that the process ever held, by
the number of texts in the csv file. What the model itself takes does not depend on the number.

**Workers.** Seconds of the clock with one and with two processes on MiniLM; two cores must be free for it to tell.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from inference import unstructured_masks
from prediction_speed import MASKED_FROM, windows

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.batch.parts import InputPart, PartWorker
from sparsecbm.batch.run import BatchOptions, predict_batch, prepare_batch, run_batch
from sparsecbm.data.ingest import ingest
from sparsecbm.model.batches import batch_by_length, encode
from sparsecbm.model.cbm import Settings
from sparsecbm.model.execution import Execution, prediction_copy
from sparsecbm.planning.base_memory import peak_memory

RESULT = Path(__file__).parent / "results" / "batch.json"
WORDS = 20
FLOAT32 = BatchOptions(precision="float32")


class Alternating:
    """An engine that runs the bare forward passes of each part beside its work.

    Attributes:
        bare: CPU seconds of the bare passes
        excluded: CPU seconds to tokenise for them
    """

    def __init__(self, folder: Path) -> None:
        self.model = prediction_copy(SparseCBM.from_pretrained(folder), Execution("multiplied", "float32"))
        self.bare = self.excluded = 0.0

    def __call__(self, work: PartWorker, parts: Iterable[InputPart]) -> Iterator[tuple[InputPart, object]]:
        """Run each part and its bare passes; which come first alternates."""
        for number, part in enumerate(parts):
            if number % 2:
                self._pass(part)
            yield part, work(part)
            if not number % 2:
                self._pass(part)

    def _pass(self, part: InputPart) -> None:
        before = time.process_time()
        rows = encode(self.model.tokenizer, [row.text for row in part.rows], self.model.settings.max_length)
        batches = batch_by_length([len(ids) for ids in rows], 32)
        between = time.process_time()
        self.model.logits_in_batches(rows, batches)
        self.excluded += between - before
        self.bare += time.process_time() - between


def write_texts(path: Path, texts: Sequence[str]) -> None:
    """Write a csv file with an id for each text."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text"])
        writer.writerows((f"k{number}", text) for number, text in enumerate(texts))


def measure_rate(folder: Path, source: Path, output: Path, texts: int) -> dict[str, float]:
    """Return CPU milliseconds a text of the batch and of the bare passes, and the share of their rate."""
    engine = Alternating(folder)
    before = time.process_time()
    run_batch(prepare_batch(folder, source, output, FLOAT32), engine)
    batch = time.process_time() - before - engine.bare - engine.excluded
    return {
        "texts": texts,
        "bare_ms": round(1000 * engine.bare / texts, 3),
        "batch_ms": round(1000 * batch / texts, 3),
        "share_of_rate": round(engine.bare / batch, 4),
    }


def measure_memory(size: int, scratch: Path) -> dict[str, float]:
    """Return the largest memory of a process that predicts so many texts, in MB, and its CPU seconds."""
    command = [sys.executable, __file__, "--only-memory", str(size), "--scratch", str(scratch)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def predict_many(size: int, scratch: Path) -> None:
    """Predict so many texts with the tiny model in this process, and print what it took."""
    source = scratch / f"{size}.csv"
    stream = [f"the food was good and the service slow number {number}" for number in range(size)]
    write_texts(source, stream)
    del stream
    predict_batch(scratch / "tiny", source, scratch / f"tiny-{size}", FLOAT32)
    print(json.dumps({"megabytes": round(peak_memory() / 2**20, 1), "cpu_seconds": round(time.process_time(), 1)}))


def measure_workers(folder: Path, source: Path, scratch: Path) -> dict[str, float]:
    """Return seconds of the clock by number of workers, and the ratio."""
    seconds = {}
    for workers in (1, 2):
        command = [sys.executable, "-m", "sparsecbm", "batch", str(folder), str(source)]
        before = time.perf_counter()
        subprocess.run([*command, str(scratch / f"w{workers}"), "--workers", str(workers)], check=True)
        seconds[str(workers)] = round(time.perf_counter() - before, 1)
    return {**seconds, "ratio": round(seconds["1"] / seconds["2"], 2)}


def save_model(folder: Path) -> list[str]:
    """Save MiniLM with random masks; return the embedded reviews."""
    workspace = Workspace.find(Path(__file__).parent)
    params = load_params(workspace.params)
    torch.manual_seed(params.seed)
    splits, manifest = ingest(params.source, params.split, params.seed, workspace.root)
    settings = Settings(**params.model.model_dump(exclude={"backbone"}))
    model = SparseCBM.build(params.model.backbone, ConceptSet.from_dict(manifest["vocabulary"]), settings)
    model.masks = unstructured_masks(model, MASKED_FROM)
    model.save_pretrained(folder)
    return splits["train"]["text"].tolist()


def save_tiny_model(scratch: Path) -> None:
    """Save a transformer of two narrow blocks."""
    from tests.support.tiny_models import tiny_model, write_backbone

    tiny_model(write_backbone(scratch / "backbone")).save_pretrained(scratch / "tiny")


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--workers-texts", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--only-memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.only_memory:
        predict_many(arguments.only_memory, arguments.scratch)
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        reviews = save_model(scratch / "model")
        save_tiny_model(scratch)
        write_texts(scratch / "rate.csv", windows(reviews, WORDS, arguments.texts))
        result = {
            "words": WORDS,
            "torch": torch.__version__,
            "rate": measure_rate(scratch / "model", scratch / "rate.csv", scratch / "rate", arguments.texts),
            "memory": {str(size): measure_memory(size, scratch) for size in arguments.sizes},
        }
        if arguments.workers_texts:
            write_texts(scratch / "workers.csv", windows(reviews, WORDS, arguments.workers_texts))
            result["workers"] = measure_workers(scratch / "model", scratch / "workers.csv", scratch)
    result["load"] = {"before": round(load, 1), "after": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    print(json.dumps(result, indent=2))
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
