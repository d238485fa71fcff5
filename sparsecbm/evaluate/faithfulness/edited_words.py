"""Which words of a text an edit changed, and whether an attribution ranks them first.

`difflib` aligns the words of a base text with those of its counterfactual, without regard to case. A word is a run of
letters and digits, with apostrophes inside; punctuation does not count. Words without a partner are the edited words,
in one or more runs. An edit has a single span if there is one run, it holds words of the base text, and some other word
of the base text remains. So an insertion has no edited word in its base text; the reverse pair, a deletion, has one.

An attribution should rank an edited word high for the concept and the state that the edit removed. In a short text or a
long span, a random order finds an edited word soon. So every score comes with the expected score of a random order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import comb

import numpy as np
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.base.form import Form
from sparsecbm.base.metrics import interval, resampled_means
from sparsecbm.base.numbers import Number

_WORD = re.compile(r"\w+(?:['’]\w+)*")
MEASURES = ("hit_at_1", "hit_at_3", "reciprocal_rank")

# A word of a ranking: where it starts and ends in the text, and its score.
RankedWord = tuple[int, int, float]


@dataclass(frozen=True)
class Edit:
    """What an edit changed in a base text.

    Attributes:
        spans: start and end of each edited word, in characters of the base text
        runs: number of runs of words that differ, with those that only the counterfactual has
        words: number of words of the base text
    """

    spans: tuple[tuple[int, int], ...]
    runs: int
    words: int

    @property
    def single_span(self) -> bool:
        """Whether the edit replaced or deleted one run of words, and other words remain."""
        return self.runs == 1 and 0 < len(self.spans) < self.words


class RankScore(Form):
    """A mean over edits, its interval, and its expected value for a random order of the words."""

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
    """The measures of one edit, [3] in the order of `MEASURES`, and their expected values for a random order, [3].

    A ranked word counts as edited if it overlaps an edited span. Ties count against the attribution: an edited word
    comes after all other words of its score. All values are 0 if no ranked word is edited, as in a text that was cut
    before the edit.

    Raises:
        DataError: a score is not finite.
    """
    scores = np.array([score for _, _, score in ranking], dtype=float)
    if not np.isfinite(scores).all():
        raise DataError(f"the attribution of word {int(np.argmin(np.isfinite(scores))) + 1} is not a finite number")
    edited = np.array([any(start < b and a < end for a, b in edit.spans) for start, end, _ in ranking], dtype=bool)
    if not edited.any():
        return np.zeros(len(MEASURES)), np.zeros(len(MEASURES))
    rank = 1 + int((scores[~edited] >= scores[edited].max()).sum())
    words, count = len(ranking), int(edited.sum())
    ranks = np.arange(1, words - count + 2)
    # The first edited word has rank r if the other edited ones are among the words - r that follow.
    probabilities = np.array([comb(words - int(r), count - 1) / comb(words, count) for r in ranks])
    return _measures(np.array([rank]))[0], probabilities @ _measures(ranks)


def score_edited_words(
    edits: Sequence[Edit],
    rankings: Sequence[Sequence[RankedWord]],
    groups: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
) -> EditedWordScores:
    """Score one method on many edits.

    Args:
        rankings: for each edit, the words of its base text with their scores for the removed state of the concept
        groups: [edits]; edits of one group are not independent

    Raises:
        DataError: there is no edit, or a score is not finite.
    """
    if not len(edits):
        raise DataError("there is no edit whose words could be ranked; give pairs whose edit has a single span")
    scored = [rank_score(edit, ranking) for edit, ranking in zip(edits, rankings, strict=True)]
    values, chances = (np.stack(side) for side in zip(*scored, strict=True))  # each [edits, 3]
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
