"""Stage `intervene`: edit concepts and patch masks of the sparse model, and judge what that repairs and harms."""

from dataclasses import dataclass

from sparsecbm.base.files import replacing_folder, write_json, write_text
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.csv_output import csv_text
from sparsecbm.intervene.experiments.curves import (
    OracleCurve,
    OwnCurve,
    gold_ceiling,
    oracle_curves,
    own_curves,
    subsets,
)
from sparsecbm.intervene.experiments.trials import OracleTrial, TrialSettings, run_trials, summary
from sparsecbm.intervene.experiments.verdict import PASSED, judge, least_rise, verdict
from sparsecbm.intervene.memory.recall import recall_rows
from sparsecbm.intervene.patches.split_safeguards import SplitPredictions, SplitSource, renewed_patch_cache
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.storage import load as load_model
from sparsecbm.stages.reproducible_stage import reproducible_stage

SPLIT = "validation"


@dataclass(frozen=True, eq=False)
class _Results:
    """What the experiments gave on the reference texts.

    Attributes:
        trials: seed -> attempts to patch wrong predictions
        recalled, subsets: rows of tables
        limits: of a patch: bits that it may flip, share of correct predictions that it may harm
    """

    texts: int
    curves: list[OracleCurve]
    own: list[OwnCurve]
    ceiling: float
    trials: dict[int, list[OracleTrial]]
    recalled: list[dict]
    subsets: list[dict]
    limits: dict[str, float]

    @property
    def all_trials(self) -> list[OracleTrial]:
        return [trial for trials in self.trials.values() for trial in trials]


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `metrics/intervene.json` and the tables in `reports/interventions`.

    Everything is measured on the validation split; training texts only help to protect. Tables whose names begin with
    `oracle_` use the annotation to choose or to make the edits; the others do not. A failed gate is a result: the
    stage ends well, and promotion is refused later. A model of mode `standard` has nothing to intervene on: the stage
    then writes an empty result.
    """
    model = load_model(workspace.sparse)
    if not model.has_bottleneck:
        note = "the model is of mode `standard`: it has no concepts to intervene on"
        _write(workspace, {}, {"verdict": PASSED, "gates": [], "note": note})
        return
    # What the model predicts here stays in the cache, so that the first patch need not predict it again.
    source = SplitSource(workspace.annotated, SPLIT, params, renewed_patch_cache(workspace))
    results = _experiment(params, model, source.predict(model, model.concept_set.names))
    _write(workspace, _tables(results), _record(results, params))


def _experiment(params: Params, model: ConceptBottleneck, predictions: SplitPredictions) -> _Results:
    settings, seed, reference = params.intervene, params.seed, predictions.whole
    curves, own = oracle_curves(model, reference, seed), own_curves(model, reference, seed)
    ceiling = gold_ceiling(reference)
    trial_settings = TrialSettings(
        texts=settings.texts,
        max_flipped_share=settings.max_flipped_share,
        margin=settings.margin,
        protected=settings.protect,
        max_harm=settings.max_harm,
        neighbours=settings.neighbours,
        resamples=settings.bootstrap,
    )
    seeds = range(seed, seed + settings.seeds)
    trials = run_trials(predictions.model, reference, trial_settings, seeds, predictions.training)
    return _Results(
        texts=len(reference),
        curves=curves,
        own=own,
        ceiling=ceiling,
        trials=trials,
        recalled=recall_rows(*reference.halves(0.5, seed), settings.thresholds, seed),
        subsets=subsets(model, reference, seed),
        limits={"bits": trial_settings.budget(model), "max_harm": settings.max_harm},
    )


def _tables(results: _Results) -> dict[str, list[dict]]:
    """Rows by the name of their file; too many concepts for all subsets, or no wrong prediction, give no rows."""
    return {
        "oracle_curves": [row for curve in results.curves for row in curve.rows()],
        "own_curves": [row for curve in results.own for row in curve.rows()],
        "oracle_subsets": results.subsets,
        "oracle_patches": [trial.row(results.limits["max_harm"]) for trial in results.all_trials],
        "oracle_memory": results.recalled,
    }


def _record(results: _Results, params: Params) -> dict:
    """What `metrics/intervene.json` holds."""
    max_harm = results.limits["max_harm"]
    patches = summary(results.all_trials, max_harm)
    bounds, intervals = params.intervene.gates.model_dump(), {"repaired": patches["repaired_interval"]}
    gates = judge(_judged_figures(results.curves, patches), bounds, intervals)
    return {
        "split": SPLIT,
        "texts": results.texts,
        "verdict": verdict(gates),
        "gates": [gate.to_dict() for gate in gates],
        "gold_ceiling": round(results.ceiling, 6),
        "oracle_curves": {
            f"{c.policy}/{c.setting}": {"area": round(c.area, 6), "label": list(c.label), "harmed": c.harmed[-1]}
            for c in results.curves
            if c.error == 0
        },
        "own_curves": {f"{c.policy}/{c.setting}": {"area": round(c.area, 6)} for c in results.own},
        "oracle_patches": patches,
        "oracle_patches_by_seed": {str(seed): summary(trials, max_harm) for seed, trials in results.trials.items()},
        "oracle_memory": [row for row in results.recalled if row["control"] in ("corrections", "confirmed")],
        "patch_limits": results.limits,
    }


def _judged_figures(curves: list[OracleCurve], patches: dict) -> dict[str, float | None]:
    """What the gates judge. Concept accuracy does not depend on how a state is set, so any setting will do."""
    by_name = {(c.policy, c.setting): c for c in curves if c.error == 0}
    hard = by_name.get(("oracle_worst", "hard"))
    return {
        "concept_rise": least_rise(by_name["oracle_worst", "one_hot"].concepts),
        "hard_label_gain": round(hard.label[-1] - hard.label[0], 6) if hard else None,
        "repaired": patches["repaired"],
        "harm": patches["harm"],
        "random_flips": patches["controls"]["random_reached"],
        "restored": patches["restored"],
    }


def _write(workspace: Workspace, tables: dict[str, list[dict]], record: dict) -> None:
    """Write the tables that have rows, and the record; DVC expects the folder even if it is empty."""
    with replacing_folder(workspace.interventions) as folder:
        for name, rows in tables.items():
            if rows:
                write_text(folder / f"{name}.csv", csv_text(rows))
    write_json(workspace.metrics("intervene"), record)
