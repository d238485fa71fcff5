"""Exported models, compared with the models that they come from."""

import json
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sparsecbm.base.errors import ConfigError, ModelError, WriteError
from sparsecbm.base.files import read_json, sha256_file, write_json
from sparsecbm.export import engines, exporter, runner
from sparsecbm.export.exporter import LowPrecision, export_model
from sparsecbm.export.graph import PredictionGraph
from sparsecbm.export.runner import ExportedModel, pad_rows
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.execution import multiplies_bf16
from tests.support.structured_models import family_model, structured
from tests.support.tiny_models import DEEP_FAMILIES, TEXTS, batch_of, random_masks, tiny_model, write_backbone
from tests.support.tiny_tables import annotated

LONG = "the food was good and " * 6  # longer than `max_length`


@pytest.fixture(params=["onnx", "openvino"])
def engine(request):
    """Return the name of an engine that is installed."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(request.param, request.param))
    return request.param


@pytest.fixture(scope="module")
def masked(backbone, tmp_path_factory):
    """Return a masked model and its folder."""
    model = tiny_model(backbone)
    model.masks = random_masks(model, masked_from=1)
    folder = tmp_path_factory.mktemp("export") / "model"
    model.save_pretrained(folder)
    return model, folder


@pytest.fixture(scope="module")
def exported(masked, tmp_path_factory):
    """Return the folder of an ONNX graph in float32."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    export_model(masked[1], folder, "onnx")
    return folder


def assert_same_logits(exported, model, texts, tolerance=1e-5):
    label, concepts = exported.logits(texts, batch_size=2)
    expected = model.logits(texts, batch_size=2)
    assert label == pytest.approx(expected.label, abs=tolerance)
    assert list(concepts) == list(expected.concepts)
    for name, values in expected.concepts.items():
        assert concepts[name] == pytest.approx(values, abs=tolerance)


@pytest.mark.parametrize("kind", ["masked", "structured", "dense", "standard"])
@torch.no_grad()
def test_the_graph_gives_what_the_model_gives(kind, tmp_path):
    if kind == "structured":
        model = family_model(tmp_path, "bert")
        model.masks = structured(model, masked_from=1)
    else:
        settings = {"mode": "standard"} if kind == "standard" else {"activation": "hard", "pooling": "cls"}
        model = tiny_model(write_backbone(tmp_path / "bert"), **settings)
        if kind == "masked":
            model.masks = random_masks(model, masked_from=1)
    outputs, expected = PredictionGraph(model)(*batch_of(model)), model(*batch_of(model))
    torch.testing.assert_close(outputs[0], expected.label_logits, atol=1e-5, rtol=1e-5)
    assert len(outputs) == (1 if kind == "standard" else 2)
    if kind != "standard":
        side_by_side = torch.cat(list(expected.concept_logits.values()), -1)
        torch.testing.assert_close(outputs[1], side_by_side, atol=1e-5, rtol=1e-5)


def test_an_exported_model_predicts_what_the_model_predicts(masked, engine, tmp_path):
    model, folder = masked
    manifest = export_model(folder, tmp_path / "out", engine)
    exported = ExportedModel.from_pretrained(tmp_path / "out", threads=1)
    assert_same_logits(exported, model, [*TEXTS, "", LONG, "unheard of"])
    assert [p.to_dict()["label"] for p in exported.predict(TEXTS)] == [p.label.state for p in model.predict(TEXTS)]
    assert exported.predict(TEXTS[0]).concepts["food"].state == model.predict(TEXTS[0]).concepts["food"].state
    limit = model.settings.max_length
    fits, longer = "food " * (limit - 2), "food " * (limit - 1)  # and two special tokens
    assert [exported.too_long(text) for text in (fits, longer)] == [model.too_long(text) for text in (fits, longer)]
    assert exported.too_long(longer) and not exported.too_long(fits)
    assert manifest == read_json(tmp_path / "out" / "export.json")
    assert manifest["largest_difference"] < 1e-5
    assert manifest["model"] == sha256_file(folder / "checksums.json")
    assert exported.concept_set == model.concept_set
    other = tiny_model(write_backbone(tmp_path / "other", seed=5))
    assert exported.logits(TEXTS)[0] != pytest.approx(other.logits(TEXTS).label, abs=1e-3)


