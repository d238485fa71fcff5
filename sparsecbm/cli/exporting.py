"""What `sparsecbm export` needs besides the model: known names, and labelled texts for bf16 and int8."""

from pathlib import Path
from typing import Any

from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.extras import EXTRAS, require
from sparsecbm.base.params import load_params, other_source
from sparsecbm.base.workspace import Workspace

ENGINES, PRECISIONS = ("onnx", "openvino"), ("float32", "bf16", "int8")
CALIBRATION_TEXTS = 200


def export_folder(
    model: Path, output: Path, engine: str, precision: str, texts: tuple[str, str | None, str | None]
) -> dict[str, Any]:
    """Export a model folder; returns the manifest.

    Args:
        texts: for bf16 and int8: the split to measure on, and the name and path of the source if it is not that of
            `params.yaml`

    Raises:
        ConfigError: engine or precision is unknown, they do not go together, or there is no workspace to take texts of.
        MissingExtraError: the engine is not installed.
    """
    for option, kind, value, choices in (
        ("--format", "format", engine, ENGINES), ("--precision", "precision", precision, PRECISIONS),
    ):  # fmt: skip
        if value not in choices:
            raise ConfigError(f"{option}: {unknown(kind, value, choices)}")
    require(*EXTRAS[engine])
    from sparsecbm.export.engines import require_bf16
    from sparsecbm.export.exporter import export_model

    if precision == "bf16":
        require_bf16(engine)  # before texts are read
    low_precision = None if precision == "float32" else _low_precision(model, precision, *texts)
    return export_model(model, output, engine, low_precision)


def _low_precision(model: Path, precision: str, split: str, source: str | None, path: str | None):
    from sparsecbm.evaluate.scores.source_scores import annotated_splits, require_split
    from sparsecbm.export.exporter import LowPrecision
    from sparsecbm.model.storage import load

    workspace = Workspace.find()
    params = load_params(workspace.params)
    data_source = other_source(params, source, path and str(Path(path).resolve()))
    splits = annotated_splits(load(model).concept_set, params, data_source, workspace.root)
    require_split(splits, split, data_source)
    others = [frame for name, frame in splits.items() if name != split]
    calibration = splits.get("train", others[0] if others else None) if split != "train" else None
    if calibration is None and precision == "int8":
        raise DataError(f"source {data_source.name}: int8 needs texts outside the split {split!r} to scale by")
    scaling = [] if calibration is None else calibration["text"].tolist()[:CALIBRATION_TEXTS]
    return LowPrecision(precision, split, splits[split], scaling)
