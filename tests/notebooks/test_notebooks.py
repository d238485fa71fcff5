"""The notebooks of the documentation run from the first cell to the last and show what they say."""

from pathlib import Path

import nbformat
import pytest

nbclient = pytest.importorskip("nbclient")
FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"


@pytest.fixture(scope="module")
def executed():
    notebook = nbformat.read(FOLDER / "train-and-explain.ipynb", as_version=4)
    return nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(FOLDER)}}).execute()


def outputs(notebook, start):
    """Outputs of the code cell that begins so."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(start)]
    return cell.outputs


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(FOLDER / "train-and-explain.ipynb", as_version=4)
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_the_notebook_trains_prunes_explains_and_patches(executed):
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
