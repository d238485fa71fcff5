"""A text that is planted in every place of a workspace is gone from all of them once it is forgotten.

The search here shares no code with the command: it reads all bytes of all files, tables as text and pages as words.
"""

import html
import json
import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch

from sparsecbm.annotate.human_labels import Decision, append_decisions
from sparsecbm.annotate.labels import label_table, text_key, write_labels
from sparsecbm.annotate.llm.cache import AnswerCache, Cost, cache_file
from sparsecbm.annotate.llm.question import Cell, Question
from sparsecbm.annotate.review.leases import Leases
from sparsecbm.annotate.review.queue import LEASES
from sparsecbm.annotate.shards import parts_folder
from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.base.files import read_json, read_parquet, write_json, write_text
from sparsecbm.base.json_lines import append_json_lines
from sparsecbm.base.params import write_params
from sparsecbm.erasure import forget, places
from sparsecbm.erasure.forget import JOURNAL, erase, plan_erasure
from sparsecbm.explain.export import write_explanations
from sparsecbm.intervene.memory.store import Memory
from sparsecbm.intervene.patches.split_safeguards import patch_cache
from sparsecbm.model.checksums import text_checksum
from sparsecbm.report.data_page import write_validation_page
from sparsecbm.report.run_page import read_metrics, write_index_page
from sparsecbm.stages import ingest, validate
from sparsecbm.stages.annotate import run as annotate
from tests.support import report_inputs
from tests.support.data_workspace import make_workspace, source_rows, write_source
from tests.support.patches import patch_by_hand
from tests.support.tiny_models import random_masks

TEXT = 'the "zanzibar" soup, a <cold> one & späť, was brought by a waiter who sang to the moon and to us'
IDENTITY = "reviews-8"
OTHER = "the soup of table 3 was fine"
# Every place that the command clears, relative to the workspace; so the list of the command is not trusted.
PLACES = {
    "raw/reviews.csv", "data/ingested", "data/validated", "data/annotated",
    "data/annotations/human.jsonl", "data/annotations/embedding.parquet", "metrics/annotate.json",
    "reports/explanations/explanations.jsonl", "reports/explanations/explanations.parquet", "reports/index.html",
    "reports/validation.html", "reports/interventions/oracle_patches.csv", "patches/a.patch", "corrections-kept",
    ".sparsecbm/annotations/llm.sqlite", ".sparsecbm/annotations/parts/llm-0.parquet", ".sparsecbm/review-leases.json",
    ".sparsecbm/corrections.jsonl", ".sparsecbm/faults/a.txt", ".sparsecbm/logs/worker.log",
    ".sparsecbm/drift/reference", ".sparsecbm/checkpoints", ".sparsecbm/scheduled/data/ingested", "raw",
    ".sparsecbm/patches/a", ".sparsecbm/patches/b/remedies.json", ".sparsecbm/cache/patches",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory, backbone):
    """Return a workspace in which the text is planted everywhere."""
    from tests.support.explained_model import with_means
    from tests.support.tiny_models import tiny_model

    model = with_means(tiny_model(backbone))
    model.masks = random_masks(model)
    root = tmp_path_factory.mktemp("made") / "workspace"
    rows = source_rows()
    rows[7] = {**rows[7], "comment": TEXT}
    rows[9] = {**rows[9], "comment": TEXT}  # it repeats a text, so validation moves one of the two to quarantine
    params, workspace = make_workspace(root, rows, evaluate={"subgroups": ["file"]})
    write_params(root / "params.yaml", params)
    (root / "dvc.yaml").write_text("stages: {}\n")
    write_params(workspace.run_params, params)
    for stage in (ingest.run, validate.run, annotate):
        stage(params, workspace)
    plant_labels(workspace)
    plant_reports(workspace)
    plant_corrections(workspace, model)
    plant_leftovers(workspace)
    return workspace


def plant_labels(workspace):
    at = "2026-01-01T00:00:00Z"
    for text in (TEXT, OTHER):
        decision = Decision(text_key(text), "food", "Positive", "ann", at)
        append_decisions(workspace.annotations / "human.jsonl", [decision])
    label = {"concept": "food", "state": "Positive", "definition": "d", "model": "m", "prompt": ""}
    labels = label_table([{"key": text_key(text), **label} for text in (TEXT, OTHER)])
    write_labels(workspace.annotations / "embedding.parquet", labels)
    parts_folder(workspace).mkdir(parents=True)
    write_labels(parts_folder(workspace) / "llm-0.parquet", labels)
    Leases(workspace.state / LEASES).take(text_key(TEXT), "ann")
    with AnswerCache(cache_file(workspace)) as cache:
        for text in (TEXT, OTHER):
            number = cache.begin("m", Question(text_key(text), text, 0, ()), 10)
            cache.finish(number, Cost(1, 1, None, 0.1), [("d", Cell("Positive", None))])


