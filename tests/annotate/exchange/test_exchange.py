"""Export and import of decisions: the same decisions come back, once, and a bad file changes nothing."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.exchange.label_studio import export_tasks, label_config, read_tasks
from sparsecbm.annotate.exchange.rows import ExchangedRow, check_rows, compare
from sparsecbm.annotate.exchange.spreadsheet import export_rows, read_rows
from sparsecbm.annotate.human_labels import (
    Decision,
    append_decisions,
    current_labels,
    read_decisions,
    standing_decisions,
)
from sparsecbm.annotate.labelled_texts import LabelledTexts, load_labelled_texts
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.review.order import texts_at_random
from sparsecbm.base.errors import DataError
from sparsecbm.base.files import write_json
from sparsecbm.base.params import load_params
from sparsecbm.data.csv_output import csv_text
from tests.support.review_workspace import CONCEPTS, TEXTS, make_review_workspace, write_machine_labels

NOW, EARLY, LATE = "2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
COLD, HOT, QUIET, BAND = (text_key(text) for text in TEXTS["train"][:4])
STALE = text_key(TEXTS["test"][0])
DECISIONS = [
    Decision(COLD, "food", "good", "ann", EARLY),
    Decision(COLD, "noise", None, "ann", EARLY),
    Decision(COLD, "food", "bad", "bob", LATE),
    Decision(BAND, "noise", "quiet", "=bob()", EARLY),
    Decision(BAND, "noise", "loud", "=bob()", LATE),
    Decision(HOT, "food", "bad", "ann", EARLY),
    Decision(HOT, "food", None, "ann", LATE, "undo"),
    Decision(STALE, "food", "bad", "ann", LATE),
]


def task_json(value):
    """Return a file of one task with one choice, as a pattern for `str.format`."""
    result = f'{{{{"type": "choices", "from_name": "food", {value}}}}}'
    return (
        f'[{{{{"data": {{{{"key": "{{cold}}"}}}}, "annotations": [{{{{"completed_by": 3, "result": [{result}]}}}}]}}}}]'
    )


@pytest.fixture
def workspace(tmp_path):
    """Return a workspace with decisions of three people."""
    workspace = make_review_workspace(tmp_path / "workspace")
    append_decisions(workspace.annotations / "human.jsonl", DECISIONS)
    return workspace


def exported(workspace, folder, form):
    """Export all decisions, and return the rows of the file as an import sees them."""
    texts, decisions = load_labelled_texts(workspace), read_decisions(workspace.annotations / "human.jsonl")
    if form == "label-studio":
        write_json(folder / "out.json", export_tasks(texts, decisions))
        return read_tasks(folder / "out.json")
    (folder / "out.csv").write_text(csv_text(export_rows(texts, decisions)))
    return read_rows(folder / "out.csv")


def votes(decisions):
    return {(d.key, d.concept, d.author): d.state for d in standing_decisions(decisions)}


@pytest.mark.parametrize("form", ["label-studio", "csv"])
def test_what_is_exported_comes_back_and_only_once(workspace, tmp_path, form):
    texts = load_labelled_texts(workspace)
    imported = check_rows(exported(workspace, tmp_path, form), texts, "", NOW)
    assert votes(imported) == votes(DECISIONS) and len(imported) == 5
    elsewhere = compare(imported, [])
    assert (votes(elsewhere.added), elsewhere.known) == (votes(DECISIONS), 0)
    again = compare(imported, DECISIONS)
    assert (again.added, again.known, again.older) == ([], 5, 0)


def test_label_studio_keeps_author_and_time_of_each_decision(workspace, tmp_path):
    imported = check_rows(exported(workspace, tmp_path, "label-studio"), load_labelled_texts(workspace), "", NOW)
    assert sorted(imported, key=str) == sorted(standing_decisions(DECISIONS), key=str)


def test_a_choice_changed_in_label_studio_belongs_to_its_user(workspace, tmp_path):
    exported(workspace, tmp_path, "label-studio")
    tasks = json.loads((tmp_path / "out.json").read_text())
    task = next(task for task in tasks if task["data"]["key"] == BAND)
    [annotation] = task["annotations"]
    annotation |= {"completed_by": {"email": "eve@example.org"}, "updated_at": "2026-02-03T04:05:06.789012Z"}
    rows = check_rows(rows_of(tmp_path, [task]), load_labelled_texts(workspace), "", NOW)
    assert rows == [Decision(BAND, "noise", "loud", "=bob()", LATE)], "nobody changed it"
    annotation["result"][0]["value"]["choices"] = ["quiet"]
    rows = check_rows(rows_of(tmp_path, [task]), load_labelled_texts(workspace), "", NOW)
    assert rows == [Decision(BAND, "noise", "quiet", "eve@example.org", "2026-02-03T04:05:06.789012Z")]
    annotation["was_cancelled"] = True
    assert rows_of(tmp_path, [task]) == []


def rows_of(folder, tasks):
    write_json(folder / "changed.json", tasks)
    return read_tasks(folder / "changed.json")


def test_predictions_are_given_for_training_texts_only(workspace):
    machine = {(TEXTS["train"][0], "food"): {"bad": 0.75, "good": 0.25}, (TEXTS["test"][0], "food"): {"bad": 1.0}}
    write_machine_labels(workspace, "llm", {**machine, (TEXTS["train"][1], "food"): None})
    tasks = {task["data"]["key"]: task for task in export_tasks(load_labelled_texts(workspace), [])}
    [prediction] = tasks[COLD]["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("llm", 0.75)
    [result] = prediction["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("food", "text", "choices")
    assert (result["value"], result["score"]) == ({"choices": ["bad"]}, 0.75)
    assert tasks[STALE]["predictions"] == [] and tasks[HOT]["predictions"] == []


def test_the_labelling_interface_names_what_tasks_name(workspace):
    root = ElementTree.fromstring(label_config(CONCEPTS))
    assert root.find("Text").attrib == {"name": "text", "value": "$text"}
    choices = {c.get("name"): [choice.get("value") for choice in c] for c in root.findall("Choices")}
    assert choices == {"food": ["bad", "good", "?"], "noise": ["loud", "quiet", "?"]}
    assert {c.get("toName") for c in root.findall("Choices")} == {"text"}
    assert root.find("Choices")[0].get("hint") == "The meal was poor."


def test_a_spreadsheet_gets_no_formula_and_people_fill_in_cells(workspace, tmp_path):
    exported(workspace, tmp_path, "csv")
    table = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["key", "split", "text", "author", "at", "concept.food", "concept.noise"]
    assert table.loc[table["key"] == BAND, "author"].tolist() == ["'=bob()"]
    assert len(table) == 10, "nine texts, one of them labelled by two people"
    table.loc[table["key"] == QUIET, ["author", "concept.noise"]] = "eve", "quiet"
    (tmp_path / "filled.csv").write_text(table.to_csv(index=False, lineterminator="\r\n"))
    imported = check_rows(read_rows(tmp_path / "filled.csv"), load_labelled_texts(workspace), "", NOW)
    result = compare(imported, DECISIONS)
    assert result.added == [Decision(QUIET, "noise", "quiet", "eve", NOW)] and result.known == 5


def test_an_xlsx_file_is_imported_with_its_types_and_empty_cells(workspace, tmp_path, monkeypatch, sparsecbm):
    exported(workspace, tmp_path, "csv")
    table = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False).astype(object).replace("", None)
    table.loc[table["key"] == QUIET, ["author", "concept.noise"]] = "eve", " quiet "
    table.loc[table["key"] == STALE, ["author", "at", "concept.food"]] = (
        "ann",
        pd.Timestamp(LATE).tz_localize(None),
        "?",
    )
    table.to_excel(tmp_path / "filled.xlsx", index=False)
    imported = check_rows(read_rows(tmp_path / "filled.xlsx"), load_labelled_texts(workspace), "", NOW)
    result = compare(imported, [decision for decision in DECISIONS if decision.key != STALE])
    assert {(d.key, d.concept, d.state, d.author) for d in result.added} == {
        (QUIET, "noise", "quiet", "eve"), (STALE, "food", None, "ann"),
    }  # fmt: skip
    assert result.known == 4
    monkeypatch.chdir(workspace.root)
    code, _, errors = sparsecbm("annotate", "import", tmp_path / "filled.xlsx")
    stored = current_labels(read_decisions(workspace.annotations / "human.jsonl")).set_index(["key", "concept"])
    assert (code, errors) == (0, "") and stored.loc[(QUIET, "noise"), "state"] == "quiet"


def test_an_xlsx_file_with_a_fault_names_its_row_and_adds_nothing(workspace, tmp_path, monkeypatch, sparsecbm):
    rows = [{"key": COLD, "author": "eve", "concept.food": "good"}, {"key": HOT, "author": "eve", "concept.food": 3}]
    pd.DataFrame(rows).to_excel(tmp_path / "wrong.xlsx", index=False)
    monkeypatch.chdir(workspace.root)
    code, _, errors = sparsecbm("annotate", "import", tmp_path / "wrong.xlsx")
    assert code == 1 and "wrong.xlsx, row 2 (row 3 of the sheet): unknown state of 'food' '3'" in errors
    assert len(read_decisions(workspace.annotations / "human.jsonl")) == len(DECISIONS)


def test_a_key_that_a_spreadsheet_spoilt_is_replaced_by_that_of_the_text(workspace, tmp_path):
    (tmp_path / "a.csv").write_text(f"key,text,concept.food\n4.3E+15,{TEXTS['train'][0]},bad\n")
    imported = check_rows(read_rows(tmp_path / "a.csv"), load_labelled_texts(workspace), "ann", NOW)
    assert imported == [Decision(COLD, "food", "bad", "ann", NOW)]


def test_a_decision_that_its_author_replaced_later_is_left_out(workspace):
    older = [Decision(BAND, "noise", "quiet", "=bob()", EARLY), Decision(COLD, "food", "bad", "bob", EARLY)]
    result = compare(older, DECISIONS)
    assert (result.added, result.known, result.older) == ([], 1, 1)
    newer = [Decision(BAND, "noise", "quiet", "=bob()", NOW)] * 2
    assert compare(newer, DECISIONS).added == newer[:1], "a file that repeats a decision adds it once"


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("csv", "key,author,concept.food\n{cold},ann,awful\n", r"row 1 \(line 2\): unknown state.*'awful'.*good, \?"),
        ("csv", "key,author,concept.foot\n{cold},ann,bad\n", r"row 1.*: unknown concept 'foot'. Did you mean 'food'"),
        ("csv", "key,author,concept.food\n{cold},ann,bad\n1234,ann,bad\n", r"row 2 \(line 3\): the text '1234'"),
        ("csv", "text,author,concept.food\nnew,ann,bad\n", r"row 1.*: the text 'new' is not among"),
        ("csv", "key,text,author,concept.food\n{cold},the soup,ann,bad\n", r"row 1.*: its text is not the text of"),
        ("csv", "key,author,concept.food\n{cold},,bad\n", r"row 1.*: it names no author; give one by --author"),
        ("csv", "key,author,at,concept.food\n{cold},ann,monday,bad\n", r"row 1.*: 'monday' is no ISO 8601 time"),
        ("csv", "key,author\n{cold},ann\n", r"first line needs `key` or `text`, and `concept.NAME` for each"),
        ("csv", "key,concept.food\n{cold}\n", r"1 of 1 rows do not fit its header"),
        ("json", '{{"data": {{}}}}', r"holds no list of tasks"),
        ("json", "[1]", r"task 1 has no object `data`"),
        ("json", "[", r"is not valid JSON"),
        ("json", task_json('"value": {{"choices": ["bad", "good"]}}'), r"task 1: 'food' needs exactly one choice"),
        ("json", task_json('"value": {{"choices": ["awful"]}}'), r"task 1: unknown state of 'food' 'awful'"),
    ],
)  # fmt: skip
def test_a_fault_names_its_row_and_nothing_is_imported(workspace, sparsecbm, monkeypatch, form, content, message):
    monkeypatch.chdir(workspace.root)
    path = workspace.annotations / "human.jsonl"
    before = path.read_bytes()
    (workspace.root / f"bad.{form}").write_text(content.format(cold=COLD))
    code, output, errors = sparsecbm("annotate", "import", f"bad.{form}")
    assert (code, output) == (1, "")
    assert re.search(message, errors), errors
    assert path.read_bytes() == before


SIGNED = [Decision(COLD, "food", "bad", "eve", NOW), Decision(BAND, "noise", "loud", "eve", NOW)]


@pytest.mark.parametrize(
    "content",
    [
        "key;text;author;concept.food;concept.noise\n{cold};{first};eve;bad;\n{band};{fourth};eve;;loud\n",
        "key\ttext\tauthor\tconcept.food\tconcept.noise\n{cold}\t{first}\teve\tbad\t\n{band}\t{fourth}\teve\t\tloud\n",
        "sep=;\r\nkey;author;concept.food;concept.noise\r\n{cold};eve;bad;\r\n{band};eve;;loud\r\n",
        "\nkey|author|note, and more|concept.food|concept.noise\n{cold}|eve|a, b|bad|\n{band}|eve|||loud\n",
        "key,author,note;more,concept.food,concept.noise\n{cold},eve,a;b,bad,\n{band},eve,,,loud\n",
    ],
    ids=["semicolons", "tabs", "declared", "bars", "commas"],
)
def test_the_header_tells_the_separator_of_a_csv_file(workspace, tmp_path, content):
    first, fourth = TEXTS["train"][0], TEXTS["train"][3]
    (tmp_path / "a.csv").write_text(content.format(cold=COLD, band=BAND, first=first, fourth=fourth))
    assert check_rows(read_rows(tmp_path / "a.csv"), load_labelled_texts(workspace), "", NOW) == SIGNED


def test_a_fault_below_a_text_of_two_lines_is_found_in_file_and_spreadsheet(workspace, sparsecbm, monkeypatch):
    monkeypatch.chdir(workspace.root)
    Path("a.csv").write_text(f'key,note,author,concept.food\n{COLD},"two\nlines",eve,bad\n{HOT},,eve,awful\n')
    code, _, errors = sparsecbm("annotate", "import", "a.csv")
    assert code == 1 and "a.csv, row 2 (line 4; row 3 in a spreadsheet): unknown state of 'food' 'awful'" in errors


def test_a_state_may_differ_in_case_and_blanks_but_not_in_letters(workspace, tmp_path):
    texts = load_labelled_texts(workspace)
    (tmp_path / "a.csv").write_text(f"key,concept.food,concept.noise\n{COLD}, Bad ,\n{BAND},,LOUD\n")
    assert check_rows(read_rows(tmp_path / "a.csv"), texts, "eve", NOW) == SIGNED
    (tmp_path / "a.csv").write_text(f"key,concept.food\n{COLD},bda\n")
    with pytest.raises(DataError, match="unknown state of 'food' 'bda'"):
        check_rows(read_rows(tmp_path / "a.csv"), texts, "eve", NOW)


def test_of_two_states_that_differ_in_case_alone_a_cell_means_none():
    concept = ConceptDefinition("food", "", dict.fromkeys(("bad", "Bad", "good"), ""))
    texts = LabelledTexts(pd.DataFrame({"key": [COLD], "text": [TEXTS["train"][0]]}), (concept,), {})
    row = ExchangedRow("a.csv, row 1", COLD, "", "eve", NOW, {"food": "Bad"})
    assert [each.state for each in check_rows([row], texts, "", NOW)] == ["Bad"]
    with pytest.raises(DataError, match="unknown state of 'food' 'BAD'"):
        check_rows([replace(row, states={"food": "BAD"})], texts, "", NOW)


@pytest.mark.parametrize(
    ("author", "told"),
    [
        (["--author", "eve"], ". 2 cell(s) in rows with an author are empty and give no label"),  # rows 1 and 2
        ([], ". 1 cell(s) in rows with an author are empty and give no label"),
    ],
)
def test_an_import_counts_the_empty_cells_of_labelled_rows(workspace, sparsecbm, monkeypatch, author, told):
    monkeypatch.chdir(workspace.root)
    named = "" if author else "eve"
    rows = [f"{COLD},{named},bad,", f"{HOT},eve,bad,", f"{QUIET},,,"]
    Path("a.csv").write_text("\n".join(["key,author,concept.food,concept.noise", *rows[not author and 1 :]]) + "\n")
    added = len(rows) - 1 if author else 1
    assert sparsecbm("annotate", "import", "a.csv", *author)[1] == f"{added} decision(s) added from a.csv{told}\n"


@pytest.mark.parametrize(("form", "file"), [("label-studio", "out.json"), ("csv", "out.csv")])
def test_the_commands_export_and_import_and_say_what_they_did(workspace, sparsecbm, monkeypatch, form, file):
    monkeypatch.chdir(workspace.root)
    path = workspace.annotations / "human.jsonl"
    code, output, errors = sparsecbm("annotate", "export", "--format", form, "--output", file)
    assert (code, errors) == (0, "") and f"are in {file}" in output
    before = path.read_bytes()
    empty = ". 3 cell(s) in rows with an author are empty and give no label" if form == "csv" else ""
    assert sparsecbm("annotate", "import", file)[1] == f"0 decision(s) added from {file}; 5 were there already{empty}\n"
    assert path.read_bytes() == before
    path.unlink()
    assert sparsecbm("annotate", "import", file)[1] == f"5 decision(s) added from {file}{empty}\n"
    assert votes(read_decisions(path)) == votes(DECISIONS)


@pytest.mark.parametrize(("form", "file"), [("label-studio", "out.json"), ("csv", "out.csv")])
def test_texts_are_exported_in_the_order_of_a_review_at_random(workspace, sparsecbm, monkeypatch, form, file):
    monkeypatch.chdir(workspace.root)
    sparsecbm("annotate", "export", "--format", form, "--output", file)
    if form == "csv":
        texts = [row.text for row in read_rows(Path(file))]
    else:
        texts = [task["data"]["text"] for task in json.loads(Path(file).read_text())]
    table = load_labelled_texts(workspace).frame
    expected = texts_at_random(table, load_params(workspace.params).seed)["text"].tolist()
    assert list(dict.fromkeys(texts)) == expected != table["text"].tolist()


def test_only_the_named_split_is_exported(workspace, sparsecbm, monkeypatch):
    monkeypatch.chdir(workspace.root)
    sparsecbm("annotate", "export", "--format", "csv", "--output", "out.csv", "--split", "test")
    assert set(pd.read_csv("out.csv")["split"]) == {"test"}
    code, _, errors = sparsecbm("annotate", "export", "--format", "csv", "--output", "o.csv", "--split", "dev")
    assert code == 1 and "unknown split 'dev'. Did you mean" not in errors and "train, test" in errors
    code, _, errors = sparsecbm("annotate", "export", "--format", "csv", "--output", "out.json")
    assert code == 1 and "the format csv needs a name that ends in .csv" in errors
