"""`sparsecbm init` and `sparsecbm upgrade` from a user's point of view."""

import json

import pytest

from tests.support.data_workspace import source_rows, write_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the working directory, with a table in `raw/reviews.csv`."""
    write_source(tmp_path, source_rows())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(run, *options):
    return run("init", "reviews", "--table", "raw/reviews.csv", "--text", "comment", "--label", "stars", *options)


def test_init_says_what_it_made_and_what_comes_next(folder, sparsecbm):
    code, out, err = init(sparsecbm)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "reviews: 60 rows of data/reviews.csv; stars is 1, 2, 3"
    assert "alphabetical" not in out
    assert [line.split("#")[0].strip() for line in lines[lines.index("next:") + 1 :]] == [
        "cd reviews", "sparsecbm concepts suggest", "sparsecbm concepts check", "sparsecbm annotate review",
        "sparsecbm annotate review --split test --limit 150", "sparsecbm annotate",
        "sparsecbm run",
    ]  # fmt: skip
    code, out, err = init(sparsecbm)
    assert (code, out) == (1, "")
    assert err == "error: could not write reviews: it is not empty; name a new folder\n"


def test_init_says_that_words_as_labels_are_in_alphabetical_order(folder, sparsecbm):
    path = folder / "raw" / "reviews.csv"
    rows = source_rows()
    write_source(folder, [row | {"stars": {"1": "bad", "2": "mixed"}.get(str(row["stars"]), "good")} for row in rows])
    assert path.read_text().count("mixed")
    hint = "alphabetical order; if they have another one, set source.columns.labels"
    _, out, _ = init(sparsecbm)
    assert "stars is bad, good, mixed" in out and hint in out
    out = sparsecbm(
        "init",
        "again",
        "--table",
        "raw/reviews.csv",
        "--text",
        "comment",
        "--label",
        "stars",
        "--labels",
        "bad,mixed,good",
    )[1]
    assert "stars is bad, mixed, good" in out and hint not in out
    assert "misspelt" not in out, "the table has no concepts"


def test_init_takes_concepts_labels_and_the_format_of_the_file(folder, sparsecbm):
    path = folder / "raw" / "reviews.csv"
    path.write_text("a note\n" + path.read_text().replace(",", ";"))
    options = ("--format", "separator=;", "--format", "header=2", "--concept", "price=p", "--labels", "3,2,1")
    code, out, err = init(sparsecbm, *options)
    assert (code, err) == (0, ""), err
    assert "stars is 3, 2, 1" in out and "concepts suggest" not in out
    assert "price is high, low\nIs a state misspelt?" in out
    text = (folder / "reviews" / "params.yaml").read_text()
    assert "      price:\n        column: p\n        states: [high, low]\n" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--group", "g"),
            "reviews.csv has no column 'g'; it has ['comment', 'stars', 'f', 'p']. Correct --text, --label",
        ),
        (("--concept", "price"), "--concept takes NAME=COLUMN, not 'price'"),
        (("--concept", "a=p", "--concept", "a=f"), "--concept names 'a' twice; name it once"),
        (("--concept", "a=stars"), "label and concepts.a are the same column 'stars'"),
        (("--format", "seperator=;"), "seperator: unknown key 'seperator'. Did you mean 'separator'?"),
        (("--format", "header=-1"), "header: "),
        (("--format", "separator=;"), "has no column 'comment', 'stars'"),
    ],
)
def test_a_wrong_option_is_an_error_and_nothing_is_made(folder, sparsecbm, options, message):
    code, out, err = init(sparsecbm, *options)
    assert (code, out) == (1, "")
    assert err.startswith("error: ") and message in err and "Traceback" not in err
    assert [path.name for path in folder.iterdir()] == ["raw"]


def test_upgrade_names_what_it_renewed_and_what_it_kept(folder, sparsecbm, monkeypatch):
    init(sparsecbm)
    monkeypatch.chdir(folder / "reviews")
    code, out, _ = sparsecbm("upgrade")
    assert (code, len(out.splitlines())) == (0, 1)
    record = json.loads((folder / "reviews" / "code.json").read_text())
    record["stages"]["prune"] = record["files"]["prefect.yaml"] = record["files"][".gitignore"] = "0" * 16
    (folder / "reviews" / "code.json").write_text(json.dumps(record))
    code, out, _ = sparsecbm("upgrade")
    lines = out.splitlines()
    assert lines[1] == "other code: prune; `sparsecbm run` runs these stages again"
    assert lines[2] == "commit the result: git commit --all --message 'Upgrade sparsecbm'"
    (folder / "reviews" / "prefect.yaml").write_text("mine")
    record["files"]["prefect.yaml"] = "1" * 16
    (folder / "reviews" / "code.json").write_text(json.dumps(record))
    code, out, _ = sparsecbm("upgrade")
    assert "kept as you have it: prefect.yaml; compare it with " in out
    assert (folder / "reviews" / "prefect.yaml").read_text() == "mine"


def test_deps_and_doctor_know_the_record_of_code(folder, sparsecbm, monkeypatch):
    init(sparsecbm)
    monkeypatch.chdir(folder / "reviews")
    assert sparsecbm("pipeline", "deps")[1] == "code.json is up to date\n"
    assert sparsecbm("pipeline", "deps", "--check")[1] == "code.json has the hashes of the installed code\n"
    code, out, _ = sparsecbm("doctor")
    assert "as in code.json" in out and "all that are needed" in out
    record = json.loads((folder / "reviews" / "code.json").read_text())
    record["stages"]["prune"] = record["package"] = "0" * 16
    (folder / "reviews" / "code.json").write_text(json.dumps(record))
    code, _, err = sparsecbm("pipeline", "deps", "--check")
    assert code == 1 and "for: prune; `sparsecbm upgrade` renews it" in err
    code, out, _ = sparsecbm("doctor")
    assert code == 1 and "for: prune" in out
    assert sparsecbm("pipeline", "deps")[1] == "code.json updated: prune\n"
