"""The exact diagonal of the inverse empirical Fisher matrix, in blocks of consecutive weights.

F = damping*I + (1/m) sum_i g_i g_i^T, where all entries between blocks of B weights are zero (oBERT, Kurtic et al.,
arXiv 2203.07259, section 3). Optimal Brain Surgeon needs only the diagonal of F^-1. S [m, B] holds the gradients of one
block. The smaller of two matrices is factored once as L L^T:

    m >= B:  m*damping*I + S^T S [B, B],  [F^-1]_jj = m sum_i (L^-1)_ij^2
    m <  B:  m*damping*I + S S^T [m, m],  [F^-1]_jj = (1 - sum_i (L^-1 S)_ij^2) / damping      (Woodbury)

All of it runs in float64: with gradients near 1 and a damping of 1e-7, the matrices have condition numbers above 1e8.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError, PruningError

# On a CPU a slab of blocks has about the size of the second-level cache. Larger slabs are slower. From about 6 MB on,
# the allocator may also return each slab's pages and take new ones.
SLAB_BYTES = 3 << 20
# Beyond this ratio of gradients to damping, float64 no longer keeps the error below 1e-4.
LARGEST_RATIO = 1e11
MEGABYTE = 1 << 20


def compute_inverse_diagonal(gradients: Tensor, block: int, damping: float, memory_mb: float, where: str) -> Tensor:
    """diag(F^-1) of one layer, or of consecutive blocks of it.

    Blocks are independent. A caller may pass a layer's columns in pieces that start at multiples of `block`; the values
    are the same to the bit.

    Args:
        gradients: [m, n], one gradient in each row; weights in the order in which blocks are cut
        block: B, weights in a block; the last block may be shorter
        damping: added to the diagonal of F, above 0
        memory_mb: megabytes of working memory, beyond the gradients and the result; `layer_bytes` counts them all
        where: names the layer and the concept in messages

    Returns:
        [n], float32 (float64 for gradients in float64), in units of 1 / gradient^2

    Raises:
        ConfigError: `block` or `damping` is out of range, or `memory_mb` is too small for one block.
        PruningError: the gradients are not finite, all zero, or too large for `damping`.
    """
    check_settings(block, damping)
    check_gradients(gradients, where)
    rows, n = gradients.shape
    block = min(block, n)
    block_bytes = working_bytes(rows, block)
    if not memory_mb * MEGABYTE >= block_bytes:
        raise ConfigError(
            f"{where}: {memory_mb:g} MB of memory are too little to prune by; one block of {block} weights and {rows} "
            f"gradients needs at least {math.ceil(block_bytes / MEGABYTE * 1000) / 1000:g} MB"
        )
    result = torch.empty(n, dtype=torch.promote_types(gradients.dtype, torch.float32), device=gradients.device)

    def solve(first: int, last: int, width: int) -> None:
        slab = gradients[:, first:last].double().reshape(rows, -1, width).transpose(0, 1)
        result[first:last] = _solve_blocks(slab, damping, where).reshape(-1)

    whole = n - n % block
    blocks = int(memory_mb * MEGABYTE // block_bytes)  # that fit into memory together
    workers = 1
    if gradients.device.type == "cpu":
        workers = min(torch.get_num_threads(), blocks)
        blocks = min(blocks // workers, max(1, SLAB_BYTES // block_bytes))
    step = blocks * block
    _run_on_threads(lambda first: solve(first, min(first + step, whole), block), range(0, whole, step), workers)
    if whole < n:
        solve(whole, n, n - whole)
    return result


def working_bytes(m: int, block: int) -> int:
    """Peak bytes of solving one block: its gradients, the matrix, its factor and the solution, in float64."""
    size = min(m, block)
    return 8 * (m * block + 2 * size * size + size * block + 2 * block)


def layer_bytes(n: int, m: int, block: int, element_size: int = 4) -> int:
    """The least memory for a layer of n weights: its m gradients, the result, and the work on one block."""
    return element_size * m * n + max(4, element_size) * n + working_bytes(m, min(block, n))


def check_settings(block: int, damping: float) -> None:
    """Raises ConfigError unless `block` is at least 1 and `damping` is a positive number."""
    if block < 1:
        raise ConfigError(f"a block of the Fisher matrix must have at least 1 weight, not {block}")
    if not (damping > 0 and math.isfinite(damping)):
        raise ConfigError(f"the damping of the Fisher matrix must be a number above 0, not {damping}")


def check_gradients(gradients: Tensor, where: str) -> None:
    """Raises PruningError unless `gradients`, [m, n], are finite, not empty and not all zero."""
    if gradients.dim() != 2 or gradients.numel() == 0:
        raise PruningError(f"{where}: gradients must be [m, n], m and n at least 1, not {list(gradients.shape)}")
    lowest, highest = torch.aminmax(gradients)  # both are NaN if any value is
    if not (torch.isfinite(lowest) and torch.isfinite(highest)):
        raise PruningError(f"{where}: gradients hold NaN or infinity; lower the learning rate or check the loss")
    if lowest == 0 and highest == 0:
        raise PruningError(
            f"{where}: all gradients are zero; either no text has a known state of this concept, or no output of the "
            "layer reaches its head"
        )


def _solve_blocks(slab: Tensor, damping: float, where: str) -> Tensor:
    """diag(F^-1), [blocks, B], of a slab of gradients, [blocks, m, B], float64."""
    m, block = slab.shape[1:]
    woodbury = m < block
    matrix = slab @ slab.mT if woodbury else slab.mT @ slab
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    ratio = float(diagonal.sum(-1).max()) / (m * damping)
    if ratio > LARGEST_RATIO:
        raise PruningError(
            f"{where}: gradients are too large for a damping of {damping:g}, diag(F^-1) would not be exact; "
            f"raise damping to {damping * ratio / LARGEST_RATIO:.1g} or more"
        )
    diagonal.add_(m * damping)
    factor = torch.linalg.cholesky_ex(matrix).L  # cannot fail below that ratio
    del matrix, diagonal
    right = slab if woodbury else torch.eye(block, dtype=slab.dtype, device=slab.device).expand(len(slab), block, block)
    squares: Tensor = torch.linalg.vector_norm(
        torch.linalg.solve_triangular(factor, right, upper=False), dim=1
    ).square_()
    return (1 - squares).div_(damping) if woodbury else squares.mul_(m)


def _run_on_threads(work: Callable[[int], None], items: Iterable[int], workers: int) -> None:
    """Call `work` on each item, on several threads.

    torch's batched factorisation runs on one thread, so slabs run side by side, each on one thread.
    """
    if workers == 1:
        for item in items:
            work(item)
        return
    with _single_threaded(), ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, items):
            pass


@contextmanager
def _single_threaded() -> Iterator[None]:
    """One thread for each operation of torch; threads that start inside the block inherit this."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
