"""Whole heads and neurons, 2:4 patterns and single weights: what accuracy do fast masks keep?

    python benchmarks/mask_granularity.py --seeds 1 2 3 --set threads=1

The data are the embedded reviews. Training starts from the dense model that `benchmarks/masks.py` keeps, with the
settings of the main job. Accuracies are on `test`. Differences from the dense model are paired by text, with 95 %
intervals by bootstrap over groups. "Random" rows draw what is kept, in the same pattern. Each result goes to
benchmarks/results/mask-granularity.json at once. A result with the same settings is not computed again.
"""

import argparse

from cebab import annotated, configured, model_folder, train_dense
from mask_options import trained
from masks import RESULTS, compared, right, settings_of

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_json, write_json
from sparsecbm.evaluate.variables import predict_split

STRUCTURED = ["prune.granularity=structured", "prune.core=0"]
TWO_OF_FOUR = ["prune.granularity=2:4", "prune.core=0", "prune.sparsity=0.5"]
RANDOM = ["prune.saliency=random"]
ROWS = {
    "single weights, 50 %": ["prune.sparsity=0.5"],
    "heads and neurons, 50 %": [*STRUCTURED, "prune.sparsity=0.5"],
    "heads and neurons, 50 %, one threshold for all layers": [
        *STRUCTURED,
        "prune.sparsity=0.5",
        "prune.threshold=global",
    ],
    "heads and neurons, 50 %, random": [*STRUCTURED, "prune.sparsity=0.5", *RANDOM],
    "2:4": TWO_OF_FOUR,
    "2:4, random": [*TWO_OF_FOUR, *RANDOM],
    "single weights, 75 %": [],
    "heads and neurons, 75 %": STRUCTURED,
    "heads and neurons, 75 %, random": [*STRUCTURED, *RANDOM],
}


def main() -> None:
    """Measure the missing rows, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    arguments = parser.parse_args()
    path = RESULTS / "mask-granularity.json"
    results = read_json(path) if path.is_file() else {}
    for seed in arguments.seeds:
        of_seed = results.setdefault(str(seed), {})
        for name in arguments.rows:
            params = configured(None, "joint", seed, [*arguments.set, *ROWS[name]], ())
            if of_seed.get(name, {}).get("settings") != settings_of(params):
                frames, concept_set = annotated(params)
                folder = model_folder("joint", seed, "restaurants")
                if not folder.is_dir():
                    train_dense(params, frames, concept_set)
                dense = SparseCBM.from_pretrained(folder)
                seconds, correct = trained(params, dense, frames)
                test = frames["test"]
                scores = compared(correct, right(predict_split(dense, test)), test["group"].to_numpy(), seed)
                of_seed[name] = {"settings": settings_of(params), "cpu_seconds": round(seconds, 1), **scores}
                write_json(path, results)
            cells = [
                f"{kind} {100 * of_seed[name][kind]['difference']:+.1f} "
                f"({100 * of_seed[name][kind]['interval'][0]:+.1f} to {100 * of_seed[name][kind]['interval'][1]:+.1f})"
                for kind in ("concepts", "label")
            ]
            print(f"seed {seed} {name:55} {of_seed[name]['cpu_seconds']:6.0f} s  " + ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()
