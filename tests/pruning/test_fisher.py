"""diag(F^-1) equals the inverse of the dense block matrix, within its memory limit, on any number of threads."""

import pytest
import torch

from sparsecbm.base.errors import ConfigError, PruningError
from sparsecbm.pruning import fisher
from sparsecbm.pruning.fisher import compute_inverse_diagonal, layer_bytes, working_bytes

WHERE = "layer 0, concept food"


def dense(gradients, block, damping):
    """Return the inverse diagonal by definition: invert the full matrix of each block in float64."""
    g = gradients.double()
    diagonals = []
    for s in g.split(block, dim=1):
        matrix = damping * torch.eye(s.shape[1], dtype=torch.float64) + s.T @ s / len(g)
        diagonals.append(torch.linalg.inv(matrix).diagonal())
    return torch.cat(diagonals)


def normal(m, n, scale=1.0, seed=0):
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed)) * scale


def error(computed, expected):
    return float((computed.double() / expected - 1).abs().max())


def test_two_weights_by_hand():
    # One gradient (1, 2), damping 1: F = [[2, 2], [2, 5]], of determinant 6, so diag(F^-1) = (5/6, 2/6).
    diagonal = compute_inverse_diagonal(torch.tensor([[1.0, 2.0]]), block=2, damping=1.0, memory_mb=1, where=WHERE)
    assert diagonal.tolist() == pytest.approx([5 / 6, 2 / 6])
    # In blocks of one, each weight has its own F: 2 and 5.
    diagonal = compute_inverse_diagonal(torch.tensor([[1.0, 2.0]]), block=1, damping=1.0, memory_mb=1, where=WHERE)
    assert diagonal.tolist() == pytest.approx([1 / 2, 1 / 5])


