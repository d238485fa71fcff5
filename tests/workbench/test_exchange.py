"""Labels in files: exported as the command does it, and imported as a whole or not at all."""

import csv
import io
import json

import pandas as pd
import pytest

from sparsecbm.annotate.human_labels import HUMAN_FILE, read_decisions
from sparsecbm.annotate.labelled_texts import load_labelled_texts
from sparsecbm.annotate.labels import text_key
from sparsecbm.base.json_lines import read_json_lines
from sparsecbm.data.tables import read_split

HEADER = "key,text,author,at,concept.food,concept.noise\n"


@pytest.fixture
def labelled(ask, workspace):
    """Return the first two texts; Ann labelled the first one."""
    texts = read_split(workspace.validated, "train")["text"].drop_duplicates().tolist()[:2]
    ask("POST", "/label/who", whole=True, data={"author": "Ann"})
    ask("POST", "/label", data={"key": text_key(texts[0]), "state.food": "Positive", "state.noise": "cannot decide"})
    return texts


def send(ask, content, name="labels.csv", whole=False):
    return ask("POST", "/label/import", whole=whole, files={"file": (name, content)})


def rows(*rows):
    return (HEADER + "".join(f"{row}\n" for row in rows)).encode()


def stored(workspace):
    return [(d.key, d.concept, d.state, d.author) for d in read_decisions(workspace.annotations / HUMAN_FILE)]


def imports(workspace):
    lines = read_json_lines(workspace.state / "workbench.jsonl")
    return [(line["by"], line["labels"]) for line in lines if line["action"] == "import labels"]


@pytest.mark.parametrize(
    ("file", "command"), [("texts.csv", ("csv", "out.csv")), ("tasks.json", ("label-studio", "out.json"))]
)
def test_the_page_and_the_command_export_the_same_bytes(
    ask, labelled, workspace, sparsecbm, monkeypatch, tmp_path, file, command
):
    monkeypatch.chdir(workspace.root)
    assert sparsecbm("annotate", "export", "--format", command[0], "--output", tmp_path / command[1])[0] == 0
    response = ask("GET", f"/label/export?file={file}&split=")
    assert response.content == (tmp_path / command[1]).read_bytes()
    assert response.headers["content-disposition"] == f"attachment; filename={file}"
    if file == "tasks.json":
        assert ask("GET", "/label/export?file=tasks.xml").content == (tmp_path / "out.xml").read_bytes()
        tasks = [task for task in response.json() if task["annotations"]]
        assert [task["data"]["text"] for task in tasks] == [labelled[0]]


def test_one_split_is_exported_and_what_is_unknown_is_told(ask, labelled, workspace, words_of):
    table = list(csv.DictReader(io.StringIO(ask("GET", "/label/export?file=texts.csv&split=test").text)))
    assert {row["split"] for row in table} == {"test"}
    assert len(table) == len(load_labelled_texts(workspace, ["test"]).frame)
    for query in ("file=labels.exe", "file=texts.csv&split=tset", ""):
        assert ask("GET", f"/label/export?{query}").status_code == 422


def test_an_import_adds_labels_once_and_the_journal_says_so(ask, labelled, workspace, words_of):
    before, key = stored(workspace), text_key(labelled[1])
    content = rows(f"{key},,,,Negative,?", f"{key},,Bea,2026-01-02T00:00:00Z,Positive,")
    response = send(ask, content)
    assert response.status_code == 200 and "3 decision(s) added from labels.csv" in words_of(response)
    added = [(key, "food", "Negative", "Ann"), (key, "noise", None, "Ann"), (key, "food", "Positive", "Bea")]
    assert stored(workspace) == [*before, *added]
    assert 'id="progress" hx-swap-oob="true"' in response.text
    again = words_of(send(ask, content))
    assert "0 decision(s) added from labels.csv; 3 were there already" in again
    assert stored(workspace) == [*before, *added] and imports(workspace) == [("Ann", 3)]


def test_a_workbook_arrives_to_the_byte(ask, labelled, workspace, tmp_path, words_of):
    row = {"text": labelled[1], "concept.food": "Negative"}
    pd.DataFrame([row]).to_excel(tmp_path / "labels.xlsx", index=False)
    assert "1 decision(s) added from labels.xlsx" in words_of(
        send(ask, (tmp_path / "labels.xlsx").read_bytes(), "labels.xlsx")
    )
    assert stored(workspace)[-1] == (text_key(labelled[1]), "food", "Negative", "Ann")


