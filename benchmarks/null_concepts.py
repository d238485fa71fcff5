"""Concepts without meaning beside real ones, with fixed and with earned contrast.

    python benchmarks/null_concepts.py --seeds 1 2 3 [--data FOLDER] [--set KEY=VALUE ...]

Two null concepts of each kind are trained along with the masks of the profile sparse-75. With a folder of CEBaB's
released files the dense models of `benchmarks/cebab.py --modes joint` are used and `dev` is scored, else dense models
are trained on the embedded reviews and `test` is scored. `prune.contrast: fixed` gives every concept weights of its
own, `earned` only those that need them. All figures are over matched random masks, in points, with 95 % intervals by
bootstrap over groups, paired by text. Each result goes to benchmarks/results/null-concepts-SOURCE.json at once.
"""

from pathlib import Path

import pandas as pd
from cebab import dense_model, subject
from masks import RESAMPLES, RESULTS, compared, right, root_of, settings_of
from seed_results import measure_seeds
from tables import annotated, configured, scored_split, source_parser

from sparsecbm.api import SparseCBM
from sparsecbm.base.params import Params
from sparsecbm.evaluate.specificity.null_specificity import (
    MEASURES,
    NullSpecificity,
    null_excess,
    null_specificity,
    rank_p_values,
)
from sparsecbm.evaluate.specificity.specificity import Specificity, excess, specificity
from sparsecbm.evaluate.variables import predict_split
from sparsecbm.pruning.fit import PruneOptions, PruneResult, fit_masks
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.reproducible import reproducible

PROFILE = "sparse-75"
NULLS = 4  # two of each kind


def measured(result: PruneResult, tables: tuple[pd.DataFrame, pd.DataFrame], params: Params):
    """Return the specificity of real and of null concepts of one result."""
    model, beside = result.model.to("cpu"), result.beside.to("cpu")
    probe_texts, seed = params.prune.probe_texts, params.seed
    return (
        specificity(model, *tables, probe_texts, RESAMPLES, seed),
        null_specificity(beside, result.nulls, tables, probe_texts, RESAMPLES, seed),
    )


def over_random(
    dense: SparseCBM, frames: dict[str, pd.DataFrame], params: Params, root: Path
) -> tuple[dict, SparseCBM]:
    """Train masks and their control in a folder; return the figures on the scored split, and the model."""
    scored = scored_split(params)
    options, tables = PruneOptions(params.prune, params.finetune), (frames["train"], frames[scored])
    chosen = fit_masks(
        dense, frames["train"], frames["validation"], options, TrainingRun(params.seed, Checkpoints(root))
    )
    real, null = measured(chosen, tables, params)
    options = PruneOptions(params.prune, params.finetune, chosen.events)
    run = TrainingRun(params.seed, Checkpoints(root / "random"))
    control: tuple[Specificity, NullSpecificity] = measured(
        fit_masks(dense, frames["train"], frames["validation"], options, run), tables, params
    )
    over, over_null = (
        excess(real, control[0], RESAMPLES, params.seed).to_dict(),
        null_excess(null, control[1], RESAMPLES),
    )
    own = {
        name: {"earned": w.earned, "better": [w.better.value, w.better.p], "needed": [w.needed.value, w.needed.p]}
        for name, w in chosen.own_weights.items()
    }
    clusters = frames[scored]["group"].to_numpy()
    before, after = (right(predict_split(model, frames[scored])) for model in (dense, chosen.model))
    figures = {
        "own_weights": own,
        "against_dense": compared(after, before, clusters, params.seed),
        "real": over,
        "nulls": {m: {n: e.to_dict() for n, e in by_name.items()} for m, by_name in over_null.items()},
        "null_scores": {name: scores.to_dict() for name, scores in null.scores.items()},
        "rank_p": {
            m: rank_p_values({n: e["value"] for n, e in over[m].items()}, [e.value for e in over_null[m].values()])
            for m in MEASURES
        },
    }
    return figures, chosen.model


def measure(params: Params) -> dict:
    """Measure both kinds of contrast for one seed."""
    seed = params.seed
    with reproducible(seed, params.threads):
        frames, concept_set = annotated(params)
        dense = dense_model(params, frames, concept_set)
        root = root_of(params, f"{PROFILE}-nulls") / "chosen"  # both kinds share the training, which they do not change
        result: dict = {"settings": settings_of(params)}
        for kind in ("fixed", "earned"):
            prune = params.prune.model_copy(update={"contrast": kind})
            of_kind = params.model_copy(update={"prune": prune})
            result[kind], _ = over_random(dense, frames, of_kind, root)
        return result


def show(seed: str, result: dict) -> None:
    """Print the figures over random masks."""
    print(f"\nseed {seed}")
    for kind in ("fixed", "earned"):
        differences = result[kind]["against_dense"]
        print(f"  {kind}: " + ", ".join(f"{n} {100 * d['difference']:+.1f}" for n, d in differences.items()))
        for measure in MEASURES:
            for part in ("real", "nulls"):
                cells = [
                    f"{name} {100 * e['value']:.1f} ({100 * e['interval'][0]:.1f} to {100 * e['interval'][1]:.1f})"
                    for name, e in result[kind][part][measure].items()
                ]
                print(f"    {measure:9} {part:5} " + "; ".join(cells))


def main() -> None:
    """Measure the missing results, then print."""
    arguments = source_parser(__doc__.splitlines()[0]).parse_args()
    profiles = ("cebab", PROFILE) if arguments.data else (PROFILE,)
    settings = [*arguments.set, f"prune.null_concepts={NULLS}"]
    runs = [configured(arguments.data, "joint", seed, settings, profiles) for seed in arguments.seeds]
    path = RESULTS / f"null-concepts-{subject(runs[0])}.json"
    results = measure_seeds(path, runs, settings_of, measure)
    for seed in map(str, arguments.seeds):
        show(seed, results[seed])


if __name__ == "__main__":
    main()
