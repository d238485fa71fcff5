"""Without the extras `plots` and `pipeline`, model commands work, and other commands say what to install."""

import pytest

from sparsecbm.base.extras import PIPELINE, PLOTS, MissingExtraError, missing_extras_explained
from tests.support.missing_packages import run_without
from tests.support.promotion_models import uniform_training_means
from tests.support.small_masks import QUERY, first_rows
from tests.support.tiny_models import tiny_model


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    """Return the folder of a model with masks and training means."""
    model = tiny_model(backbone)
    model.masks = first_rows(food={QUERY: 4}, noise={QUERY: 8})
    model.means = uniform_training_means(model)
    path = tmp_path_factory.mktemp("extras") / "model"
    model.save_pretrained(path)
    return path


def test_model_commands_need_no_extra(folder, tmp_path):
    text = ["--text", "good"]
    explain = ["explain", folder, *text, "--method", "mid_path_gradients"]
    result = run_without(
        {*PLOTS, *PIPELINE},
        ["predict", folder, *text],
        explain,
        [*explain, "--json", tmp_path / "out.jsonl"],
        ["intervene", folder, *text, "--set", "food=Positive"],
        ["masks", folder],
        ["compare", folder, folder],
        ["patch", "list", tmp_path],
        cwd=tmp_path,
    )
    assert (result.returncode, result.stderr) == (0, "")
    for part in ('{"text": "good"', "completeness gap", "share kept in", "all files are equal"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["run"], "Prefect"),
        (["prune"], "Prefect"),
        (["up"], "Prefect"),
        (["down"], "Prefect"),
        (["track"], "MLflow"),
        (["verify"], "DVC"),
        (["promote"], "MLflow"),
        (["rollback"], "MLflow"),
        (["status"], "MLflow"),
        (["history"], "MLflow"),
    ],
)
def test_a_command_names_the_missing_package(tmp_path, arguments, name):
    """The check comes first, so the message is the same outside a workspace."""
    result = run_without(PIPELINE, arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: this command needs {name}, which is not installed; pip install 'sparsecbm[pipeline]'\n"
    )


def test_a_failed_import_in_a_command_is_one_message(tmp_path):
    result = run_without({"pandera"}, ["evaluate", "m", "--split", "test", "--output", "scores.json"], cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "error: this command needs pandera, which is not installed; pip install 'sparsecbm[pipeline]'\n"
    )


def test_drawings_need_the_extra_plots():
    message = r"needs Matplotlib, which is not installed; pip install 'sparsecbm\[plots\]'"
    with pytest.raises(MissingExtraError, match=message), missing_extras_explained():
        raise ModuleNotFoundError(name="matplotlib.pyplot")


def test_a_package_that_no_extra_installs_is_a_fault_that_nobody_foresaw(tmp_path):
    result = run_without({"regex"}, ["predict", "m", "--text", "a"], cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: this fault is not foreseen, please report it: ModuleNotFoundError: No module named 'regex'",
        "Set SPARSECBM_DEBUG=1 to see its trace",
    ]