def plant_reports(workspace):
    first, *others = report_inputs.explanations()
    row = report_inputs.explanation(TEXT, *report_inputs.ROWS[0][1:], number=0)
    workspace.explanations.mkdir(parents=True)
    write_explanations(workspace.explanations, [replace(row, id=IDENTITY), first, *others])
    for stage, figures in report_inputs.metrics().items():
        if stage != "annotate":
            write_json(workspace.metrics(stage), figures)
    record = read_json(workspace.metrics("annotate"))
    suspects = [{"id": IDENTITY, "text": TEXT[:70]}, {"id": "reviews-4", "text": OTHER}]
    write_json(workspace.metrics("annotate"), {**record, "planted": {"suspects": suspects}})
    trials = f"concept,text,bits\nfood,{text_checksum(TEXT)[:12]},3\nfood,{text_checksum(OTHER)[:12]},4\n"
    write_text(workspace.interventions / "oracle_patches.csv", trials)
    metrics = {stage: figures for stage, figures in read_metrics(workspace).items() if stage != "annotate"}
    write_index_page(workspace, metrics)
    write_validation_page(workspace)


def plant_corrections(workspace, model):
    patch = patch_by_hand(model, {min(model.masks.shapes): (0, 1)})
    (workspace.root / "patches").mkdir()
    replace(patch, texts=(text_checksum(TEXT),)).save(workspace.root / "patches" / "a.patch")
    replace(patch, texts=(text_checksum(OTHER),)).save(workspace.root / "patches" / "b.patch")
    for name, text in (("a", TEXT), ("b", OTHER)):
        (workspace.patch_requests / name).mkdir(parents=True)
        request = {"id": name, "texts": ["another text", text], "author": "ann"}
        write_json(workspace.patch_requests / name / "request.json", request)
    changes = [{"text": text, "harmed": True} for text in (TEXT, OTHER)]
    write_json(workspace.patch_requests / "b" / "remedies.json", {"remedies": [{"kind": "patch", "texts": changes}]})
    for text in (TEXT, OTHER):
        Memory(workspace.root / "corrections-kept").add(model, text, "food", "Positive")
        append_json_lines(workspace.state / "corrections.jsonl", [{"id": "0", "text": text, "author": "ann"}])


def plant_leftovers(workspace):
    for name in ("faults/a.txt", "logs/worker.log", "drift/reference/reference.json", "checkpoints/k/last.json"):
        (workspace.state / name).parent.mkdir(parents=True)
        (workspace.state / name).write_text(f"line\n{TEXT}\n")
    (workspace.state / "faults" / "b.txt").write_text(OTHER)
    cache = patch_cache(workspace)
    for key, text in (("a", TEXT), ("b", OTHER)):
        cache.store(key, {"logits/food": torch.zeros(1, 3)}, [text_checksum("another text"), text_checksum(text)])
    clone = workspace.state / "scheduled"
    shutil.copytree(workspace.ingested, clone / "data" / "ingested")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(workspace.root / name, clone)
    killed = workspace.root / "raw" / ".reviews.csv.0123abcd.partial"  # a writer was killed here
    killed.mkdir()
    (killed / "new").write_text(TEXT)
    (killed / "lock").touch()


@pytest.fixture
def workspace(made, tmp_path):
    """Return a copy of the workspace that a test may change."""
    shutil.copytree(made.root, tmp_path / "workspace")
    return replace(made, root=tmp_path / "workspace")


