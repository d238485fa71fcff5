"""The diagonal of the inverse Fisher matrix: one factorisation per block, compared with one update per gradient.

    python benchmarks/saliency.py [--sizes minilm bert-base] [--share 0.5] [--gradients 64] [--block 50]

Times cover the computation alone. Random gradients are made layer by layer, as the product needs them, and their time
does not count. The methods take turns, one transformer block of the model at a time, each in its own process. So a
machine whose speed drifts affects all methods equally. Memory is the peak resident size minus that before the first
layer; it includes the gradients of a layer. `--share` runs only the first blocks of the model. The memory is still that
of the whole model, since layers run one after the other and all blocks are alike.

The baseline is the Sherman-Morrison update as oBERT uses it (Kurtic et al., arXiv 2203.07259, section 3), batched over
blocks: F <- F - (F g)(F g)^T / (m + g^T F g), F = I / damping before the first gradient. It runs in float32 and
float64, on a whole layer at once and in slabs of the number of blocks at which it is fastest.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from torch import Tensor

from sparsecbm.base.files import read_json, write_json
from sparsecbm.pruning.fisher import compute_inverse_diagonal

RESULTS = Path(__file__).parent / "results" / "saliency.json"
DAMPING = 1e-7
SCALE = 1e-3  # of gradients, as for batches of a dozen texts
SLAB = 128  # blocks that the baseline updates at a time
CHECKED = 200  # blocks of each process that are compared with their dense inverse
HIDDEN = {"minilm": (384, 6), "bert-base": (768, 12)}  # width, transformer blocks

METHODS = {
    "factorisation (float64)": None,
    "rank-one float32, slabs": (torch.float32, SLAB),
    "rank-one float32, whole layer": (torch.float32, None),
    "rank-one float64, slabs": (torch.float64, SLAB),
    "rank-one float64, whole layer": (torch.float64, None),
}


def layers(hidden: int) -> list[int]:
    """Return sizes of the six linear layers of a transformer block: query, key, value, output, and two of the FFN."""
    return [hidden * hidden] * 4 + [hidden * 4 * hidden] * 2


def rank_one(gradients: Tensor, block: int, damping: float, dtype: torch.dtype, slab: int | None) -> Tensor:
    """Return diag(F^-1), [n], by one update per gradient; the last, shorter block is a separate slab."""
    n = gradients.shape[1]
    complete = n - n % block
    parts = []
    for piece in gradients[:, :complete].split(block * (slab or complete // block), dim=1):
        parts.append(_updated(piece, block, damping, dtype))
    if complete < n:
        parts.append(_updated(gradients[:, complete:], n - complete, damping, dtype))
    return torch.cat(parts)


def _updated(gradients: Tensor, block: int, damping: float, dtype: torch.dtype) -> Tensor:
    m = len(gradients)
    inverse = torch.eye(block, dtype=dtype).div_(damping).repeat(gradients.shape[1] // block, 1, 1)
    for row in gradients:
        g = row.to(dtype).view(-1, block, 1)
        moved = torch.bmm(inverse, g)
        inverse.baddbmm_(moved, (moved / (m + torch.bmm(g.mT, moved))).mT, alpha=-1)
    return inverse.diagonal(dim1=1, dim2=2).reshape(-1)


def dense(gradients: Tensor, block: int, damping: float) -> Tensor:
    """Return diag(F^-1), [n], from dense inverses in float64."""
    s = gradients.double().view(len(gradients), -1, block).transpose(0, 1)
    matrix = s.mT @ s / len(gradients) + damping * torch.eye(block, dtype=torch.float64)
    return torch.linalg.inv(matrix).diagonal(dim1=1, dim2=2).reshape(-1)


def child(method: str, size: str, m: int, block: int) -> dict:
    """Solve one transformer block of a model; return seconds, bytes, and the largest relative error of some weights."""

    def solve(gradients: Tensor) -> Tensor:
        if METHODS[method] is None:
            return compute_inverse_diagonal(gradients, block, DAMPING, memory_mb=64, where=method)
        return rank_one(gradients, block, DAMPING, *METHODS[method])

    solve(torch.randn(m, 4 * block) * SCALE)  # the first call loads libraries
    before = psutil.Process().memory_info().rss
    clock = cpu = error = 0.0
    for number, n in enumerate(layers(HIDDEN[size][0])):
        gradients = torch.empty(m, n).normal_(std=SCALE, generator=torch.Generator().manual_seed(number))
        wall, used = time.perf_counter(), time.process_time()
        diagonal = solve(gradients)
        clock += time.perf_counter() - wall
        cpu += time.process_time() - used
        if number == 0:
            checked = CHECKED * block
            error = float((diagonal[:checked] / dense(gradients[:, :checked], block, DAMPING) - 1).abs().max())
        del gradients, diagonal
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"clock": clock, "cpu": cpu, "bytes": peak - before, "error": error}


def measure(size: str, share: float, m: int, block: int) -> dict:
    """Run every method on the same transformer blocks, in turn."""
    hidden, depth = HIDDEN[size]
    rounds = max(1, round(share * depth))
    totals = {method: {"clock": 0.0, "cpu": 0.0, "bytes": 0, "error": 0.0} for method in METHODS}
    for number in range(rounds):
        for method, total in totals.items():
            command = [sys.executable, __file__, "--child", method, "--sizes", size]
            command += ["--gradients", str(m), "--block", str(block)]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            measured = json.loads(ran.stdout.splitlines()[-1])
            total["clock"] += measured["clock"]
            total["cpu"] += measured["cpu"]
            total["bytes"] = max(total["bytes"], measured["bytes"])
            total["error"] = max(total["error"], measured["error"])
        print(f"{size}: transformer block {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return {
        "weights": sum(layers(hidden)) * rounds,
        "of": sum(layers(hidden)) * depth,
        "gradients": m,
        "block": block,
        "threads": torch.get_num_threads(),
        "methods": totals,
    }


def main() -> None:
    """Measure, then print each method's time, its ratio to ours, its memory and its error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=list(HIDDEN), default=list(HIDDEN))
    parser.add_argument("--share", type=float, default=1.0, help="share of the transformer blocks to run")
    parser.add_argument("--gradients", type=int, default=64)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--child", choices=list(METHODS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child, arguments.sizes[0], arguments.gradients, arguments.block)))
        return
    results = read_json(RESULTS) if RESULTS.is_file() else {}
    for size in arguments.sizes:
        result = results[size] = measure(size, arguments.share, arguments.gradients, arguments.block)
        print(f"\n{size}: {result['weights'] / 1e6:.1f} of {result['of'] / 1e6:.1f} million weights, "
              f"m = {arguments.gradients}, B = {arguments.block}, threads: {result['threads']}, "
              f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
        ours = next(iter(result["methods"].values()))
        for method, measured in result["methods"].items():
            times = f"{measured['clock']:7.1f} s, {measured['cpu']:7.1f} CPU s"
            ratios = f"{measured['clock'] / ours['clock']:4.1f} and {measured['cpu'] / ours['cpu']:4.1f} times"
            print(f"  {method:30} {times}; {ratios}; {measured['bytes'] / 1e6:6.0f} MB; error {measured['error']:.0e}")
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
