"""`sparsecbm report`: where the report is, its summary as a PDF, and what it says before a run."""

import pytest

from sparsecbm.base.workspace import Workspace
from tests.support.audited_run import pages_of_pdf, write_audited_run


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """Return a workspace in which nothing has run, as the current folder."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


def test_the_summary_is_a_pdf_of_one_page(empty, sparsecbm):
    write_audited_run(empty.root)
    code, out, error = sparsecbm("report", "--pdf", "summary.pdf")
    assert (code, out.strip(), error) == (0, "summary.pdf", "")
    content = (empty.root / "summary.pdf").read_bytes()
    assert content.startswith(b"%PDF") and pages_of_pdf(content) == 1


def test_the_report_of_a_run_is_named(empty, sparsecbm):
    empty.report.parent.mkdir(parents=True)
    empty.report.write_text("<!doctype html>")
    code, out, _ = sparsecbm("report")
    assert (code, out.strip()) == (0, str(empty.report))


def test_before_a_run_an_error_says_what_writes_the_report(empty, sparsecbm):
    code, _, error = sparsecbm("report")
    assert code == 1 and f"{empty.report} does not exist; `sparsecbm run` writes it" in error
    code, _, error = sparsecbm("report", "--pdf", "summary.pdf")
    assert code == 1 and "metrics/prune.json does not exist; `sparsecbm run` finishes the pipeline first" in error
    assert not (empty.root / "summary.pdf").exists()
