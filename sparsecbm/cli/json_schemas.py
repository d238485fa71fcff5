"""The published JSON Schemas of the command line's output: `python -m sparsecbm.cli.json_schemas` writes them."""

from pathlib import Path

from pydantic import TypeAdapter

from sparsecbm.base.files import write_json
from sparsecbm.cli import json_forms as forms
from sparsecbm.cli.inspection.compare import Comparison
from sparsecbm.cli.inspection.mask_summary import MaskSummary
from sparsecbm.cli.predictions import PredictionLine
from sparsecbm.evaluate.scores.scores import EvaluationFile, SplitScores
from sparsecbm.explain.explanation import Explanation
from sparsecbm.intervene.patches.side_effects import Bill

FOLDER = Path(__file__).parents[1] / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
TITLES = {
    "predict": (PredictionLine, "One line of `sparsecbm predict`"),
    "evaluate": (SplitScores, "The output of `sparsecbm evaluate`"),
    "masks": (MaskSummary, "The output of `sparsecbm masks --json`"),
    "compare": (Comparison, "The output of `sparsecbm compare --json`"),
    "explanation": (Explanation, "One line of explanations.jsonl and of `sparsecbm explain --json`"),
    "intervene": (list[forms.EditForm], "The output of `sparsecbm intervene --json`"),
    "patch": (forms.PatchForm, "The output of `sparsecbm patch make --json` and `patch show --json`"),
    "patch-list": (list[forms.PatchRow], "The output of `sparsecbm patch list --json`"),
    "patch-test": (Bill, "The output of `sparsecbm patch test --json`"),
    "patch-apply": (forms.WrittenForm, "The output of `sparsecbm patch apply --json` and `patch revert --json`"),
    "memory-list": (list[forms.CorrectionForm], "The output of `sparsecbm memory add --json` and `memory list --json`"),
    "memory-offer": (list[forms.OffersForm], "The output of `sparsecbm memory offer --json`"),
    "memory-apply": (list[forms.CorrectedForm], "The output of `sparsecbm memory apply --json`"),
    "metrics-evaluate": (EvaluationFile, "metrics/evaluate.json, written by the stage `evaluate`"),
}


def json_schemas() -> dict[str, dict]:
    """File name without `.schema.json` -> schema."""
    return {
        name: {**TypeAdapter(form).json_schema(), "$schema": DRAFT, "title": title}
        for name, (form, title) in TITLES.items()
    }


def write_schemas(folder: Path = FOLDER) -> None:
    """Write every schema to a folder, by default the package's own."""
    for name, schema in json_schemas().items():
        write_json(folder / f"{name}.schema.json", schema)


if __name__ == "__main__":
    write_schemas()
