"""Commands that write are killed at seeded moments, and the next call ends in the bytes of an uninterrupted one.

A child process runs a command in its own group and gets SIGKILL, alone or with its group, after a seeded share of the
time that the command takes. Then the command runs once more. What it leaves must equal what one run without a kill
leaves: nothing is lost, doubled or half-written. SPARSECBM_CHAOS sets the number of moments; 16 are in the suite.
"""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from sparsecbm.annotate.annotator_input import read_annotator_input
from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.annotate.human_labels import Decision, append_decisions
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.run import run_annotator
from sparsecbm.annotate.shards import Sharding, parts_folder
from sparsecbm.api import SparseCBM
from sparsecbm.base.engines import thread_engine
from sparsecbm.base.params import load_params, write_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.batch.run import BatchOptions, predict_batch
from sparsecbm.drift.check import check_table
from sparsecbm.erasure.forget import erase, plan_erasure
from sparsecbm.export.exporter import export_model
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.stages import annotate, ingest, validate
from tests.support.counting_annotator import CountingAnnotator
from tests.support.data_workspace import files_of, make_workspace
from tests.support.explained_model import with_means
from tests.support.patches import patch_by_hand
from tests.support.review_workspace import make_review_workspace
from tests.support.tiny_models import CONCEPTS, random_masks, tiny_model
from tests.support.tiny_pipeline import make_tiny_workspace
from tests.support.tiny_tables import annotated

POINTS = int(os.environ.get("SPARSECBM_CHAOS", "16"))
FORK = multiprocessing.get_context("fork")
# What a run leaves besides its results, and what may differ between two runs: locks, databases of tools, times.
VOLATILE = (".lock", ".git/", ".dvc/tmp", ".dvc/cache", "holder.json")


def run_stages(root):
    workspace, params = Workspace(root), load_params(root / "params.yaml")
    for stage in (ingest, validate, annotate):
        stage.run(params, workspace)


def run_annotate(root):
    workspace = Workspace(root)
    sharding = Sharding(4, thread_engine(2), parts_folder(workspace))
    concepts = read_concept_file(workspace.concept_file).concepts
    run_annotator(
        CountingAnnotator(), read_annotator_input(workspace), concepts, workspace.annotations / "m.parquet", sharding
    )


def run_patch(root):
    model = SparseCBM.from_pretrained(root / "model")
    model.with_patches(MaskPatch.load(root / "a.patch")).save_pretrained(root / "patched")


def run_memory(root):
    memory = Memory(root / "kept")
    model = SparseCBM.from_pretrained(root / "model")
    for text in ("the food was good", "slow service", "a loud place"):
        memory.add(model, text, "food", "Positive")


def run_batch(root):
    predict_batch(root / "model", root / "new.csv", root / "predicted", BatchOptions(precision="float32"))


def run_drift(root):
    params = load_params(root / "params.yaml")
    check_table(Workspace(root), params, root / "model", root / "new.csv", "text")


def run_forget(root):
    workspace = Workspace(root)
    waiting = (workspace.state / "forget.json").is_file()
    if waiting or b"table 3 " in (root / "raw" / "reviews.csv").read_bytes():
        erase(workspace, plan_erasure(workspace, "reviews-4", None))


def run_export(root):
    export_model(root / "model", root / "exported", "onnx")


def run_repro(root):
    assert run_dvc(root, "repro").returncode == 0


