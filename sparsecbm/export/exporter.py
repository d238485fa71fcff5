"""Exports a model: writes its graph, compares it with the model, and measures what a lower precision changes."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.base.extras import EXTRAS, require
from sparsecbm.base.files import replacing_folder, sha256_file, write_json, write_text
from sparsecbm.base.length_batches import batch_by_length
from sparsecbm.base.metrics import MISSING, accuracy
from sparsecbm.base.outputs import CHECKSUMS, EXPORT, refuse_inside_model
from sparsecbm.export.engines import OPSET, PACKAGES, WRITERS, Inputs, require_bf16
from sparsecbm.export.even_inputs import even_inputs
from sparsecbm.export.graph import PredictionGraph
from sparsecbm.export.manifest import FORMAT, TOKENIZER, check_export_folder
from sparsecbm.export.processor import weight_bits
from sparsecbm.export.runner import ExportedModel, pad_rows
from sparsecbm.model.batches import encode
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.storage import load

TOLERANCE = 1e-4  # of float32 logits
CALIBRATION_BATCH = 8


@dataclass(frozen=True)
class LowPrecision:
    """A precision below float32, and the texts on which it is measured.

    Attributes:
        precision: bf16 (OpenVINO alone) | int8
        split: name of the split
        frame: columns `text`, `label` and `concept.NAME`
        calibration: other texts, by which the sizes of inputs are measured for int8
    """

    precision: str
    split: str
    frame: pd.DataFrame
    calibration: Sequence[str]


@dataclass(frozen=True)
class Accuracies:
    """Accuracies of the model and of its exported form on the same texts, by concept and for the label; and agreement.

    Attributes:
        split: name of the split
        texts: number of texts
        float32, exported: share of right states by name, over texts with a known one; nan is left out
        label_equal: share of texts whose label is that of the model
        states_equal: share of all states of concepts that are those of the model
    """

    split: str
    texts: int
    float32: dict[str, float]
    exported: dict[str, float]
    label_equal: float
    states_equal: float


def export_model(source: Path, target: Path, engine: str, low_precision: LowPrecision | None = None) -> dict[str, Any]:
    """Export the model of a folder to another folder, which appears whole or not at all.

    Args:
        engine: onnx | openvino
        low_precision: None exports float32

    Returns:
        the manifest, as `export.json` holds it

    Raises:
        MissingExtraError: the engine is not installed.
        ConfigError: the engine has no bf16.
        ModelError: the model is missing or altered, cannot be exported, or its graph gives other logits; or this
            processor has no instructions for bf16.
        WriteError: something else is at `target`.
    """
    require(*EXTRAS[engine])
    model: ConceptBottleneck = load(source)
    if not model.tokenizer.is_fast:
        raise ModelError(f"{source}: its tokenizer has no fast form, so nothing but transformers could run it")
    refuse_inside_model(target)
    precision = low_precision.precision if low_precision else "float32"
    if precision == "bf16":
        require_bf16(engine)
    graph = PredictionGraph(model)
    with replacing_folder(target, check_export_folder) as folder:
        calibration = _batches(model, low_precision.calibration) if low_precision and precision == "int8" else None
        if calibration:
            even_inputs(graph, calibration)
        WRITERS[engine](graph, folder, calibration)
        write_text(folder / TOKENIZER, model.tokenizer.backend_tokenizer.to_str())
        manifest = {
            "format": FORMAT,
            "engine": engine,
            "precision": precision,
            "weight_bits": weight_bits() if precision == "int8" else None,
            "opset": OPSET,
            "vocabulary": model.concept_set.to_dict(),
            "concepts": model.has_bottleneck,
            "max_length": model.settings.max_length,
            "pad": model.tokenizer.pad_token_id,
            "truncation": model.tokenizer.truncation_side,
            "model": sha256_file(source / CHECKSUMS),
            "files": {file.name: sha256_file(file) for file in sorted(folder.iterdir())},
            "versions": {name: importlib.metadata.version(name) for name in ("sparsecbm", "torch", *PACKAGES[engine])},
        }
        write_json(folder / EXPORT, manifest)
        exported = ExportedModel.from_pretrained(folder)
        if low_precision:
            manifest["measured"] = asdict(_measure(model, exported, low_precision))
        else:
            manifest["largest_difference"] = _compare(graph, exported)
        write_json(folder / EXPORT, manifest)
    return manifest


def _batches(model: ConceptBottleneck, texts: Sequence[str]) -> list[Inputs]:
    rows = encode(model.tokenizer, texts, model.settings.max_length)
    batches = batch_by_length([len(row) for row in rows], CALIBRATION_BATCH)
    return [pad_rows([rows[row] for row in batch], model.tokenizer.pad_token_id) for batch in batches]


@torch.no_grad()
def _compare(graph: PredictionGraph, exported: ExportedModel) -> float:
    """The largest difference of logits over random tokens: one of them, the longest text, and padded rows.

    Raises:
        ModelError: it is too large.
    """
    draw = np.random.default_rng(0)
    words, longest = len(graph.model.tokenizer), graph.model.settings.max_length
    differences = []
    for lengths in ((1,), (longest,), (longest, max(1, longest // 2), 1)):
        rows = [draw.integers(words, size=length).tolist() for length in lengths]
        ids, mask = pad_rows(rows, exported.manifest["pad"])
        expected, actual = graph(torch.from_numpy(ids), torch.from_numpy(mask)), exported.run(ids, mask)
        differences += [np.abs(a - e.numpy()).max() for a, e in zip(actual, expected, strict=True)]
    difference = float(max(differences))
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the exported graph gives other logits than the model (by up to {difference:.2g}), so it was not written; "
            f"please report the backbone family {graph.model.backbone.config.model_type!r}"
        )
    return difference


def _measure(model: ConceptBottleneck, exported: ExportedModel, measured_on: LowPrecision) -> Accuracies:
    texts = measured_on.frame["text"].tolist()
    before = model.logits(texts)
    label, concepts = exported.logits(texts)
    exact = {model.concept_set.label.name: before.label, **before.concepts}
    rounded = {model.concept_set.label.name: label, **concepts}
    gold = _gold(model, measured_on.frame)
    equal = {name: exact[name].argmax(-1) == rounded[name].argmax(-1) for name in exact}
    return Accuracies(
        measured_on.split,
        len(texts),
        _accuracies(gold, exact),
        _accuracies(gold, rounded),
        float(equal[model.concept_set.label.name].mean()),
        float(np.mean([equal[name] for name in before.concepts])) if before.concepts else 1.0,
    )


def _gold(model: ConceptBottleneck, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Indices of the annotated states by name, [texts]."""
    columns = {model.concept_set.label: "label", **{c: f"concept.{c.name}" for c in model.concept_set}}
    known = {variable: {state: i for i, state in enumerate(variable.states)} for variable in columns}
    return {
        variable.name: np.array([known[variable].get(state, MISSING) for state in frame[column]])
        for variable, column in columns.items()
    }


def _accuracies(gold: Mapping[str, np.ndarray], logits: Mapping[str, np.ndarray]) -> dict[str, float]:
    scores = {name: accuracy(gold[name], values.argmax(-1)) for name, values in logits.items()}
    return {name: score for name, score in scores.items() if np.isfinite(score)}
