"""Is an attribution better than chance? Scores of faithfulness, compared with those of matched random attributions.

A score alone says little: it depends on the operator, on the length of the text and on the confidence of the model.
Random attributions of the same text, judged by the same operator, share all of this (ICE, arXiv 2603.18579). There are
three comparisons, by concept and over all concepts:

win rate  the share of its random attributions that an attribution beats, where a tie counts half; .5 is chance
excess    by how much it beats their mean, in the better direction
p         a randomisation test: how often a mean is as good if each item's score is drawn from all its scores
"""

import numpy as np
from pydantic import Field

from sparsecbm.base.form import Form
from sparsecbm.base.metrics import interval
from sparsecbm.base.numbers import Number
from sparsecbm.evaluate.faithfulness.item_groups import ItemGroups


class Comparison(Form):
    """One method's scores, and random ones. Intervals are 95 %, by bootstrap over clusters."""

    items: int = Field(description="texts whose predicted state is not `unknown`")
    value: Number
    interval: list[Number]
    random: Number = Field(description="mean of matched random attributions")
    excess: Number = Field(description="by how much the value is better than that; above 0 is better than chance")
    excess_interval: list[Number] = Field(description="paired")
    win_rate: Number = Field(description="share of random attributions that are beaten; .5 is chance")
    win_rate_interval: list[Number]
    p: Number = Field(description="of the randomisation test, one-sided")


def win_rates(values: np.ndarray, random: np.ndarray, more_is_better: bool) -> np.ndarray:
    """The share of its random scores that each item beats, [items]; a tie counts half.

    Args:
        values: [items]
        random: [items, draws]
    """
    lead = values[:, None] - random if more_is_better else random - values[:, None]
    return ((lead > 0) + 0.5 * (lead == 0)).mean(1)


def randomisation_p(values: np.ndarray, random: np.ndarray, more_is_better: bool, resamples: int, seed: int) -> float:
    """The probability of a mean as good as that of the values, if the method is no better than chance.

    Then all scores of an item are exchangeable. So each resample draws one of them for every item, the method's own
    score included, and p = (1 + resamples as good) / (1 + resamples).

    Args:
        values: [items]
        random: [items, draws]
    """
    pool = np.concatenate([values[:, None], random], axis=1)
    drawn = np.random.default_rng(seed).integers(pool.shape[1], size=(resamples, len(pool)))
    means = pool[np.arange(len(pool)), drawn].mean(1)
    lead = means - values.mean() if more_is_better else values.mean() - means
    return float((1 + (lead >= -1e-12).sum()) / (1 + resamples))


def compare_with_random(
    values: np.ndarray, random: np.ndarray, more_is_better: bool, groups: ItemGroups
) -> dict[str, Comparison]:
    """Comparisons by concept, and `mean` over the concepts. Concepts without items are left out.

    Args:
        values: [items]
        random: [items, draws]
    """
    sign = 1.0 if more_is_better else -1.0
    random_mean = random.mean(1)
    columns = np.stack(
        [values, random_mean, sign * (values - random_mean), win_rates(values, random, more_is_better)], axis=1
    )  # [items, 4]
    comparisons, means, draws = {}, [], []
    for name, rows in groups.by_concept():
        means.append(columns[rows].mean(0))
        draws.append(groups.draws(columns, rows))
        p = randomisation_p(values[rows], random[rows], more_is_better, groups.resamples, groups.seed)
        comparisons[name] = _comparison(int(rows.sum()), means[-1], draws[-1], p)
    if comparisons:
        p = randomisation_p(values, random, more_is_better, groups.resamples, groups.seed)
        comparisons["mean"] = _comparison(len(values), np.mean(means, axis=0), np.mean(draws, axis=0), p)
    return comparisons


def _comparison(items: int, means: np.ndarray, draws: np.ndarray, p: float) -> Comparison:
    """A comparison from means, [4], and resampled means, [resamples, 4]."""
    value, random, excess, wins = means
    intervals = [interval(draws[:, i]) for i in range(4)]
    return Comparison(
        items=items,
        value=value,
        interval=intervals[0],
        random=random,
        excess=excess,
        excess_interval=intervals[2],
        win_rate=wins,
        win_rate_interval=intervals[3],
        p=p,
    )
