"""What a model says of texts: the rows that `sparsecbm predict`, `explain` and `memory apply` print, as columns."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import ConfigError, InterventionError, ModelError
from sparsecbm.base.files import sha256_file
from sparsecbm.base.outputs import CHECKSUMS, EXPORT
from sparsecbm.explain.contributions import contributions_from_logits
from sparsecbm.explain.explainer import explain
from sparsecbm.export.runner import ExportedModel
from sparsecbm.intervene.memory.index import INDEX
from sparsecbm.intervene.memory.recall import CorrectedPrediction, predict_with_corrections
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.execution import Execution, Masks, Precision, prediction_copy

Explain = Literal["none", "short", "full"]
EXPLAIN: tuple[Explain, ...] = ("none", "short", "full")
Answer = Mapping[str, Any]


@dataclass(frozen=True)
class AnswerSettings:
    """How texts are answered, whoever does it.

    Attributes:
        model: folder of the model
        sha256: of the file in it that lists its checksums
        masks, precision: how it is run; without `auto`, so that every worker does the same
        explain: none | short (contributions of the concepts to the label) | full (words and subnetworks, too)
        patches: files of mask patches to apply
        corrections: a store of corrections that act on similar texts
        threshold: smallest similarity at which a correction acts, from -1 to 1
    """

    model: Path
    sha256: str
    masks: Masks
    precision: Precision
    explain: Explain = "none"
    patches: tuple[Path, ...] = ()
    corrections: Path | None = None
    threshold: float = 1.0


@dataclass(frozen=True, eq=False)
class Answerer:
    """A model that is ready to answer.

    Attributes:
        columns: of an answer
        answer: texts -> an answer for each
    """

    columns: pa.Schema
    answer: Callable[[list[str]], Sequence[Answer]]


def model_checksum(folder: Path) -> str:
    """sha256 of the file that lists the checksums of a model or of an exported one.

    Raises:
        ModelError: the folder holds neither.
    """
    for name in (EXPORT, CHECKSUMS):
        if (folder / name).is_file():
            return sha256_file(folder / name)
    raise ModelError(f"{folder} holds no model; `sparsecbm run` writes models/sparse")


def resolve(settings: AnswerSettings) -> AnswerSettings:
    """Check settings, and replace `auto` by what suits this machine and the model.

    Raises:
        ConfigError: settings that exclude each other.
        ModelError: there is no model, or it was altered.
        InterventionError: the store holds no corrections, or a patch does not fit.
    """
    exported = (settings.model / EXPORT).is_file()
    if settings.corrections is not None:
        if settings.explain != "none":
            raise ConfigError("explanations are of the model's own predictions; leave out either them or corrections")
        if not (settings.corrections / INDEX).is_file():
            raise InterventionError(f"{settings.corrections} holds no corrections; `sparsecbm memory add` adds some")
        if not -1 <= settings.threshold <= 1:
            raise ConfigError("the similarity at which corrections act (--threshold) is between -1 and 1")
    if exported:
        if settings.explain != "none" or settings.patches or settings.corrections is not None:
            raise ConfigError(f"{settings.model} is an exported model, which only predicts; take the model itself")
        if settings.precision != "auto":
            raise ConfigError(f"{settings.model} is an exported model, whose precision is fixed; leave out --precision")
        ExportedModel.from_pretrained(settings.model, threads=1)
        return settings
    model = _load_model(settings)
    if settings.explain != "none" and not model.has_bottleneck:
        raise ConfigError("a model of mode `standard` has no concepts, so there is nothing to explain its label by")
    if settings.explain == "full" or settings.corrections is not None:
        # As `sparsecbm explain` and `sparsecbm memory apply` compute.
        if settings.precision == "bf16":
            raise ConfigError("full explanations and corrections are computed in float32; leave out --precision bf16")
        how = Execution("packed", "float32")
    else:
        how = Execution(settings.masks, settings.precision).resolved(model)
    return replace(settings, masks=how.masks, precision=how.precision)


@lru_cache(maxsize=1)
def load_answerer(settings: AnswerSettings) -> Answerer:
    """Load a model; a process keeps the last one.

    Args:
        settings: as `resolve` gives them

    Raises:
        ModelError: the model is not the one that the settings name.
    """
    if model_checksum(settings.model) != settings.sha256:
        raise ModelError(f"{settings.model} is another model than when this batch began")
    if (settings.model / EXPORT).is_file():
        exported = ExportedModel.from_pretrained(settings.model, threads=1)
        columns = _columns(exported.concept_set, bool(exported.manifest["concepts"]), settings)
        return Answerer(columns, lambda texts: [each.to_dict() for each in exported.predict(texts)])
    model = _load_model(settings)
    columns = _columns(model.concept_set, model.has_bottleneck, settings)
    if settings.corrections is not None:
        memory = Memory(settings.corrections)
        return Answerer(
            columns,
            lambda texts: list(map(_corrected, predict_with_corrections(model, memory, texts, settings.threshold))),
        )
    if settings.explain == "full":
        return Answerer(columns, lambda texts: _explained(model, texts, settings.sha256))
    fast = prediction_copy(model, Execution(settings.masks, settings.precision))
    explains = settings.explain == "short"

    def answer(texts: list[str]) -> list[Answer]:
        logits = fast.logits(texts)
        answers: list[Answer] = [prediction.to_dict() for prediction in fast.predictions(texts, logits)]
        if not explains:
            return answers
        contributions = contributions_from_logits(fast, logits)
        return [
            {**row, "explanation": json.dumps(each.to_dict(), ensure_ascii=False)}
            for row, each in zip(answers, contributions, strict=True)
        ]

    return Answerer(columns, answer)


def is_finite(answer: Answer) -> bool:
    """Whether the probabilities of an answer are numbers."""
    confidences = [answer["confidence"], *(concept["confidence"] for concept in answer["concepts"].values())]
    return all(map(math.isfinite, confidences))


def _load_model(settings: AnswerSettings) -> SparseCBM:
    model = SparseCBM.from_pretrained(settings.model)
    return model.with_patches(*map(MaskPatch.load, settings.patches)) if settings.patches else model


def _explained(model: SparseCBM, texts: list[str], folder: str) -> list[Answer]:
    predictions = model.predict(texts)
    explanations = explain(model, texts, folder=folder)
    return [
        {**prediction.to_dict(), "explanation": explanation.to_json()}
        for prediction, explanation in zip(predictions, explanations, strict=True)
    ]


def _corrected(result: CorrectedPrediction) -> Answer:
    acted = [
        {"concept": name, "state": offer.correction.state, "likeness": offer.likeness, "id": offer.correction.id}
        for name, offer in result.acted.items()
    ]
    return {**result.after.to_dict(), "label_before": result.before.label.state, "corrections": acted}


def _columns(concept_set: ConceptSet, has_concepts: bool, settings: AnswerSettings) -> pa.Schema:
    """Columns with the names of `sparsecbm/schemas/predict.schema.json`."""
    fields = [("text", pa.string()), *_fields(concept_set.label, "label")]
    if has_concepts:  # parquet has no structure without fields
        concepts = [(concept.name, pa.struct(_fields(concept, "state"))) for concept in concept_set.concepts]
        fields.append(("concepts", pa.struct(concepts)))
    if settings.explain != "none":
        fields.append(("explanation", pa.string()))
    if settings.corrections is not None:
        texts = [(name, pa.string()) for name in ("concept", "state", "id")]
        acted = pa.struct([*texts[:2], ("likeness", pa.float64()), texts[2]])
        fields += [("label_before", pa.string()), ("corrections", pa.list_(acted))]
    return pa.schema(fields)


def _fields(variable: Concept, state: str) -> list[tuple[str, pa.DataType]]:
    probabilities = pa.struct([(name, pa.float64()) for name in variable.states])
    return [(state, pa.string()), ("confidence", pa.float64()), ("probabilities", probabilities)]
