"""Two controls for masks on CEBaB: cross-use before any recovery, and a nonsense concept.

    python benchmarks/mask_controls.py --data FOLDER --seeds 1 2 3 --set threads=1

Starts from the results of `benchmarks/masks.py --profiles sparse-75`. Scores are on `dev`. Intervals are 95 %, by
bootstrap over `original_id`, paired by text.

cross-use   The trained masks are applied to the dense model, whose heads have never seen a mask. The score is how much
            more accuracy a concept keeps under its own mask than under others' masks. Random masks of equal counts get
            the same score.
nonsense    One more concept says whether a text contains a certain neutral word. The backbone was never trained for it.
            Masks are trained for all concepts together. The score of the nonsense mask shows how much the mere
            existence of a mask proves about any concept (a criticism of arXiv 2511.13653).

Each result goes to benchmarks/results/mask-controls.json at once.
"""

import argparse
import copy
import re
from pathlib import Path

import pandas as pd
from cebab import annotated, configured, model_folder
from masks import RESAMPLES, RESULTS, root_of, settings_of

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params
from sparsecbm.evaluate.evidence import gap_excess
from sparsecbm.evaluate.specificity.specificity import cross_use, excess, specificity, square_scores
from sparsecbm.pruning.fit import PruneOptions, fit_masks
from sparsecbm.pruning.head_fit import refit_concept_heads
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import build_examples
from sparsecbm.train.loop import TrainingRun
from sparsecbm.train.pooled import pooled_under_masks
from sparsecbm.train.reproducible import reproducible

PROFILE = "sparse-75"
FUNCTION_WORDS = ("the", "and", "was", "a", "to", "for", "it", "is", "in", "with")
NONSENSE = "nonsense"


def measured_cross_use(dense: SparseCBM, dev: pd.DataFrame, root: Path, seed: int) -> dict:
    """Measure cross-use of chosen and of random masks on the unchanged dense model, and the excess."""
    swaps = {}
    for mask_kind in ("chosen", "random"):
        swaps[mask_kind] = cross_use(dense, SparseCBM.from_pretrained(root / mask_kind / "model").masks, dev)
    scores = {mask_kind: square_scores(swap, RESAMPLES, seed).to_dict() for mask_kind, swap in swaps.items()}
    differences = gap_excess(swaps["chosen"], swaps["random"], RESAMPLES, seed)
    return {**scores, "excess": {name: estimate.to_dict() for name, estimate in differences.items()}}


def has_word(texts: pd.Series, word: str) -> pd.Series:
    """Return whether each text contains the word, in any case."""
    return texts.str.contains(rf"\b{re.escape(word)}\b", flags=re.IGNORECASE, regex=True)


def with_nonsense(
    dense: SparseCBM, frames: dict[str, pd.DataFrame], gamma: float
) -> tuple[SparseCBM, dict[str, pd.DataFrame], str]:
    """Return the dense model with one more concept, the tables with the states of this concept, and its word.

    The head of the concept is fitted on pooled texts. The word is the function word whose share of training texts is
    closest to one half.
    """
    word = min(FUNCTION_WORDS, key=lambda w: abs(has_word(frames["train"]["text"], w).mean() - 0.5))
    frames = {
        split: frame.assign(
            **{f"concept.{NONSENSE}": has_word(frame["text"], word).map({True: "present", False: "absent"})}
        )
        for split, frame in frames.items()
    }
    concepts = ConceptSet(
        (*dense.concept_set.concepts, Concept(NONSENSE, ("absent", "present"))), dense.concept_set.label
    )
    model = SparseCBM(copy.deepcopy(dense.backbone), dense.tokenizer, concepts, dense.settings)
    data = build_examples(frames["train"], model)
    refit_concept_heads(model, data, pooled_under_masks(model, data), gamma)
    for name in dense.concept_set.names:  # these concepts keep the heads that they were trained with
        model.concept_heads.head(name).load_state_dict(dense.concept_heads.head(name).state_dict())
    return model.eval(), frames, word


