"""Summary of the patch attempts that `benchmarks/interventions.py` writes, one JSON file for each model."""

from statistics import median
from typing import Any

Record = dict[str, Any]  # an object of a result file

STRATEGIES = ("protected", "narrow", "signed", "published", "iterated", "head", "steering", "memory")
MAX_HARM = 0.01  # share of the concept's correct predictions that a repair may harm


def summarise_attempts(files: list[Record]) -> Record:
    """Return the figures of each strategy over all attempts of some result files.

    `repaired_parts` holds the repaired share of each file if there are several files, and of each seed otherwise.
    """
    by_file = [[attempt for seed in file.values() for attempt in seed["attempts"]] for file in files]
    parts = by_file if len(files) > 1 else [seed["attempts"] for seed in files[0].values()]
    attempts = [attempt for part in parts for attempt in part]
    draws = [reached for attempt in attempts for reached in attempt.get("random", ())]
    tried = [name for name in STRATEGIES if all(name in attempt for attempt in attempts)]  # earlier files have fewer
    summary = {name: _summarise_strategy(attempts, parts, name) for name in tried}
    completed = [attempt for attempt in attempts if "seconds" in attempt]
    costs = {name: [attempt[name] for attempt in completed] for name in ("seconds", "seconds_bill_per_1000", "bytes")}
    costs["seconds_handling"] = [max(attempt["seconds_on"], attempt["seconds_off"]) for attempt in completed]
    return summary | {
        "attempts": len(attempts),
        "random": {"draws": len(draws), "reached": sum(draws) / len(draws)},
        "costs": costs,
    }


def _summarise_strategy(attempts: list[Record], parts: list[list[Record]], name: str) -> Record:
    reached = [attempt[name] for attempt in attempts if attempt[name]]
    return {
        "reached": len(reached) / len(attempts),
        "repaired": _repaired_share(attempts, name),
        "repaired_parts": [_repaired_share(part, name) for part in parts],
        "median_bits": median(result["bits"] for result in reached) if reached else None,
        "harm": sum(result["harmed"] for result in reached) / sum(result["right"] for result in reached)
        if reached
        else None,
        "near_fixed": sum(result["near_fixed"] for result in reached),
        "near_harmed": sum(result["near_harmed"] for result in reached),
    }


def _repaired_share(attempts: list[Record], name: str) -> float:
    """Return the share of attempts that reach the state and harm at most `MAX_HARM` of the correct predictions."""
    results = [attempt[name] for attempt in attempts]
    repaired = [result for result in results if result and result["harmed"] <= MAX_HARM * result["right"]]
    return len(repaired) / len(results)
