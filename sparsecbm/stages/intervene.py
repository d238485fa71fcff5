"""Stage `intervene`: edit concepts and patch masks of the sparse model, and judge what that repairs and harms."""

import pandas as pd

from sparsecbm.base.files import replacing_folder, write_json, write_text
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_split
from sparsecbm.intervene.experiments.curves import OracleCurve, gold_ceiling, oracle_curves, own_curves, subsets
from sparsecbm.intervene.experiments.trials import TrialSettings, run_trials, summary
from sparsecbm.intervene.experiments.verdict import PASSED, judge, least_rise, verdict
from sparsecbm.intervene.memory.recall import recall_rows
from sparsecbm.intervene.reference import predict_reference
from sparsecbm.model.storage import load as load_model
from sparsecbm.plots.interventions import plot_memory, plot_people, plot_policies, plot_trials
from sparsecbm.stages.reproducible_stage import reproducible_stage

SPLIT = "validation"


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `metrics/intervene.json`, the tables in `reports/interventions` and `plots/intervene`.

    All is measured on the validation split; training texts do no more than help to protect. Tables whose names begin
    with `oracle_` used the annotation to choose or to make the edits; the others did not. A gate that fails is a
    result: the stage ends well, and promotion is refused later. A model of mode `standard` has nothing to intervene on
    and passes with an empty result.
    """
    model = load_model(workspace.sparse)
    if not model.has_bottleneck:
        _nothing(workspace, "the model is of mode `standard`: it has no concepts to intervene on")
        return
    settings, seed = params.intervene, params.seed
    reference = predict_reference(model, read_split(workspace.annotated, SPLIT))
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
    training = read_split(workspace.annotated, "train")
    beside = predict_reference(model, training.sample(min(settings.training_texts, len(training)), random_state=seed))
    by_seed = {seed + n: run_trials(model, reference, trial_settings, seed + n, beside) for n in range(settings.seeds)}
    trials = [trial for of_seed in by_seed.values() for trial in of_seed]
    recalled = recall_rows(*reference.halves(0.5, seed), settings.thresholds, seed)
    patches = summary(trials, settings.max_harm)
    gates = judge(_figures(curves, patches), settings.gates.model_dump(), {"repaired": patches["repaired_interval"]})
    tables = {
        "oracle_curves": [row for curve in curves for row in curve.rows()],
        "own_curves": [row for curve in own for row in curve.rows()],
        "oracle_subsets": subsets(model, reference, seed),
        "oracle_patches": [trial.row(settings.max_harm) for trial in trials],
        "oracle_memory": recalled,
    }
    with replacing_folder(workspace.reports / "interventions") as folder:
        for name, rows in tables.items():
            if not rows:  # too many concepts for all subsets, or nothing is misread
                continue
            write_text(folder / f"{name}.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    with replacing_folder(workspace.plots / "intervene") as folder:
        plot_policies(curves, ceiling, folder / "policies.png")
        plot_people(curves, ceiling, folder / "people.png")
        if trials:
            budget = trial_settings.budget(model)
            plot_trials(tables["oracle_patches"], budget, settings.max_harm, folder / "patches.png")
        plot_memory(recalled, folder / "memory.png")
    write_json(
        workspace.metrics("intervene"),
        {
            "split": SPLIT,
            "texts": len(reference),
            "verdict": verdict(gates),
            "gates": [gate.to_dict() for gate in gates],
            "gold_ceiling": round(ceiling, 6),
            "oracle_curves": {
                f"{c.policy}/{c.setting}": {"area": round(c.area, 6), "label": list(c.label), "harmed": c.harmed[-1]}
                for c in curves
                if c.error == 0
            },
            "own_curves": {f"{c.policy}/{c.setting}": {"area": round(c.area, 6)} for c in own},
            "oracle_patches": patches,
            "oracle_patches_by_seed": {str(s): summary(of, settings.max_harm) for s, of in by_seed.items()},
            "oracle_memory": [row for row in recalled if row["control"] in ("corrections", "confirmed")],
        },
    )


def _figures(curves: list[OracleCurve], patches: dict) -> dict[str, float | None]:
    """What the gates judge. Concept accuracy does not depend on how a state is set, so any setting will do."""
    found = {(c.policy, c.setting): c for c in curves if c.error == 0}
    hard = found.get(("oracle_worst", "hard"))
    return {
        "concept_rise": least_rise(found["oracle_worst", "one_hot"].concepts),
        "hard_label_gain": round(hard.label[-1] - hard.label[0], 6) if hard else None,
        "repaired": patches["repaired"],
        "harm": patches["harm"],
        "random_flips": patches["controls"]["random_reached"],
        "restored": patches["restored"],
    }


def _nothing(workspace: Workspace, why: str) -> None:
    write_json(workspace.metrics("intervene"), {"verdict": PASSED, "gates": [], "note": why})
    for folder in (workspace.reports / "interventions", workspace.plots / "intervene"):
        with replacing_folder(folder):
            pass  # outputs that DVC expects, empty
