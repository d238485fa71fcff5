"""Which words of a text an edit touched, and whether an attribution ranks them first.

The words of a base text and of its counterfactual are aligned by `difflib`, without regard to case. A word is a run of
letters and digits, with apostrophes of either kind inside; punctuation does not count. What does not align are the
edited words, in one or more runs. An edit is of a single span where there is one run, it holds words of the base text,
and some word of the base text stands. So an insertion has no edited word in its base; read the other way, as a
deletion, it has.

An attribution should rank an edited word high for the concept and the state that the edit took away. Where a span is
long or a text short, an order at random finds one soon: its expected score stands beside every score.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import comb

import numpy as np
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.evaluate.evidence import Form, Number

_WORD = re.compile(r"\w+(?:['’]\w+)*")
MEASURES = ("hit_at_1", "hit_at_3", "reciprocal_rank")

# A word of a ranking: where it starts and ends in the text, and its score.
RankedWord = tuple[int, int, float]


@dataclass(frozen=True)
class Edit:
    """What an edit changed in a base text.

    Attributes:
        spans: start and end of each edited word, characters of the base text
        runs: how many runs of words differ, those that only the counterfactual has among them
        words: how many words the base text has
    """

    spans: tuple[tuple[int, int], ...]
    runs: int
    words: int

    @property
    def single_span(self) -> bool:
        """Whether the edit replaced or deleted one run of words, and left others."""
        return self.runs == 1 and 0 < len(self.spans) < self.words


class RankScore(Form):
    """A mean over edits, its interval, and its expected value where the words are in an order at random."""

    value: Number
    interval: list[Number] = Field(description="95 %, by bootstrap over groups")
    chance: Number


class EditedWordScores(Form):
    """How high one method ranks the edited words."""

    edits: int
    hit_at_1: RankScore = Field(description="share of edits whose highest word is an edited one")
    hit_at_3: RankScore = Field(description="share of edits with an edited one among the three highest words")
    reciprocal_rank: RankScore = Field(description="mean of 1 / rank of the highest edited word")


def edited_words(base: str, counterfactual: str) -> Edit:
    """Align two texts word by word."""
    words = list(_WORD.finditer(base))
    ours = [_plain(word.group()) for word in words]
    theirs = [_plain(word.group()) for word in _WORD.finditer(counterfactual)]
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    differing = [(start, end) for kind, start, end, _, _ in matcher.get_opcodes() if kind != "equal"]
    spans = tuple(words[i].span() for start, end in differing for i in range(start, end))
    return Edit(spans, len(differing), len(words))


def rank_score(edit: Edit, ranking: Sequence[RankedWord]) -> tuple[np.ndarray, np.ndarray]:
    """The measures of one edit, [3] in the order of `MEASURES`, and their expected values at random, [3].

    A ranked word is an edited one where it overlaps an edited span. Ties count against the attribution: an edited word
    comes after all others of its score. Where no ranked word is an edited one, as in a text that was cut before
    the edit, all is 0.

    Raises:
        DataError: a score is not finite.
    """
    scores = np.array([score for _, _, score in ranking], dtype=float)
    if not np.isfinite(scores).all():
        raise DataError(f"the attribution of word {int(np.argmin(np.isfinite(scores))) + 1} is not a finite number")
    hit = np.array([any(start < b and a < end for a, b in edit.spans) for start, end, _ in ranking], dtype=bool)
    if not hit.any():
        return np.zeros(len(MEASURES)), np.zeros(len(MEASURES))
    rank = 1 + int((scores[~hit] >= scores[hit].max()).sum())
    words, edited = len(ranking), int(hit.sum())
    ranks = np.arange(1, words - edited + 2)
    # The highest of the edited words has rank r where the other edited ones are among the words - r that follow.
    chances = np.array([comb(words - int(r), edited - 1) / comb(words, edited) for r in ranks])
    return _measures(np.array([rank]))[0], chances @ _measures(ranks)


def score_edited_words(
    edits: Sequence[Edit],
    rankings: Sequence[Sequence[RankedWord]],
    groups: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
) -> EditedWordScores:
    """Score one method on many edits.

    Args:
        rankings: of each edit, the words of its base text with their scores for the concept and state that it took away
        groups: [edits], which edits are not independent

    Raises:
        DataError: there is no edit, or a score is not finite.
    """
    if not len(edits):
        raise DataError("there is no edit whose words could be ranked; take pairs whose edit is of a single span")
    pairs = [rank_score(edit, ranking) for edit, ranking in zip(edits, rankings, strict=True)]
    values, chances = (np.stack(side) for side in zip(*pairs, strict=True))  # each [edits, 3]
    draws = resampled_means(values, np.asarray(groups), resamples, seed)
    scores = {
        name: RankScore(value=values[:, i].mean(), interval=interval(draws[:, i]), chance=chances[:, i].mean())
        for i, name in enumerate(MEASURES)
    }
    return EditedWordScores(edits=len(edits), **scores)


def _plain(word: str) -> str:
    return word.casefold().replace("’", "'")


def _measures(ranks: np.ndarray) -> np.ndarray:
    """[ranks, 3]"""
    return np.stack([ranks <= 1, ranks <= 3, 1 / ranks], axis=1).astype(float)
