"""Predicts with an exported model. It needs numpy, tokenizers and the engine, and no torch.

from sparsecbm import ExportedModel

model = ExportedModel.from_pretrained("exported")
model.predict("The ramen was superb.").label.state
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from tokenizers import Tokenizer

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ModelError
from sparsecbm.base.extras import missing_extras_explained
from sparsecbm.base.foreign_faults import foreign_faults
from sparsecbm.base.length_batches import batch_by_length
from sparsecbm.export.manifest import GRAPHS, TOKENIZER, read_manifest
from sparsecbm.export.processor import weight_bits
from sparsecbm.model.prediction import Prediction, state_predictions

HINTS = {"float32": "f32", "bf16": "bf16"}  # a processor without instructions for bf16 computes float32
SLOW_FUSION = "SkipLayerNormFusion"  # a sum and a norm in one operation, four times as slow as the two
# ids and mask, [batch, tokens], int64 -> label logits, and logits of all concepts side by side if there are any
Run = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]


class ExportedModel:
    """A model that `sparsecbm export` wrote. It predicts; explanations, edits and patches need the model itself.

    Attributes:
        manifest: the content of `export.json`
        concept_set: names and states of the concepts and the label
        run: computes the logits of a batch; one thread at a time for OpenVINO
    """

    def __init__(self, manifest: dict[str, Any], tokenizer: Tokenizer, run: Run):
        self.manifest, self.concept_set = manifest, ConceptSet.from_dict(manifest["vocabulary"])
        self._tokenizer, self.run = tokenizer, run
        self._tokenizer.enable_truncation(manifest["max_length"], direction=manifest["truncation"])

    @classmethod
    def from_pretrained(cls, path: str | Path, threads: int = 0) -> "ExportedModel":
        """Load an exported model; every file's sha256 is verified first.

        Args:
            threads: that the engine computes with; 0 is the engine's own choice

        Raises:
            ModelError: the folder holds no exported model, or it was altered; or its 8-bit weights overflow on this
                processor.
            MissingExtraError: the engine is not installed; the message says how to install it.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        if manifest.get("weight_bits") == 8 and weight_bits() != 8:
            raise ModelError(
                f"{folder} was exported on another kind of processor: its weights have 8 bits, and this processor has "
                "no VNNI, so that sums of products would overflow. Export the model here again, or take float32"
            )
        start = {"onnx": start_onnx_runtime, "openvino": start_openvino}[manifest["engine"]]
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        with missing_extras_explained():
            run = start(folder / GRAPHS[manifest["engine"]], threads, manifest["precision"])
        return cls(manifest, tokenizer, run)

    def too_long(self, text: str) -> bool:
        """Whether a text has more tokens than the model reads, so that a part of it counts for nothing."""
        return bool(self._tokenizer.encode(text).overflowing)

    def logits(self, texts: Sequence[str], batch_size: int = 32) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits of the label, [texts, classes], and of each concept, [texts, states]."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        names = self.concept_set.names if self.manifest["concepts"] else ()
        widths = [len(self.concept_set[name]) for name in names]
        label = np.zeros((len(rows), len(self.concept_set.label)), np.float32)
        concepts = np.zeros((len(rows), sum(widths)), np.float32)
        for batch in batch_by_length([len(row) for row in rows], batch_size):
            outputs = self.run(*pad_rows([rows[row] for row in batch], self.manifest["pad"]))
            label[batch] = outputs[0]
            if names:
                concepts[batch] = outputs[1]
        return label, dict(zip(names, np.split(concepts, np.cumsum(widths)[:-1], axis=1), strict=False))

    @overload
    def predict(self, texts: str, batch_size: int = 32) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, texts: Sequence[str], batch_size: int = 32) -> list[Prediction]: ...

    def predict(self, texts: str | Sequence[str], batch_size: int = 32) -> Prediction | list[Prediction]:
        """Label and concepts, with probabilities: one prediction for one text, a list for several."""
        if isinstance(texts, str):
            return self.predict([texts], batch_size)[0]
        label, concepts = self.logits(texts, batch_size)
        labels = state_predictions(self.concept_set.label, label)
        states = {name: state_predictions(self.concept_set[name], values) for name, values in concepts.items()}
        return [
            Prediction(text, labels[i], {name: predictions[i] for name, predictions in states.items()})
            for i, text in enumerate(texts)
        ]


def pad_rows(rows: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad token ids on the right to the longest row; ids and mask, each [batch, tokens], int64."""
    longest = max(1, max(len(row) for row in rows))
    ids, mask = np.full((len(rows), longest), pad, np.int64), np.zeros((len(rows), longest), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : max(1, len(row))] = row, 1  # a text without tokens gets one padding token
    return ids, mask


def start_onnx_runtime(file: Path, threads: int, precision: str) -> Run:
    """A function that runs a graph by ONNX Runtime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with foreign_faults(f"{file} cannot be run"):
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=[SLOW_FUSION]
        )
    return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})


def start_openvino(file: Path, threads: int, precision: str) -> Run:
    """A function that runs a graph by OpenVINO on the processor."""
    import openvino

    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads} if threads else {}
    if precision in HINTS:  # else OpenVINO chooses bf16 for what is not int8, where the processor multiplies it
        settings["INFERENCE_PRECISION_HINT"] = HINTS[precision]
    with foreign_faults(f"{file} cannot be run"):
        compiled = openvino.Core().compile_model(file, "CPU", settings)
    request = compiled.create_infer_request()

    def run(ids: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        outputs = request.infer({"ids": ids, "mask": mask})
        return [outputs[number] for number in range(len(compiled.outputs))]

    return run