def test_attention_is_written_as_products_and_a_softmax(masked, tmp_path):
    """The fused form comes with a check of each row for NaN, which takes a tenth of the time of long texts."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model, folder = masked
    before = model.backbone.config._attn_implementation
    export_model(folder, tmp_path / "out", "onnx")
    operations = {node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node}
    assert "Softmax" in operations and "IsNaN" not in operations
    PredictionGraph(model)
    assert before == model.backbone.config._attn_implementation == "sdpa", "the model itself stays as it is"


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in DEEP_FAMILIES if not family.startswith("deberta")])
def test_each_family_can_be_exported(family, engine, tmp_path):
    model = tiny_model(write_backbone(tmp_path / family, family))
    model.masks = random_masks(model, masked_from=1)
    model.save_pretrained(tmp_path / "model")
    export_model(tmp_path / "model", tmp_path / "out", engine)
    assert_same_logits(ExportedModel.from_pretrained(tmp_path / "out"), model, [*TEXTS, LONG], tolerance=1e-4)
    frame = annotated(20, seed=1)
    int8 = LowPrecision("int8", "validation", frame, frame["text"].tolist())
    export_model(tmp_path / "model", tmp_path / "int8", engine, int8)
    assert_same_logits(ExportedModel.from_pretrained(tmp_path / "int8"), model, TEXTS, tolerance=0.2)


def test_a_black_box_is_exported_without_concepts(backbone, tmp_path):
    pytest.importorskip("onnxruntime")
    model = tiny_model(backbone, mode="standard")
    model.save_pretrained(tmp_path / "model")
    export_model(tmp_path / "model", tmp_path / "out", "onnx")
    (prediction,) = ExportedModel.from_pretrained(tmp_path / "out").predict(TEXTS[:1])
    assert prediction.concepts == {}
    assert prediction.label.probabilities == pytest.approx(model.predict(TEXTS[0]).label.probabilities, abs=1e-6)


def test_int8_is_measured_on_labelled_texts(masked, engine, tmp_path):
    """Accuracies and shares are those of the predictions that both models give."""
    model, folder = masked
    frame = annotated(40, seed=1)
    frame.loc[:9, "concept.food"] = None  # texts without a label count for no accuracy
    texts = frame["text"].tolist()
    int8 = LowPrecision("int8", "validation", frame, annotated(20, seed=2)["text"].tolist())
    manifest = export_model(folder, tmp_path / "out", engine, int8)
    assert manifest["precision"] == "int8"
    exported = ExportedModel.from_pretrained(tmp_path / "out")
    before, after = model.predict(texts), exported.predict(texts)
    measured = manifest["measured"]
    known = [i for i, state in enumerate(frame["concept.food"]) if isinstance(state, str)]
    assert len(known) == 30
    for form, predictions in (("float32", before), ("exported", after)):
        right = [predictions[i].concepts["food"].state == frame["concept.food"][i] for i in known]
        assert measured[form]["food"] == pytest.approx(np.mean(right))
    equal = [a.label.state == b.label.state for a, b in zip(after, before, strict=True)]
    assert measured["label_equal"] == pytest.approx(np.mean(equal)) and measured["texts"] == 40
    assert exported.logits(texts)[0] != pytest.approx(model.logits(texts).label, abs=1e-6)  # it is another form
    assert exported.logits(texts)[0] == pytest.approx(model.logits(texts).label, abs=0.1)
    if engine == "onnx":
        import onnx

        kinds = [node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node]
        # the few large inputs of each of these maps stay float32; so do products of attention
        # 6 maps in the shared block and in each concept's own; heads and products of attention have no part in int8
        assert kinds.count("MatMulInteger") == 6 + 2 * 6


def test_weights_of_8_bits_are_refused_where_their_sums_would_overflow(masked, engine, tmp_path, monkeypatch):
    frame = annotated(8, seed=1)
    int8 = LowPrecision("int8", "validation", frame, frame["text"].tolist())
    for made_for, loaded_on in ((7, 7), (7, 8), (8, 8)):
        for module in (exporter, engines, runner):
            monkeypatch.setattr(module, "weight_bits", lambda bits=made_for: bits)
        assert export_model(masked[1], tmp_path / "out", engine, int8)["weight_bits"] == made_for
        monkeypatch.setattr(runner, "weight_bits", lambda bits=loaded_on: bits)
        ExportedModel.from_pretrained(tmp_path / "out")
    monkeypatch.setattr(runner, "weight_bits", lambda: 7)
    with pytest.raises(ModelError, match=r"has no VNNI.*Export the model here again"):
        ExportedModel.from_pretrained(tmp_path / "out")


def test_bf16_rounds_less_than_int8(masked, tmp_path):
    pytest.importorskip("openvino")
    if not multiplies_bf16(torch.device("cpu")):
        pytest.skip("this processor has no instructions for bf16")
    model, folder = masked
    texts, frame = TEXTS * 4, annotated(20, seed=1)
    errors = {}
    for precision in ("bf16", "int8"):
        low = LowPrecision(precision, "validation", frame, frame["text"].tolist())
        manifest = export_model(folder, tmp_path / precision, "openvino", low)
        assert manifest["precision"] == precision and manifest["measured"]["texts"] == 20
        rounded = ExportedModel.from_pretrained(tmp_path / precision).logits(texts)[0]
        errors[precision] = np.abs(rounded - model.logits(texts).label).max()
    assert 1e-6 < errors["bf16"] < errors["int8"]


def test_bf16_is_refused_where_the_processor_lacks_it(masked, tmp_path, monkeypatch):
    class Core:
        def get_property(self, device, name):
            return {("CPU", "OPTIMIZATION_CAPABILITIES"): ["FP32", "INT8"]}[device, name]

    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=Core, __spec__=ModuleSpec("openvino", None)))
    frame = annotated(20, seed=1)
    monkeypatch.setattr(exporter, "require", lambda *packages: None)
    with pytest.raises(ModelError, match="no instructions for bf16"):
        export_model(masked[1], tmp_path / "out", "openvino", LowPrecision("bf16", "validation", frame, []))
    assert not (tmp_path / "out").exists()


def test_onnx_runtime_has_no_bf16(masked, tmp_path):
    pytest.importorskip("onnxruntime")
    frame = annotated(20, seed=1)
    with pytest.raises(ConfigError, match="add --format openvino"):
        export_model(masked[1], tmp_path / "out", "onnx", LowPrecision("bf16", "validation", frame, []))
    assert not (tmp_path / "out").exists()


def copy_of(folder):
    """Return a writer that copies the graph of an exported model instead of tracing one."""
    return lambda graph, target, texts: shutil.copy(folder / "model.onnx", target)


def test_a_graph_that_gives_other_logits_is_not_written(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(exporter.WRITERS, "onnx", copy_of(exported))
    other = tiny_model(write_backbone(tmp_path / "backbone", seed=5))
    other.save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match=r"gives other logits than the model.*not written.*'bert'"):
        export_model(tmp_path / "model", tmp_path / "out", "onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backbone", "model"]


def test_a_deberta_under_masks_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    model = tiny_model(write_backbone(tmp_path / "deberta", "deberta"))
    model.masks = random_masks(model)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="'deberta' cannot be unfolded"):
        export_model(tmp_path / "model", tmp_path / "out", "onnx")


def test_only_an_earlier_export_is_replaced(masked, exported, tmp_path, monkeypatch):
    monkeypatch.setitem(exporter.WRITERS, "onnx", copy_of(exported))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(WriteError, match="it is not empty and no exported model"):
        export_model(masked[1], tmp_path / "mine", "onnx")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    with pytest.raises(WriteError, match="is a model folder"):
        export_model(masked[1], masked[1] / "onnx", "onnx")
    for _ in range(2):
        export_model(masked[1], tmp_path / "out", "onnx")
    (tmp_path / "out" / "notes.txt").write_text("keep")
    with pytest.raises(WriteError, match=r"it holds notes\.txt besides the exported model"):
        export_model(masked[1], tmp_path / "out", "onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "export.json").unlink(), "holds no exported model: it has no export.json"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"x"), "model.onnx is missing or was altered"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing or was altered"),
        (
            lambda folder: write_json(folder / "export.json", {"format": 9}),
            "is not of format 1; export it again",
        ),
        (lambda folder: (folder / "export.json").write_text("{"), "is not valid JSON"),
    ],
)
def test_a_folder_that_was_altered_is_refused(exported, tmp_path, change, message):
    folder = shutil.copytree(exported, tmp_path / "copy")
    change(folder)
    with pytest.raises(ModelError, match=message):
        ExportedModel.from_pretrained(folder)


def test_rows_are_padded_as_the_model_pads_them(model):
    rows = [*encode(model.tokenizer, TEXTS, 16), []]
    for expected, actual in zip(pad(rows, 7), pad_rows(rows, 7), strict=True):
        assert (expected.numpy() == actual).all() and actual.dtype == np.int64


# An interpreter without the heavy packages of the core.
ALONE = """
import sys
HEAVY = {"torch", "transformers", "pandas", "pydantic", "scipy", "sklearn", "safetensors", "typer", "onnx"}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import json
from sparsecbm import ExportedModel
model = ExportedModel.from_pretrained(sys.argv[1])
print(json.dumps([prediction.to_dict() for prediction in model.predict(json.loads(sys.argv[2]))]))
try:
    import torch
except ModuleNotFoundError:
    print("no torch")
"""


def test_the_runner_needs_no_torch(masked, exported, tmp_path):
    command = [sys.executable, "-c", ALONE, str(exported), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    line, blocked = done.stdout.splitlines()
    assert blocked == "no torch"
    for actual, expected in zip(json.loads(line), masked[0].predict(TEXTS), strict=True):
        assert actual["label"] == expected.label.state
        assert actual["probabilities"] == pytest.approx(expected.label.probabilities, abs=1e-6)
        assert actual["concepts"]["food"]["confidence"] == pytest.approx(expected.concepts["food"].confidence, abs=1e-6)
