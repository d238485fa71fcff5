"""How long an annotator on this machine will take, measured on a few of its texts."""

import time
from collections.abc import Callable, Sequence

SAMPLE = 16  # texts


def measured_minutes(work: Callable[[list[str]], object], texts: Sequence[str]) -> float:
    """Minutes that some work takes for all texts, from the seconds that it takes for a few at equal distances.

    One text goes first, untimed, since the first call loads and warms up what others find ready.
    """
    if not texts:
        return 0.0
    sample = [texts[index * len(texts) // SAMPLE] for index in range(SAMPLE)] if len(texts) > SAMPLE else list(texts)
    work(sample[:1])
    start = time.perf_counter()
    work(sample)
    return (time.perf_counter() - start) / len(sample) * len(texts) / 60


def describe_minutes(minutes: float, of: str) -> str:
    """A sentence on measured minutes."""
    shown = f"about {minutes:,.0f} min" if minutes >= 1 else "less than a minute"
    return f"{shown} on this machine for {of}, measured on a few texts"
