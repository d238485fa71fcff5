"""What bf16 and int8 change in the predictions of a trained model, against torch in float32.

    python benchmarks/prediction_agreement.py WORKSPACE [--split test]

The workspace holds a finished run. Each form predicts all texts of the split: torch in bf16, and the exports of ONNX
Runtime in int8 and of OpenVINO in bf16 and int8. OpenVINO is left out where it is not installed, and bf16 where the
processor does not multiply it. All goes to benchmarks/results/prediction-agreement.json.
"""

import argparse
import importlib.util
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from concept_noise import scores

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import write_json
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.exporting import CALIBRATION_TEXTS
from sparsecbm.data.tables import read_splits
from sparsecbm.export.exporter import LowPrecision, export_model
from sparsecbm.model.cbm import Logits
from sparsecbm.model.execution import Execution, multiplies_bf16, prediction_copy

RESULT = Path(__file__).parent / "results" / "prediction-agreement.json"


EXPORTS = {"onnx": ("int8",), "openvino": ("bf16", "int8")}


def equal_shares(logits: Logits, reference: Logits) -> dict[str, float]:
    """Return the share of texts whose label, and of all states of concepts, are those of the reference."""
    states = [
        float((logits.concepts[name].argmax(1) == reference.concepts[name].argmax(1)).mean())
        for name in reference.concepts
    ]
    label = float((logits.label.argmax(1) == reference.label.argmax(1)).mean())
    return {"label_equal": round(label, 4), "states_equal": round(fmean(states), 4)}


def of_export(folder: Path, engine: str, low_precision: LowPrecision) -> dict[str, float]:
    """Return the figures of one exported form."""
    with TemporaryDirectory() as scratch:
        measured = export_model(folder, Path(scratch) / "exported", engine, low_precision)["measured"]
    label, *concepts = measured["exported"].values()  # the label comes first
    return {
        "concepts": round(fmean(concepts), 4),
        "label": round(label, 4),
        "label_equal": round(measured["label_equal"], 4),
        "states_equal": round(measured["states_equal"], 4),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    workspace = Workspace(arguments.workspace.resolve())
    splits = read_splits(workspace.annotated)
    frame, calibration = splits[arguments.split], splits["train"]["text"].tolist()[:CALIBRATION_TEXTS]
    model = SparseCBM.from_pretrained(workspace.sparse)
    ways = {"torch float32": "float32"} | ({"torch bf16": "bf16"} if multiplies_bf16(model.device) else {})
    copies = {way: prediction_copy(model, Execution("multiplied", precision)) for way, precision in ways.items()}
    logits = {way: copy.logits(frame["text"].tolist()) for way, copy in copies.items()}
    forms = {}
    for way, copy in copies.items():
        own = scores(copy, frame)
        forms[way] = {name: round(own[name], 4) for name in ("concepts", "label")}
        forms[way] |= equal_shares(logits[way], logits["torch float32"])
    for engine, precisions in EXPORTS.items():
        for precision in precisions if importlib.util.find_spec(engine) else ():
            if precision == "bf16" and "torch bf16" not in ways:
                continue
            low_precision = LowPrecision(precision, arguments.split, frame, calibration)
            forms[f"{engine} {precision}"] = of_export(workspace.sparse, engine, low_precision)
    for name, figures in forms.items():
        print(name, figures)
    write_json(RESULT, {"split": arguments.split, "texts": len(frame), "forms": forms})


if __name__ == "__main__":
    main()
