"""Columns that a model never sees travel beside the tables, row by row, and change no other output."""

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import read_parquet
from sparsecbm.data.subgroups import read_subgroups
from sparsecbm.data.tables import read_splits
from sparsecbm.stages import ingest
from tests.support.data_workspace import files_of, make_workspace, source_rows

REGIONS = ("north", "south", "")


def rows_with_regions():
    return [{**row, "region": REGIONS[i % 3], "guest": f"guest {i}"} for i, row in enumerate(source_rows())]


def ingested(root, *columns):
    params, workspace = make_workspace(root, rows_with_regions(), evaluate={"subgroups": list(columns)})
    ingest.run(params, workspace)
    return workspace


def test_each_row_keeps_its_subgroup_wherever_its_split_puts_it(tmp_path):
    workspace = ingested(tmp_path, "region", "file")
    splits = read_splits(workspace.ingested)
    assert sum(map(len, splits.values())) == 60
    for frame in splits.values():
        subgroups = read_subgroups(workspace.subgroups, frame["id"], ("region", "file"))
        numbers = [int(identity.rpartition("-")[2]) - 1 for identity in frame["id"]]
        assert subgroups["region"].tolist() == [REGIONS[number % 3] or "blank" for number in numbers]
        assert set(subgroups["file"]) == {"reviews.csv"}


def test_the_tables_of_a_run_do_not_depend_on_the_subgroups(tmp_path):
    without, with_regions = ingested(tmp_path / "a"), ingested(tmp_path / "b", "region")
    assert files_of(without.ingested) == files_of(with_regions.ingested)
    assert without.subgroups.read_bytes() != with_regions.subgroups.read_bytes()
    assert list(read_parquet(without.subgroups).columns) == ["id"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("regoin", "unknown column 'regoin'. Did you mean 'region'? Choices: comment, stars, f, p, region, guest"),
        ("guest", "column 'guest' has 60 values, and at most 20 can be subgroups"),
    ],
)
def test_a_column_that_gives_no_subgroups_is_refused(tmp_path, column, message):
    with pytest.raises(ConfigError) as error:
        ingested(tmp_path, column)
    assert message in str(error.value).replace("\n", " ")
    assert not (tmp_path / "data" / "ingested").exists()
