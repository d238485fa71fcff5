"""Pages wrap at 100 characters, and their links, commands, code and generated parts agree with this repository."""

import ast
import re
from pathlib import Path

import pytest
import yaml

import sparsecbm
from benchmarks import doc_pictures
from sparsecbm.cli import reference
from tests.support.doc_code import SPAN as COMMAND_SPAN
from tests.support.doc_code import (
    blocks,
    command_faults,
    pages,
    python_faults,
    shell_commands,
    span_faults,
    untagged_commands,
)
from tests.support.project import ROOT, pyproject

WIDTH = 100
# Patterns of the pages that are wrapped already. Once all are, this is README.md, CONTRIBUTING.md and docs/**/*.md.
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "data/*/README.md",
    "docs/*.md",
    "docs/how-to/*.md",
    "docs/reference/*.md",
    "docs/experiments/*.md",
)
SLOW = "slow: not in each run of CI"
# Pages with commands or Python that a test runs.
EXECUTED = {
    ("CONTRIBUTING.md", "python"): "tests/test_contributing.py",
    ("README.md", "python"): "tests/api/test_docs.py",
    ("docs/explanations.md", "python"): "tests/api/test_docs.py",
    ("docs/explanations.md", "sh"): "tests/api/test_docs.py",
    ("docs/how-to/backbone.md", "python"): "tests/api/test_docs.py",
    ("docs/how-to/hub.md", "python"): "tests/cli/test_publish_command.py",
    ("docs/how-to/hub.md", "sh"): "tests/cli/test_publish_command.py",
    ("docs/how-to/own-data.md", "python"): "tests/api/test_docs.py",
    ("docs/interventions.md", "python"): "tests/intervene/test_docs.py",
    ("docs/interventions.md", "sh"): "tests/intervene/test_docs.py",
    ("docs/masks.md", "python"): "tests/api/test_docs.py",
    ("docs/masks.md", "sh"): "tests/api/test_docs.py",
    ("docs/reference/python.md", "python"): "tests/api/test_docs.py",
    ("docs/tutorial.md", "sh"): f"tests/test_road.py ({SLOW})",
}
# Why the others are only checked: their commands and options exist, their Python compiles, their imports exist.
NOT_EXECUTED = {
    ("CONTRIBUTING.md", "sh"): "it installs, tests and trains; .ci/run runs make lint and make test",
    ("README.md", "sh"): "it trains for minutes; .ci/run runs make test",
    ("data/app-reviews/README.md", "sh"): "it trains for minutes",
    ("data/restaurants/README.md", "sh"): "tests/data/test_restaurants_data.py runs it",
    ("docs/annotation.md", "python"): "tests/annotate/test_redaction.py runs the calls",
    ("docs/batch.md", "python"): "it starts processes; tests/batch runs the function",
    ("docs/batch.md", "sh"): "tests/cli/test_batch_command.py runs the command",
    ("docs/configuration.md", "sh"): "it trains for minutes, on the reader's own folder",
    ("docs/drift.md", "sh"): "tests/cli/test_drift_command.py runs the command",
    ("docs/erasure.md", "sh"): "tests/erasure runs the command",
    ("docs/how-to/backbone.md", "sh"): "it names the reader's own folder",
    ("docs/larger-models.md", "sh"): "it needs a larger backbone; tests/cli/test_plan_command.py runs the command",
    ("docs/how-to/few-labels.md", "sh"): "a person answers; the tutorial runs the same commands",
    (
        "docs/how-to/llm-endpoint.md",
        "sh",
    ): f"it needs an endpoint; tests/test_road.py has a scripted one ({SLOW})",
    ("docs/how-to/own-concepts.md", "sh"): "a person answers; the tutorial runs the same commands",
    ("docs/how-to/own-data.md", "sh"): "it installs; the tutorial runs the other commands",
    ("docs/how-to/s3.md", "sh"): "it needs a bucket",
    (
        "docs/how-to/schedules.md",
        "sh",
    ): f"it starts services; tests/orchestration/test_end_to_end.py runs the commands ({SLOW})",
    ("docs/how-to/several-workspaces.md", "sh"): "it names the reader's own tables",
    ("docs/how-to/sparsity.md", "sh"): "it trains for minutes",
    ("docs/how-to/upgrade.md", "sh"): "it installs; tests/scaffold/test_upgrade.py runs the command",
    ("docs/metrics.md", "sh"): "it commits in the reader's repository",
    ("docs/operations.md", "python"): "it needs a registry; tests/promote runs the call",
    (
        "docs/operations.md",
        "sh",
    ): f"it starts services; tests/orchestration/test_end_to_end.py runs the commands ({SLOW})",
    ("docs/production-day.md", "sh"): f"tests/orchestration/test_end_to_end.py lives through the same day ({SLOW})",
    ("docs/promotion.md", "sh"): f"tests/orchestration/test_end_to_end.py repeats it ({SLOW})",
    ("docs/review.md", "sh"): "a person answers; tests/cli/test_review_command.py runs the commands",
    ("docs/reading-the-report.md", "sh"): "tests/report/test_audit.py writes the page",
    ("docs/service.md", "sh"): "it starts a server; tests/serve runs the requests",
    ("docs/speed.md", "python"): "tests/export runs the calls",
    ("docs/speed.md", "sh"): "tests/cli/test_export_command.py runs the commands",
    ("docs/subnetworks.md", "sh"): "it trains for minutes; the notebook does the same on a small table",
    ("docs/workbench.md", "sh"): "it starts a server; tests/workbench runs it",
    ("docs/workspaces.md", "sh"): "it installs; the tutorial runs the other commands",
}
CODE_BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
LINK_TARGET = re.compile(r"\]\([^)]*\)|https?://\S+")


