"""Where learnt scores of masks start: at the Fisher diagonal of gradients, or at the norms of activations.

    python benchmarks/first_scores.py --seeds 1 [--rows fisher_diagonal activation_norm] [--set threads=1]

The data are the embedded reviews. Training starts from the dense model that `benchmarks/masks.py` keeps, with the
settings of the main job. `start` is the CPU time of the first scores alone, of all concepts. Accuracies and gaps are on
`test`. Differences from the dense model are paired by text, with 95 % intervals by bootstrap over groups. Each result
goes to benchmarks/results/first-scores.json at once. A result with the same settings is not computed again.
"""

import argparse
import copy
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from cebab import annotated, configured, model_folder, train_dense
from masks import RESULTS, settings_of
from score_forms import measure, show

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.event import score_weights
from sparsecbm.pruning.gradients import draw_gradient_batches
from sparsecbm.train.examples import build_examples
from sparsecbm.train.reproducible import reproducible

ROWS = ("fisher_diagonal", "activation_norm", "magnitude", "random")


def start_seconds(params: Params, dense: SparseCBM, frames: dict) -> float:
    """Return the CPU seconds of the first scores of all concepts."""
    model = copy.deepcopy(dense)
    layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from)
    model.masks = MaskSet.dense(model.concept_set.names, {name: tuple(m.weight.shape) for name, m in layers.items()})
    prune = params.prune.model_copy(update={"saliency": params.prune.first_scores})
    data = build_examples(frames["train"], model)
    start = time.process_time()
    score_weights(model, prune, draw_gradient_batches(model, data, prune, params.seed, step=0), params.seed)
    return round(time.process_time() - start, 2)


def main() -> None:
    """Measure the missing rows, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    arguments = parser.parse_args()
    path = RESULTS / "first-scores.json"
    results = read_json(path) if path.is_file() else {}
    for seed in arguments.seeds:
        of_seed = results.setdefault(str(seed), {})
        for name in arguments.rows:
            params = configured(None, "joint", seed, [*arguments.set, f"prune.first_scores={name}"], ())
            if of_seed.get(name, {}).get("settings") != settings_of(params):
                with reproducible(seed, params.threads), TemporaryDirectory() as scratch:
                    frames, concept_set = annotated(params)
                    if not model_folder("joint", seed, "restaurants").is_dir():
                        train_dense(params, frames, concept_set)
                    dense = SparseCBM.from_pretrained(model_folder("joint", seed, "restaurants"))
                    start = start_seconds(params, dense, frames)
                    print(f"seed {seed} {name:26} start {start:.2f} CPU s", flush=True)
                    of_seed[name] = {"start_cpu_seconds": start, **measure(params, dense, frames, Path(scratch), None)}
                write_json(path, results)
            show(seed, name, of_seed[name])


if __name__ == "__main__":
    main()
