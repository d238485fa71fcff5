"""Which machine labels count."""

import pytest

from sparsecbm.annotate.labels import label_table, write_labels
from sparsecbm.annotate.machine_labels import read_machine_labels, separate_outdated
from sparsecbm.base.errors import ConfigError, DataError
from tests.support.small_tables import CONCEPTS

HASHES = {"food": "new", "price": "same"}


def write(folder, *cells, name="llm"):
    """Write labels given as (key, concept, state, definition)."""
    rows = [{"key": k, "concept": c, "state": s, "definition": d, "model": "m"} for k, c, s, d in cells]
    write_labels(folder / f"{name}.parquet", label_table(rows))


def test_labels_of_an_earlier_definition_do_not_count_and_are_named(tmp_path):
    write(
        tmp_path,
        ("a", "food", "Positive", "old"),
        ("b", "food", "Positive", "new"),
        ("c", "food", None, "old"),
        ("a", "price", "low", "same"),
        ("a", "view", "good", "same"),
    )
    machines = read_machine_labels(tmp_path, ["human", "llm"], HASHES, CONCEPTS)
    assert machines.tables["llm"][["key", "concept"]].to_numpy().tolist() == [["a", "price"], ["b", "food"]]
    assert machines.outdated == {"llm": {"food": 2}}
    assert machines.notes() == [
        "2 label(s) of annotator 'llm' are for an earlier definition of concept 'food' and do not count; "
        "`sparsecbm annotate` labels these texts again"
    ]
    assert machines.of("food")["llm"]["key"].tolist() == ["b"]


def test_people_alone_need_no_files(tmp_path):
    machines = read_machine_labels(tmp_path / "nowhere", ["human"], {}, CONCEPTS)
    assert machines.tables == {} and machines.notes() == [] and machines.of("food") == {}


def test_an_annotator_without_labels_or_definitions_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"names 'llm', which has labelled nothing yet.*llm.parquet; run `sparsecbm"):
        read_machine_labels(tmp_path, ["human", "llm"], HASHES, CONCEPTS)
    with pytest.raises(ConfigError, match=r"'llm', which needs definitions of concepts.*`sparsecbm concepts suggest`"):
        read_machine_labels(tmp_path, ["human", "llm"], {}, CONCEPTS)


def test_an_unknown_state_names_the_file_the_text_and_the_choices(tmp_path):
    write(tmp_path, ("a", "food", "tasty", "new"))
    with pytest.raises(DataError, match=r"llm.parquet: text a has the state 'tasty' of concept 'food', which is none"):
        read_machine_labels(tmp_path, ["human", "llm"], HASHES, CONCEPTS)


def test_outdated_labels_are_counted_in_the_order_of_the_definitions():
    cells = [
        ("a", "price", "old"),
        ("a", "food", "older"),
        ("b", "food", "old"),
        ("b", "price", "same"),
        ("c", "x", "x"),
    ]
    labels = label_table([{"key": key, "concept": name, "definition": of} for key, name, of in cells])
    current, outdated = separate_outdated(labels, HASHES)
    assert current[["key", "concept"]].to_numpy().tolist() == [["b", "price"]] and current.index.tolist() == [0]
    assert list(outdated.items()) == [("food", 2), ("price", 1)]
    assert separate_outdated(labels, {})[1] == {}