def test_label_studio_gives_back_what_it_was_given_and_one_changed_choice(ask, labelled, workspace, words_of):
    tasks = ask("GET", "/label/export?file=tasks.json").json()
    assert "0 decision(s) added" in words_of(send(ask, json.dumps(tasks), "tasks.json"))
    (task,) = (task for task in tasks if task["annotations"])
    food = next(each for each in task["annotations"][0]["result"] if each["from_name"] == "food")
    food["value"]["choices"] = ["Negative"]
    task["annotations"][0] |= {"completed_by": {"email": "eve@lab"}, "updated_at": "2026-12-01T10:00:00Z"}
    assert "1 decision(s) added" in words_of(send(ask, json.dumps(tasks), "tasks.json"))
    assert stored(workspace)[-1] == (text_key(labelled[0]), "food", "Negative", "eve@lab")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", lambda k: rows(f"{k},,,,Positive,", "0123,,,,Positive,"), "a.csv, row 2 (line 3): the text '0123'"),
        ("a.csv", lambda k: rows(f"{k},,,,Positive,", f"{k},,,,Superb,"), "a.csv, row 2 (line 3): unknown state"),
        ("a.csv", lambda k: rows(f"{k},,,soon,Positive,"), "a.csv, row 1 (line 2): 'soon' is no ISO 8601 time"),
        ("a.csv", lambda k: b"one,two\n1,2\n", "a.csv has the columns 'one', 'two'; its first line needs `key`"),
        ("a.csv", lambda k: b"", "a.csv"),
        ("a.csv", lambda k: b"\xff\xfe\x00\x00", "a.csv"),
        ("a.xlsx", lambda k: b"PK no zip", "a.xlsx"),
        ("a.json", lambda k: b"[{]", "a.json is not valid JSON"),
        ("a.json", lambda k: b'[{"data": {"key": 7}}]', "a.json, task 1: data.key must be a text, is 7"),
        ("a.json", lambda k: b'[{"data": 7}]', "a.json, task 1 has no object `data`"),
        ("labels.exe", lambda k: b"MZ", "labels.exe is no file of labels; choose one that ends in .json, .csv"),
        ("", lambda k: b"", "no file is chosen"),
    ],
)  # fmt: skip
def test_a_file_with_one_fault_adds_nothing_and_the_fault_is_named(
    ask, labelled, workspace, words_of, name, content, message
):
    before = stored(workspace)
    response = send(ask, content(text_key(labelled[0])), name)
    told = words_of(response)
    assert response.status_code == 422 and message in told and "/tmp" not in told, told
    assert stored(workspace) == before and imports(workspace) == []


def test_a_broken_journal_imports_nothing(ask, labelled, workspace):
    path = workspace.state / "workbench.jsonl"
    path.write_text(path.read_text() * 2)
    before = stored(workspace)
    assert send(ask, rows(f"{text_key(labelled[1])},,,,Negative,")).status_code == 422
    assert stored(workspace) == before


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_is_too_large_is_told_on_the_page(ask, labelled, workspace, words_of, whole):
    before = stored(workspace)
    response = send(ask, b"x" * 4_000_001, whole=whole)
    assert response.status_code == 413 and "a body may have 4000000 bytes" in words_of(response)
    assert ("<!doctype html>" in response.text) == whole and response.headers["content-type"].startswith("text/html")
    assert stored(workspace) == before


@pytest.mark.parametrize(
    "request_",
    [
        {"data": {"file": "a.csv"}},
        {"content": b"--x\r\nhalf", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"Content-Type": "multipart/form-data"}},
        {"files": [("file", ("a.csv", b"a")), ("file", ("b.csv", b"b"))]},
    ],
)
def test_a_body_that_is_no_form_with_one_file_is_refused(snapshot, workspace, folder, request_):
    from tests.support.served_model import running
    from tests.support.workbench_app import workbench_app

    with running(workbench_app(snapshot, workspace, folder.model)) as ask:
        ask("POST", "/label/who", data={"author": "Ann"})
        assert ask("POST", "/label/import", **request_).status_code == 422


def test_whoever_gave_no_name_imports_nothing(ask, workspace, words_of):
    response = send(ask, rows("k,,,,Positive,"))
    assert response.status_code == 422 and "give your name first" in words_of(response)


def test_without_scripts_the_answer_is_a_whole_page(ask, labelled, words_of):
    response = send(ask, rows(f"{text_key(labelled[1])},,,,Negative,"), whole=True)
    assert "<!doctype html>" in response.text and "1 decision(s) added" in words_of(response)
    assert "hx-swap-oob" not in response.text
