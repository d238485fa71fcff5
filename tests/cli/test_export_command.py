"""`sparsecbm export` from a user's point of view."""

import json

import pytest

from tests.support.missing_packages import run_without
from tests.support.tiny_models import random_masks, tiny_model


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    model = tiny_model(backbone)
    model.masks = random_masks(model, masked_from=1)
    path = tmp_path_factory.mktemp("export") / "model"
    model.save_pretrained(path)
    return path


def test_an_exported_model_predicts_and_does_nothing_else(folder, tmp_path, sparsecbm):
    pytest.importorskip("onnxruntime")
    code, output, errors = sparsecbm("export", folder, "--output", tmp_path / "onnx")
    assert (code, errors) == (0, "") and output.startswith("logits differ from the model's by at most ")
    text = ("--text", "the food was good")
    # By default, a folder is run in bf16 where the processor multiplies it.
    (expected,), (actual,) = (
        [json.loads(line) for line in sparsecbm("predict", *arguments, *text)[1].splitlines()]
        for arguments in ((folder, "--precision", "float32"), (tmp_path / "onnx",))
    )
    assert actual.keys() == expected.keys() and actual["label"] == expected["label"]
    assert actual["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
    for command in (["explain", *text], ["masks"], ["intervene", *text, "--set", "food=Positive"]):
        code, _, errors = sparsecbm(command[0], tmp_path / "onnx", *command[1:])
        assert code == 1 and "is an exported model, which only predicts (`sparsecbm predict`)" in errors
    code, _, errors = sparsecbm("predict", tmp_path / "onnx", *text, "--precision", "bf16")
    assert code == 1 and "is an exported model, whose precision is fixed" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "onxx"], "--format: unknown format 'onxx'. Did you mean 'onnx'? Choices: onnx, openvino"),
        (
            ["--precision", "int4"],
            "unknown precision 'int4'. Did you mean 'int8'? Choices: float32, bf16, int8",
        ),
        (["--precision", "int8"], "no dvc.yaml in"),
        (["--precision", "bf16"], "--precision: ONNX Runtime has no bf16 on processors; add --format openvino"),
    ],
)
def test_wrong_options_are_one_message(folder, tmp_path, sparsecbm, monkeypatch, options, message):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    code, output, errors = sparsecbm("export", folder, "--output", tmp_path / "out", *options)
    assert (code, output) == (1, "") and message in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("engine", "missing", "name"),
    [("onnx", "onnxruntime", "ONNX Runtime"), ("openvino", "openvino", "OpenVINO")],
)
def test_a_missing_engine_is_named(folder, tmp_path, engine, missing, name):
    result = run_without({missing}, ["export", folder, "--format", engine, "--output", tmp_path / "out"], cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"error: this command needs {name}, which is not installed; pip install 'sparsecbm[{engine}]'\n"
    )
