"""Writes the graph of a model as a file of ONNX Runtime or OpenVINO, in float32 or in int8.

A graph for bf16 is the one of float32: OpenVINO rounds its numbers while it loads them.
In int8, the maps of the blocks are products of whole numbers, but for a few inputs of each (even_inputs.py); norms,
attention weights and heads stay float32. ONNX Runtime scales the inputs of a map by each batch (dynamic). OpenVINO's
scales are fixed, and measured on texts. Weights have 8 bits where the processor sums their products exactly, else 7.
"""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.export.graph import PredictionGraph
from sparsecbm.export.manifest import GRAPHS
from sparsecbm.export.processor import weight_bits

OUTPUTS = ("label", "concepts")
OPSET = 20
Inputs = tuple[np.ndarray, np.ndarray]  # ids and mask of a batch


def write_onnx(graph: PredictionGraph, folder: Path, texts: Sequence[Inputs] | None) -> None:
    """Write `model.onnx`.

    Args:
        texts: batches; not None for int8, whose scales ONNX Runtime computes as it runs
    """
    target = folder / GRAPHS["onnx"]
    if texts is None:
        _trace(graph, target)
        return
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with TemporaryDirectory(prefix="sparsecbm-") as temporary:
        exact = Path(temporary) / "exact.onnx"
        _trace(graph, exact)
        network = onnx.load(exact).graph
        weights = {tensor.name for tensor in network.initializer}
        chosen = {node.output[0] for node in network.node if node.op_type == "Gather"}
        # Products of attention, which have no weights, stay float32, as products of chosen inputs do; heads are Gemms.
        maps = [
            node.name
            for node in network.node
            if node.op_type == "MatMul" and node.input[1] in weights and node.input[0] not in chosen
        ]
        with _quiet():
            quantize_dynamic(
                exact, target, nodes_to_quantize=maps, per_channel=True, reduce_range=weight_bits() == 7,
                weight_type=QuantType.QInt8,
            )  # fmt: skip


def write_openvino(graph: PredictionGraph, folder: Path, texts: Sequence[Inputs] | None) -> None:
    """Write `model.xml` and `model.bin`.

    Args:
        texts: batches by which the scales of int8 are measured; None for float32
    """
    import openvino

    with TemporaryDirectory(prefix="sparsecbm-") as temporary:
        exact = Path(temporary) / "exact.onnx"
        _trace(graph, exact)
        network = openvino.convert_model(exact)
        if texts is not None:
            network = _in_int8(network, texts)
        openvino.save_model(network, folder / GRAPHS["openvino"], compress_to_fp16=False)


WRITERS = {"onnx": write_onnx, "openvino": write_openvino}
PACKAGES = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("nncf", "onnx", "openvino")}  # that take part


def require_bf16(engine: str) -> None:
    """Check that an engine multiplies bf16 on this processor; elsewhere it would compute and measure float32.

    Raises:
        ConfigError: the engine has no bf16.
        ModelError: the processor has none.
    """
    if engine != "openvino":
        raise ConfigError("--precision: ONNX Runtime has no bf16 on processors; add --format openvino")
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ModelError(
            "this processor has no instructions for bf16, so nothing would be measured; export on one that has them "
            "(AMX or AVX-512 BF16), or take float32 or int8"
        )


def _in_int8(network, texts: Sequence[Inputs]):
    import nncf
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        AdvancedSmoothQuantParameters,
        OverflowFix,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    advanced = AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if weight_bits() == 7 else OverflowFix.DISABLE,
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,  # a mean of ranges would cut off inputs
        smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=-1),  # off: inputs are even already
    )
    with _quiet():
        return nncf.quantize(
            network,
            nncf.Dataset([{"ids": ids, "mask": mask} for ids, mask in texts]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(texts),
            ignored_scope=nncf.IgnoredScope(names=_besides_maps(network)),
            advanced_parameters=advanced,
        )


def _besides_maps(network) -> list[str]:
    """Names of all operations but the maps of the blocks. Scores of attention, which hold -inf, have no scale."""

    def of_map(operation) -> bool:
        if operation.get_type_name() != "MatMul":
            return False
        inputs, weights = (port.get_source_output().get_node() for port in operation.inputs())
        of_head = "_head" in weights.get_friendly_name()  # concept_heads, label_head, direct_head
        return weights.get_type_name() == "Constant" and inputs.get_type_name() != "Gather" and not of_head

    return [operation.get_friendly_name() for operation in network.get_ops() if not of_map(operation)]


def _trace(graph: PredictionGraph, target: Path) -> None:
    """Write a graph whose batches and lengths may have any size; one file that holds the weights, too."""
    ids, mask = torch.ones(2, 3, dtype=torch.long), torch.tensor([[1, 1, 1], [1, 1, 0]])
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    names = OUTPUTS if graph.model.has_bottleneck else OUTPUTS[:1]
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            graph, (ids, mask), target, dynamo=True, external_data=False, verbose=False, opset_version=OPSET,
            input_names=["ids", "mask"], output_names=list(names), dynamic_shapes={"ids": sizes, "mask": sizes},
        )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide progress and notes of converters on steps that the result does not depend on; errors still show."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
