"""Prefect's database stays in the workspace, whatever characters its path holds."""

import os
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine, text

from sparsecbm.base.workspace import Workspace
from sparsecbm.orchestration.settings import configure

VARIABLE = "PREFECT_API_DATABASE_CONNECTION_URL"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Give the variables of Prefect back after the test."""
    monkeypatch.setattr(os, "environ", {name: os.environ[name] for name in os.environ if "PREFECT" not in name})


def test_a_question_mark_in_the_path_does_not_end_it(tmp_path):
    workspace = Workspace(tmp_path / "why? #1%20")
    workspace.root.mkdir()
    configure(workspace)
    (workspace.state / "prefect").mkdir(exist_ok=True)  # as Prefect does
    engine = create_engine(os.environ[VARIABLE].replace("+aiosqlite", "+pysqlite"))
    with engine.begin() as connection:
        connection.execute(text("create table here (a int)"))
    with closing(sqlite3.connect(workspace.state / "prefect" / "prefect.db")) as connection:
        assert connection.execute("select name from sqlite_master").fetchall() == [("here",)]
    assert [path.name for path in tmp_path.iterdir()] == ["why? #1%20"]


def test_other_paths_leave_the_address_to_prefect(tmp_path):
    configure(Workspace(tmp_path))
    assert VARIABLE not in os.environ
