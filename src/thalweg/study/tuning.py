"""What a budget of n trials would have bought: the best validation score of n trials, with its bands."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

__all__ = ["tuning_curve"]

SHARPEST = 20
"""Up to so many draws the narrowest of the exact bands is used; its cost grows with their number."""


def tuning_curve(
    scores: Sequence[float], *, higher_is_better: bool = True, level: float = 0.95
) -> dict[str, list[Any]]:
    """Return the best validation score that 1, 2, … trials would have found, each with probability one half.

    The first trial is the defaults', whatever the luck; so the curve is the better of its score and of the
    median best of n − 1 draws. The bands are exact for the draws, for any distribution and all n at once, given
    the defaults' score; with few draws only one of their sides can be known.

    Args:
        scores: of the trials, the defaults first; a trial that left no number has NaN, and is the worst.
        higher_is_better: which way the score points.
        level: probability that the bands hold.

    Returns:
        ``trials``, ``best``, ``low`` and ``high``, one element for each n; None where nothing is known.

    Source: Lourie, Cho & He 2023, "Show your work with confidence", through their package opda. (The estimate of
    Dodge et al. 2019 is biased and its bootstrap bands cover too little.)

    >>> curve = tuning_curve([0.5, 0.91, 0.95, 0.93])
    >>> curve["trials"], curve["best"], curve["low"][-1] <= 0.95, curve["high"][-1]
    ([1, 2, 3, 4], [0.5, 0.93, 0.95, 0.95], True, None)
    """
    sign = 1.0 if higher_is_better else -1.0
    ups = [sign * score if math.isfinite(score) else -math.inf for score in scores]
    finite = [score for score in ups if score > -math.inf]
    count = len(ups)
    worst = min(finite, default=0.0) - 1.0  # below all others: quantiles ask for the order alone
    first, draws = max(ups[0], worst), [max(score, worst) for score in ups[1:]]
    low, best, high = np.full((3, count), first)
    if draws:
        # The best of the defaults and n − 1 draws: max(first, ·) is monotone, so quantiles and bands go through it.
        low[1:], best[1:], high[1:] = np.maximum(first, _bands(draws, level))

    def known(values: np.ndarray) -> list[float | None]:
        return [sign * float(v) if worst < v < math.inf else None for v in values]

    ends = (low, high) if higher_is_better else (high, low)
    return {
        "trials": list(range(1, count + 1)),
        "best": known(best),
        "low": known(ends[0]),
        "high": known(ends[1]),
    }


def _bands(draws: list[float], level: float) -> np.ndarray:
    """Return the lower band, the median and the upper band of the best of 1, 2, … draws; shape ``(3, draws)``."""
    from opda.nonparametric import EmpiricalDistribution  # half a second, needed when all runs are done

    count = len(draws)
    if count == 1:  # one draw bounds nothing
        return np.array([[-math.inf], draws, [math.inf]])
    method = "ld_highest_density" if count <= SHARPEST else "ks"
    with warnings.catch_warnings():
        # Of draws that tie, the bands still cover at least as often as they say.
        warnings.filterwarnings("ignore", "Duplicates detected", RuntimeWarning)
        bands = EmpiricalDistribution.confidence_bands(
            draws, level, generator=_generator(count), method=method, n_jobs=1
        )
    # The upper band of the distribution is the lower band of its quantiles.
    return np.stack([band.quantile_tuning_curve(np.arange(1, count + 1)) for band in reversed(bands)])


@cache
def _generator(count: int) -> np.random.Generator:
    """One for each number of draws: opda keeps its simulation by this object, so order and process do not matter."""
    return np.random.Generator(np.random.Philox(key=count))
