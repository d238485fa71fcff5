"""Python of the pages runs, on a tiny model at the path that the pages name."""

import re
from pathlib import Path

import pytest

from sparsecbm import Concept, ConceptSet, FitOptions, Settings, fit
from tests.support.doc_code import blocks, shell_commands
from tests.support.explained_model import with_means
from tests.support.project import ROOT
from tests.support.tiny_models import DEEP, random_masks, tiny_model, write_backbone
from tests.support.user_frames import reviews

PAGES = ("README.md", "docs/explanations.md", "docs/how-to/backbone.md", "docs/masks.md", "docs/reference/python.md")


CONCEPTS = ConceptSet(
    tuple(Concept(name) for name in ("food", "service", "ambiance", "noise")), Concept("rating", ("1", "2", "3"))
)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Make a folder with a tiny model of the default concepts, of four blocks, at the path of the pages."""
    model = tiny_model(write_backbone(tmp_path / "backbone", **DEEP), CONCEPTS)
    model.masks = random_masks(model)
    with_means(model).save_pretrained(tmp_path / "models" / "sparse")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_python_of_the_page_runs(page, workspace, capsys):
    found = blocks((ROOT / page).read_text(encoding="utf-8"), "python")
    assert found
    names: dict = {}
    for block in found:
        exec(compile(block, page, "exec"), names)
    if page == "README.md":
        printed = capsys.readouterr().out
        before, after = (state.label.state for state in (names["edit"].before, names["edit"].after))
        assert f"{before} {after}\n" in printed and names["edit"].after.concepts["noise"].state == "Positive"
        assert re.search(r"\{'food': '\w+'", printed)
    if page == "docs/how-to/backbone.md":
        assert (names["options"].settings.max_length, names["options"].backbone) == (256, "FOLDER")


@pytest.mark.parametrize("page", ["docs/explanations.md", "docs/masks.md"])
def test_commands_of_the_page_run(page, workspace, sparsecbm):
    Path("reviews.txt").write_text("the food was good\nslow service\n")
    Path("reviews.csv").write_text("text\nthe food was good\nslow service\n")
    found = blocks((ROOT / page).read_text(encoding="utf-8"), "sh")
    lines = [words for block in found for words in shell_commands(block)]
    assert lines and all(words[0] == "sparsecbm" for words in lines)
    for words in lines:
        code, output, errors = sparsecbm(*words[1:])
        assert code == 0, (words, errors)
        assert output or Path("cards.html").is_file()


def test_the_road_from_a_table_to_masks_runs(tmp_path, monkeypatch):
    """The page trains the default backbone; here a tiny one stands in for it."""
    backbone = str(write_backbone(tmp_path / "backbone", **DEEP))
    options = FitOptions(backbone=backbone, settings=Settings(max_length=16))
    monkeypatch.setitem(fit.__kwdefaults__, "options", options)
    table = reviews(60, seed=5).rename(columns={"review": "body", "noise": "service"})
    table.to_csv(tmp_path / "reviews.csv", index=False)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    (block,) = blocks((ROOT / "docs" / "how-to" / "own-data.md").read_text(encoding="utf-8"), "python")
    exec(compile(block, "docs/how-to/own-data.md", "exec"), names)
    assert len(names["test"]) == 12 and not set(names["test"].index) & set(names["train"].index)
    assert names["dense"].masks is None and names["sparse"].masks.concepts == ("food", "service")


def test_the_first_page_has_at_most_ten_lines_of_python():
    (block,) = blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    assert len([line for line in block.splitlines() if line]) <= 10
