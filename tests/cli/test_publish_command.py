"""`sparsecbm publish`, `sparsecbm patch publish`, and models of a hub in other commands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sparsecbm.base.files import write_json, write_text
from sparsecbm.display.model_card import model_card
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.checksums import weights_checksum
from sparsecbm.serve.snapshot import load_snapshot
from tests.support.doc_code import shell_commands
from tests.support.explained_model import with_means
from tests.support.patches import patch_by_hand
from tests.support.project import ROOT

NAME = "acme/reviews"
TEXT = ("--text", "the food was good")


@pytest.fixture
def folder(lively, tmp_path, monkeypatch):
    """Return a saved model in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with_means(lively).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_published_model_is_a_model_of_other_commands(hub, folder, sparsecbm):
    code, output, errors = sparsecbm("publish", folder, NAME)
    commit = hub.repositories[NAME].refs["main"]
    assert code == 0, errors
    assert f"to {NAME} (private): {hub.address}/{NAME}/commit/{commit}" in output
    assert "no texts; the card says that nothing was measured" in output and f"{NAME}@{commit}" in output
    here = sparsecbm("predict", folder, *TEXT)
    code, output, errors = sparsecbm("predict", f"{NAME}@main", *TEXT)
    assert (code, output) == here[:2] and errors == f"{NAME}@main is commit {commit}\n"
    assert sparsecbm("masks", f"{NAME}@{commit}", "--json")[:2] == sparsecbm("masks", folder, "--json")[:2]