def measured_nonsense(dense: SparseCBM, frames: dict[str, pd.DataFrame], params: Params, root: Path) -> dict:
    """Measure the specificity of masks for all concepts and nonsense, of their random control, and the excess."""
    extended, frames, word = with_nonsense(dense, frames, params.prune.head_gamma)
    gold = frames["dev"][f"concept.{NONSENSE}"]
    predicted = [prediction.concepts[NONSENSE].state for prediction in extended.predict(frames["dev"]["text"].tolist())]
    specificities = {}
    for mask_kind in ("chosen", "random"):
        control_of = root / "nonsense-chosen" / "events" if mask_kind == "random" else None
        options = PruneOptions(params.prune, params.finetune, control_of)
        run = TrainingRun(params.seed, Checkpoints(root / f"nonsense-{mask_kind}"))
        result = fit_masks(extended, frames["train"], frames["validation"], options, run)
        specificities[mask_kind] = specificity(
            result.model.to("cpu"), frames["train"], frames["dev"], params.prune.probe_texts, RESAMPLES, params.seed
        )
    return {
        "word": word,
        "majority": round(float(gold.value_counts(normalize=True).max()), 4),
        "dense": round(float((gold.to_numpy() == predicted).mean()), 4),
        **{mask_kind: measured.to_dict() for mask_kind, measured in specificities.items()},
        "excess": excess(specificities["chosen"], specificities["random"], RESAMPLES, params.seed).to_dict(),
    }


def measure(params: Params) -> dict:
    """Measure all figures of one seed."""
    with reproducible(params.seed, params.threads):
        frames, _ = annotated(params)
        dense = SparseCBM.from_pretrained(model_folder("joint", params.seed))
        root = root_of(params.source.name, PROFILE, params.seed)
        return {
            "settings": settings_of(params),
            "cross_use": measured_cross_use(dense, frames["dev"], root, params.seed),
            "nonsense": measured_nonsense(dense, frames, params, root),
        }


def show(seed: str, result: dict) -> None:
    """Print what each concept keeps beyond others' masks and beyond the control."""

    def points(estimate: dict) -> str:
        low, high = estimate["interval"]
        return f"{100 * estimate['value']:5.1f} ({100 * low:5.1f} to {100 * high:5.1f})"

    cross, nonsense = result["cross_use"], result["nonsense"]
    print(f"\nseed {seed}\n  use before recovery")
    for mask_kind in ("chosen", "random"):
        print(f"    {mask_kind} masks: own {cross[mask_kind]['own']:.3f}, others {cross[mask_kind]['others']:.3f}")
    print(f"    excess of the gap: {points(cross['excess']['mean'])}")
    print(f"  nonsense, the word {nonsense['word']!r}")
    print(f"    majority {nonsense['majority']:.3f}, dense probe {nonsense['dense']:.3f}")
    for mask_kind in ("chosen", "random"):
        matrix = nonsense[mask_kind]["swap"]["matrix"]
        print(f"    own accuracy under {mask_kind} masks: " + ", ".join(f"{n} {matrix[n][n]:.3f}" for n in matrix))
    for kind in ("swap", "probe", "ablation"):
        parts = nonsense["excess"][kind]
        print(f"    excess, {kind:8}: " + ", ".join(f"{name} {points(e)}" for name, e in parts.items()))


def main() -> None:
    """Measure the missing results, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other parameters")
    arguments = parser.parse_args()
    path = RESULTS / "mask-controls.json"
    results = read_json(path) if path.is_file() else {}
    for seed in map(str, arguments.seeds):
        params = configured(arguments.data, "joint", int(seed), arguments.set, ("cebab", PROFILE))
        if results.get(seed, {}).get("settings") != settings_of(params):
            results[seed] = measure(params)
            write_json(path, results)
        show(seed, results[seed])


if __name__ == "__main__":
    main()
