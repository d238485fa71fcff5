"""ICaCE error on CEBaB's counterfactual pairs: the concept edit, compared with explainers that know only predictions.

    python benchmarks/counterfactuals.py --data FOLDER --seeds 1 2 3

FOLDER holds the released JSON files. The models come from `benchmarks/cebab.py --modes joint`. `--name NAME --models
PATTERN` takes other models, where {seed} in PATTERN is the seed. Explainers are fitted on the model's training texts,
one for each review. Errors are measured on two sets of pairs: the 3,898 pairs of `dev`, and the pairs of the tenth that
was held out of training (edits from `train_inclusive`). A variant may be chosen by the second set only. Mask-based
estimates give the effect of losing a concept. So they are compared on pairs whose new state is `unknown`, for masked
models only. Intervals are 95 %, by bootstrap over reviews. Results go to benchmarks/results/counterfactuals-NAME.json.
A result of the same model is not measured again.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from tables import WORKSPACE, annotated, configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_json, sha256_file, write_json
from sparsecbm.evaluate.causal.counterfactuals import counterfactual_pairs
from sparsecbm.evaluate.causal.effect_baselines import state_means
from sparsecbm.evaluate.causal.effects import (
    ConceptChanges,
    Explainer,
    TextPredictions,
    concept_changes,
    concept_edit,
    concept_replacement,
    label_probabilities,
    predict_texts,
)
from sparsecbm.evaluate.causal.icace import DISTANCES, make_explainers, measure_icace
from sparsecbm.evaluate.causal.lost_states import under_other_masks, without_own_weights
from sparsecbm.model.heads import LabelHead
from sparsecbm.train.examples import build_examples
from sparsecbm.train.modes import fit_hard_head
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results"
RESAMPLES = 1000
BASELINES = ("zero", "conexp", "s_learner", "concept_edit_hard")
# The best figure of any method without counterfactual training, for BERT (Abraham et al., arXiv 2205.14140).
PUBLISHED = {"l2": 0.74, "cosine": 0.59, "norm": 0.44}


def shifted(head: LabelHead, training: TextPredictions) -> Explainer:
    """Return a variant of the concept edit: it shifts the activation by the difference of the states' means."""
    means = state_means(training, training.activations)

    def explain(changes: ConceptChanges) -> np.ndarray:
        start = changes.texts.activations
        changed = {name: values.copy() for name, values in start.items()}
        for name, rows in changes.by_concept():
            changed[name][rows] += means[name][changes.after[rows]] - means[name][changes.before[rows]]
        return label_probabilities(head, changed) - label_probabilities(head, start)

    return explain


def redrawn(head: LabelHead, training: TextPredictions, draws: int = 100, seed: int = 0) -> Explainer:
    """Return a variant of the concept edit: the mean label over activations of training texts with the new state."""
    generator = np.random.default_rng(seed)
    drawn = {
        name: np.stack(
            [generator.choice(training.activations[name][gold == state], draws) for state in range(gold.max() + 1)]
        )
        for name, gold in training.gold.items()
    }  # concept -> [states, draws, states]

    def explain(changes: ConceptChanges) -> np.ndarray:
        effects = [
            concept_edit(head, by_state={name: states[:, i] for name, states in drawn.items()})(changes)
            for i in range(draws)
        ]
        return np.mean(effects, axis=0)

    return explain


def tables(data: Path, seed: int) -> dict[str, pd.DataFrame]:
    """Return the tables `train` (the model's training texts), `dev`, and `held_out` (other reviews with all edits)."""
    frames, _ = annotated(configured(data, "joint", seed, []))
    all_splits, _ = annotated(configured(data, "joint", seed, ["source.train=train_inclusive"]))
    reviews = pd.concat([all_splits["train"], all_splits["validation"]], ignore_index=True)
    held_out = reviews[reviews["group"].isin(frames["validation"]["group"])].reset_index(drop=True)
    return {"train": frames["train"], "held_out": held_out, "dev": frames["dev"]}


