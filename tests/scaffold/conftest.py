"""A workspace of `sparsecbm init`, made once."""

import shutil

import pytest

from sparsecbm.base.params import TableFormat
from sparsecbm.base.params.source import Mapping
from sparsecbm.scaffold.create import Table, create_workspace
from tests.support.data_workspace import source_rows, write_source


@pytest.fixture
def table(tmp_path):
    """Return a function that writes rows as a csv file and gives its path."""

    def write(rows=None):
        write_source(tmp_path, source_rows() if rows is None else rows)
        return tmp_path / "raw" / "reviews.csv"

    return write


@pytest.fixture
def chosen(table):
    """Return a table of 60 rows with text and label, and no concepts."""
    return Table(table(), Mapping(text="comment", label="stars"), TableFormat())


@pytest.fixture(scope="session")
def _made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_source(root, source_rows())
    path = root / "raw" / "reviews.csv"
    create_workspace(root / "reviews", Table(path, Mapping(text="comment", label="stars"), TableFormat()))
    return root / "reviews"


@pytest.fixture
def made(_made, tmp_path):
    """Return the folder of a new workspace without concepts."""
    return shutil.copytree(_made, tmp_path / "reviews")
