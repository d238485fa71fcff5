"""How much more accuracy a concept keeps under its own mask than under others' masks, before any head has seen a mask.

    python benchmarks/cross_use.py --data FOLDER --seeds 1 2 3 --set threads=1

Starts from the results of `benchmarks/masks.py --profiles sparse-75` on CEBaB, and scores `dev`. The trained masks are
laid over the dense model with its own heads; random masks of equal counts get the same score. Intervals are 95 %, by
bootstrap over `original_id`, paired by text. Each result goes to benchmarks/results/cross-use.json at once.
"""

import argparse
from pathlib import Path

from cebab import model_folder
from masks import RESAMPLES, RESULTS, root_of, settings_of
from seed_results import measure_seeds
from tables import annotated, configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.params import Params
from sparsecbm.evaluate.evidence import gap_excess
from sparsecbm.evaluate.specificity.specificity import cross_use, square_scores
from sparsecbm.train.reproducible import reproducible

PROFILE = "sparse-75"


def measure(params: Params) -> dict:
    """Measure chosen and random masks on the unchanged dense model of one seed, and the excess."""
    with reproducible(params.seed, params.threads):
        frames, _ = annotated(params)
        dense = SparseCBM.from_pretrained(model_folder(params))
        root = root_of(params, PROFILE)
        uses = {
            kind: cross_use(dense, SparseCBM.from_pretrained(root / kind / "model").masks, frames["dev"])
            for kind in ("chosen", "random")
        }
    differences = gap_excess(uses["chosen"], uses["random"], RESAMPLES, params.seed)
    return {
        "settings": settings_of(params),
        **{kind: square_scores(use, RESAMPLES, params.seed).to_dict() for kind, use in uses.items()},
        "excess": {name: estimate.to_dict() for name, estimate in differences.items()},
    }


def show(seed: str, result: dict) -> None:
    """Print what concepts keep under their own and under others' masks."""
    print(f"\nseed {seed}")
    for kind in ("chosen", "random"):
        print(f"  {kind} masks: own {result[kind]['own']:.3f}, others {result[kind]['others']:.3f}")
    excess = result["excess"]["mean"]
    low, high = excess["interval"]
    print(f"  excess of the gap: {100 * excess['value']:.1f} ({100 * low:.1f} to {100 * high:.1f})")


def main() -> None:
    """Measure the missing results, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    arguments = parser.parse_args()
    profiles = ("cebab", PROFILE)
    runs = [configured(arguments.data, "joint", seed, arguments.set, profiles) for seed in arguments.seeds]
    results = measure_seeds(RESULTS / "cross-use.json", runs, settings_of, measure)
    for seed in map(str, arguments.seeds):
        show(seed, results[seed])


if __name__ == "__main__":
    main()
