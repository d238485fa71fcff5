"""No output destroys what is there: a folder that holds no model, a foreign file, a device, a file inside a model."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import WriteError
from sparsecbm.base.files import replacing, replacing_folder, write_text
from sparsecbm.base.outputs import check_output
from sparsecbm.model.storage import compute_checksums
from sparsecbm.train.checkpoint import Checkpoints
from tests.support.patches import patch_by_hand
from tests.support.promotion_models import uniform_training_means

TEXT = "the food was good"


@pytest.fixture
def folder(lively, tmp_path):
    lively.means = uniform_training_means(lively)
    lively.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def small_patch(model):
    """Return a patch of the first two bits of one layer."""
    return patch_by_hand(model, {min(model.masks.shapes): (0, 1)})


def precious(path):
    path.mkdir()
    (path / "thesis.txt").write_text("ten years")
    return path


@pytest.mark.parametrize("command", ["apply", "revert"])
def test_a_folder_that_is_no_model_is_never_replaced(folder, lively, tmp_path, sparsecbm, command):
    target, file, model = precious(tmp_path / "precious"), tmp_path / "p.patch", folder
    small_patch(lively).save(file)
    if command == "revert":
        assert sparsecbm("patch", "apply", folder, file, "--output", tmp_path / "patched")[0] == 0
        model = tmp_path / "patched"
    code, output, errors = sparsecbm("patch", command, model, file, "--output", target)
    assert (code, output) == (1, "")
    assert errors.startswith(f"error: could not write {target}: it is not empty and no model folder; ")
    assert [entry.name for entry in target.iterdir()] == ["thesis.txt"]
    assert (target / "thesis.txt").read_text() == "ten years"
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")) == []
    (tmp_path / "empty").mkdir()
    for allowed in (tmp_path / "empty", tmp_path / "new", tmp_path / "new"):  # the second time, a model is there
        assert sparsecbm("patch", command, model, file, "--output", allowed)[0] == 0
        assert SparseCBM.from_pretrained(allowed).masked


@pytest.mark.parametrize(
    "way", ["missing/../precious", "missing/deeper/../../precious", "precious/../missing/../precious"]
)
def test_a_way_over_missing_folders_leads_to_what_is_there(model, tmp_path, way):
    """Nothing is at `missing/..` before `missing` is made, and then there is."""
    target = precious(tmp_path / "precious")
    with pytest.raises(WriteError, match="it is not empty and no model folder"):
        model.save_pretrained(tmp_path / way)
    for file in (tmp_path / way / "thesis.txt", tmp_path / "missing" / ".." / "precious" / "thesis.txt"):
        with pytest.raises(WriteError, match="it exists and does not hold masks"):
            check_output(file, lambda head: False, "masks")
    with pytest.raises(WriteError, match="it is a folder"), replacing(tmp_path / way):
        pass
    assert (target / "thesis.txt").read_text() == "ten years"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["precious"]


def test_a_link_to_itself_is_kept(model, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(WriteError, match=r"loop: it is no folder; name another folder"):
        model.save_pretrained(tmp_path / "loop")
    assert os.readlink(tmp_path / "loop") == str(tmp_path / "loop")


def test_a_path_that_cannot_be_created_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(WriteError, match=r"file is no folder; name another path"):
        check_output(tmp_path / "file" / "a" / "b", lambda head: True, "masks")
    check_output(tmp_path / "a" / "b", lambda head: True, "masks")


@pytest.mark.parametrize("path", [Path(), Path("/"), Path("..")])
def test_a_path_without_a_parent_is_a_folder(path):
    with pytest.raises(WriteError, match="it is a folder; name a file"):
        check_output(path, lambda head: True, "scores")


def test_save_pretrained_replaces_only_a_model(model, tmp_path):
    target = precious(tmp_path / "precious")
    (target / "config.json").write_text('{"format": 2}')  # as a model has it, but without checksums
    (tmp_path / "file").write_text("kept")
    with pytest.raises(WriteError, match="precious: it is not empty and no model folder"):
        model.save_pretrained(target)
    with pytest.raises(WriteError, match="file: it is no folder; name another folder"):
        model.save_pretrained(tmp_path / "file")
    assert (target / "thesis.txt").read_text() == "ten years" and (tmp_path / "file").read_text() == "kept"


def test_a_foreign_file_in_a_model_folder_is_named_and_kept(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "notes").mkdir()
    (tmp_path / "model" / "notes" / "a.txt").write_text("kept")
    with pytest.raises(WriteError, match=r"it holds notes/a\.txt besides the model"):
        model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "notes" / "a.txt").read_text() == "kept"


def test_nothing_is_written_into_a_model_folder(folder, sparsecbm):
    before = compute_checksums(folder)
    for output in (folder / "predictions.jsonl", folder / "tokenizer" / "p.jsonl", folder / "model.safetensors"):
        code, _, errors = sparsecbm("predict", folder, "--text", TEXT, "--output", output)
        assert code == 1 and f"{folder} is a model folder, which holds no other files" in errors
    with pytest.raises(WriteError, match="is a model folder"):
        SparseCBM.from_pretrained(folder).save_pretrained(folder / "copy")
    assert compute_checksums(folder) == before


@pytest.mark.parametrize(
    "arguments", [("predict", "--output"), ("explain", "--json"), ("explain", "--html")], ids=" ".join
)
def test_a_file_of_another_kind_is_kept_and_an_earlier_output_is_replaced(folder, tmp_path, sparsecbm, arguments):
    command, option = arguments
    foreign, own, empty = tmp_path / "thesis.md", tmp_path / "own", tmp_path / "empty"
    foreign.write_text("ten years")
    empty.touch()
    code, _, errors = sparsecbm(command, folder, "--text", TEXT, option, foreign)
    assert code == 1 and f"could not write {foreign}: it exists and does not hold " in errors
    assert foreign.read_text() == "ten years"
    for output, text in ((own, TEXT), (own, "slow service"), (empty, TEXT)):
        assert sparsecbm(command, folder, "--text", text, option, output)[0] == 0
    assert "slow" in own.read_text() and "food" in empty.read_text()
    code, _, errors = sparsecbm(command, folder, "--text", TEXT, option, tmp_path)
    assert code == 1 and "it is a folder; name a file" in errors


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (("predict", "--output"), '{"text": "a", "label": "b", "probabilities": {}, "mine": 1}\n'),
        (("predict", "--output"), '{"note": "text", "of": {"text": 1, "label": 2, "probabilities": 3}}\n'),
        (("predict", "--output"), '{"properties": {"text": 0, "label": 0, "confidence": 0, "probabilities": 0}}'),
        (("explain", "--json"), '{"text": "a", "label": "b", "origin": "c"}\n'),
        (("explain", "--html"), "<!doctype html>\n<html><head><title>Report</title></head><div class=x-card></div>"),
        (("explain", "--html"), "<!doctype html><title>Explanations</title> x-card"),
        (
            ("evaluate", "--split", "test", "--output"),
            '{"split": "test", "label": 1, "concepts": 2, "verdict": "hold"}',
        ),
    ],
)
def test_a_file_that_only_resembles_an_output_is_kept(folder, tmp_path, sparsecbm, arguments, content):
    """Such as ledgers, metrics, schemas and reports, which hold the same keys or the same cards."""
    (tmp_path / "mine").write_text(content)
    command, *options = arguments
    texts = () if command == "evaluate" else ("--text", TEXT)
    code, _, errors = sparsecbm(command, folder, *texts, *options, tmp_path / "mine")
    assert code == 1 and "it exists and does not hold" in errors
    assert (tmp_path / "mine").read_text() == content


def test_the_input_is_not_overwritten_by_the_output(folder, tmp_path, sparsecbm):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "good food"}\n')
    assert sparsecbm("predict", folder, "--file", texts, "--output", texts)[0] == 1
    assert texts.read_text() == '{"text": "good food"}\n'


def test_a_patch_replaces_only_a_patch(lively, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(WriteError, match="it exists and does not hold a patch"):
        small_patch(lively).save(tmp_path / "weights.safetensors")
    small_patch(lively).save(tmp_path / "p.patch")
    small_patch(lively).save(tmp_path / "p.patch")


def test_checkpoints_replace_only_checkpoints(tmp_path):
    from sparsecbm.train.checkpoint import _check_files

    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "thesis.txt").write_text("ten years")
    with (
        pytest.raises(WriteError, match=r"it holds thesis\.txt, which is no checkpoint"),
        replacing_folder(Checkpoints(tmp_path).folder / "last", _check_files),
    ):
        pass
    assert (tmp_path / "last" / "thesis.txt").exists()


def test_what_is_no_regular_file_is_written_into(tmp_path):
    code = "import sys; from sparsecbm.base.files import write_text; write_text(sys.argv[1], 'new\\n')"

    def run(path, **options):
        return subprocess.run([sys.executable, "-c", code, path], check=True, timeout=60, **options)

    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        assert run(name, stdout=subprocess.PIPE, text=True).stdout == "new\n"
    with open(tmp_path / "log", "a") as log:  # an open file keeps what is in it
        log.write("old\n")
        log.flush()
        run("/dev/stdout", stdout=log)
    assert (tmp_path / "log").read_text() == "old\nnew\n"
    assert stat.S_ISLNK(os.lstat("/dev/stdout").st_mode)
    write_text("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    write_text(tmp_path / "pipe", "through the pipe")
    assert reader.communicate(timeout=60)[0] == "through the pipe"
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


def test_a_full_device_is_one_error():
    with pytest.raises(WriteError, match="could not write /dev/full: No space left on device"):
        write_text("/dev/full", "x")


def test_a_link_to_a_file_is_replaced_and_the_file_stays(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "new")
    assert ((tmp_path / "file").read_text(), (tmp_path / "link").read_text()) == ("kept", "new")


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_all_files_of_a_model_have_the_mode_of_the_umask(model, tmp_path, umask, file_mode, folder_mode):
    before = os.umask(umask)
    try:
        model.save_pretrained(tmp_path / "model")
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "model").rglob("*")}
    assert modes == {(False, file_mode), (True, folder_mode)}
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == folder_mode
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == file_mode


def test_a_file_that_others_may_not_read_stays_so(tmp_path):
    (tmp_path / "secret").touch(mode=0o600)
    with replacing(tmp_path / "secret") as temporary:
        temporary.write_text("x")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
