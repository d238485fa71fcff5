"""Commands that write are killed at seeded moments, and the next call ends in the bytes of an uninterrupted one.

A child process runs a command in its own group and gets SIGKILL, alone or with its group, after a seeded share of the
time that the command takes. Then the command runs once more. What it leaves must equal what one run without a kill
leaves: nothing is lost, doubled or half-written. SPARSECBM_CHAOS sets the number of moments; 16 are in the suite.
"""

import copy
import functools
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from contextlib import suppress
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
from sparsecbm.cli.app import app
from sparsecbm.data.tables import write_splits
from sparsecbm.drift.check import check_table
from sparsecbm.erasure.forget import erase, plan_erasure
from sparsecbm.export.exporter import export_model
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.tensor_cache import CacheWarning, TensorCache
from sparsecbm.pipeline.graph import run_dvc
from sparsecbm.promote.history import ENTRY_TAG
from sparsecbm.promote.registry import VERSION_TAG
from sparsecbm.stages import annotate, ingest, validate
from sparsecbm.track.lineage import LOCK_TAG
from tests.support.counting_annotator import CountingAnnotator
from tests.support.data_workspace import files_of, make_workspace
from tests.support.explained_model import with_means
from tests.support.lively_model import make_lively
from tests.support.patches import other_food_state, patch_by_hand
from tests.support.promotion_models import blind_to
from tests.support.promotion_workspace import (
    finish_promotable,
    make_good_model,
    make_promotion_workspace,
    open_promotion,
)
from tests.support.review_workspace import make_review_workspace
from tests.support.tiny_models import CONCEPTS, random_masks, tiny_model
from tests.support.tiny_pipeline import add_flows, make_tiny_workspace
from tests.support.tiny_tables import annotated

POINTS = int(os.environ.get("SPARSECBM_CHAOS", "16"))
FORK = multiprocessing.get_context("fork")
# What a run leaves besides its results, and what may differ between two runs: locks, databases of tools, times.
VOLATILE = (".lock", ".git/", ".dvc/tmp", ".dvc/cache", "holder.json")
CACHE = ".sparsecbm/cache/"
MADE_BY_SERVERS = (".sparsecbm/",)  # of `run` and `promote`: databases and ids; what they mean is compared instead
TEXT = "a loud place but we came again and the food was bad"


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


def run_patch_make(root):
    state = (root / "state").read_text()
    to_fix = ("--text", TEXT, "--concept", "food", "--state", state, "--bits", "40", "--max-harm", "1")
    call_command("patch", "make", "model", *to_fix, "--data", "data/annotated", "--output", "made.patch")


def run_promote(root):
    call_command("promote")


def run_flow(root):
    """`sparsecbm run`, until the flow that a killed command left behind has ended."""
    for _ in range(20):
        try:
            call_command("run")
            return
        except SystemExit:
            time.sleep(3)
    raise TimeoutError("the workspace stays busy")


def call_command(*arguments):
    """Call the command line; raise SystemExit if it ends with another code than 0."""
    code = app(list(arguments), standalone_mode=False)
    if code:
        raise SystemExit(code)


def run_export(root):
    export_model(root / "model", root / "exported", "onnx")


def run_repro(root):
    assert run_dvc(root, "repro").returncode == 0


def registered(root):
    """Return what the registry of a workspace says: aliases, versions with their tags, the history without times.

    A move that a kill interrupted before the alias moved is undone, which the history says; it is left out here.
    """
    service = open_promotion(Workspace(root))
    registry, kept = service.registry, ("action", "version", "before", "after", "verdict", "reason", "ledger")
    versions = service.store.client.search_model_versions(f"name='{registry.name}'")
    with_times = VERSION_TAG, ENTRY_TAG
    return {
        "aliases": registry.aliases(),
        "versions": {
            version.version: {tag: value for tag, value in version.tags.items() if not tag.startswith(with_times)}
            for version in versions
        },
        "history": [[getattr(entry, name) for name in kept] for entry in registry.entries() if entry.action != "undo"],
        "intent": registry.intent(),
    }


