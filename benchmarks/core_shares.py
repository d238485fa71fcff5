"""How much do all masks share? Cores from .7 up, and the one that the loss on held-out texts would choose.

    python benchmarks/core_shares.py --seeds 1 2 3 --set threads=1 [--data FOLDER] [--cores .7 .8 .9 .95]

Masks are trained with the settings of the profile sparse-75, once for each size of the core, with two null concepts of
each kind trained along and matched random masks as a control. `held_out` is the loss (mean of the concepts, and the
label, in nats) on texts that no figure is of: those of the validation split, or with a folder of CEBaB's released files
the edits of these texts in `train_inclusive`. `core: auto` would take the core with the lowest loss of the concepts.

All other figures are those of `benchmarks/null_concepts.py`, of `test`, or of `dev` for CEBaB. All goes to
benchmarks/results/core-shares-SOURCE.json; a core that was measured with the same settings is not measured again.
"""

from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
from cebab import dense_model, subject
from concept_noise import held_out_edits
from masks import RESULTS, settings_of
from null_concepts import NULLS, PROFILE, over_random
from tables import annotated, configured, source_parser

from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params import Params
from sparsecbm.evaluate.specificity.null_specificity import MEASURES
from sparsecbm.evaluate.variables import SplitPredictions, VariablePredictions, predict_split
from sparsecbm.train.reproducible import reproducible

CORES = (0.7, 0.8, 0.9, 0.95)


def log_loss(variable: VariablePredictions) -> float:
    """Return the mean of -log p(true state) over the texts whose state is known."""
    known = np.flatnonzero(variable.gold != MISSING)
    return float(-np.log(variable.probabilities[known, variable.gold[known]]).mean())


def losses(predictions: SplitPredictions) -> dict[str, float]:
    """Return the loss of the label, and of the concepts as their mean."""
    concepts = fmean(log_loss(variable) for variable in predictions.concepts.values())
    return {"label": round(log_loss(predictions.label), 4), "concepts": round(concepts, 4)}


def chosen_core(by_core: dict[str, dict]) -> str:
    """Return the core that the held-out loss of the concepts chooses; the smallest of equal ones."""
    return min(by_core, key=lambda core: (by_core[core]["held_out"]["concepts"], float(core)))


def measure(params: Params, cores: list[float], results: dict[str, dict], path: Path) -> None:
    """Measure the missing cores of one seed; each is written at once."""
    of_seed = results.setdefault(str(params.seed), {})
    by_core = {
        str(core): params.model_copy(update={"prune": params.prune.model_copy(update={"core": core})}) for core in cores
    }
    missing = {core: p for core, p in by_core.items() if of_seed.get(core, {}).get("settings") != settings_of(p)}
    if not missing:
        return
    with reproducible(params.seed, params.threads):
        frames, concept_set = annotated(params)
        dense = dense_model(params, frames, concept_set)
        validation = frames["validation"]
        choice = held_out_edits(params, validation) if params.source.name == "cebab" else validation
    for core, of_this in missing.items():
        with reproducible(params.seed, params.threads):
            with TemporaryDirectory() as scratch:
                figures, model = over_random(dense, frames, of_this, Path(scratch))
            held_out = losses(predict_split(model, choice))
            of_seed[core] = {"settings": settings_of(of_this), "held_out": held_out, **figures}
        write_json(path, results)


def show(seed: str, by_core: dict[str, dict]) -> None:
    """Print one line for each core."""
    print(f"\nseed {seed}: held-out loss chooses {chosen_core(by_core)}")
    for core, result in by_core.items():
        points = {n: 100 * d["difference"] for n, d in result["against_dense"].items()}
        real = ", ".join(f"{100 * result['real'][m]['mean']['value']:.1f}" for m in MEASURES)
        nulls = ", ".join(f"{100 * fmean(e['value'] for e in result['nulls'][m].values()):.1f}" for m in MEASURES)
        print(
            f"  {core}: loss {result['held_out']['concepts']:.4f}, label {result['held_out']['label']:.4f}; concepts "
            f"{points['concepts']:+.1f}, label {points['label']:+.1f}; {'/'.join(MEASURES)} {real}; nulls {nulls}"
        )


def main() -> None:
    """Measure what is missing, then print."""
    parser = source_parser(__doc__.splitlines()[0])
    parser.add_argument("--cores", nargs="+", type=float, default=CORES)
    arguments = parser.parse_args()
    profiles = ("cebab", PROFILE) if arguments.data else (PROFILE,)
    settings = [*arguments.set, f"prune.null_concepts={NULLS}"]
    runs = [configured(arguments.data, "joint", seed, settings, profiles) for seed in arguments.seeds]
    path = RESULTS / f"core-shares-{subject(runs[0])}.json"
    results = read_json(path) if path.is_file() else {}
    for params in runs:
        measure(params, arguments.cores, results, path)
        show(str(params.seed), results[str(params.seed)])


if __name__ == "__main__":
    main()
