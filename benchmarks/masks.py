"""Masks: accuracy compared with the dense model, and specificity compared with random masks trained in the same way.

    python benchmarks/masks.py --data FOLDER --seeds 1 2 3 --profiles sparse-75 sparse-90

With a folder of CEBaB's released files it starts from the dense models of `benchmarks/cebab.py --modes joint` and
scores `dev`. Without one it trains on the embedded reviews and scores `test`. For every seed and profile it trains
masks, and then a control under random masks. The baseline is the dense model after the same number of additional
epochs.

Intervals are 95 %, by bootstrap over groups (`original_id`), paired by text. For the mean of the seeds, each text
counts with its mean over the seeds. Each result goes to benchmarks/results/masks-SOURCE-PROFILE.json at once. A result
with the same settings is not computed again.
"""

import copy
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from cebab import dense_model, model_folder, subject
from seed_results import measure_seeds
from tables import WORKSPACE, annotated, configured, scored_split, source_parser

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import write_json
from sparsecbm.base.metrics import MISSING, interval, resampled_means
from sparsecbm.base.params import Params
from sparsecbm.evaluate.specificity.specificity import Specificity, excess, specificity
from sparsecbm.evaluate.variables import SplitPredictions, predict_split
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.modes import fit
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results"
RESAMPLES = 1000
MEAN = "mean of the seeds"
RIGHT = "right.npz"  # in a seed's folder: which predictions of each text are correct


def right(predictions: SplitPredictions) -> np.ndarray:
    """Return whether the label and each concept of a text are predicted correctly: [texts, 1 + K]; nan if unknown."""
    label = np.where(predictions.label.gold == MISSING, np.nan, predictions.label.predicted == predictions.label.gold)
    by_concept = [np.where(v.gold == MISSING, np.nan, v.predicted == v.gold) for v in predictions.concepts.values()]
    return np.stack([label, *by_concept], axis=1)


def compared(sparse: np.ndarray, dense: np.ndarray, clusters: np.ndarray, seed: int) -> dict:
    """Return both accuracies and the paired difference with its interval, for the label and the mean concept."""

    def pair(values: np.ndarray) -> np.ndarray:
        return np.stack([values[..., 0], values[..., 1:].mean(-1)], axis=-1)

    accuracies = [pair(np.nanmean(rows, axis=0)) for rows in (sparse, dense)]
    drawn = pair(resampled_means(sparse - dense, clusters, RESAMPLES, seed))
    return {
        name: {
            "sparse": round(float(accuracies[0][i]), 4),
            "dense": round(float(accuracies[1][i]), 4),
            "difference": round(float(accuracies[0][i] - accuracies[1][i]), 4),
            "interval": [round(float(end), 4) for end in interval(drawn[:, i])],
        }
        for i, name in enumerate(("label", "concepts"))
    }


def continued(dense: SparseCBM, frames: dict[str, pd.DataFrame], params: Params) -> SparseCBM:
    """Return the dense model after as many additional epochs as the masks take; other sparsities reuse it."""
    epochs, seed = params.prune.epochs, params.seed
    folder = model_folder(params)
    folder = folder.with_name(f"{folder.name}-and-{epochs}-epochs")
    if not folder.is_dir():
        model = copy.deepcopy(dense)
        longer = params.finetune.model_copy(update={"epochs": epochs})
        checkpoints = Checkpoints(folder.with_suffix(".training"))
        fit(model, frames["train"], frames["validation"], longer, TrainingRun(seed, checkpoints))
        checkpoints.clear()
        model.to("cpu").save_pretrained(folder)
    return SparseCBM.from_pretrained(folder)


def pruned(
    dense: SparseCBM, frames: dict[str, pd.DataFrame], scored: str, params: Params, root: Path, control_of: Path | None
) -> tuple[np.ndarray, Specificity, float]:
    """Train masks (or the control of finished ones) and measure them on the split to score."""
    options, start = PruneOptions(params.prune, params.finetune, control_of), time.perf_counter()
    run = TrainingRun(params.seed, Checkpoints(root))
    model = fit_masks(dense, frames["train"], frames["validation"], options, run).model
    seconds = time.perf_counter() - start
    model.to("cpu").save_pretrained(root / "model")
    measured = specificity(model, frames["train"], frames[scored], params.prune.probe_texts, RESAMPLES, params.seed)
    return right(predict_split(model, frames[scored])), measured, seconds


def root_of(params: Params, profile: str) -> Path:
    """Return the folder of masks: the models `chosen/model` and `random/model`, and the masks of each event."""
    return WORKSPACE.root / ".sparsecbm" / "benchmarks" / f"masks-{subject(params)}-{profile}-{params.seed}"


