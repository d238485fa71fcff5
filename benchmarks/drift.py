"""Drift: false alarms on fair windows, power against known shifts, failures told apart, and the cost of a window.

    python benchmarks/drift.py --data FOLDER --sources cebab restaurants [--parts fair rates]

FOLDER holds the released JSON files of CEBaB. A sparse model is trained on 600 texts of each source. All other texts
are the pool, one of each group. Each round draws a reference and windows from the pool that share no text. The texts go
through the model once; rounds only pick rows. Results go to benchmarks/results/drift-SOURCE.json, models and outputs
stay in .sparsecbm/benchmarks.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from cebab import RESULTS
from drift_pools import KEPT, pool_of, trained_model
from scipy.stats import binomtest
from tables import WORKSPACE

from sparsecbm.api import SparseCBM
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.params.drift import Drift
from sparsecbm.drift.check import DriftReport, compare_window
from sparsecbm.drift.holm import holm
from sparsecbm.drift.outputs import LABEL, Outputs
from sparsecbm.drift.reference import Reference, build_reference, load_reference, save_reference
from sparsecbm.drift.sample import Sample, take_sample
from sparsecbm.drift.text_figures import TextFigures, describe_texts
from sparsecbm.drift.windows import Window, triggers

PARAMS = Drift()
FAIR, ROUNDS, QUICK_ROUNDS = 200, 25, 100
POINTS = (0.0, 0.05, 0.1, 0.15)
REFERENCE = {"cebab": 700, "restaurants": 300}  # what is left must hold windows of 500 with any shift
TYPING_ERRORS = 0.3  # share of the words that get one
APP_REVIEWS = WORKSPACE.root / "data" / "app-reviews" / "reviews.csv"

Rows = np.ndarray
Draw = np.random.Generator


def pick(sample: Sample, rows: Rows, without_annotations: bool = True) -> Sample:
    """Return some texts of a sample that keeps the representation of every text."""
    outputs, figures = sample.outputs, sample.figures
    gold = {name: np.full(len(rows), MISSING) if without_annotations else v[rows] for name, v in sample.gold.items()}
    return Sample(
        Outputs(
            {name: values[rows] for name, values in outputs.probabilities.items()},
            outputs.disagreement[rows],
            {name: values[rows[: PARAMS.sample]] for name, values in outputs.pooled.items()},
        ),
        TextFigures(figures.words[rows], figures.unknown_words[rows], tuple(figures.languages[row] for row in rows)),
        gold,
        np.full(len(rows), MISSING) if without_annotations else sample.label_from_gold[rows],
    )


def without_representations(sample: Sample) -> Sample:
    """Return a sample that leaves out the slow tests."""
    outputs = sample.outputs
    plain = Outputs(outputs.probabilities, outputs.disagreement, {})
    return Sample(plain, sample.figures, sample.gold, sample.label_from_gold)


def quickly_drifted(reference: Sample, window: Sample, concept_set: ConceptSet) -> bool:
    """Whether a window drifts by the quick tests alone, corrected as if the slow ones had found nothing: a bound."""
    slow = [1.0] * (2 * len(reference.outputs.pooled))
    sides = (without_representations(reference), without_representations(window))
    measures = compare_window(*sides, concept_set, PARAMS, 0).measures
    corrected = holm([*(each.p for each in measures), *slow])
    return any(
        p <= PARAMS.alpha and each.effect >= each.threshold for p, each in zip(corrected, measures, strict=False)
    )


def drifted_names(report: DriftReport) -> list[str]:
    """Return the names of what drifted."""
    return [each.name for each in report.measures if each.drifted]


def share(hits: Sequence[bool]) -> dict:
    """Return a share with its exact 95 % interval."""
    interval = binomtest(int(np.sum(hits)), len(hits)).proportion_ci()
    return {"value": float(np.mean(hits)), "interval": [interval.low, interval.high], "rounds": len(hits)}


def fair_windows(pool: Sample, concept_set: ConceptSet, size: int, reference: int) -> dict:
    """Draw fair windows: how many drift alone, and how many in two windows running."""
    single, pairs, names = [], [], []
    for seed in range(FAIR):
        rows = np.random.default_rng(seed).permutation(len(pool))
        base = pick(pool, rows[:reference])
        drifted: list[list[str]] = []
        for start in (reference, reference + size):
            if drifted and not drifted[0]:
                break  # one fair window is no trigger, whatever the next one is
            window = pick(pool, rows[start:][:size])
            drifted.append(drifted_names(compare_window(base, window, concept_set, PARAMS, seed)))
        single.append(bool(drifted[0]))
        names += drifted[0]
        pairs.append(bool(triggers([Window("", "", size, tuple(each)) for each in drifted], 2)))
    return {"texts": size, "reference": reference, "window": share(single), "trigger": share(pairs), "figures": names}


def shifted_rows(gold: np.ndarray, rows: Rows, size: int, points: float, draw: Draw) -> Rows:
    """Draw a window whose texts hold a concept's first state less often, and its most frequent other state more often.

    Counts of the states are drawn, too, as they are in windows from a world with these rates.
    """
    states = np.bincount(gold[gold != MISSING])
    rates = states / states.sum()
    target = int(np.argmax(np.where(np.arange(len(rates)) == 0, 0, rates)))
    rates[0], rates[target] = rates[0] - points, rates[target] + points
    counts = draw.multinomial(size, rates)
    chosen = [rows[gold[rows] == state][:count] for state, count in enumerate(counts)]
    return draw.permutation(np.concatenate(chosen))


def power_of_rates(pool: Sample, concept_set: ConceptSet, reference: int, sizes: Sequence[int]) -> dict:
    """Return concept -> window size -> points of shift -> share of windows that drift, by the quick tests alone."""
    curves: dict = {}
    for concept in concept_set:
        gold = pool.gold[concept.name]
        most = float((gold[gold != MISSING] == 0).mean())  # the share that can leave the first state
        for size in sizes:
            for points in (points for points in POINTS if points <= most):
                hits = []
                for seed in range(QUICK_ROUNDS):
                    draw = np.random.default_rng([seed, 7])
                    rows = draw.permutation(np.flatnonzero(gold != MISSING))
                    window = shifted_rows(gold, rows[reference:], size, points, draw)
                    hits.append(quickly_drifted(pick(pool, rows[:reference]), pick(pool, window), concept_set))
                curves.setdefault(concept.name, {}).setdefault(str(size), {})[str(points)] = share(hits)
    return curves


def whole_power(pool: Sample, concept_set: ConceptSet, reference: int, size: int = 500, points: float = 0.1) -> dict:
    """Return concept -> share of windows with a shift of ten points that drift, by all tests."""
    power = {}
    for concept in concept_set:
        gold, hits = pool.gold[concept.name], []
        for seed in range(ROUNDS):
            draw = np.random.default_rng([seed, 7])
            rows = draw.permutation(np.flatnonzero(gold != MISSING))
            window = pick(pool, shifted_rows(gold, rows[reference:], size, points, draw))
            hits.append(compare_window(pick(pool, rows[:reference]), window, concept_set, PARAMS, seed).drifted)
        power[concept.name] = share(hits)
    return power


def power_against(pool: Sample, other: Sample, concept_set: ConceptSet, reference: int, sizes: Sequence[int]) -> dict:
    """Return window size -> share of windows of other texts that drift, and what drifts in most of them."""
    power = {}
    for size in sizes:
        hits, names = [], []
        for seed in range(ROUNDS):
            draw = np.random.default_rng(seed)
            base = pick(pool, draw.permutation(len(pool))[:reference])
            window = pick(other, draw.permutation(len(other))[:size])
            drifted = drifted_names(compare_window(base, window, concept_set, PARAMS, seed))
            hits.append(bool(drifted))
            names += drifted
        counts = pd.Series(names, dtype="str").value_counts()
        power[str(size)] = {**share(hits), "figures": sorted(counts[counts > ROUNDS / 2].index)}
    return power


def mistype(text: str, share_of_words: float, draw: Draw) -> str:
    """Misspell some words: two letters change places, or one letter is lost or doubled."""
    words = text.split(" ")
    for index, word in enumerate(words):
        if len(word) > 2 and draw.random() < share_of_words:
            at = int(draw.integers(1, len(word) - 1))
            parts = (word[:at], word[at], word[at + 1 :])
            kinds = (
                parts[0] + parts[2][:1] + parts[1] + parts[2][1:],
                parts[0] + parts[2],
                parts[0] + 2 * parts[1] + parts[2],
            )
            words[index] = kinds[int(draw.integers(3))]
    return " ".join(words)


def told_apart(pool: Sample, model: SparseCBM, reference: int, annotated: int) -> dict:
    """Return scenario -> failure -> share of windows of 300 texts in which it is found.

    Args:
        annotated: texts of the window that people annotated
    """
    concept_set = model.concept_set
    first = concept_set.concepts[0]
    scenarios: dict[str, Callable[[Sample, Draw], None]] = {
        "nothing": lambda window, draw: None,
        f"{first.name} is said in other words: half of its states are misread": lambda window, draw: _misread(
            window.outputs.probabilities[first.name], draw
        ),
        "the label means another thing: half of the texts get the next class": lambda window, draw: _flip(
            window.gold[LABEL], len(concept_set.label), draw
        ),
    }
    result: dict = {}
    for name, change in scenarios.items():
        states: dict[str, list[bool]] = {}
        for seed in range(ROUNDS):
            draw = np.random.default_rng(seed)
            rows = draw.permutation(len(pool))
            base, window = (pick(pool, part, False) for part in (rows[:reference], rows[reference:][:300]))
            _judge(states, base, window, change, draw, annotated, concept_set)
        result[name] = {failure: share(hits) for failure, hits in states.items()}
    shift: dict[str, list[bool]] = {}
    gold = pool.gold[first.name]
    for seed in range(ROUNDS):
        draw = np.random.default_rng(seed)
        rows = draw.permutation(np.flatnonzero(gold != MISSING))
        window = pick(pool, shifted_rows(gold, rows[reference:], 300, 0.2, draw), False)
        _judge(shift, pick(pool, rows[:reference], False), window, lambda *_: None, draw, annotated, concept_set)
    result[f"the rates of {first.name} move by 20 points"] = {failure: share(hits) for failure, hits in shift.items()}
    return result


def _judge(states, base, window, change, draw, annotated, concept_set) -> None:  # noqa: PLR0913
    window = without_representations(window)
    change(window, draw)
    for gold in (*window.gold.values(), window.label_from_gold):
        gold[annotated:] = MISSING
    for failure in compare_window(without_representations(base), window, concept_set, PARAMS, 0).failures:
        states.setdefault(failure.name, []).append(failure.state == "found")


def _flip(states: np.ndarray, number: int, draw: Draw) -> None:
    half = (draw.random(len(states)) < 0.5) & (states != MISSING)
    states[half] = (states[half] + 1) % number


def _misread(probabilities: np.ndarray, draw: Draw) -> None:
    half = draw.random(len(probabilities)) < 0.5
    probabilities[half] = np.roll(probabilities[half], 1, axis=1)


def cost(pool: Sample, texts: Sequence[str], reference: Reference, concept_set: ConceptSet) -> dict:
    """Return CPU seconds of a window of 2,000 texts beyond the forward passes, best of three."""
    rows = np.resize(np.arange(len(pool)), 2000)
    window, base = pick(pool, rows), pick(pool, np.arange(min(len(pool), 2000)))
    written = [texts[row] for row in rows]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        describe_texts(written, reference.vocabulary)
        compare_window(base, window, concept_set, PARAMS, 1)
        seconds.append(time.process_time() - start)
    return {"cpu_seconds": min(seconds), "texts": 2000, "load_average": os.getloadavg()[0]}


def kept_sample(name: str, make: Callable[[], Reference]) -> Reference:
    """Return outputs for texts, computed once."""
    folder = KEPT / f"drift-outputs-{name}"
    if not folder.is_dir():
        save_reference(make(), folder, name)
    return load_reference(folder)


def measure(source: str, data: Path, chosen: Sequence[str]) -> None:
    """Measure everything for one source; what is done is kept in its file at once."""
    params, training, pool_frame, concept_set = pool_of(source, data)
    model = trained_model(source, params, training, concept_set)
    texts = pool_frame["text"].tolist()
    learnt = training["text"].tolist()
    reference = kept_sample(source, lambda: build_reference(model, learnt, pool_frame, len(texts), 1))
    pool, size = reference.sample, REFERENCE[source]
    vocabulary = reference.vocabulary

    def sampled(name: str, others: list[str]) -> Sample:
        def make() -> Reference:
            return Reference(take_sample(model, others, {}, vocabulary, (len(others), 1)), vocabulary)

        return kept_sample(f"{source}-{name}", make).sample

    draw = np.random.default_rng(1)
    typed = sampled("typing", [mistype(text, TYPING_ERRORS, draw) for text in texts[:400]])
    apps = sampled("apps", pd.read_csv(APP_REVIEWS)["text"].tolist())
    fair_size = min(500, (len(pool) - size) // 2)
    parts: dict[str, Callable[[], object]] = {
        "cost": lambda: cost(pool, texts, reference, concept_set),
        "fair": lambda: fair_windows(pool, concept_set, fair_size, size),
        "ten_points": lambda: whole_power(pool, concept_set, size),
        "other_domain": lambda: power_against(pool, apps, concept_set, size, (200,)),
        "typing_errors": lambda: power_against(pool, typed, concept_set, size, (200,)),
        "told_apart": lambda: {str(n): told_apart(pool, model, size, n) for n in (50, 100, 200)},
        "rates": lambda: power_of_rates(pool, concept_set, size, (200, 500)),
    }
    path = RESULTS / f"drift-{source}.json"
    result = read_json(path) if path.is_file() else {}
    result |= {"trained_on": len(learnt), "pool": len(pool), "reference": size}
    result["accuracy"] = {name: accuracy_of(pool, name) for name in concept_set.names}
    for name in chosen or parts:
        result[name] = parts[name]()
        write_json(path, result)
        print(source, name, result[name], flush=True)


def accuracy_of(pool: Sample, name: str) -> float:
    """Return how often the model is right on a concept in the pool."""
    known = pool.gold[name] != MISSING
    return float((pool.gold[name] == pool.outputs.states[name])[known].mean())


def main() -> None:
    """Measure each source and write its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sources", nargs="+", default=["cebab", "restaurants"])
    parser.add_argument("--parts", nargs="+", default=[], help="fair, rates, ...; by default all of them")
    arguments = parser.parse_args()
    for source in arguments.sources:
        measure(source, arguments.data, arguments.parts)


if __name__ == "__main__":
    main()
