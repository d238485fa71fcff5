"""The files of a run that the page for auditors collects, written by hand."""

import json
import re
from pathlib import Path

from sparsecbm.base.workspace import Workspace


def estimate(value):
    return {"value": value, "interval": [value - 0.1, value + 0.1]}


def score(accuracy, majority):
    return {"accuracy": accuracy, "accuracy_interval": [accuracy - 0.05, accuracy + 0.05], "majority": majority}


MANIFEST = {
    "format": 1, "source": "restaurants", "sha256": "ab" * 32, "licence": "Apache-2.0", "files": [{"name": "r.csv"}],
    "splits": [{"name": "train", "rows": 1200}, {"name": "test", "rows": 30}],
    "vocabulary": {
        "concepts": [{"name": "food", "states": ["a", "b"]}, {"name": "noise", "states": ["a", "b"]}],
        "label": {"name": "rating", "states": ["1", "2"]},
    },
}  # fmt: skip
METRICS = {
    "evaluate": {
        "label": score(0.6, 0.3),
        "concepts": {"food": score(0.9, 0.4), "noise": score(0.8, 0.5), "mean": score(0.85, 0.45)},
        "bag_of_words": {"label": 0.35, "concepts": {"food": 0.5, "noise": 0.6}},
        "dense": {"label": {"accuracy": 0.61}, "concepts": {"food": {"accuracy": 0.91}, "noise": {"accuracy": 0.79}}},
    },
    "prune": {
        "chosen": {
            "density": 0.25,
            "swap": {"gap": {"mean": estimate(0.456)}},
            "probe": {"gap": {"mean": estimate(0.2)}},
            "ablation": {"selectivity": {"mean": estimate(0.3)}},
            "own_weights": {"food": {"earned": True}, "noise": {"earned": False}},
        }
    },
    "explain": {
        "method": "leave_one_out",
        "faithfulness": {
            "methods": {
                "leave_one_out": {
                    "comprehensiveness": {"delete": {"mean": {"excess": 0.59, "excess_interval": [0.49, 0.7]}}}
                }
            }
        },
    },
    "intervene": {
        "verdict": "failed",
        "gates": [{"name": "harm", "passed": False}, {"name": "repaired", "passed": True}],
        "oracle_patches": {"attempts": 24, "repaired": 0.75, "repaired_interval": [0.5, 0.9], "harm": 0.012},
    },
}


def write_audited_run(root: Path) -> Workspace:
    """Write the figures, the manifest and the model's checksums of a run into a folder, and return its workspace."""
    workspace = Workspace(root)
    files = {workspace.metrics(stage): content for stage, content in METRICS.items()}
    files[workspace.annotated / "manifest.json"] = MANIFEST
    files[workspace.sparse / "checksums.json"] = {"model.safetensors": "00"}
    files[workspace.sparse / "config.json"] = {"backbone": {"model_type": "bert"}}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    return workspace


def pages_of_pdf(content: bytes) -> int:
    """Return the number of pages of a PDF whose objects are not compressed."""
    return len(re.findall(rb"/Type /Page\b", content))