def found_in(root, text):
    """Return the places that hold a text or what it is known by; places that hold nothing else are folders."""
    forms = [text, text.replace('"', '""'), json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    forms += [text_key(text), text_checksum(text)[:12], text[:70]]
    hits = set()
    for path in (path for path in root.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if content.startswith(b"PAR1"):
            content = pd.read_parquet(path).astype(str).to_csv(index=False).encode()
        if path.suffix == ".html":
            page = html.unescape(re.sub("<[^>]+>", "", content.decode()))
            content = re.sub(r"\s+", " ", page).encode()
        ids = IDENTITY.encode() if text == TEXT and path.name == "explanations.parquet" else text.encode()
        if ids in content or any(form.encode() in content for form in forms):
            hits.add(path.relative_to(root).as_posix())
    return {next((p for p in sorted(PLACES, key=len, reverse=True) if hit.startswith(p)), hit) for hit in hits}


def test_a_text_is_found_in_every_place_and_forgotten_in_all(workspace):
    before = found_in(workspace.root, OTHER)
    assert found_in(workspace.root, TEXT) == PLACES
    erasure = plan_erasure(workspace, IDENTITY, None)
    assert found_in(workspace.root, TEXT) == PLACES  # a plan changes nothing
    assert set(erasure.subject.ids) == {IDENTITY, "reviews-10"}
    erase(workspace, erasure)
    assert found_in(workspace.root, TEXT) == set()
    # The second control: another text, planted in the same way, stays where it was.
    assert found_in(workspace.root, OTHER) == before
    assert not (workspace.state / JOURNAL).exists()


def test_the_subgroups_of_its_rows_are_forgotten(workspace):
    before = read_parquet(workspace.subgroups)["id"].tolist()
    erase(workspace, plan_erasure(workspace, IDENTITY, None))
    after = read_parquet(workspace.subgroups)["id"].tolist()
    assert after == [identity for identity in before if identity not in (IDENTITY, "reviews-10")]
    assert len(before) - len(after) == 2


def test_all_other_rows_keep_their_bytes(workspace):
    source = workspace.root / "raw" / "reviews.csv"
    lines = source.read_bytes().split(b"\n")
    erase(workspace, plan_erasure(workspace, IDENTITY, None))
    assert source.read_bytes().split(b"\n") == [line for line in lines if b"zanzibar" not in line]
    assert len(lines) - len(source.read_bytes().split(b"\n")) == 2


@pytest.mark.parametrize("number", range(0, 24, 8))
def test_after_a_kill_the_same_command_goes_on(workspace, monkeypatch, number):
    """The erasure ends before its n-th change, as by a kill; by then the id may be in no table any more."""
    calls = []
    original = places.find_changes

    def counted(*arguments):
        def stop_before(change):
            def apply():
                calls.append(change.path)
                if len(calls) == number + 1:
                    raise KeyboardInterrupt
                change.apply()

            return replace(change, apply=apply)

        return [stop_before(change) for change in original(*arguments)]

    plan = plan_erasure(workspace, IDENTITY, None)
    monkeypatch.setattr(forget, "find_changes", counted)
    with pytest.raises(KeyboardInterrupt):
        erase(workspace, plan)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=f"complete it first: sparsecbm forget --id {IDENTITY}"):
        plan_erasure(workspace, "reviews-4", None)
    erase(workspace, plan_erasure(workspace, IDENTITY, None))
    assert found_in(workspace.root, TEXT) == set()


def test_a_text_can_be_given_itself(workspace):
    assert set(plan_erasure(workspace, None, f"  {TEXT} ").subject.ids) == {IDENTITY, "reviews-10"}


@pytest.mark.parametrize(
    ("identity", "text", "message"),
    [
        ("reviews-80", None, "unknown id 'reviews-80'"),
        (None, "nobody wrote this", "nothing in this workspace holds this text"),
        (None, " ", "give either --id or --text"),
        (IDENTITY, TEXT, "give either --id or --text"),
        (None, None, "give either --id or --text"),
    ],
)
def test_what_is_unknown_is_one_clear_error(workspace, identity, text, message):
    with pytest.raises(SparseCBMError, match=message):
        plan_erasure(workspace, identity, text)


def test_a_short_text_takes_no_text_with_it_that_contains_it(tmp_path):
    rows = source_rows()
    rows[0] = {**rows[0], "comment": "fine"}  # all other texts end in this word
    params, workspace = make_workspace(tmp_path, rows)
    write_params(tmp_path / "params.yaml", params)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_params(workspace.run_params, params)
    ingest.run(params, workspace)
    erase(workspace, plan_erasure(workspace, "reviews-1", None))
    kept = (tmp_path / "raw" / "reviews.csv").read_text()
    write_source(tmp_path, rows[1:])
    assert (tmp_path / "raw" / "reviews.csv").read_text() == kept


def test_the_command_shows_first_and_does_it_with_yes(workspace, sparsecbm, monkeypatch):
    monkeypatch.chdir(workspace.root)
    (workspace.root / "notes.txt").write_text(TEXT)
    code, output, _ = sparsecbm("forget", "--id", IDENTITY)
    assert code == 0 and "nothing was changed; add --yes to do it" in output
    assert "  data/ingested: 2 row(s)\n" in output and "notes.txt, or take the text out by hand" in output
    assert found_in(workspace.root, TEXT) == PLACES | {"notes.txt"}
    code, output, _ = sparsecbm("forget", "--id", IDENTITY, "--yes")
    assert code == 0 and "sparsecbm run: data, models, figures and reports without it" in output
    assert found_in(workspace.root, TEXT) == {"notes.txt"}
    code, _, errors = sparsecbm("forget", "--id", IDENTITY)
    assert code == 1 and f"unknown id '{IDENTITY}'" in errors