def recorded(root):
    """Return what the record of a workspace says: each run with its status, figures and lineage."""
    store = open_promotion(Workspace(root)).store
    runs = store.client.search_runs([store.experiment_id])
    return sorted(
        json.dumps([run.info.status, run.data.metrics, run.data.params, run.data.tags.get(LOCK_TAG)]) for run in runs
    )


QUICK = {
    f.__name__: f
    for f in (
        run_stages, run_annotate, run_patch, run_memory, run_batch, run_drift, run_forget, run_patch_make,
    )
}  # fmt: skip
SLOW = {f.__name__: f for f in (run_export, run_repro, run_promote, run_flow)}  # where more moments are asked for
COMMANDS = QUICK if POINTS <= 16 else QUICK | SLOW
RECORDS = {"run_promote": registered, "run_flow": recorded}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, backbone, migrated):
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
    prepare_patch(root / "run_patch_make", make_lively(tiny_model(backbone)), params)
    if POINTS > 16:
        make_tiny_workspace(root / "run_repro")
        add_flows(make_tiny_workspace(root / "run_flow"))
        prepare_promotion(root / "run_promote", backbone, migrated)
    return root


def prepare_patch(root, model, params):
    root.mkdir()
    write_params(root / "params.yaml", params)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "state").write_text(other_food_state(model, TEXT))
    model.save_pretrained(root / "model")
    splits = {"validation": annotated(40, seed=3), "test": annotated(20, seed=4)}
    write_splits(root / "data" / "annotated", splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})


def prepare_promotion(root, backbone, migrated):
    """A champion, and a better model that is recorded and not registered."""
    service = open_promotion(make_promotion_workspace(root, migrated))
    good = make_good_model(backbone)
    finish_promotable(service, blind_to(copy.deepcopy(good), "noise"))
    service.promote(service.gate())
    finish_promotable(service, good)


def prepare_drift(root, params):
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


def is_valid_entry(path):
    """Whether a cache accepts an entry. Its numbers depend on which texts share a batch, and so on what was cached."""
    return TensorCache(path.parent, path.stat().st_size).load(path.stem) is not None


def left_in(root, command=""):
    """Return what a command leaves, without what may differ between two runs."""
    volatile = VOLATILE + (MADE_BY_SERVERS if command in RECORDS else ())
    files = {path: data for path, data in files_of(root).items() if not any(part in path for part in volatile)}
    entries = {path: is_valid_entry(root / path) for path in files if path.startswith(CACHE)}
    return files | entries | ({"record": RECORDS[command](root)} if command in RECORDS else {})


@pytest.fixture(scope="module")
def uninterrupted(prepared, tmp_path_factory):
    """Return a function: command -> what one run leaves, and the seconds that it takes."""

    @functools.cache
    def uninterrupted(command):
        root = tmp_path_factory.mktemp("whole") / "workspace"
        shutil.copytree(prepared / command, root)
        seconds = finish(command, root)
        left = left_in(root, command)
        assert left != left_in(prepared / command, command), "the command writes"
        return left, seconds

    return uninterrupted


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


def test_the_comparison_notices_a_damaged_entry_of_a_cache(tmp_path):
    folder = tmp_path / CACHE / "patches"
    TensorCache(folder, 10**6).store("a" * 64, {"states": torch.ones(3)}, [])
    whole = left_in(tmp_path)
    (entry,) = folder.iterdir()
    assert whole == {str(entry.relative_to(tmp_path)): True}
    entry.write_bytes(entry.read_bytes()[:-4])
    with pytest.warns(CacheWarning, match="is not used"):
        assert left_in(tmp_path) != whole


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
    whole, seconds = uninterrupted(command)
    root = tmp_path / "workspace"
    shutil.copytree(prepared / command, root)
    process = start(command, root)
    time.sleep(share * seconds)
    with suppress(ProcessLookupError):  # it may have ended by then, on a machine whose speed changes
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    process.join(60)
    finish(command, root)
    assert left_in(root, command) == whole
