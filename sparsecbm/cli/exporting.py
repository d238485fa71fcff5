"""What `sparsecbm export` needs besides the model: known names, and labelled texts for int8."""

from pathlib import Path
from typing import Any

from sparsecbm.base.errors import ConfigError, DataError, unknown
from sparsecbm.base.extras import EXTRAS, require
from sparsecbm.base.params import load_params, other_source
from sparsecbm.base.workspace import Workspace

ENGINES, PRECISIONS = ("onnx", "openvino"), ("float32", "int8")
CALIBRATION_TEXTS = 200


def export_folder(
    model: Path, output: Path, engine: str, precision: str, texts: tuple[str, str | None, str | None]
) -> dict[str, Any]:
    """Export a model folder; returns the manifest.

    Args:
        texts: for int8: the split to measure on, and the name and path of the source if it is not that of `params.yaml`

    Raises:
        ConfigError: the engine or the precision is unknown, or int8 has no workspace to take texts from.
        MissingExtraError: the engine is not installed.
    """
    for option, kind, value, choices in (
        ("--format", "format", engine, ENGINES), ("--precision", "precision", precision, PRECISIONS),
    ):  # fmt: skip
        if value not in choices:
            raise ConfigError(f"{option}: {unknown(kind, value, choices)}")
    require(*EXTRAS[engine])
    from sparsecbm.export.exporter import export_model

    labelled = _labelled_texts(model, *texts) if precision == "int8" else None
    return export_model(model, output, engine, labelled)


def _labelled_texts(model: Path, split: str, source: str | None, path: str | None):
    from sparsecbm.evaluate.scores.source_scores import annotated_splits, require_split
    from sparsecbm.export.exporter import LabelledTexts
    from sparsecbm.model.storage import load

    workspace = Workspace.find()
    params = load_params(workspace.params)
    data_source = other_source(params, source, path and str(Path(path).resolve()))
    splits = annotated_splits(load(model).concept_set, params, data_source, workspace.root)
    require_split(splits, split, data_source)
    others = [frame for name, frame in splits.items() if name != split]
    calibration = splits.get("train", others[0] if others else None) if split != "train" else None
    if calibration is None:
        raise DataError(f"source {data_source.name}: int8 needs texts outside the split {split!r} to scale by")
    return LabelledTexts(split, splits[split], calibration["text"].tolist()[:CALIBRATION_TEXTS])
