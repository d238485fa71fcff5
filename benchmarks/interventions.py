"""Mask patches of wrong predictions: repairs and harm, compared with other ways to choose the same number of bits.

    python benchmarks/interventions.py --model models/sparse --annotated data/annotated
    python benchmarks/interventions.py --model FOLDER --cebab FOLDER --texts 12

A seed draws texts with a wrong prediction, evenly over the concepts. Correct predictions of the split `--protect` are
protected. The split `--held-out` supplies the wrong predictions and measures side effects. If both are the same split,
the seed divides its groups into halves (CEBaB: a sample of dev). All strategies aim for the annotated state:

    protected   signed first-order effect, with protection of correct predictions: the product
    signed      the same without protection, until the state is reached
    published   drop active bits and grow inactive ones by the largest |g w^2|, as many as `protected` flips:
                the rule of the paper's released code, without the sign
    iterated    the same in 8 rounds; each flips an eighth of the bits, by the gradient under the current mask
    random      the same number of bits, drawn uniformly
    narrow      as `protected`, within a fifth of the bits: the bound until 2026-11
    head        the smallest change of the concept's head that reaches the state, with the same protection
    steering    a few heads move along a probe's direction (inference-time intervention, arXiv 2306.03341), just enough
    memory      the text is stored as a correction, which acts on texts that are .95 alike

An attempt counts as repaired if it reaches the state within the budget and harms at most 1 % of the concept's correct
predictions. With `--groups`, one patch is made from 20 texts that share a mistake. Each result goes to
benchmarks/results/interventions-NAME.json at once.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from tables import annotated, configured

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_json, write_json
from sparsecbm.data.tables import read_split
from sparsecbm.intervene.experiments.controls import draw_random_flips
from sparsecbm.intervene.experiments.policies import set_state
from sparsecbm.intervene.experiments.steering import Steering, find_strength, fit_steering, steered
from sparsecbm.intervene.experiments.trials import TrialSettings, sample_mispredicted
from sparsecbm.intervene.head_change import find_head_change
from sparsecbm.intervene.memory.recall import SIMILAR
from sparsecbm.intervene.patches.bits import Positions, bit_budget, concept_index, require_masked_layers, toggled
from sparsecbm.intervene.patches.factors import compute_factors
from sparsecbm.intervene.patches.make import Safeguards, UnreachedError, make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.protection import Protection, protect
from sparsecbm.intervene.patches.side_effects import (
    SideEffectOptions,
    SideEffects,
    measure_changed_logits,
    measure_side_effects,
)
from sparsecbm.intervene.patches.stack import apply_patch, remove_patch
from sparsecbm.intervene.reference import Reference, find_nearest, predict_concept_logits, predict_reference
from sparsecbm.model.masked import first_masked_block
from sparsecbm.model.remembered_states import RememberedStates, remembering_copy
from sparsecbm.train.reproducible import reproducible

RESULTS = Path(__file__).parent / "results"
SETTINGS = TrialSettings(
    texts=12, max_flipped_share=1e-4, margin=0.05, protected=600, max_harm=0.01, neighbours=10, resamples=20
)
NARROW_SHARE = 2e-5
STRATEGIES = ("protected", "narrow", "signed", "published", "iterated", "head", "steering", "memory", "random")
ITERATIONS = 8
# Patches from groups of texts.
GROUP_SIZE, GROUP_MAX_FLIPPED_SHARE, GROUP_PROTECTED = 20, 1e-4, 600
GROUP_MIN_FIXED_SHARE = 0.5


def published(model: SparseCBM, concept: str, text: str, state: int, bits: int, rounds: int = 1) -> Positions:
    """Return flips by |g w^2|, g = dL/d(w m): half are the highest active bits, half the highest inactive ones."""
    flips: dict[str, tuple[int, ...]] = {}
    ends = np.linspace(0, bits // 2, min(rounds, bits // 2) + 1).astype(int)
    for pairs in np.diff(ends):
        with toggled(model, concept, flips):
            logits, factors = compute_factors(model, concept, [text], torch.tensor([state]))
        missing = 1 - logits.softmax(-1)[0, state]  # turns the gradient of log-odds into that of cross-entropy
        scored = []
        for layer, module in require_masked_layers(model).items():
            gradient = factors[layer].gradient(torch.ones(1))
            score = (gradient * missing * module.weight.detach().square()).abs().view(-1)
            score[torch.as_tensor(flips.get(layer, ()), dtype=torch.long)] = -1.0
            mask = module.mask(concept_index(model, concept)).view(-1)
            for active in (True, False):
                best, positions = torch.where(mask == active, score, -1.0).topk(int(pairs))
                scored += [(active, float(v), layer, int(p)) for v, p in zip(best, positions, strict=True)]
        for active in (True, False):
            ranked = sorted((entry for entry in scored if entry[0] == active), key=lambda entry: -entry[1])
            for _, _, layer, position in ranked[:pairs]:
                flips[layer] = (*flips.get(layer, ()), position)
    return flips


def predicted_state(model: SparseCBM, concept: str, flips: Positions, text: str) -> int:
    """Return the predicted state of a text under some flips."""
    with toggled(model, concept, flips):
        return int(predict_concept_logits(model, concept, [text])[0][0].argmax())


def attempt(
    model: SparseCBM, held_out: Reference, concept: str, row: int, protection: Protection, rng: np.random.Generator
) -> dict:
    """Repair one wrong prediction by every strategy; return side effects if it reaches the state, and the seconds."""
    text, gold = str(held_out.texts[row]), int(held_out.gold[concept][row])
    options = PatchOptions(SETTINGS.budget(model), SETTINGS.margin)
    state = model.concept_set[concept].states[gold]
    unseen = held_out.without(protection.groups)
    effect_options = SideEffectOptions(SETTINGS.neighbours, SETTINGS.resamples)

    def measured(flips: Positions) -> dict:
        return summarised(measure_side_effects(model, concept, flips, unseen, [text], effect_options))

    def measured_logits(reference: Reference, logits: np.ndarray) -> dict:
        return summarised(measure_changed_logits(model, concept, logits, reference, [text], effect_options))

    def summarised(effects: SideEffects) -> dict:
        neighbours = {"near_fixed": effects.neighbours.fixed, "near_harmed": effects.neighbours.harmed}
        return {"bits": effects.bits, "harmed": effects.harmed.count, "right": effects.harmed.of, **neighbours}

    result: dict = {"concept": concept}
    start, patch = time.perf_counter(), None
    narrow = PatchOptions(bit_budget(model, NARROW_SHARE), SETTINGS.margin)
    for name, used_protection, used_options in (
        ("protected", protection, options), ("narrow", protection, narrow), ("signed", None, options)
    ):  # fmt: skip
        try:
            new_patch = make_patch(model, text, concept, state, used_options, Safeguards(used_protection))
        except UnreachedError:
            result[name] = None
        else:
            patch = new_patch if name == "protected" else patch
            seconds = time.perf_counter() - start
            result[name] = measured(new_patch.flipped)
            if name == "protected":
                result["seconds"] = seconds
                result["seconds_bill_per_1000"] = 1000 * (time.perf_counter() - start - seconds) / len(held_out)
    others = unseen.without_texts([text])
    head = find_head_change(model, [text], concept, state, SETTINGS.margin, protection)
    result["head"] = measured_logits(others, head.changed_logits(others.logits[concept], others.pooled[concept]))
    result["memory"] = measured_logits(others, remembered_logits(model, concept, text, gold, others))
    steering = steering_towards(model, concept, protection, gold, int(held_out.predicted(concept)[row]))
    strength = None if steering is None else find_strength(model, steering, text, gold, SETTINGS.margin)
    result["steering"] = None
    if strength is not None:
        with steered(model, steering, strength):
            logits, _ = predict_concept_logits(model, concept, others.texts.tolist())
        result["steering"] = measured_logits(others, logits) | {"strength": strength}
    bits = patch.bits if patch else options.budget
    for name, rounds in (("published", 1), ("iterated", ITERATIONS)):
        flips = published(model, concept, text, gold, bits, rounds)
        result[name] = measured(flips) if predicted_state(model, concept, flips, text) == gold else None
    if patch is not None:
        draws = [draw_random_flips(model, patch, rng) for _ in range(5)]
        result["random"] = [predicted_state(model, concept, flips, text) == gold for flips in draws]
        result |= measure_handling(model, patch)
    return result


def remembered_logits(model: SparseCBM, concept: str, text: str, state: int, reference: Reference) -> np.ndarray:
    """Return the logits of a concept, [texts, states], if the state of one text is stored as a correction."""
    _, pooled = predict_concept_logits(model, concept, [text])
    _, similarity = find_nearest(reference.pooled[concept], pooled)
    logits = reference.logits[concept]
    return np.where(similarity[:, None] >= SIMILAR, set_state(model, concept, state, logits), logits)


def steering_towards(
    model: SparseCBM, concept: str, protection: Protection, state: int, predicted: int
) -> Steering | None:
    """Fit steering on the protected texts of two states; None if there are too few."""
    gold = protection.gold.numpy()
    towards, away = ([protection.texts[i] for i in np.flatnonzero(gold == kind)] for kind in (state, predicted))
    return fit_steering(model, concept, towards, away) if min(len(towards), len(away)) >= 5 else None


def measure_handling(model: SparseCBM, patch: MaskPatch) -> dict:
    """Return the bytes of a patch file, and the seconds to apply and to remove the patch."""
    with tempfile.TemporaryDirectory() as folder:
        patch.save(Path(folder) / "x.patch")
        size = (Path(folder) / "x.patch").stat().st_size
    start = time.perf_counter()
    apply_patch(model, patch)
    middle = time.perf_counter()
    remove_patch(model, patch)
    return {"bytes": size, "seconds_on": middle - start, "seconds_off": time.perf_counter() - middle}


def repaired(results: list[dict], name: str) -> list[bool]:
    """Return whether each attempt reaches the state within the allowed harm."""
    cells = [result.get(name) for result in results]
    return [bool(cell) and cell["harmed"] <= SETTINGS.max_harm * cell["right"] for cell in cells]


def group_trial(model: SparseCBM, reference: Reference, concept: str, protection: Protection, seed: int) -> dict | None:
    """Make one patch from 20 texts of the largest cluster with a common mistake, and measure it on all other texts."""
    wrong = np.flatnonzero(reference.incorrect(concept))
    pairs = np.stack([reference.gold[concept][wrong], reference.predicted(concept)[wrong]], axis=1)
    gold, predicted = max(map(tuple, pairs), key=lambda pair: (pairs == pair).all(1).sum())
    same_mistake = wrong[(pairs == (gold, predicted)).all(1)]
    clusters = KMeans(max(1, len(same_mistake) // (2 * GROUP_SIZE)), n_init=4, random_state=seed).fit_predict(
        reference.pooled[concept][same_mistake]
    )
    rows = same_mistake[clusters == np.bincount(clusters).argmax()]
    rows = np.random.default_rng(seed).permutation(rows)
    if len(rows) < GROUP_SIZE + 5:
        return None
    texts, states = reference.texts[rows].tolist(), model.concept_set[concept].states
    options = PatchOptions(
        bit_budget(model, GROUP_MAX_FLIPPED_SHARE), SETTINGS.margin, GROUP_MIN_FIXED_SHARE
    )  # fmt: skip
    result = {"concept": concept, "state": states[gold], "read": states[predicted]}
    result |= {"members": len(rows), "unseen": len(rows) - GROUP_SIZE, "budget": options.budget}
    try:
        patch = make_patch(model, texts[:GROUP_SIZE], concept, states[gold], options, Safeguards(protection))
    except UnreachedError as failed:
        return result | {"reached": float((failed.result.margins > SETTINGS.margin).mean())}
    unseen = reference.without_texts(texts).without(protection.groups)
    effects = measure_side_effects(model, concept, patch.flipped, unseen, (), SideEffectOptions(resamples=20))
    with toggled(model, concept, patch.flipped):
        unseen_fixed = predict_concept_logits(model, concept, texts[GROUP_SIZE:])[0].argmax(-1) == gold
    result |= {"reached": float(np.mean([p.state == states[gold] for p in patch.after])), "bits": patch.bits}
    return result | {
        "unseen_fixed": int(unseen_fixed.sum()), "harmed": effects.harmed.count, "right": effects.harmed.of
    }  # fmt: skip


def references(model: SparseCBM, arguments: argparse.Namespace, seed: int) -> tuple[Reference, Reference]:
    """Return the protected predictions, and those for mistakes and side effects; they share no group."""
    if arguments.cebab:
        frames = annotated(configured(arguments.cebab, "joint", 1, []))[0]
        protect_split = held_out_split = "dev"
    else:
        protect_split, held_out_split = arguments.protect, arguments.held_out
        splits = {"train", protect_split, held_out_split}
        frames = {split: read_split(arguments.annotated, split) for split in splits}
    frame = frames[protect_split]
    groups = np.random.default_rng(seed).permutation(frame["group"].unique())[: arguments.groups_read]
    protecting = predict_reference(model, frame[frame["group"].isin(groups)].reset_index(drop=True))
    if protect_split == held_out_split:
        protecting, held_out = protecting.halves(0.5, seed)
    else:
        held_out = predict_reference(model, frames[held_out_split])
    if arguments.training:
        training = frames["train"].sample(min(arguments.training, len(frames["train"])), random_state=seed)
        protecting = protecting.joined(predict_reference(model, training))
    return protecting, held_out


def measure(model: SparseCBM, arguments: argparse.Namespace, seed: int) -> dict:
    """Measure all attempts of one seed, or its groups."""
    protecting, held_out = references(model, arguments, seed)
    rng, results, protections = np.random.default_rng([seed, 1]), [], {}
    if arguments.groups:
        for concept in model.concept_set.names:
            protection = protect(model, protecting, concept, GROUP_PROTECTED)
            results.append(group_trial(model, held_out, concept, protection, seed))
        return {"groups": [result for result in results if result]}
    for concept, row in sample_mispredicted(held_out, arguments.texts, rng):
        if concept not in protections:
            protections = {concept: protect(model, protecting, concept, SETTINGS.protected)}
        results.append(attempt(model, held_out, concept, row, protections[concept], rng))
    return {"protecting": len(protecting), "billed": len(held_out), "attempts": results}


def show(by_seed: dict[str, dict]) -> None:
    """Print figures over all seeds, and the repaired share of each."""
    results = [result for seed in by_seed.values() for result in seed.get("attempts", ())]
    for group in (group for seed in by_seed.values() for group in seed.get("groups", ())):
        print(group)
    if not results:
        return
    print(f"{len(results)} attempts")
    for name in STRATEGIES[:-1]:
        done = [result[name] for result in results if result.get(name)]
        by_seed_shares = [np.mean(repaired(seed["attempts"], name)) for seed in by_seed.values()]
        harm = sum(cell["harmed"] for cell in done) / max(sum(cell["right"] for cell in done), 1)
        neighbours = sum(cell["near_fixed"] for cell in done), sum(cell["near_harmed"] for cell in done)
        print(
            f"  {name:10} reached {len(done) / len(results):.3f}, repaired {np.mean(repaired(results, name)):.3f} "
            f"({', '.join(f'{share:.3f}' for share in by_seed_shares)}), median bits "
            f"{np.median([cell['bits'] for cell in done]) if done else None}, harm {harm:.4f}, neighbours {neighbours}"
        )
    random = [hit for result in results for hit in result.get("random", ())]
    print(f"  random     reached {np.mean(random):.3f} of {len(random)} draws")
    for name in ("seconds", "seconds_bill_per_1000", "seconds_on", "seconds_off", "bytes"):
        values = [result[name] for result in results if name in result]
        print(f"  {name}: median {np.median(values):.3g}, most {max(values):.3g}")


def main() -> None:
    """Measure what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--annotated", type=Path, help="folder of annotated splits")
    parser.add_argument("--cebab", type=Path, help="folder of the released JSON files, instead of --annotated")
    parser.add_argument("--protect", default="test")
    parser.add_argument("--held-out", default="validation")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--groups-read", type=int, default=200, help="groups of CEBaB, or of --protect, to predict")
    parser.add_argument("--training", type=int, default=500, help="training texts that protect too")
    parser.add_argument("--groups", action="store_true", help="patches from 20 texts instead of single ones")
    parser.add_argument("--name", default="restaurants")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    with reproducible(13, arguments.threads):
        saved = SparseCBM.from_pretrained(arguments.model)
        model = remembering_copy(saved, RememberedStates(first_masked_block(saved.backbone)))
        path = RESULTS / f"interventions-{arguments.name}.json"
        results = read_json(path) if path.is_file() else {}
        for seed in map(str, arguments.seeds):
            if seed not in results:
                results[seed] = measure(model, arguments, int(seed))
                write_json(path, results)
        show(results)


if __name__ == "__main__":
    main()
