"""The published JSON Schemas of what the command line writes: `python -m sparsecbm.schemas` renews them."""

from pathlib import Path

from sparsecbm.evaluate.scores import EvaluationFile, SplitScores
from sparsecbm.files import write_json
from sparsecbm.predict import PredictionLine
from sparsecbm.workspace import Workspace

TITLES = {
    "predict": (PredictionLine, "One line of `sparsecbm predict`"),
    "evaluate": (SplitScores, "The output of `sparsecbm evaluate`"),
    "metrics-evaluate": (EvaluationFile, "metrics/evaluate.json, written by the stage `evaluate`"),
}


def json_schemas() -> dict[str, dict]:
    """Each schema by the name of its file, without `.schema.json`."""
    return {
        name: {**model.model_json_schema(), "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
        for name, (model, title) in TITLES.items()
    }


def write_schemas(folder: Path) -> None:
    """Write every schema into a folder."""
    for name, schema in json_schemas().items():
        write_json(folder / f"{name}.schema.json", schema)


if __name__ == "__main__":
    write_schemas(Workspace.find().root / "schemas")