def measure(model: SparseCBM, frames: dict[str, pd.DataFrame], seed: int) -> dict:
    """Measure errors on the held-out pairs and on dev; for a masked model also on the pairs that lose a concept."""
    with reproducible(seed, 1):
        training = predict_texts(model, frames["train"])
        if model.hard_head is None:  # an older model
            inputs = [
                (build_examples(frames[s], model), model.logits(frames[s]["text"].tolist()))
                for s in ("train", "held_out")
            ]
            fit_hard_head(model, *inputs[0], *inputs[1])
        explainers = make_explainers(model, training, seed)
        explainers |= {
            "concept_edit_shifted": shifted(model.label_head, training),
            "concept_edit_redrawn": redrawn(model.label_head, training, seed=seed),
        }
        results = {}
        for split in ("held_out", "dev"):
            frame = frames[split]
            texts, pairs = predict_texts(model, frame), counterfactual_pairs(frame, model.concept_set, split)
            results[split] = measure_icace(model, texts, pairs, explainers, resamples=RESAMPLES, seed=seed).to_dict()
            changes = concept_changes(model, texts, pairs)
            right = [
                changes.texts.activations[name][rows].argmax(-1) == changes.before[rows]
                for name, rows in changes.by_concept()
            ]
            results[split]["base_read_rightly"] = round(float(np.concatenate(right).mean()), 4)
            if model.masked:
                removal = {
                    "mask_ablation": concept_replacement(model.label_head, without_own_weights(model, frame)),
                    "mask_swap": concept_replacement(model.label_head, under_other_masks(model, frame)),
                }
                losing = pairs.where(pairs.after == "unknown")
                scores = measure_icace(model, texts, losing, explainers | removal, resamples=RESAMPLES, seed=seed)
                results[f"{split}_to_unknown"] = scores.to_dict()
        return results


def show(results: dict[str, dict]) -> None:
    """Print the errors by explainer as means over the seeds, and the lead of the concept edit."""
    for split in next(iter(results.values()))["scores"]:
        by_seed = [result["scores"][split] for result in results.values()]
        print(f"\n{split}, pairs {[scores['pairs'] for scores in by_seed]}: L2, cosine, norm; mean (each seed)")
        for name in sorted(
            by_seed[0]["errors"], key=lambda n: np.mean([s["errors"][n]["l2"]["value"] for s in by_seed])
        ):
            cells = []
            for distance in DISTANCES:
                values = [scores["errors"][name][distance]["value"] for scores in by_seed]
                cells.append(f"{np.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})")
            print(f"  {name:24} {'  '.join(cells)}")
        print("  ahead of")
        for name in BASELINES:
            for seed, scores in zip(results, by_seed, strict=True):
                cells = [
                    f"{lead['value']:.3f} ({lead['interval'][0]:.3f} to {lead['interval'][1]:.3f})"
                    for lead in (scores["lead"][name][distance] for distance in DISTANCES)
                ]
                print(f"    {name:10} seed {seed:6} {'  '.join(cells)}")
    print(f"  {'published, BERT, test':24} {'  '.join(f'{PUBLISHED[distance]:.2f}' for distance in DISTANCES)}")


def main() -> None:
    """Measure the missing seeds, then print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--name", default="joint")
    parser.add_argument("--models", default=str(WORKSPACE.root / ".sparsecbm/benchmarks/cebab-joint-{seed}"))
    arguments = parser.parse_args()
    path = RESULTS / f"counterfactuals-{arguments.name}.json"
    results = read_json(path) if path.is_file() else {}
    for seed in arguments.seeds:
        folder = Path(arguments.models.format(seed=seed))
        digest = sha256_file(folder / "model.safetensors")
        if results.get(str(seed), {}).get("model_sha256") != digest:
            scores = measure(SparseCBM.from_pretrained(folder), tables(arguments.data, seed), seed)
            results[str(seed)] = {"model_sha256": digest, "scores": scores}
            write_json(path, results)
    show({str(seed): results[str(seed)] for seed in arguments.seeds})


if __name__ == "__main__":
    main()