def test_a_fresh_process_uses_the_hub_that_the_environment_names(hub, folder, tmp_path):
    """The client reads HF_ENDPOINT and the other variables when it is imported, as it does for a user."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_writer",
    }  # fmt: skip
    code = (
        "import sys; from sparsecbm import SparseCBM;"
        "pushed = SparseCBM.from_pretrained(sys.argv[1]).push_to_hub('acme/fresh');"
        "print(SparseCBM.from_pretrained('acme/fresh@main').origin == pushed.address)"
    )
    run = subprocess.run([sys.executable, "-c", code, folder], env=environment, capture_output=True, text=True)
    assert run.stdout == "True\n", run.stderr
    assert (tmp_path / "home" / "hub" / "models--acme--fresh").is_dir()


def test_the_card_has_the_figures_of_the_workspace_and_words_only_on_request(
    hub, lively, tiny_workspace, sparsecbm, monkeypatch
):
    workspace = tiny_workspace
    monkeypatch.chdir(workspace.root)
    with_means(lively).save_pretrained(workspace.sparse)
    vocabulary = lively.concept_set.to_dict()
    manifest = {"format": 1, "source": "soups", "licence": "", "files": [], "vocabulary": vocabulary}
    write_json(workspace.annotated / "manifest.json", {**manifest, "splits": [{"name": "test", "rows": 40}]})
    score = {"accuracy": 0.75, "accuracy_interval": [0.5, 1.0], "majority": 0.25, "calibration_error": 0.125}
    write_json(workspace.metrics("evaluate"), {"split": "test", "texts": 40, "label": score})
    neuron = {"block": 1, "index": 2, "effect": 1.0, "interval": [0.5, 1.5], "exclusive": 0.5, "words": ["giovanni"]}
    write_json(workspace.metrics("explain"), {"parts": {"food": {"heads": [], "neurons": [neuron]}}})
    write_text(workspace.model_card, model_card(lively))
    code, output, errors = sparsecbm("publish", "models/sparse", NAME)
    card = hub.repositories[NAME].files["README.md"].decode()
    assert code == 0 and "has the figures of this workspace and lists no words of your texts" in output, errors
    assert "| this model | 0.750 | 0.500 to 1.000 |" in card and "| food | neuron 1.2 | 1.00 |" in card
    assert "giovanni" not in card and f'from_pretrained("{NAME}@main")' in card
    code, output, errors = sparsecbm("publish", "models/sparse", NAME, "--words")
    card = hub.repositories[NAME].files["README.md"].decode()
    assert code == 0 and "lists words of your texts" in output, errors
    assert "| food | neuron 1.2 | giovanni | 1.00 |" in card
    write_text(workspace.model_card, "the card of an earlier model")
    code, output, errors = sparsecbm("publish", "models/sparse", NAME)
    assert code == 0 and "no report of this workspace is about this model" in output, errors
    assert "Scores are not measured" in hub.repositories[NAME].files["README.md"].decode()


def test_a_card_of_ones_own_is_pushed_as_it_is(hub, folder, sparsecbm, tmp_path):
    (tmp_path / "card.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    code, output, errors = sparsecbm("publish", folder, NAME, "--card", "card.md", "--public")
    assert code == 0 and f"to {NAME} (public)" in output and "the card is card.md" in output, errors
    assert hub.repositories[NAME].files["README.md"] == (tmp_path / "card.md").read_bytes()
    (tmp_path / "card.md").write_text("---\ntags: 1\n---\n")
    code, _, errors = sparsecbm("publish", folder, NAME, "--card", "card.md", "--public")
    assert code == 1 and "Invalid metadata in README.md" in errors
    (tmp_path / "card.md").write_bytes(b"\xff")
    code, _, errors = sparsecbm("publish", folder, NAME, "--card", "card.md")
    assert code == 1 and "--card: card.md cannot be read as UTF-8 text" in errors
    code, _, errors = sparsecbm("publish", folder, NAME, "--card", "card.md", "--words")
    assert code == 1 and "give only one of --card and --words" in errors


def test_what_cannot_be_published_is_one_message(hub, folder, sparsecbm):
    code, _, errors = sparsecbm("publish", folder, "a/b/c")
    assert code == 1 and "a repository is named OWNER/NAME" in errors
    (folder / "config.json").write_text("{}")
    code, _, errors = sparsecbm("publish", folder, NAME)
    assert code == 1 and "config.json was altered" in errors and not hub.repositories
    code, _, errors = sparsecbm("predict", "acme/nothing@main", *TEXT)
    assert code == 1 and "has no such repository" in errors and errors.count("\n") == 1


def test_the_service_takes_a_model_of_a_hub(hub, folder, sparsecbm, monkeypatch):
    sparsecbm("publish", folder, NAME)
    commit = hub.repositories[NAME].refs["main"]
    served = []
    monkeypatch.setattr("sparsecbm.serve.server.serve", lambda served_model, _: served.append(served_model))
    code, _, errors = sparsecbm("serve", f"{NAME}@main")
    assert code == 0 and errors == f"{NAME}@main is commit {commit}\n"
    assert load_snapshot(Path(served[0].model), "hub").model.origin == f"{NAME}@{commit}"


def test_a_patch_is_published_and_used_by_its_name(hub, folder, lively, sparsecbm, tmp_path):
    layer = next(iter(lively.masks.shapes))
    patch = patch_by_hand(lively, {layer: (0, 5)}, author="Ann")
    patch.save(tmp_path / "one.patch")
    code, output, errors = sparsecbm("patch", "publish", "one.patch", "acme/patch")
    commit = hub.repositories["acme/patch"].refs["main"]
    assert code == 0, errors
    assert f"the sha256 of {len(patch.texts)} text(s), an author" in output and f"acme/patch@{commit}" in output
    card = hub.repositories["acme/patch"].files["README.md"].decode()
    assert patch.weights in card and patch.mask in card and "They were not measured." in card
    assert MaskPatch.load("acme/patch@main") == patch
    code, output, errors = sparsecbm(
        "patch", "apply", folder, "acme/patch@main", "--output", tmp_path / "patched", "--json"
    )
    assert code == 0 and json.loads(output)["model"] == str(tmp_path / "patched"), errors


def test_a_patch_on_another_model_names_both_checksums(folder, lively, sparsecbm, tmp_path):
    layer = next(iter(lively.masks.shapes))
    patch_by_hand(lively, {layer: (0,)}, weights="0" * 64).save(tmp_path / "other.patch")
    code, _, errors = sparsecbm("patch", "apply", folder, "other.patch", "--output", tmp_path / "patched")
    assert code == 1 and re.search(
        f"it is for the one with {'0' * 64}, and this model has {weights_checksum(lively)}", errors
    )


def test_the_page_runs(hub, lively, sparsecbm, tmp_path, monkeypatch):
    """All blocks of the page, in order, with a tiny model and a patch where the page has them."""
    monkeypatch.chdir(tmp_path)
    with_means(lively).save_pretrained(tmp_path / "models" / "sparse")
    patch_by_hand(lively, {next(iter(lively.masks.shapes)): (0,)}).save(tmp_path / "fix.patch")
    page = (ROOT / "docs" / "how-to" / "hub.md").read_text(encoding="utf-8")
    names: dict = {}
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        if language == "python":
            exec(compile(block, "hub.md", "exec"), names)
            continue
        for words in shell_commands(block):
            code, output, errors = sparsecbm(*words[1:])
            assert code == 0 and output, (words, errors)
    assert names["model"].origin == names["pushed"].address
    assert names["other"].masks == names["model"].masks
    assert (tmp_path / "food.mask").is_file() and (tmp_path / "models" / "fixed" / "checksums.json").is_file()
