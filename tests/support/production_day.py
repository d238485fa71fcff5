"""The small project of a day in production: a short graph, a tiny model, texts whose words change.

docs/production-day.md tells the day; a test lives through it, and tools/day_pictures.py takes its pictures.
"""

import shutil
from pathlib import Path

import pandas as pd
import yaml

from sparsecbm.data.tables import write_splits
from tests.support.tiny_models import CONCEPTS, write_backbone
from tests.support.tiny_pipeline import ROOT, git
from tests.support.tiny_tables import annotated

GRAPH = """\
stages:
  annotate:
    cmd: python stage.py annotate
    deps: [stage.py, raw]
    outs: [data/annotated]
  prune:
    cmd: python stage.py prune
    params: [seed, finetune]
    deps: [data/annotated]
    outs: [models/sparse]
  evaluate:
    cmd: python stage.py evaluate
    deps: [models/sparse]
    metrics:
    - metrics/evaluate.json: {cache: false}
    - metrics/validate.json: {cache: false}
"""

STAGE = """\
import json, shutil, sys
from pathlib import Path

def write(name, value):
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics", name).write_text(json.dumps(value))

if sys.argv[1] == "annotate":
    shutil.copytree("raw", "data/annotated")
if sys.argv[1] == "evaluate":
    write("evaluate.json", {"split": "test"})
    write("validate.json", {"accepted": True})
if sys.argv[1] == "prune":
    from sparsecbm.data.tables import read_concepts, read_split
    from sparsecbm.model.cbm import Settings
    from sparsecbm.api import SparseCBM
    from sparsecbm.base.params import load_params
    from sparsecbm.train.checkpoint import Checkpoints
    from sparsecbm.train.loop import TrainingRun
    from sparsecbm.train.modes import fit
    from sparsecbm.train.reproducible import reproducible

    params, data = load_params(Path("params.yaml")), Path("data/annotated")
    with reproducible(params.seed, params.threads):
        model = SparseCBM.build("backbone", read_concepts(data), Settings(max_length=16))
        train = read_split(data, "train")
        checkpoints = Path(".sparsecbm/checkpoints/prune")
        shutil.rmtree(checkpoints, ignore_errors=True)  # of an earlier run with other texts
        run = TrainingRun(params.seed, Checkpoints(checkpoints))
        fit(model, train, train, params.finetune, run)
        model.save_pretrained("models/sparse")
"""

GATES = [
    {"kind": "score", "name": "label", "of": "label.accuracy", "bound": 0.1, "margin": 0.05},
    {"kind": "score", "name": "each concept", "of": "concepts.*.accuracy", "bound": 0.1, "margin": 0.05},
    {"kind": "figure", "name": "data", "file": "validate", "key": "accepted", "equals": True, "failed": "reject",
     "required": True},
]  # fmt: skip
NEW_WORDS = {"good": "pretty", "bad": "dull"}  # the vocabulary has them, and no training text
LEARNING = {"epochs": 12, "learning_rate": 3e-3, "head_learning_rate": 3e-2}


def make_project(origin: Path) -> None:
    """Make a repository of a small project without any run, whose first model will learn almost nothing.

    Its deployment `retrain/nightly` runs every minute.
    """
    for folder in ("sparsecbm", "flows"):
        shutil.copytree(ROOT / folder, origin / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / ".dvc", origin / ".dvc", ignore=lambda *_: ["tmp", "cache", "config.local"])
    shutil.copy(ROOT / ".dvcignore", origin)
    write_backbone(origin / "backbone")
    write_texts(origin, {"train": annotated(96, 1), "test": annotated(60, 2)})
    (origin / "dvc.yaml").write_text(GRAPH)
    (origin / "stage.py").write_text(STAGE)
    (origin / ".gitignore").write_text("/data/annotated\n/models/\n.sparsecbm/\n__pycache__/\n")
    (origin / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text().replace('"0 3 * * *"', '"* * * * *"'))
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["threads"] = 1
    content["finetune"] |= {
        "epochs": 1, "learning_rate": 1e-6, "head_learning_rate": 1e-6, "batch_size": 8, "ema_decay": 0, "patience": 50,
        "freeze_embeddings": False, "precision": "float32", "device": "cpu",
    }  # fmt: skip
    content["evaluate"]["bootstrap"] = 200
    content["drift"]["least_texts"] = 60
    content["promote"]["gates"] = GATES
    (origin / "params.yaml").write_text(yaml.safe_dump(content))
    git(origin, "init", "--quiet", "--initial-branch=main")
    name_author(origin)
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "--message", "all")


def name_author(root: Path) -> None:
    """Say who commits in a repository."""
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        git(root, "config", key, value)


def let_it_learn(params: Path) -> None:
    """Edit the parameters so that the next model learns the texts."""
    content = yaml.safe_load(params.read_text())
    content["finetune"] |= LEARNING
    params.write_text(yaml.safe_dump(content))


def write_windows(root: Path) -> None:
    """Write the texts of two days, which say the same in new words: `monday.csv` and `tuesday.csv`."""
    for window in ("monday", "tuesday"):
        in_new_words(annotated(120, len(window))).to_csv(root / f"{window}.csv", index=False)


def add_new_texts(root: Path) -> None:
    """Add annotated texts in the new words to the source of a project, as many as there are old ones."""
    old = {"train": annotated(96, 1), "test": annotated(60, 2)}
    new = {name: in_new_words(annotated(len(table), 10 + len(name))) for name, table in old.items()}
    shutil.rmtree(root / "raw")
    write_texts(root, {name: pd.concat([table, new[name]]) for name, table in old.items()})


def write_texts(root: Path, splits: dict[str, pd.DataFrame]) -> None:
    """Write the source of a project."""
    write_splits(root / "raw", splits, {"vocabulary": CONCEPTS.to_dict()})


def in_new_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Return texts that say the same in words that no earlier training text has."""
    return frame.assign(text=frame["text"].replace(NEW_WORDS, regex=True))
