"""Mask patches of misread texts: what is repaired at what harm, against other ways to choose as many bits.

    python benchmarks/interventions.py --model models/sparse --annotated data/annotated --protect test --bill validation
    python benchmarks/interventions.py --model FOLDER --cebab FOLDER --texts 12

A seed draws misread texts, evenly over the concepts. Texts of the split `--protect` protect, those of `--bill` are
misread and billed; where both are one split, its groups are halved by the seed (CEBaB: a sample of dev). All strategies
want the annotated state:

    protected   signed first-order effect, right readings protected: the product
    signed      the same without protection, until the state is reached
    published   the largest |g w^2| of active bits dropped and of inactive ones grown, as many as `protected` flipped:
                the rule of the paper's released code, without the sign
    iterated    the same in 8 rounds, an eighth of the bits by the gradient at the mask as it is then
    random      as many, drawn evenly

"repaired" counts all attempts: the state is reached within the budget and at most 1 % of the concept's right readings
are spoiled. With `--groups` one patch is made from 20 texts that share a mistake. Results go to
benchmarks/results/interventions-NAME.json as they come.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from cebab import annotated, configured
from sklearn.cluster import KMeans

from sparsecbm.api import SparseCBM
from sparsecbm.base.files import read_json, write_json
from sparsecbm.data.tables import read_split
from sparsecbm.intervene.experiments.controls import random_flips
from sparsecbm.intervene.experiments.trials import TrialSettings, sample_mispredicted
from sparsecbm.intervene.patches.bits import Positions, concept_index, masked_layers, toggled
from sparsecbm.intervene.patches.factors import compute_factors
from sparsecbm.intervene.patches.make import UnreachedError, make_patch
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.protection import Protection, protect
from sparsecbm.intervene.patches.side_effects import measure_side_effects
from sparsecbm.intervene.patches.stack import apply_patch, remove_patch
from sparsecbm.intervene.reference import Reference, predict_concept_logits, predict_reference
from sparsecbm.train.reproducible import make_reproducible

RESULTS = Path(__file__).parent / "results"
TERMS = TrialSettings(bits=2e-5, margin=0.05, protect=600, max_harm=0.01, neighbours=10, resamples=20)
STRATEGIES = ("protected", "signed", "published", "iterated", "random")
ITERATIONS = 8
# Of patches from groups: texts, share of the bits, share of the texts to be reached, caution, right readings protected.
GROUP, GROUP_BITS, GROUP_SHARE, GROUP_CAUTION, GROUP_PROTECT = 20, 1e-4, 0.5, 1024.0, 600


def published(model: SparseCBM, concept: str, text: str, state: int, bits: int, rounds: int = 1) -> Positions:
    """Flips by |g w^2|, g = dL/d(w m): half of them the highest active bits, half the highest inactive ones."""
    flips: dict[str, tuple[int, ...]] = {}
    ends = np.linspace(0, bits // 2, min(rounds, bits // 2) + 1).astype(int)
    for pairs in np.diff(ends):
        with toggled(model, concept, flips):
            logits, factors = compute_factors(model, concept, [text], torch.tensor([state]))
        missing = 1 - logits.softmax(-1)[0, state]  # of the gradient of log-odds that makes the cross-entropy's
        found = []
        for layer, module in masked_layers(model).items():
            score = (factors[layer].gradient(torch.ones(1)) * missing * module.weight.detach().square()).abs().view(-1)
            score[torch.as_tensor(flips.get(layer, ()), dtype=torch.long)] = -1.0
            mask = module.mask(concept_index(model, concept)).view(-1)
            for active in (True, False):
                best, places = torch.where(mask == active, score, -1.0).topk(int(pairs))
                found += [(active, float(v), layer, int(p)) for v, p in zip(best, places, strict=True)]
        for active in (True, False):
            for _, _, layer, place in sorted((f for f in found if f[0] == active), key=lambda f: -f[1])[:pairs]:
                flips[layer] = (*flips.get(layer, ()), place)
    return flips


def reads(model: SparseCBM, concept: str, flips: Positions, text: str) -> int:
    """The state that a text reads under some flips."""
    with toggled(model, concept, flips):
        return int(predict_concept_logits(model, concept, [text])[0][0].argmax())


def attempt(
    model: SparseCBM, bill: Reference, concept: str, row: int, protection: Protection, draw: np.random.Generator
) -> dict:
    """One misread text by every strategy: reached, bits, harmed of right, neighbours; and seconds of the product."""
    text, gold = str(bill.texts[row]), int(bill.gold[concept][row])
    budget, state = TERMS.budget(model), model.concept_set[concept].states[gold]

    def billed(flips: Positions) -> dict:
        found = measure_side_effects(
            model, concept, flips, bill, [text], protection.groups, neighbours=10, resamples=20
        )
        near = {"near_fixed": found.neighbours.fixed, "near_harmed": found.neighbours.harmed}
        return {"bits": found.bits, "harmed": found.harmed.count, "right": found.harmed.of, **near}

    result: dict = {"concept": concept}
    start, patch = time.perf_counter(), None
    for name, kept in (("protected", protection), ("signed", None)):
        try:
            made = make_patch(model, text, concept, state, budget, margin=TERMS.margin, protection=kept)
        except UnreachedError:
            result[name] = None
        else:
            patch = made if name == "protected" else patch
            seconds = time.perf_counter() - start
            result[name] = billed(made.flipped)
            if name == "protected":
                result["seconds"] = seconds
                result["seconds_bill_per_1000"] = 1000 * (time.perf_counter() - start - seconds) / len(bill)
    bits = patch.bits if patch else budget
    for name, rounds in (("published", 1), ("iterated", ITERATIONS)):
        flips = published(model, concept, text, gold, bits, rounds)
        result[name] = billed(flips) if reads(model, concept, flips, text) == gold else None
    if patch is not None:
        result["random"] = [reads(model, concept, random_flips(model, patch, draw), text) == gold for _ in range(5)]
        result |= handled(model, patch)
    return result


def handled(model: SparseCBM, patch: MaskPatch) -> dict:
    """Bytes of the file, and seconds to put a patch on and to take it off."""
    with tempfile.TemporaryDirectory() as folder:
        patch.save(Path(folder) / "x.patch")
        size = (Path(folder) / "x.patch").stat().st_size
    start = time.perf_counter()
    apply_patch(model, patch)
    middle = time.perf_counter()
    remove_patch(model, patch)
    return {"bytes": size, "seconds_on": middle - start, "seconds_off": time.perf_counter() - middle}


def repaired(results: list[dict], name: str) -> list[bool]:
    """Whether each attempt reached the state within the harm that is allowed."""
    cells = [result.get(name) for result in results]
    return [bool(cell) and cell["harmed"] <= TERMS.max_harm * cell["right"] for cell in cells]


def group_trial(model: SparseCBM, reference: Reference, concept: str, protection: Protection, seed: int) -> dict | None:
    """One patch from 20 texts of the largest cluster of texts that share a mistake, on the rest of it and elsewhere."""
    wrong = np.flatnonzero(reference.wrong(concept))
    pairs = np.stack([reference.gold[concept][wrong], reference.read(concept)[wrong]], axis=1)
    gold, read = max(map(tuple, pairs), key=lambda pair: (pairs == pair).all(1).sum())
    alike = wrong[(pairs == (gold, read)).all(1)]
    clusters = KMeans(max(1, len(alike) // (2 * GROUP)), n_init=4, random_state=seed).fit_predict(
        reference.pooled[concept][alike]
    )
    members = alike[clusters == np.bincount(clusters).argmax()]
    members = np.random.default_rng(seed).permutation(members)
    if len(members) < GROUP + 5:
        return None
    texts = reference.texts[members].tolist()
    state = model.concept_set[concept].states[gold]
    budget = int(GROUP_BITS * model.masks.size) // 2 * 2
    found = {"concept": concept, "state": state, "read": model.concept_set[concept].states[read]}
    found |= {"members": len(members), "unseen": len(members) - GROUP, "budget": budget}
    try:
        patch = make_patch(
            model, texts[:GROUP], concept, state, budget, margin=TERMS.margin, share=GROUP_SHARE,
            protection_strength=GROUP_CAUTION, protection=protection,
        )  # fmt: skip
    except UnreachedError as failed:
        return found | {"reached": float((failed.found.margins > TERMS.margin).mean())}
    bill = measure_side_effects(
        model, concept, patch.flipped, reference.without_texts(texts), (), protection.groups, resamples=20
    )
    with toggled(model, concept, patch.flipped):
        unseen = predict_concept_logits(model, concept, texts[GROUP:])[0].argmax(-1) == gold
    found |= {"reached": float(np.mean([r.state == state for r in patch.after])), "bits": patch.bits}
    return found | {"unseen_fixed": int(unseen.sum()), "harmed": bill.harmed.count, "right": bill.harmed.of}


def references(model: SparseCBM, arguments: argparse.Namespace, seed: int) -> tuple[Reference, Reference]:
    """What protects, and what is misread and billed; no group is in both."""
    if arguments.cebab:
        frames = annotated(configured(arguments.cebab, "joint", 1, []))[0]
        protect_split = bill_split = "dev"
    else:
        protect_split, bill_split = arguments.protect, arguments.bill
        frames = {split: read_split(arguments.annotated, split) for split in {"train", protect_split, bill_split}}
    frame = frames[protect_split]
    groups = np.random.default_rng(seed).permutation(frame["group"].unique())[: arguments.groups_read]
    protecting = predict_reference(model, frame[frame["group"].isin(groups)].reset_index(drop=True))
    if protect_split == bill_split:
        protecting, bill = protecting.halves(0.5, seed)
    else:
        bill = predict_reference(model, frames[bill_split])
    if arguments.training:
        beside = frames["train"].sample(min(arguments.training, len(frames["train"])), random_state=seed)
        protecting = protecting.joined(predict_reference(model, beside))
    return protecting, bill


def measure(model: SparseCBM, arguments: argparse.Namespace, seed: int) -> dict:
    """All attempts of one seed, or its groups."""
    protecting, bill = references(model, arguments, seed)
    draw, results, protection = np.random.default_rng([seed, 1]), [], {}
    if arguments.groups:
        for concept in model.concept_set.names:
            kept = protect(model, protecting, concept, GROUP_PROTECT)
            results.append(group_trial(model, bill, concept, kept, seed))
        return {"groups": [result for result in results if result]}
    for concept, row in sample_mispredicted(bill, arguments.texts, draw):
        if concept not in protection:
            protection = {concept: protect(model, protecting, concept, TERMS.protect)}
        results.append(attempt(model, bill, concept, row, protection[concept], draw))
    return {"protecting": len(protecting), "billed": len(bill), "attempts": results}


def show(by_seed: dict[str, dict]) -> None:
    """Figures over all seeds, and the repaired share of each."""
    results = [result for seed in by_seed.values() for result in seed.get("attempts", ())]
    for group in (group for seed in by_seed.values() for group in seed.get("groups", ())):
        print(group)
    if not results:
        return
    print(f"{len(results)} attempts")
    for name in STRATEGIES[:-1]:
        done = [result[name] for result in results if result.get(name)]
        each = [np.mean(repaired(seed["attempts"], name)) for seed in by_seed.values()]
        harm = sum(cell["harmed"] for cell in done) / max(sum(cell["right"] for cell in done), 1)
        near = sum(cell["near_fixed"] for cell in done), sum(cell["near_harmed"] for cell in done)
        print(
            f"  {name:10} reached {len(done) / len(results):.3f}, repaired {np.mean(repaired(results, name)):.3f} "
            f"({', '.join(f'{share:.3f}' for share in each)}), median bits "
            f"{np.median([cell['bits'] for cell in done]) if done else None}, harm {harm:.4f}, neighbours {near}"
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
    parser.add_argument("--cebab", type=Path, help="folder of the released JSON files, in the place of --annotated")
    parser.add_argument("--protect", default="test")
    parser.add_argument("--bill", default="validation")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--groups-read", type=int, default=200, help="groups of CEBaB, or of --protect, that are read")
    parser.add_argument("--training", type=int, default=500, help="training texts that protect as well")
    parser.add_argument("--groups", action="store_true", help="patches from 20 texts in the place of single ones")
    parser.add_argument("--name", default="restaurants")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    make_reproducible(13, arguments.threads)
    model = SparseCBM.from_pretrained(arguments.model)
    path = RESULTS / f"interventions-{arguments.name}.json"
    results = read_json(path) if path.is_file() else {}
    for seed in map(str, arguments.seeds):
        if seed not in results:
            results[seed] = measure(model, arguments, int(seed))
            write_json(path, results)
    show(results)


if __name__ == "__main__":
    main()