def measure(params: Params, profile: str) -> dict:
    """Measure all figures of one seed."""
    seed = params.seed
    with reproducible(seed, params.threads):
        frames, concept_set = annotated(params)
        scored = scored_split(params)
        dense = dense_model(params, frames, concept_set)
        root = root_of(params, profile)
        before = right(predict_split(continued(dense, frames, params), frames[scored]))
        start = right(predict_split(dense, frames[scored]))
        chosen, specific, seconds = pruned(dense, frames, scored, params, root / "chosen", None)
        random, control, _ = pruned(dense, frames, scored, params, root / "random", root / "chosen" / "events")
        clusters = frames[scored]["group"].to_numpy()
        np.savez(root / RIGHT, chosen=chosen, random=random, dense=before, clusters=clusters.astype(str))
        return {
            "settings": settings_of(params),
            "seconds": round(seconds, 1),
            "against_continued": compared(chosen, before, clusters, seed),
            "against_start": compared(chosen, start, clusters, seed),
            "random_against_continued": compared(random, before, clusters, seed),
            "chosen": specific.to_dict(),
            "random": control.to_dict(),
            "excess": excess(specific, control, RESAMPLES, seed).to_dict(),
        }


def over_seeds(folders: list[Path]) -> dict:
    """Compare masks with the dense model; each text counts with its mean over the seeds."""
    correct = [np.load(folder / RIGHT) for folder in folders]
    chosen, random, dense = (
        np.mean([each[kind] for each in correct], axis=0) for kind in ("chosen", "random", "dense")
    )
    clusters = correct[0]["clusters"]
    return {
        "against_continued": compared(chosen, dense, clusters, 0),
        "random_against_continued": compared(random, dense, clusters, 0),
    }


def settings_of(params: Params) -> dict:
    """Return the settings that a result depends on, besides seed and data."""
    return {name: getattr(params, name).model_dump() for name in ("model", "finetune", "prune")}


def show(title: str, results: dict) -> None:
    """Print the figures that the targets name."""
    print(f"\n{title}")
    for seed, result in results.items():
        print(f"  {seed}" if seed == MEAN else f"  seed {seed}, {result['seconds']} s")
        for name in ("concepts", "label"):
            comparison, random = result["against_continued"][name], result["random_against_continued"][name]
            low, high = comparison["interval"]
            print(
                f"    {name:9} {comparison['sparse']:.3f}, dense {comparison['dense']:.3f}: "
                f"{100 * comparison['difference']:+.2f} "
                f"({100 * low:+.2f} to {100 * high:+.2f}); random {random['sparse']:.3f}"
            )
        if seed == MEAN:
            continue
        overlap = result["chosen"]["overlap"]
        print(f"    jaccard   {overlap['jaccard']:.3f} (chance {overlap['chance']:.3f})")
        for kind, key in (("swap", "gap"), ("probe", "gap"), ("ablation", "selectivity")):
            gaps = [result[mask_kind][kind][key]["mean"]["value"] for mask_kind in ("chosen", "random")]
            parts = result["excess"][kind]
            low, high = parts["mean"]["interval"]
            above = sum(e["interval"][0] > 0 for n, e in parts.items() if n != "mean")
            print(
                f"    {kind:9} chosen {100 * gaps[0]:.1f}, random {100 * gaps[1]:.1f}, excess "
                f"{100 * parts['mean']['value']:.1f} ({100 * low:.1f} to {100 * high:.1f}), "
                f"above 0 for {above} concepts"
            )


def main() -> None:
    """Measure the missing results, then print."""
    parser = source_parser(__doc__.splitlines()[0])
    parser.add_argument("--profiles", nargs="+", default=["sparse-75", "sparse-90"])
    arguments = parser.parse_args()
    for profile in arguments.profiles:
        profiles = ("cebab", profile) if arguments.data else (profile,)
        runs = [configured(arguments.data, "joint", seed, arguments.set, profiles) for seed in arguments.seeds]
        path = RESULTS / f"masks-{subject(runs[0])}-{profile}.json"
        results = measure_seeds(path, runs, settings_of, partial(measure, profile=profile))
        seeds = [str(seed) for seed in arguments.seeds]
        folders = [root_of(params, profile) for params in runs]
        if len(seeds) > 1 and all((folder / RIGHT).is_file() for folder in folders):
            results[MEAN] = over_seeds(folders)
            write_json(path, results)
        show(path.stem, {name: results[name] for name in (*seeds, MEAN) if name in results})


if __name__ == "__main__":
    main()
