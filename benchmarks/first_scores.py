"""Where learnt scores of masks start: at the Fisher diagonal of gradients, or at the norms of activations.

    python benchmarks/first_scores.py --seeds 1 --rows fisher_diagonal activation_norm --set threads=1

See `mask_rows` for data, training and results, which go to benchmarks/results/first-scores-SOURCE.json. `start` is the
CPU time of the first scores alone, of all concepts. Differences from the dense model are paired by text, with 95 %
intervals by bootstrap over groups.
"""

import copy
import time
from pathlib import Path

import score_forms
from mask_rows import Frames, measure_rows, rows_parser

from sparsecbm.api import SparseCBM
from sparsecbm.base.params import Params
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.event import score_weights
from sparsecbm.pruning.gradients import draw_gradient_batches
from sparsecbm.train.examples import build_examples

ROWS = {name: [f"prune.first_scores={name}"] for name in ("fisher_diagonal", "activation_norm", "magnitude", "random")}


def start_seconds(params: Params, dense: SparseCBM, frames: Frames) -> float:
    """Return the CPU seconds of the first scores of all concepts."""
    model = copy.deepcopy(dense)
    layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from)
    model.masks = MaskSet.dense(model.concept_set.names, {name: tuple(m.weight.shape) for name, m in layers.items()})
    prune = params.prune.model_copy(update={"saliency": params.prune.first_scores})
    data = build_examples(frames["train"], model)
    start = time.process_time()
    score_weights(model, prune, draw_gradient_batches(model, data, prune, params.seed, step=0), params.seed)
    return round(time.process_time() - start, 2)


def measure(params: Params, dense: SparseCBM, frames: Frames, folder: Path) -> dict:
    """Time the first scores, train masks from them and measure these."""
    return {
        "start_cpu_seconds": start_seconds(params, dense, frames),
        **score_forms.measure(params, dense, frames, folder),
    }


def show(seed: int, name: str, row: dict) -> None:
    """Print one row."""
    print(f"seed {seed} {name:26} start {row['start_cpu_seconds']:.2f} CPU s")
    score_forms.show(seed, name, row)


def main() -> None:
    """Measure the missing rows, print and write."""
    arguments = rows_parser(__doc__.splitlines()[0], ROWS).parse_args()
    measure_rows("first-scores", ROWS, arguments, measure, show)


if __name__ == "__main__":
    main()