def alike(m, n, scale=1.0):
    """Return gradients near three directions, like those of batches of one concept."""
    return (normal(m, 3, seed=1) @ normal(3, n, seed=2) + normal(m, n, 1e-4)) * scale


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("damping", [1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("m", [1, 7, 12, 40])
@pytest.mark.parametrize("kind", [normal, alike])
def test_the_diagonal_equals_the_dense_inverse(kind, m, damping, scale):
    # Blocks of 12, and one of 5 at the end: m is below, between and above.
    gradients = kind(m, 3 * 12 + 5, scale)
    assert error(compute_inverse_diagonal(gradients, 12, damping, 1, WHERE), dense(gradients, 12, damping)) < 1e-5


@pytest.mark.parametrize("m", [8, 64])
def test_float64_is_needed(m):
    gradients, damping = alike(m, 50), 1e-7
    expected = dense(gradients, 50, damping)
    assert error(compute_inverse_diagonal(gradients, 50, damping, 1, WHERE), expected) < 1e-5
    # Control: in float32 the same formulas have more than ten times the allowed error.
    if m < 50:
        solved = torch.linalg.solve(m * damping * torch.eye(m) + gradients @ gradients.T, gradients)
        single = (1 - (gradients * solved).sum(0)) / damping
    else:
        single = torch.linalg.inv(damping * torch.eye(50) + gradients.T @ gradients / m).diagonal()
    assert error(single, expected) > 1e-3


@pytest.mark.parametrize("m", [5, 30])
def test_streaming_equals_batch(m, monkeypatch):
    gradients = normal(m, 40 * 12 + 5)
    monkeypatch.setattr(fisher, "SLAB_BYTES", 1 << 30)
    at_once = compute_inverse_diagonal(gradients, 12, 1e-7, 100, WHERE)
    sizes = []
    solve = fisher._solve_blocks
    monkeypatch.setattr(fisher, "_solve_blocks", lambda s, *rest: sizes.append(len(s)) or solve(s, *rest))
    # Memory for one block at a time, then for seven.
    for blocks in (1, 7):
        sizes.clear()
        budget = blocks * working_bytes(m, 12) / fisher.MEGABYTE
        assert torch.equal(compute_inverse_diagonal(gradients, 12, 1e-7, budget, WHERE), at_once)
        assert max(sizes) <= blocks and sum(sizes) == 41
    # The caller splits the gradients into parts.
    pieces = [compute_inverse_diagonal(piece, 12, 1e-7, 100, WHERE) for piece in gradients.split(36, dim=1)]
    assert torch.equal(torch.cat(pieces), at_once)


def test_the_number_of_threads_has_no_effect(monkeypatch):
    gradients = normal(20, 60 * 12)
    monkeypatch.setattr(fisher, "SLAB_BYTES", 5 * working_bytes(20, 12))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = compute_inverse_diagonal(gradients, 12, 1e-7, 100, WHERE)
        torch.set_num_threads(3)
        together = compute_inverse_diagonal(gradients, 12, 1e-7, 100, WHERE)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


@pytest.mark.parametrize(("m", "block"), [(1, 50), (8, 50), (64, 50), (64, 64), (63, 64), (64, 1)])
def test_working_bytes_are_an_upper_bound_of_the_peak(m, block):
    """The allocator records at most the bound for one slab, and at least .6 of it."""
    from torch.profiler import ProfilerActivity, profile

    blocks = 16
    gradients = normal(m, blocks * block)

    def solve():
        fisher._solve_blocks(gradients.double().reshape(m, -1, block).transpose(0, 1), 1e-3, WHERE)

    solve()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        solve()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    in_use = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        in_use += event.nbytes()
        peak = max(peak, in_use)
    assert 0.6 * blocks * working_bytes(m, block) < peak <= blocks * working_bytes(m, block)


def test_bytes_of_a_layer_by_hand():
    # 64 gradients and a result of 1,000 weights in float32; of one block in float64 its gradients, twice the matrix,
    # the solution, and two rows.
    block = 8 * (64 * 50 + 2 * 50 * 50 + 50 * 50 + 2 * 50)
    assert layer_bytes(1000, m=64, block=50) == 4 * 64 * 1000 + 4 * 1000 + block
    # With fewer gradients than weights in a block, the matrix is [m, m].
    block = 8 * (4 * 50 + 2 * 4 * 4 + 4 * 50 + 2 * 50)
    assert layer_bytes(1000, m=4, block=50) == 4 * 4 * 1000 + 4 * 1000 + block


def test_the_error_for_too_little_memory_names_the_minimum():
    gradients = normal(64, 100)
    with pytest.raises(ConfigError, match=r"layer 0, concept food.*at least (0\.083) MB"):
        compute_inverse_diagonal(gradients, 50, 1e-7, 0.08, WHERE)
    assert torch.isfinite(compute_inverse_diagonal(gradients, 50, 1e-7, 0.083, WHERE)).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_gradients_that_are_not_finite_raise_an_error(value):
    gradients = normal(4, 20)
    gradients[2, 7] = value
    with pytest.raises(PruningError, match="layer 0, concept food: gradients hold NaN or infinity"):
        compute_inverse_diagonal(gradients, 5, 1e-7, 1, WHERE)


def test_gradients_without_information_raise_an_error():
    with pytest.raises(PruningError, match="layer 0, concept food: all gradients are zero"):
        compute_inverse_diagonal(torch.zeros(4, 20), 5, 1e-7, 1, WHERE)
    with pytest.raises(PruningError, match=r"must be \[m, n\].*\[0, 20\]"):
        compute_inverse_diagonal(torch.zeros(0, 20), 5, 1e-7, 1, WHERE)
    # One gradient that is not zero is enough; blocks without one have [F^-1]_jj = 1 / damping.
    gradients = torch.zeros(4, 20)
    gradients[1, 3] = 1.0
    diagonal = compute_inverse_diagonal(gradients, 5, 0.25, 1, WHERE)
    assert diagonal.tolist() == pytest.approx([2.0 if j == 3 else 4.0 for j in range(20)])


def test_the_error_for_too_large_gradients_names_a_valid_damping():
    gradients = normal(4, 20, 1e4)
    with pytest.raises(PruningError, match=r"layer 0, concept food.*raise damping to (\S+) or more") as raised:
        compute_inverse_diagonal(gradients, 5, 1e-7, 1, WHERE)
    damping = float(str(raised.value).split("raise damping to ")[1].split()[0])
    assert error(compute_inverse_diagonal(gradients, 5, damping, 1, WHERE), dense(gradients, 5, damping)) < 1e-4


@pytest.mark.parametrize(("block", "damping"), [(0, 1e-7), (-1, 1e-7), (5, 0.0), (5, -1.0), (5, float("nan"))])
def test_settings_out_of_range_raise_an_error(block, damping):
    with pytest.raises(ConfigError, match="Fisher"):
        compute_inverse_diagonal(normal(4, 20), block, damping, 1, WHERE)
