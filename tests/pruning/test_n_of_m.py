"""n:m patterns by hand, and the rules of torch for 2:4."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.sparse import _semi_structured_conversions as conversions
from torch.sparse import semi_structured

from sparsecbm.base.errors import ConfigError, PruningError
from sparsecbm.pruning.n_of_m import MULTIPLES, check_semi_structured, prune_n_of_m

TORCH = {
    "cutlass": semi_structured.SparseSemiStructuredTensorCUTLASS,
    "cusparselt": semi_structured.SparseSemiStructuredTensorCUSPARSELT,
}


def pruned(scores, n, m, before=None, regrow=False):
    before = torch.ones_like(scores, dtype=torch.bool) if before is None else before
    return prune_n_of_m({"query": scores}, {"query": before}, n, m, regrow)["query"]


def test_n_of_m_masks_by_hand():
    scores = torch.tensor([[1.0, 4.0, 3.0, 2.0, 8.0, 7.0, 5.0, 6.0], [0.0, 0.0, 0.0, 0.0, -1.0, -3.0, 0.0, -2.0]])
    assert pruned(scores, 2, 4).int().tolist() == [[0, 1, 1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0, 1, 0]]
    assert pruned(scores, 1, 4).int().tolist() == [[0, 1, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0]]
    assert pruned(scores, 4, 4).all()


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 2), (4, 8), (3, 4), (1, 16)])
def test_exactly_the_best_n_of_each_m_inputs_stay(n, m):
    scores = torch.randn(6, 48, generator=torch.Generator().manual_seed(0))
    mask = pruned(scores, n, m)
    assert mask.shape == (6, 48)
    groups, kept = scores.view(-1, m), mask.view(-1, m)
    assert (kept.sum(1) == n).all()
    # The lowest kept score is above the highest dropped score.
    lowest = groups.masked_fill(~kept, float("inf")).amin(1)
    highest = groups.masked_fill(kept, float("-inf")).amax(1)
    assert (lowest > highest).all()


def test_a_pruned_weight_stays_pruned_unless_it_may_regrow():
    scores = torch.tensor([[9.0, 8.0, 1.0, 2.0]])
    before = torch.tensor([[False, True, True, True]])
    assert pruned(scores, 2, 4, before).int().tolist() == [[0, 1, 0, 1]]
    assert pruned(scores, 2, 4, before, regrow=True).int().tolist() == [[1, 1, 0, 0]]
    too_few = torch.tensor([[False, False, False, True]])
    with pytest.raises(PruningError, match="layer query: some groups of 4 weights have fewer than 2 left"):
        pruned(scores, 2, 4, too_few)
    assert pruned(scores, 2, 4, too_few, regrow=True).int().tolist() == [[1, 1, 0, 0]]


def test_the_error_for_invalid_input_names_the_layer():
    with pytest.raises(ConfigError, match=r"layer query: 4 does not divide the inputs.*\[out, in\] = \[4, 6\].*2:4"):
        pruned(torch.zeros(4, 6), 2, 4)
    for n, m in ((0, 4), (5, 4), (-1, 4)):
        with pytest.raises(ConfigError, match=f"the pattern {n}:{m}"):
            pruned(torch.zeros(4, 8), n, m)
    with pytest.raises(PruningError, match="layer query: scores hold NaN"):
        pruned(torch.tensor([[1.0, float("nan")]]), 1, 2)


def test_required_multiples_equal_those_of_torch():
    for backend, kind in TORCH.items():
        expected = {
            dtype: (shape.sparse_min_rows, shape.sparse_min_cols)
            for dtype, shape in kind._DTYPE_SHAPE_CONSTRAINTS.items()
        }
        assert MULTIPLES[backend] == expected, backend


@pytest.mark.parametrize("backend", list(TORCH))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int8, torch.float64])
def test_shapes_pass_exactly_where_torch_accepts_them(backend, dtype):
    """The oracle is torch's own check, on fake GPU tensors."""
    verdicts = set()
    for shape in [(32, 64), (16, 16), (48, 64), (32, 96), (32, 128), (384, 1536), (30522, 384), (8, 8), (64, 32)]:
        with FakeTensorMode():
            fake = torch.empty(shape, dtype=dtype, device="cuda")
            try:
                TORCH[backend]._validate_device_dim_dtype_shape(fake)
                fits = True
            except RuntimeError:
                fits = False
        mask = torch.zeros(shape, dtype=torch.bool)
        if fits:
            check_semi_structured({"query": mask}, dtype, backend)
        else:
            with pytest.raises((PruningError, ConfigError)):
                check_semi_structured({"query": mask}, dtype, backend)
        verdicts.add(fits)
    assert verdicts == ({True, False} if dtype in MULTIPLES[backend] else {False})


@pytest.mark.parametrize(("dtype", "n", "m"), [(torch.float16, 2, 4), (torch.bfloat16, 2, 4), (torch.float32, 1, 2)])
def test_a_weight_survives_the_compression_of_torch(dtype, n, m):
    g = torch.Generator().manual_seed(0)
    # Whole numbers: on a CPU torch moves float32 as pairs of halves, and it changes halves that are NaN.
    weight = torch.randint(1, 100, (64, 128), generator=g).to(dtype)
    mask = pruned(weight.float().abs(), n, m)
    check_semi_structured({"query": mask}, dtype)
    sparse, meta = conversions.sparse_semi_structured_from_dense_cutlass(weight * mask)
    assert sparse.shape == (64, 64)
    assert torch.equal(conversions.sparse_semi_structured_to_dense_cutlass(sparse, meta), weight * mask)
    # Control: one extra weight in a group is lost, and the check reports it.
    mask[5, :m] = torch.arange(m) <= n
    sparse, meta = conversions.sparse_semi_structured_from_dense_cutlass(weight * mask)
    assert not torch.equal(conversions.sparse_semi_structured_to_dense_cutlass(sparse, meta), weight * mask)
    with pytest.raises(PruningError, match=f"layer query: a group of {m} weights keeps {n + 1}, more than the {n}"):
        check_semi_structured({"query": mask}, dtype)


def test_the_error_names_the_layer_the_type_or_the_backend():
    masks = {"key": torch.zeros(32, 64, dtype=torch.bool), "query": torch.zeros(30, 64, dtype=torch.bool)}
    with pytest.raises(PruningError, match=r"layer query: cutlass needs .* multiples of 32 and 64 .*not \[30, 64\]"):
        check_semi_structured(masks, torch.float16)
    with pytest.raises(ConfigError, match=r"unknown type of cutlass weights 'torch\.float64'"):
        check_semi_structured(masks, torch.float64)
    with pytest.raises(ConfigError, match="unknown backend of semi-structured sparsity 'cutlas'"):
        check_semi_structured(masks, torch.float16, "cutlas")
