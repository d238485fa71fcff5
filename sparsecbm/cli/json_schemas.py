"""The published JSON Schemas of the command line's output: `python -m sparsecbm.cli.json_schemas` writes them."""

from pathlib import Path

from pydantic import TypeAdapter

from sparsecbm.base.files import write_json
from sparsecbm.cli.inspection.compare import Comparison
from sparsecbm.cli.inspection.mask_summary import MaskSummary
from sparsecbm.cli.json_forms import PatchRow, WrittenModel
from sparsecbm.drift.check import DriftReport
from sparsecbm.evaluate.scores.scores import EvaluationFile, SplitScores
from sparsecbm.explain.explanation import Explanation
from sparsecbm.intervene.edits import Edit
from sparsecbm.intervene.memory.index import Correction
from sparsecbm.intervene.memory.recall import CorrectedPrediction, TextOffers
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.side_effects import SideEffects
from sparsecbm.intervene.remedies import Remedies
from sparsecbm.model.prediction_form import PredictionLine

FOLDER = Path(__file__).parents[1] / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
TITLES = {
    "predict": (PredictionLine, "One line of `sparsecbm predict`"),
    "evaluate": (SplitScores, "The output of `sparsecbm evaluate`"),
    "masks": (MaskSummary, "The output of `sparsecbm masks --json`"),
    "compare": (Comparison, "The output of `sparsecbm compare --json`"),
    "drift": (DriftReport, "The output of `sparsecbm drift --json`"),
    "explanation": (Explanation, "One line of explanations.jsonl and of `sparsecbm explain --json`"),
    "intervene": (list[Edit], "The output of `sparsecbm intervene --json`"),
    "patch": (MaskPatch, "The output of `sparsecbm patch make --json` and `patch show --json`"),
    "patch-list": (list[PatchRow], "The output of `sparsecbm patch list --json`"),
    "patch-test": (SideEffects, "The output of `sparsecbm patch test --json`"),
    "remedies": (Remedies, "The file of `sparsecbm patch make --remedies`"),
    "patch-apply": (WrittenModel, "The output of `sparsecbm patch apply --json` and `patch revert --json`"),
    "memory-list": (list[Correction], "The output of `sparsecbm memory add --json` and `memory list --json`"),
    "memory-offer": (list[TextOffers], "The output of `sparsecbm memory offer --json`"),
    "memory-apply": (list[CorrectedPrediction], "The output of `sparsecbm memory apply --json`"),
    "metrics-evaluate": (EvaluationFile, "metrics/evaluate.json, written by the stage `evaluate`"),
}


def json_schemas() -> dict[str, dict]:
    """File name without `.schema.json` -> schema."""
    return {
        name: {**TypeAdapter(form).json_schema(mode="serialization"), "$schema": DRAFT, "title": title}
        for name, (form, title) in TITLES.items()
    }


def write_schemas(folder: Path = FOLDER) -> None:
    """Write every schema to a folder, by default the package's own."""
    for name, schema in json_schemas().items():
        write_json(folder / f"{name}.schema.json", schema)


if __name__ == "__main__":
    write_schemas()