QUICK = {f.__name__: f for f in (run_stages, run_annotate, run_patch, run_memory, run_batch, run_drift, run_forget)}
SLOW = {f.__name__: f for f in (run_export, run_repro)}  # only where more moments are asked for
COMMANDS = QUICK if POINTS <= 16 else QUICK | SLOW


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, backbone):
    """Return command -> a folder in which it has not run."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("chaos")
    params, workspace = make_workspace(root / "run_stages")
    write_params(workspace.root / "params.yaml", params)
    (workspace.root / "dvc.yaml").write_text("stages: {}\n")
    shutil.copytree(workspace.root, root / "run_forget")
    run_stages(root / "run_forget")
    key = text_key("the soup of table 3 was fine")
    decision = Decision(key, "food", "Positive", "ann", "2026-01-01T00:00:00Z")
    append_decisions(root / "run_forget" / "data" / "annotations" / "human.jsonl", [decision])
    make_review_workspace(root / "run_annotate")
    models = root / "run_patch"
    model = with_means(tiny_model(backbone))
    model.masks = random_masks(model)
    model.save_pretrained(models / "model")
    patch_by_hand(model, {min(model.masks.shapes): (0, 1)}).save(models / "a.patch")
    for name in ("run_memory", "run_batch", "run_export", "run_drift"):
        shutil.copytree(models, root / name)
    prepare_drift(root / "run_drift", params)
    shutil.copy(root / "run_drift" / "new.csv", root / "run_batch")
    if "run_repro" in COMMANDS:
        make_tiny_workspace(root / "run_repro")
    return root


def prepare_drift(root, params):
    from sparsecbm.data.tables import write_splits

    settings = {"permutations": 99, "least_texts": 50, "sample": 60}
    write_params(root / "params.yaml", params.model_copy(update={"drift": params.drift.model_copy(update=settings)}))
    (root / "dvc.yaml").write_text("stages: {}\n")
    splits = {"train": annotated(40, 1), "test": annotated(60, 2)}
    write_splits(root / "data" / "annotated", splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    annotated(60, 3)[["text"]].to_csv(root / "new.csv", index=False)


def start(command, root):
    """Start a command in a process and a group of its own."""

    def child():
        os.setsid()
        torch.set_num_threads(1)
        os.chdir(root)
        COMMANDS[command](Path(root))

    process = FORK.Process(target=child)
    process.start()
    return process


def finish(command, root):
    """Run a command to its end; return the seconds that it took."""
    begun = time.monotonic()
    process = start(command, root)
    process.join(300)
    assert process.exitcode == 0
    return time.monotonic() - begun


def left_in(root):
    """Return what a command leaves, without what may differ between two runs."""
    return {path: data for path, data in files_of(root).items() if not any(part in path for part in VOLATILE)}


@pytest.fixture(scope="module")
def uninterrupted(prepared, tmp_path_factory):
    """Return command -> what one run leaves, and the seconds that it takes."""
    results = {}
    for command in COMMANDS:
        root = tmp_path_factory.mktemp("whole") / "workspace"
        shutil.copytree(prepared / command, root)
        seconds = finish(command, root)
        results[command] = left_in(root), seconds
        assert left_in(root) != left_in(prepared / command), "the command writes"
    return results


def moment(number):
    """Return the command, the share of its time, and whether its group is killed, of one seeded moment."""
    draw = random.Random(f"chaos {number}")
    return list(COMMANDS)[number % len(COMMANDS)], draw.random(), draw.random() < 0.5


def torn(root):
    """A command as it should not be: it appends, and writes a file in two parts."""
    with open(root / "log", "a") as log, open(root / "result", "w") as result:
        print("begun", file=log, flush=True)
        print("one", file=result, flush=True)
        time.sleep(0.2)
        print("two", file=result)


def test_the_comparison_notices_what_is_doubled_or_half_written(tmp_path, monkeypatch):
    monkeypatch.setitem(COMMANDS, "torn", torn)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    finish("torn", tmp_path / "whole")
    process = start("torn", tmp_path / "killed")
    while not (tmp_path / "killed" / "result").exists() or not (tmp_path / "killed" / "result").stat().st_size:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.join(60)
    whole = left_in(tmp_path / "whole")
    assert left_in(tmp_path / "killed")["result"] != whole["result"]
    finish("torn", tmp_path / "killed")
    left = left_in(tmp_path / "killed")
    assert left["result"] == whole["result"] and left["log"] == whole["log"] * 2


@pytest.mark.parametrize("number", range(POINTS))
def test_what_a_kill_interrupts_the_next_call_completes(prepared, uninterrupted, tmp_path, number):
    command, share, group = moment(number)
    whole, seconds = uninterrupted[command]
    root = tmp_path / "workspace"
    shutil.copytree(prepared / command, root)
    process = start(command, root)
    time.sleep(share * seconds)
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    finish(command, root)
    assert left_in(root) == whole