def find_long_lines(text: str) -> list[str]:
    """Return the lines that are too long; tables, pictures, code blocks and the targets of links do not count."""
    prose = CODE_BLOCK.sub("", text)
    lines = [line for line in prose.splitlines() if not line.lstrip().startswith(("|", "!["))]
    return [line for line in lines if len(LINK_TARGET.sub("", line)) > WIDTH]


def test_every_pattern_names_a_page():
    assert [pattern for pattern in PAGES if not any(ROOT.glob(pattern))] == []


@pytest.mark.parametrize(
    "path", sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}), ids=lambda p: p.name
)
def test_a_page_wraps_at_100_characters(path):
    assert find_long_lines(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "too_long"),
    [
        ("a" * 100, False),
        ("a" * 101, True),
        ("| " + "a" * 200 + " |", False),
        ("[a page](" + "a" * 100 + ".md)", False),
        ("see https://example.org/" + "a" * 100, False),
        ("[" + "a" * 101 + "](b.md)", True),
        ("```sh\n" + "a" * 200 + "\n```", False),
        ("![" + "a" * 200 + "](b.png)", False),
    ],
)
def test_tables_and_link_targets_may_be_longer(line, too_long):
    assert bool(find_long_lines(line)) is too_long


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them; the code of blocks has no headings."""
    headings = re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """Return the links of a page whose file or heading does not exist; addresses of the web do not count."""
    dead = []
    for path, anchor in LINK.findall(CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if "://" in path or path.startswith("mailto:"):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(f"{path}#{anchor}" if anchor else path)
    return dead


@pytest.mark.parametrize(
    "path", sorted({path for pattern in PAGES for path in ROOT.glob(pattern)}), ids=lambda p: p.name
)
def test_links_lead_to_files_and_headings_that_exist(path):
    assert dead_links(path) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n[x](#a-b-c) [y](#gone) [z](other.md) [w](https://example.org/x#y) [v](page.md#a-b-c)\n"
    )
    assert dead_links(page) == ["#gone", "other.md"]


CODE_PAGES = [path for path in pages(ROOT, PAGES) if path.name != "CHANGELOG.md"]


def code_pages(language: str) -> list[Path]:
    """Return the pages that have code blocks of a language."""
    return [path for path in CODE_PAGES if blocks(path.read_text(encoding="utf-8"), language)]


def test_every_page_with_code_says_whether_a_test_runs_it():
    found = {
        (path.relative_to(ROOT).as_posix(), language) for language in ("sh", "python") for path in code_pages(language)
    }
    listed = EXECUTED.keys() | NOT_EXECUTED.keys()
    assert found - listed == set(), "name a test that runs the code, in EXECUTED, or why none does, in NOT_EXECUTED"
    assert listed - found == set(), "these pages have no such code any more"
    assert EXECUTED.keys() & NOT_EXECUTED.keys() == set()
    assert [path for reason in EXECUTED.values() for path in named_tests(reason) if not path.is_file()] == []
    assert [path for reason in NOT_EXECUTED.values() for path in named_tests(reason) if not path.exists()] == []


def named_tests(reason: str) -> list[Path]:
    """Return the files and folders of tests that a reason names."""
    return [ROOT / path for path in re.findall(r"tests/[\w/.]+", reason)]


def is_slow(source: str) -> bool:
    """Return whether all tests of a file are marked slow, so that CI does not run them."""
    tree = ast.parse(source)
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    marks = [line for line in map(ast.unparse, tree.body) if line.startswith("pytestmark = ")]
    return any("pytest.mark.slow" in mark for mark in marks) or all(
        "pytest.mark.slow" in map(ast.unparse, test.decorator_list) for test in tests
    )


@pytest.mark.parametrize("reason", sorted({*EXECUTED.values(), *NOT_EXECUTED.values()}))
def test_a_reason_says_whether_its_tests_are_slow(reason):
    files = [file for path in named_tests(reason) for file in ([path] if path.is_file() else path.rglob("test_*.py"))]
    slow = [is_slow(file.read_text(encoding="utf-8")) for file in files]
    assert (SLOW in reason) == (bool(slow) and all(slow))


@pytest.mark.parametrize(
    ("source", "slow"),
    [
        ("pytestmark = [pytest.mark.flow, pytest.mark.slow]\ndef test_a(): ...", True),
        ("@pytest.mark.slow\ndef test_a(): ...", True),
        ("@pytest.mark.slow\ndef test_a(): ...\ndef test_b(): ...", False),
        ("pytestmark = pytest.mark.flow\ndef test_a(): ...", False),
    ],
)
def test_files_whose_tests_are_all_slow_are_found(source, slow):
    assert is_slow(source) is slow


@pytest.mark.parametrize("path", CODE_PAGES, ids=lambda p: p.name)
def test_a_block_that_begins_with_a_command_names_its_language(path):
    assert untagged_commands(path.read_text(encoding="utf-8")) == [], "tag it `sh`, so that its commands are checked"


@pytest.mark.parametrize("line", ["sparsecbm run", "python x.py", "pip install x", "make run", "dvc repro",
                                  "curl http://x", "$ ls"])  # fmt: skip
def test_a_command_without_a_language_is_found(line):
    assert untagged_commands(f"text\n\n```\n{line}\n```\n") == [line]
    assert untagged_commands(f"- item\n\n  ```\n  {line}\n  ```\n") == [line]
    assert untagged_commands(f"```sh\n{line}\n```\n\n```\noutput of {line}\n```\n") == []


@pytest.mark.parametrize("path", code_pages("sh"), ids=lambda p: p.name)
def test_commands_of_a_page_exist_with_their_options(path):
    commands = [words for block in blocks(path.read_text("utf-8"), "sh") for words in shell_commands(block)]
    assert [fault for words in commands if words[0] == "sparsecbm" for fault in command_faults(words)] == []


def test_make_targets_of_pages_exist():
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {
        name
        for path in CODE_PAGES
        for words in re.findall(r"^make ([a-z]+)|`make ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        for name in words
        if name
    }
    assert {"run", "test"} <= used <= targets


@pytest.mark.parametrize("path", CODE_PAGES, ids=lambda p: p.name)
def test_commands_in_sentences_exist_with_their_options(path):
    spans = COMMAND_SPAN.findall(CODE_BLOCK.sub("", path.read_text(encoding="utf-8")))
    assert [fault for span in spans for fault in span_faults(" ".join(span.split()))] == []


@pytest.mark.parametrize("path", code_pages("python"), ids=lambda p: p.name)
def test_python_of_a_page_compiles_and_imports_what_exists(path):
    assert [fault for block in blocks(path.read_text("utf-8"), "python") for fault in python_faults(block)] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("sparsecbm predict m --text 'a b'  # it's a comment", None),
        ("A=1 sparsecbm run --set a=b | head", None),
        ("printf 1 | sparsecbm annotate review --limit 3 --author Ann", None),
        ("sparsecbm foresee m", "no command sparsecbm foresee m"),
        ("sparsecbm predict m --txt a", "predict has no option --txt"),
        ("sparsecbm predict", "predict needs 1 argument(s)"),
        ("sparsecbm predict m n", "predict takes 1 argument(s)"),
        ("sparsecbm patch show", "patch show needs 1 argument(s)"),
        ("sparsecbm evaluate m --split test", "evaluate needs --output"),
    ],
)
def test_a_wrong_command_is_found(line, fault):
    faults = [each for words in shell_commands(line) if words[0] == "sparsecbm" for each in command_faults(words)]
    assert faults == ([fault] if fault else [])


def test_wrong_python_and_a_wrong_command_in_a_sentence_are_found():
    assert python_faults("from sparsecbm import fit, unfit") == ["sparsecbm has no unfit"]
    assert python_faults("import sparsecbm.nowhere") == ["no module sparsecbm.nowhere"]
    assert python_faults("fit(")[0].startswith("'(' was never closed")
    assert span_faults("sparsecbm annotate review\\|export --limit 1") == []
    assert span_faults("sparsecbm annotate --limits") == ["annotate --limits has no option --limits"]
    assert span_faults("sparsecbm foresee") == ["no command foresee"]


def test_the_reference_of_commands_is_that_of_the_command_line():
    path = ROOT / "docs" / "reference" / "command-line.md"
    page = path.read_text(encoding="utf-8")
    assert reference.fill_commands(page) == page, "run `python -m sparsecbm.cli.reference`"
    assert "### patch make" in page and "| `--concept CONCEPT` | required |" in page


def test_the_reference_of_python_has_every_public_name():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: sparsecbm\.(\w+)$", page, re.MULTILINE)) == sorted(sparsecbm.__all__)


def test_the_reference_of_schemas_has_every_schema():
    page = (ROOT / "docs" / "reference" / "json-schemas.md").read_text(encoding="utf-8")
    names = sorted(path.name for path in (ROOT / "sparsecbm" / "schemas").glob("*.json"))
    assert sorted(re.findall(r"^\| \[`([\w.-]+)`\]", page, re.MULTILINE)) == names


def test_every_page_is_in_the_navigation_of_the_site():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"^ +- (?:[^:\n]+: )?([\w/.-]+\.md)$", text.partition("\nnav:")[2], re.MULTILINE))
    folders = {path.relative_to(ROOT / "docs") for path in pages(ROOT, ("docs/*.md", "docs/*/*.md"))}
    missing = {path.as_posix() for path in folders if path.parts[0] != "experiments"} - listed
    assert missing == set(), "name each in mkdocs.yml"


def test_pictures_are_those_of_their_figures():
    for name, draw in doc_pictures.DRAWINGS.items():
        assert (ROOT / "docs" / "img" / name).read_text(encoding="utf-8") == draw(), f"run {doc_pictures.__name__}"


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = pyproject()["project"]
    assert {citation[key] for key in ("title", "version", "license")} == {
        project[key] for key in ("name", "version", "license")
    }
    (paper,) = citation["references"]
    assert paper["url"].endswith("2312.15033") and [author["family-names"] for author in paper["authors"]] == [
        "Tan", "Chen", "Zhang", "Liu",
    ]  # fmt: skip


def test_messages_of_the_questions_are_in_the_code():
    page = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text("utf-8") for path in [ROOT / "Makefile", *(ROOT / "sparsecbm").rglob("*.py")])
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # join the parts of a long message
    messages = re.findall(r"^\*\*`([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 10
    for message in messages:
        for part in filter(None, map(str.strip, re.split(r"\.\.\.|\bNAME\b", message))):
            assert part in code, (message, part)
