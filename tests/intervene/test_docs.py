"""docs/interventions.md: its commands and Python code run in the order of the page."""

import re
import shlex

import pytest
import torch
import yaml

from sparsecbm.api import SparseCBM
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli import app as cli
from sparsecbm.data.tables import write_splits
from sparsecbm.intervene.experiments.verdict import GATES
from sparsecbm.intervene.memory.recall import predict_with_corrections
from sparsecbm.intervene.memory.store import Memory
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

PROJECT = Workspace.find()
PAGE = (PROJECT.root / "docs" / "interventions.md").read_text(encoding="utf-8")
TEXT = "In short, the ingredients seemed cheap and past their best. The entrance is on the side street."


@pytest.fixture
def workspace(lively, tmp_path, monkeypatch):
    """Return tiny models and tables at the paths of the page; the text is predicted as Positive with a small margin."""
    content = yaml.safe_load(PROJECT.params.read_text())
    content["intervene"] |= {"max_flipped_share": 0.02, "max_harm": 1.0, "protect": 8}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    with torch.no_grad():
        logits = torch.from_numpy(lively.logits([TEXT]).concepts["food"][0])
        lively.concept_heads.head("food").bias += torch.tensor([0.1, 0.3, 0.0]) - logits
    lively.save_pretrained(tmp_path / "models" / "sparse")
    splits = {"validation": annotated(40, seed=3), "test": annotated(20, seed=4)}
    write_splits(tmp_path / "data" / "annotated", splits, {"source": "tiny", "vocabulary": CONCEPTS.to_dict()})
    (tmp_path / "patches").mkdir()
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


def test_all_code_of_the_page_runs(workspace, monkeypatch, capsys):
    names: dict = {}
    blocks = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
    assert [kind for kind, _ in blocks].count("sh") >= 4
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, "docs/interventions.md", "exec"), names)
            continue
        for line in block.splitlines():
            monkeypatch.setattr(cli.sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as stop:
                cli.main()
                raise SystemExit(0)
            assert not stop.value.code, (line, capsys.readouterr().err)
    assert "food" in names["edit"].changed and names["text"] == TEXT
    assert set(names["result"].acted) == {"food"} and names["result"].after.concepts["food"].state == "Negative"
    assert SparseCBM.from_pretrained("models/patched").predict([TEXT])[0].concepts["food"].state == "Negative"
    before, after = (workspace.root / "models" / name / "masks.safetensors" for name in ("sparse", "reverted"))
    assert before.read_bytes() == after.read_bytes()


def test_the_page_names_the_gates_and_tables():
    assert all(f"`{gate}`" in PAGE for gate in GATES)


def test_the_example_of_a_stored_correction_acts_on_the_model_of_the_pipeline(tmp_path):
    """On the default model, whose food is wrong in both texts; another workspace has no such model."""
    if not (PROJECT.sparse / "checksums.json").is_file():
        pytest.skip("the pipeline has not run here")
    model, memory = SparseCBM.from_pretrained(PROJECT.sparse), Memory(tmp_path / "corrections")
    [(new_text, threshold)] = re.findall(r'memory apply models/sparse corrections --text "(.*)" --threshold (.*)', PAGE)
    memory.add(model, TEXT, "food", "Negative")
    [result] = predict_with_corrections(model, memory, [new_text], float(threshold))
    assert result.before.concepts["food"].state == "Positive" and result.after.concepts["food"].state == "Negative"
    assert (result.before.label.state, result.after.label.state) == ("4", "2")
    assert result.acted["food"].likeness == pytest.approx(0.98, abs=0.01)
    [unchanged] = predict_with_corrections(model, memory, [new_text], 0.995)
    assert unchanged.acted == {} and unchanged.after == unchanged.before
