"""A new workspace is complete, or nothing is left of it."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

from sparsecbm.base.errors import ConfigError, DataError, SparseCBMError
from sparsecbm.base.params import TableFormat, load_params
from sparsecbm.base.params.source import Mapping
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import stage_order
from sparsecbm.pipeline.installed_code import check_code, read_code
from sparsecbm.scaffold import create
from sparsecbm.scaffold.create import Table, create_workspace
from sparsecbm.scaffold.template_files import template_files
from sparsecbm.stages import STAGES
from tests.support.data_workspace import source_rows
from tests.support.tiny_pipeline import ROOT, git


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "raw")


def test_a_new_workspace_holds_template_table_and_a_first_commit(made, chosen):
    assert set(template_files()) < set(git(made, "ls-files").splitlines())
    assert git(made, "status", "--porcelain") == ""
    assert git(made, "log", "--format=%s") == "Start a workspace of sparsecbm\n"
    assert (made / "data" / "reviews.csv").read_bytes() == chosen.path.read_bytes()
    columns = load_params(made / "params.yaml").source.columns
    assert (columns.text, columns.label, columns.labels, columns.concepts) == ("comment", "stars", ("1", "2", "3"), {})
    assert stage_order(Workspace(made)) == STAGES
    check_code(made, STAGES)
    assert set(read_code(made).stages) == set(STAGES)


def test_comments_of_parameters_are_kept_and_only_source_and_bounds_differ(made):
    text = (made / "params.yaml").read_text()
    assert "# fixed, so that results repeat to the byte on one machine" in text
    template = template_files()["params.yaml"].decode()
    start, end = "\nsource:\n", "\nsplit:"
    assert text.partition(start)[0] == template.partition(start)[0]
    rest, rest_of_template = text.partition(end)[2].splitlines(), template.partition(end)[2].splitlines()
    changed = [(old, new) for old, new in zip(rest_of_template, rest, strict=True) if old != new]
    assert [new for _, new in changed] == [
        "  - {kind: score, name: label, of: label.accuracy, bound: majority, margin: 0.02}",
        "  - {kind: score, name: concepts, of: concepts.mean.accuracy, bound: majority, margin: 0.02}",
        "  - {kind: score, name: each concept, of: concepts.*.accuracy, bound: majority, margin: 0.05}",
    ]
    assert [old.partition("bound: ")[2][:3] for old, _ in changed] == ["0.4", "0.8", "0.7"]


@pytest.mark.parametrize("given", [";", None])  # the names of the columns tell it, too
def test_states_of_concepts_and_the_format_of_the_file_are_written(tmp_path, table, given):
    path = table()
    path.write_text(path.read_text().replace(",", ";"))
    columns = Mapping(text="comment", label="stars", concepts={"price": {"column": "p"}})
    made = create_workspace(tmp_path / "reviews", Table(path, columns, TableFormat(separator=given)))
    source = load_params(made.root / "params.yaml").source
    assert (source.path, source.format.separator) == ("data/reviews.csv", ";")
    assert source.columns.concepts["price"].states == ("high", "low")
    assert (made.rows, made.labels, made.by_dvc) == (60, ("1", "2", "3"), False)


def test_dvc_has_a_large_table(tmp_path, chosen, monkeypatch):
    monkeypatch.setattr(create, "DVC_BYTES", 100)
    made = create_workspace(tmp_path / "reviews", chosen)
    assert made.by_dvc
    tracked = git(made.root, "ls-files").splitlines()
    assert "data/reviews.csv.dvc" in tracked and "data/reviews.csv" not in tracked
    assert (made.root / "data" / "reviews.csv").read_bytes() == chosen.path.read_bytes()
    assert git(made.root, "status", "--porcelain") == ""


def test_a_table_that_git_ignores_everywhere_is_committed(tmp_path, chosen, monkeypatch):
    (tmp_path / "ignored").write_text("*.csv\n")
    (tmp_path / "gitconfig").write_text(f"[core]\nexcludesFile = {tmp_path / 'ignored'}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    made = create_workspace(tmp_path / "reviews", chosen)
    assert "data/reviews.csv" in git(made.root, "ls-files").splitlines()


def test_a_table_named_like_the_parameters_of_a_run_gets_another_name(tmp_path):
    path = tmp_path / "params.json"
    path.write_text("[" + ",".join(f'{{"t": "text {i}", "l": "{i % 2}"}}' for i in range(40)) + "]")
    made = create_workspace(tmp_path / "w", Table(path, Mapping(text="t", label="l"), TableFormat()))
    assert made.table == "data/table.json" and (made.root / "data" / "table.json").is_file()


@pytest.mark.parametrize("known", [True, False])
def test_the_first_commit_is_by_the_author_whom_git_knows(tmp_path, chosen, monkeypatch, known):
    for name in [name for name in os.environ if name.startswith(("GIT_", "EMAIL"))]:
        monkeypatch.delenv(name)
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = Ann\nemail = ann@example.org\n" if known else "")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    made = create_workspace(tmp_path / "reviews", chosen)
    author = git(made.root, "log", "--format=%an <%ae>").strip()
    expected = "Ann <ann@example.org>" if known else "sparsecbm <sparsecbm@localhost>"
    assert (made.has_author, author) == (known, expected)


def test_an_empty_folder_is_used_and_any_other_is_refused(tmp_path, chosen, monkeypatch):
    (tmp_path / "empty").mkdir()
    assert create_workspace(tmp_path / "empty", chosen).root == tmp_path / "empty"
    with pytest.raises(SparseCBMError, match="it is not empty; name a new folder"):
        create_workspace(tmp_path / "empty", chosen)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SparseCBMError, match="it is no folder"):
        create_workspace(tmp_path / "file", chosen)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(ConfigError, match=r"missing does not exist; make it first: mkdir -p"):
        create_workspace(tmp_path / "missing" / "reviews", chosen)
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ConfigError, match="is the folder that you are in"):
        create_workspace(tmp_path / "empty", chosen)
    assert left_in(tmp_path) == ["empty", "file"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"text": "body", "label": "stars"},
            r"no column 'body'; it has \['comment', 'stars', 'f', 'p'\]\. Correct --text",
        ),
        ({"text": "comment", "label": "comment"}, "it has 60 different values in 60 rows"),
        ({"text": "comment", "label": "stars", "group": "g"}, "has no column 'g'"),
    ],
)
def test_a_wrong_column_is_an_error_and_nothing_is_left(tmp_path, chosen, columns, message):
    with pytest.raises(DataError, match=message):
        create_workspace(tmp_path / "reviews", Table(chosen.path, Mapping(**columns), TableFormat()))
    assert left_in(tmp_path) == []


def test_a_table_that_cannot_be_used_is_an_error_and_nothing_is_left(tmp_path, table):
    columns = Mapping(text="comment", label="stars")
    one_label = table([row | {"stars": 1} for row in source_rows()])
    for path, message in (
        (tmp_path / "no.csv", r"no\.csv does not exist; set --table to a"),
        (one_label, r"'stars' has 1 state\(s\): \['1'\].*\(--labels is not set"),
    ):
        with pytest.raises(SparseCBMError, match=message):
            create_workspace(tmp_path / "reviews", Table(path, columns, TableFormat()))
    binary = tmp_path / "raw" / "binary.csv"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(SparseCBMError):
        create_workspace(tmp_path / "reviews", Table(binary, columns, TableFormat()))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("moment", ["copyfile", "git", "interrupted"])
def test_a_fault_while_files_are_written_leaves_nothing(tmp_path, chosen, monkeypatch, moment):
    def fail(*_arguments, **_options):
        raise KeyboardInterrupt if moment == "interrupted" else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = (shutil, "copyfile") if moment != "git" else (create, "_commit")
    monkeypatch.setattr(*target, fail)
    with pytest.raises(KeyboardInterrupt if moment == "interrupted" else SparseCBMError) as caught:
        create_workspace(tmp_path / "reviews", chosen)
    assert moment == "interrupted" or "No space left on device" in str(caught.value)
    assert left_in(tmp_path) == []


def test_without_git_the_error_says_so(tmp_path, chosen, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "raw"))
    with pytest.raises(ConfigError, match="git is not installed"):
        create_workspace(tmp_path / "reviews", chosen)
    assert left_in(tmp_path) == []


def test_a_first_stage_runs_in_the_new_workspace_and_other_code_is_refused(made):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", "sparsecbm.stages", "ingest"]
    result = subprocess.run(run, cwd=made, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert (made / "data" / "ingested" / "train.parquet").is_file()
    code = made / "code.json"
    code.write_text(code.read_text().replace(read_code(made).stages["prune"], "0" * 16))
    code.write_text(code.read_text().replace(read_code(made).package, "0" * 16))
    result = subprocess.run(run, cwd=made, capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    assert "is not the one in code.json, for: prune; `sparsecbm upgrade` renews it" in result.stderr
