"""The notebooks of the documentation run from the first cell to the last and show what they say."""

import ast
from pathlib import Path

import nbformat
import pytest

nbclient = pytest.importorskip("nbclient")
FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = ("interventions", "specificity", "train-and-explain")


def execute(name):
    """Run a notebook and return it with its outputs."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    return nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(FOLDER)}}).execute()


def outputs(notebook, start):
    """Return the outputs of the code cell that begins so."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(start)]
    return cell.outputs


def value(notebook, start):
    """Return the literal that the code cell that begins so shows."""
    return ast.literal_eval(outputs(notebook, start)[-1]["data"]["text/plain"])


def test_every_notebook_is_run():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_outputs(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_the_first_notebook_trains_prunes_explains_and_patches():
    executed = execute("train-and-explain")
    density = outputs(executed, "sparse = sparsecbm.prune")[-1]["data"]["text/plain"]
    assert all(f"'{name}': 0.2" in density for name in ("food", "service", "noise"))
    for start in ("concepts = ", "plot_scores", "matrix = "):
        assert "image/png" in outputs(executed, start)[-1]["data"], "a figure is shown"
    card = outputs(executed, "text = ")[-1]["data"]["text/html"]
    assert "ramen" in card and "noise" in card
    shown = [each["text"] for each in outputs(executed, "predicted = ") if each.get("name") == "stdout"]
    wanted, predicted = "".join(shown).split()  # on a slow machine there is progress on stderr, too
    assert wanted == predicted, "the patch gives the text its annotated state"
    assert outputs(executed, "import tempfile")[-1]["data"]["text/plain"] == "True"


def test_the_notebook_on_specificity_compares_with_random_masks_and_a_null_concept():
    executed = execute("specificity")
    null, density = value(executed, "table = ")
    assert null.startswith("permuted ") and density == {"food": 0.25, "noise": 0.25}
    for masks in ("chosen", "random"):
        assert "image/png" in outputs(executed, f"plot_matrix({masks}")[-1]["data"], "a figure is shown"
    points = outputs(executed, "over = ")[-1]["data"]["text/html"]
    assert all(word in points for word in ("swap", "probe", "ablation", "food", "noise", null))
    judged = outputs(executed, "pd.DataFrame")[-1]["data"]["text/html"]
    assert all(word in judged for word in ("better", "needed", "earned", null))


def test_the_notebook_on_interventions_changes_what_it_should_and_nothing_else():
    executed = execute("interventions")
    before, after, hard = value(executed, "edit = ")
    assert before != after == hard, "the label follows the concept"
    inside, outside = value(executed, "with model.edited")
    assert inside == "Negative" and outside != "Negative"
    bits = outputs(executed, "bounds = ")[-1]["data"]["text/plain"]
    assert 0 < int(bits.removeprefix("(").partition(",")[0]) < 6000
    wanted, others_equal, restored = value(executed, "before = ")
    assert others_equal and restored
    size, fixed = value(executed, "folder = Path(mkdtemp())")
    assert size < 64_000 and fixed == wanted
    assert value(executed, "memory = ")[1] == wanted
