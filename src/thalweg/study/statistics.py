"""Means, paired differences and their intervals: over seeds, and over seeds × test examples.

A score is one number for every (recipe, seed, test example); recipes are paired by both. Scores come as
one array ``S``, shape ``(recipes, seeds, examples)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from thalweg.cache import kept

__all__ = ["Estimates", "Floats", "differences", "means", "over_examples", "pair_alpha"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """Means over seeds and examples with their standard errors; every array has shape ``(estimates,)``.

    Attributes:
        mean: the estimates.
        seed_error, seed_df: standard error and degrees of freedom where the test examples stay the same;
            None with one seed.
        crossed_error, crossed_df: where both seeds and examples are drawn anew; None with one seed or one
            example.
    """

    mean: Floats
    seed_error: Floats | None
    seed_df: Floats | None
    crossed_error: Floats | None
    crossed_df: Floats | None

    def seeds(self, alpha: float) -> Floats | None:
        """Return the intervals over seeds that miss with probability ``alpha``, shape ``(estimates, 2)``."""
        return _interval(self.mean, self._seed_half(alpha))

    def crossed(self, alpha: float) -> Floats | None:
        """Return the intervals over seeds and examples, shape ``(estimates, 2)``.

        None is narrower than its interval over seeds: what survives another test set survives another seed.
        """
        return _interval(self.mean, self._crossed_half(alpha))

    def claimed(self, alpha: float) -> NDArray[np.bool_]:
        """Return whether 0 lies outside the crossed interval; without one, outside the interval over seeds."""
        half = self._crossed_half(alpha)
        half = self._seed_half(alpha) if half is None else half
        return np.zeros(self.mean.shape, bool) if half is None else np.abs(self.mean) > half

    def detectable(self, alpha: float, power: float = 0.8) -> Floats | None:
        """Return the true difference that would be claimed with probability ``power``.

        In standard errors, it is the noncentrality at which the t statistic exceeds its critical value so often.
        (The sum of the two quantiles of t that is often taken for it promises 80% and gives 69% with 10 seeds.)
        """
        error, df = self.crossed_error, self.crossed_df
        if error is None or df is None:
            error, df = self.seed_error, self.seed_df
        if error is None or df is None:
            return None
        detectable: Floats = error * _noncentrality(-special.stdtrit(df, alpha / 2), df, power)
        return detectable

    def _seed_half(self, alpha: float) -> Floats | None:
        return _half(self.seed_error, self.seed_df, alpha)

    def _crossed_half(self, alpha: float) -> Floats | None:
        seeds, crossed = self._seed_half(alpha), _half(self.crossed_error, self.crossed_df, alpha)
        return None if seeds is None or crossed is None else np.maximum(seeds, crossed)


def means(scores: ArrayLike) -> Estimates:
    """Return every recipe's mean, in the order of ``scores``, shape ``(recipes, seeds, examples)``.

    Raises:
        ValueError: a score is not a finite number, or ``scores`` has another number of dimensions.

    >>> rows = means([[[1.0, 0.0], [1.0, 1.0]]])
    >>> rows.mean.tolist(), rows.seeds(0.05).round(2).tolist()
    ([0.75], [[-2.43, 3.93]])
    """
    parts = _parts(scores)
    return _estimates(parts, parts.mean, parts.seeds, parts.examples, np.square(parts.rest).sum((1, 2)))


def differences(scores: ArrayLike) -> Estimates:
    """Return the paired difference ``S[a] − S[b]`` of all pairs, in the order of ``np.triu_indices(recipes, 1)``.

    Raises:
        ValueError: a score is not a finite number, or ``scores`` has another number of dimensions.

    >>> rng = np.random.default_rng(0)
    >>> luck = rng.normal(size=(1, 10, 50))  # of the seed and the example, whatever the recipe
    >>> S = luck + 0.1 * rng.normal(size=(3, 10, 50)) + np.array([0.0, 0.0, 1.0]).reshape(3, 1, 1)
    >>> pairs = differences(S)
    >>> pairs.mean.round(1).astype(int).tolist(), pairs.claimed(pair_alpha(3, 10)).tolist()
    ([0, -1, -1], [False, True, True])
    """
    parts = _parts(scores)
    count = len(parts.mean)
    a, b = np.triu_indices(count, 1)
    rest = [np.square(parts.rest[i] - parts.rest[i + 1 :]).sum((1, 2)) for i in range(count - 1)]
    return _estimates(
        parts,
        parts.mean[a] - parts.mean[b],
        parts.seeds[a] - parts.seeds[b],
        parts.examples[a] - parts.examples[b],
        np.concatenate([*rest, np.zeros(0)]),
    )


def over_examples(scores: ArrayLike, alpha: float) -> Floats | None:
    """Return the interval of one model's mean over test examples, shape ``(2,)``; None with one example.

    It says what another test set would show of the same model, and nothing of another seed or training set. Heavy
    tails and outcomes that are all alike are seen to as in crossed intervals.

    Args:
        scores: the metric of every example, shape ``(examples,)``.
        alpha: probability that the interval misses.

    >>> over_examples([1.0] * 95 + [0.0] * 5, 0.05).round(3).tolist()
    [0.902, 0.998]
    """
    parts = _parts(np.asarray(scores, dtype=float)[None, None])
    m = parts.examples.shape[1]
    if m == 1:
        return None
    squares, df = _over_examples(parts.examples, parts.tiny)
    error = np.sqrt(np.maximum(squares / ((m - 1) * m), 2 * (parts.step / m) ** 2))
    ends = _interval(parts.mean, _half(error, df, alpha))
    return None if ends is None else ends[0]


def _over_examples(examples: Floats, tiny: float) -> tuple[Floats, Floats]:
    """Return the sums of squares of effects of examples, ``(estimates, examples)``, and their degrees of freedom."""
    m = examples.shape[1]
    squares = _clean(np.square(examples).sum(1), m, tiny)
    fourth = np.square(np.square(examples)).sum(1)
    kurtosis = np.divide(m * fourth, np.square(squares), out=np.full(squares.shape, 3.0), where=squares > 0) - 3
    return squares, 2 / (2 / (m - 1) + np.maximum(kurtosis, 0.0) / m)


def pair_alpha(recipes: int, seeds: int, alpha: float = 0.05) -> float:
    """Return the level at which each pair is tested so that all hold together: max-T, for paired t.

    The largest t (its size) over all pairs of recipes that do not differ is free of the scores' scale and of
    whatever a seed does to all of them, so its quantile is simulated from independent normal scores, keyed.
    Holm on paired t is coarser: it takes the pairs for unrelated, though each recipe is in many.

    Source: Tukey's range test in its paired form; Westfall & Young 1993, section 2.6.

    >>> pair_alpha(2, 10), round(pair_alpha(6, 10), 4) > 0.05 / 15
    (0.05, True)
    """
    if recipes < 3 or seeds < 2:
        return alpha
    quantile = float(
        kept(f"largest-t-{recipes}-{seeds}-{alpha!r}.txt", lambda: repr(_quantile(recipes, seeds, alpha)))
    )
    return float(2 * special.stdtr(seeds - 1, -quantile))


def _quantile(recipes: int, seeds: int, alpha: float) -> float:
    return float(np.quantile(_largest_t(recipes, seeds), 1 - alpha))


@cache
def _largest_t(recipes: int, seeds: int) -> Floats:
    """Draw the largest paired t over all pairs, for recipes that do not differ; shape ``(draws,)``."""
    rng = np.random.Generator(np.random.Philox(key=[recipes, seeds]))
    draws = int(np.clip(20_000_000 // recipes**2, 10_000, 100_000))
    block = max(1, 1_000_000 // (recipes * max(recipes, seeds)))
    largest = []
    for start in range(0, draws, block):
        e = rng.standard_normal((min(block, draws - start), recipes, seeds))
        mean = e.mean(2)
        e -= mean[:, :, None]
        gram = e @ e.transpose(0, 2, 1)
        own = np.diagonal(gram, axis1=1, axis2=2)
        squares = own[:, :, None] + own[:, None, :] - 2 * gram
        squares[:, range(recipes), range(recipes)] = 1.0  # a recipe against itself: mean 0, so t = 0
        t2 = np.square(mean[:, :, None] - mean[:, None, :]) / squares
        largest.append(np.sqrt(t2.max((1, 2)) * seeds * (seeds - 1)))
    return np.concatenate(largest)


@dataclass(frozen=True)
class _Parts:
    """Scores taken apart: S = mean + seeds + examples + rest, each part summing to 0 along its axes."""

    mean: Floats  # (k,)
    seeds: Floats  # (k, n)
    examples: Floats  # (k, m)
    rest: Floats  # (k, n, m)
    step: float  # the smallest change of the scores from one example to another
    tiny: float  # what rounding leaves of a difference or an effect that is 0


def _parts(scores: ArrayLike) -> _Parts:
    S = np.asarray(scores, dtype=float)
    if S.ndim != 3 or 0 in S.shape:
        raise ValueError(f"scores have the shape (recipes, seeds, examples), not {S.shape}")
    if not np.isfinite(S).all():
        raise ValueError("scores are finite numbers; a run without any cannot be judged")
    seeds, examples = S.mean(2), S.mean(1)
    mean = seeds.mean(1)
    rest = S - seeds[:, :, None] - examples[:, None, :] + mean[:, None, None]
    tiny = 1e-12 * float(np.abs(S).max())
    return _Parts(mean, seeds - mean[:, None], examples - mean[:, None], rest, _step(S, tiny), tiny)


def _step(scores: Floats, tiny: float) -> float:
    """Return the smallest change of scores from one example to the next that is one.

    It is that of the scores and not of their differences, which have none where all recipes agree: 1 for right or
    wrong, also where all are right or all are wrong; next to nothing for a continuous metric; 0 if there is none.
    """
    sizes = np.abs(np.diff(scores, axis=2))
    least = float(sizes.min(where=sizes > tiny, initial=np.inf))
    if np.isfinite(least):
        return least
    return 1.0 if np.isin(np.abs(scores), (0.0, 1.0)).all() else 0.0


def _estimates(parts: _Parts, mean: Floats, seeds: Floats, examples: Floats, rest: Floats) -> Estimates:
    """Return means with their errors, shape ``(estimates,)``.

    With the mean squares of the two-way random-effects model, (MS_s + MS_e − MS_se) / (n m) is unbiased for
    the variance of the mean, σ²_s / n + σ²_e / m + σ²_se / (n m); its degrees of freedom are Satterthwaite's
    (1946). The crossed ("pigeonhole") bootstrap counts σ²_se three times (Owen 2007).

    Where MS_e is hardly above MS_se their difference is ill known, and these degrees may fall below one, the interval
    then being any number at all. But the sum is taken for at least MS_s; so they are at least those of MS_s or of
    MS_e, whichever has fewer.

    Recipes differ on a few examples and agree on the rest, so effects of examples have heavy tails, and MS_e is
    known less well than for normal ones: its variance is 2 / (m − 1) + κ / m of its square, with κ the excess
    kurtosis (Cramér 1946, section 27.4). Where recipes agree on every example drawn, nothing is left to estimate
    from, and yet another test set may hold an example on which they differ; so the variance is at least that of two
    outcomes more, a step of the scores to either side (as Bonett & Price 2012 add to paired proportions).

    Args:
        parts: of the scores.
        mean: the estimates.
        seeds: effects of seeds, shape ``(estimates, seeds)``.
        examples: effects of examples, shape ``(estimates, examples)``.
        rest: sums of squares of what is left.
    """
    n, m = parts.seeds.shape[1], parts.examples.shape[1]
    tiny = parts.tiny
    mean = np.where(np.abs(mean) <= tiny, 0.0, mean)
    if n == 1:
        return Estimates(mean, None, None, None, None)
    df_s = np.full(mean.shape, float(n - 1))
    ms_s = m * _clean(np.square(seeds).sum(1), n, tiny) / (n - 1)
    seed_error = np.sqrt(ms_s / (n * m))
    if m == 1:
        return Estimates(mean, seed_error, df_s, None, None)
    squares, df_e = _over_examples(examples, tiny)
    ms_e = n * squares / (m - 1)
    ms_se = _clean(rest, n * m, tiny) / ((n - 1) * (m - 1))
    more = ms_e > ms_se
    total = ms_s + np.where(more, ms_e - ms_se, 0.0)
    spread = np.square(ms_s) / (n - 1) + np.where(
        more, np.square(ms_e) / df_e + np.square(ms_se) / ((n - 1) * (m - 1)), 0.0
    )
    df = np.divide(np.square(total), spread, out=df_s.copy(), where=spread > 0)
    df = np.maximum(df, np.minimum(df_s, df_e))
    unseen = 2 * (parts.step / (n * m)) ** 2
    return Estimates(mean, seed_error, df_s, np.sqrt(np.maximum(total / (n * m), unseen)), df)


def _clean(squares: Floats, count: int, tiny: float) -> Floats:
    return np.where(squares <= count * tiny**2, 0.0, squares)


def _half(error: Floats | None, df: Floats | None, alpha: float) -> Floats | None:
    if error is None or df is None:
        return None
    half: Floats = error * -special.stdtrit(df, alpha / 2)
    return half


def _interval(mean: Floats, half: Floats | None) -> Floats | None:
    return None if half is None else np.stack([mean - half, mean + half], axis=1)


def _noncentrality(critical: Floats, df: Floats, power: float) -> Floats:
    """Return the noncentrality δ at which a noncentral t of ``df`` exceeds ``critical`` with probability ``power``.

    Given the scale S, a root of χ² over df, that probability is Φ(δ − critical · S); it is averaged over the
    quantiles of S and solved for δ by halving. (scipy's ``nctdtrinc`` does not return at 1 degree of freedom.)
    """
    shares = (np.arange(400) + 0.5) / 400
    limits = critical[:, None] * np.sqrt(2 * special.gammaincinv(df[:, None] / 2, shares) / df[:, None])
    low: Floats = np.zeros_like(critical)
    high: Floats = limits[:, -1] + 10.0
    for _ in range(40):
        middle = (low + high) / 2
        enough = special.ndtr(middle[:, None] - limits).mean(1) > power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
