"""The intervals and what they may claim."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from thalweg.study.statistics import differences, means, pair_alpha
from thalweg.study.tuning import tuning_curve


def draw(recipes=3, seeds=6, examples=9, seed=0):
    rng = np.random.default_rng(seed)
    S = rng.normal(size=(recipes, seeds, examples)) + rng.normal(size=(recipes, seeds, 1))
    return S + rng.normal(size=(recipes, 1, examples))


def test_the_seed_interval_is_the_paired_t_interval():
    S = draw()
    found = differences(S)
    for i, (a, b) in enumerate(combinations(range(3), 2)):
        paired = stats.ttest_rel(S[a].mean(1), S[b].mean(1))
        ends = paired.confidence_interval(0.99)
        assert found.mean[i] == pytest.approx(S[a].mean() - S[b].mean())
        assert found.seeds(0.01)[i] == pytest.approx([ends.low, ends.high])
        assert (found.seeds(paired.pvalue)[i] == pytest.approx(0)) is False
        assert np.abs(found.seeds(paired.pvalue)[i]).min() == pytest.approx(0, abs=1e-12)


def test_the_crossed_error_is_made_of_the_mean_squares_of_the_two_way_layout():
    S = draw(seeds=5, examples=7)
    S[:, :, 0] += np.array([[9.0], [0.0], [-9.0]])  # heavy tails
    found = differences(S)
    for i, (a, b) in enumerate(combinations(range(3), 2)):
        D = S[a] - S[b]
        n, m = D.shape
        ms_s = m * sum((D[j].mean() - D.mean()) ** 2 for j in range(n)) / (n - 1)
        ms_e = n * sum((D[:, j].mean() - D.mean()) ** 2 for j in range(m)) / (m - 1)
        ms_se = sum((D[j, k] - D[j].mean() - D[:, k].mean() + D.mean()) ** 2 for j in range(n) for k in range(m)) / (
            (n - 1) * (m - 1)
        )
        assert ms_e > ms_se, "the case this test is for"
        assert found.crossed_error[i] ** 2 == pytest.approx((ms_s + ms_e - ms_se) / (n * m))
        tails = stats.kurtosis(D.mean(0))
        assert tails > 0, "the case this test is for"
        df_e = 2 / (2 / (m - 1) + tails / m)
        spread = ms_s**2 / (n - 1) + ms_e**2 / df_e + ms_se**2 / ((n - 1) * (m - 1))
        assert found.crossed_df[i] == pytest.approx((ms_s + ms_e - ms_se) ** 2 / spread)


def test_the_crossed_variance_is_unbiased_for_another_set_of_seeds_and_examples():
    rng = np.random.default_rng(1)
    n, m, studies = 5, 8, 20_000
    seed, example, both = 0.5, 1.5, 1.0
    D = seed * rng.normal(size=(studies, n, 1)) + example * rng.normal(size=(studies, 1, m))
    D += both * rng.normal(size=(studies, n, m))
    truth = seed**2 / n + example**2 / m + both**2 / (n * m)
    found = means(D)
    assert np.mean(found.crossed_error**2) == pytest.approx(truth, rel=0.02)
    assert found.mean.var() == pytest.approx(truth, rel=0.03)


@pytest.mark.parametrize(("n", "m"), [(2, 360), (3, 36), (10, 100)])
@pytest.mark.parametrize("example", [0.0, 0.2, 1.0])
def test_the_crossed_interval_covers_the_mean_of_the_population(n, m, example):
    rng = np.random.default_rng(2)
    D = 0.1 * rng.normal(size=(3000, n, 1)) + example * rng.normal(size=(3000, 1, m)) + rng.normal(size=(3000, n, m))
    ends = means(D).crossed(0.05)
    covered = ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean()
    assert 0.935 <= covered <= (0.99 if n == 2 else 0.98)


@pytest.mark.parametrize(("m", "share"), [(50, 0.1), (200, 0.02)])
def test_the_crossed_interval_covers_where_recipes_differ_on_a_few_examples_alone(m, share):
    rng = np.random.default_rng(4)
    rare = np.where(rng.random((2000, 1, m)) < share, 1.0, 0.0) * np.where(rng.random((2000, 1, m)) < 0.8, 1, -1)
    D = rare + 0.002 * rng.normal(size=(2000, 10, 1)) + 0.05 * rng.normal(size=(2000, 10, m))
    ends = means(D).crossed(0.05)
    covered = ((ends[:, 0] <= 0.6 * share) & (ends[:, 1] >= 0.6 * share)).mean()
    assert 0.94 <= covered <= 0.98


def test_no_crossed_interval_is_narrower_than_the_one_over_seeds():
    for seed in range(50):
        found = differences(draw(recipes=4, seeds=2, examples=40, seed=seed))
        seeds, crossed = found.seeds(0.01), found.crossed(0.01)
        assert (crossed[:, 0] <= seeds[:, 0]).all()
        assert (crossed[:, 1] >= seeds[:, 1]).all()


def test_what_a_seed_or_an_example_does_to_all_recipes_alike_changes_nothing():
    S, rng = draw(), np.random.default_rng(3)
    moved = S + 5 * rng.normal(size=(1, 6, 1)) + 5 * rng.normal(size=(1, 1, 9))
    assert differences(moved).crossed(0.05) == pytest.approx(differences(S).crossed(0.05))


def test_intervals_scale_with_the_scores():
    S = draw()
    assert differences(-40 * S).crossed(0.05) == pytest.approx(-40 * differences(S).crossed(0.05)[:, ::-1])


def test_all_pairs_at_once_are_wrong_in_a_twentieth_of_studies():
    rng = np.random.default_rng(4)
    recipes, seeds, studies = 6, 5, 4000
    alpha = pair_alpha(recipes, seeds)
    assert 0.05 / 15 < alpha < 0.05, "between Bonferroni's level and no correction"
    wrong = 0
    for _ in range(studies):
        pairs = differences(rng.normal(size=(recipes, seeds, 1)) + rng.normal(size=(1, seeds, 1)))
        wrong += pairs.claimed(alpha).any()
    assert 0.04 <= wrong / studies <= 0.06


def test_the_level_of_a_pair_is_the_same_in_every_process_and_falls_with_recipes():
    levels = [pair_alpha(k, 10) for k in (1, 2, 3, 6, 13, 26)]
    assert levels[:2] == [0.05, 0.05]
    assert sorted(levels[1:], reverse=True) == levels[1:]
    assert pair_alpha(6, 10) == pytest.approx(0.00375, rel=0.03)


def test_recipes_that_agree_on_every_example_are_not_known_to_be_equal():
    """Another test set may hold an example on which they differ, as others do: by a step of 1, to either side."""
    n, m = 10, 50
    right, other = np.random.default_rng(0).random((2, n, m)) < 0.8
    found = differences(np.stack([right, right, other]))
    assert found.seeds(0.05)[0].tolist() == [0.0, 0.0]
    assert found.crossed_error[0] == pytest.approx(np.sqrt(2) / (n * m))
    low, high = found.crossed(0.05)[0]
    assert low == -high < 0


@pytest.mark.parametrize("share", [0.8, 1.0], ids=["some wrong", "all right"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_least_width_is_there_where_all_recipes_of_a_study_agree_everywhere(share, sign):
    """The step of outcomes is theirs, and not that of differences, which are all 0."""
    n, m = 3, 400
    right = sign * (np.random.default_rng(0).random((n, m)) < share)
    found = differences(np.stack([right, right, right]))
    assert found.crossed_error == pytest.approx(np.full(3, np.sqrt(2) / (n * m)))
    assert not found.claimed(0.05).any()
    assert (found.detectable(0.05) > np.sqrt(2) / (n * m)).all()


def test_a_recipe_that_is_always_right_is_not_known_to_be_so_of_other_examples():
    low, high = means(np.ones((1, 3, 400))).crossed(0.05)[0]
    assert low < 1 < high


def test_two_seeds_and_many_recipes_have_a_detectable_difference_too():
    """At one degree of freedom and a small level, where scipy's own solver does not return."""
    found = differences(np.random.default_rng(0).normal(size=(13, 2, 40)))
    sizes = found.detectable(pair_alpha(13, 2))
    assert (sizes > found.seed_error).all()
    assert np.isfinite(sizes).all()


def test_the_detectable_difference_is_claimed_in_four_studies_of_five():
    rng = np.random.default_rng(5)
    sizes = [differences(rng.normal(size=(2, 10, 1))).detectable(0.004)[0] for _ in range(500)]
    shift = np.array([np.sqrt(np.mean(np.square(sizes))), 0.0]).reshape(2, 1, 1)
    hits = [differences(rng.normal(size=(2, 10, 1)) + shift).claimed(0.004)[0] for _ in range(4000)]
    assert 0.77 <= np.mean(hits) <= 0.83


def test_recipes_that_tie_exactly_are_not_told_apart_and_constant_differences_are():
    scores = np.random.default_rng(6).random((1, 10, 30)) < 0.9
    S = np.concatenate([scores, scores, scores - 0.25])
    pairs = differences(S)
    least = 2.2622 * np.sqrt(2) / (10 * 30)  # of two outcomes more
    assert pairs.seeds(0.05)[0].tolist() == [0.0, 0.0]
    assert pairs.crossed(0.05)[0] == pytest.approx([-least, least], rel=1e-3)
    assert pairs.claimed(0.05).tolist() == [False, True, True]
    assert pairs.crossed(0.05)[1] == pytest.approx([0.25 - least, 0.25 + least], rel=1e-3)


def test_rounding_is_not_a_difference():
    row = np.random.default_rng(7).random(10)[:, None] + np.zeros((10, 3))
    shuffled = np.stack([row, (row + 0.1) - 0.1])
    assert not differences(shuffled).claimed(0.05).any()


def test_one_example_has_no_crossed_interval_and_the_seeds_decide():
    S = np.random.default_rng(8).normal(size=(2, 10, 1)) + np.array([0.0, 9.0]).reshape(2, 1, 1)
    found = differences(S)
    assert found.crossed(0.05) is None
    assert found.claimed(0.05).tolist() == [True]
    assert found.detectable(0.05) > 0


def test_one_seed_has_no_interval_and_claims_nothing():
    found = differences(draw(seeds=1) + np.arange(3).reshape(3, 1, 1) * 1e6)
    assert found.seeds(0.05) is found.crossed(0.05) is found.detectable(0.05) is None
    assert not found.claimed(0.05).any()


def test_one_recipe_has_no_pairs():
    assert differences(draw(recipes=1)).mean.tolist() == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    S = draw()
    S[1, 2, 3] = bad
    with pytest.raises(ValueError, match="finite"):
        differences(S)
    with pytest.raises(ValueError, match="shape"):
        means(S[0])


def test_a_large_study_takes_about_a_second():
    S = np.random.default_rng(9).random((26, 10, 3000))
    start = time.process_time()
    differences(S).crossed(pair_alpha(26, 10))
    assert time.process_time() - start < 5


# -- tuning curves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("higher", [True, False])
def test_the_tuning_curve_starts_at_the_defaults_and_only_gets_better(higher):
    scores = [0.8, 0.3, 0.95, 0.91, 0.5, 0.97, 0.6, 0.2]
    curve = tuning_curve(scores, higher_is_better=higher)
    sign = 1 if higher else -1
    assert curve["trials"] == list(range(1, 9))
    assert curve["best"][0] == 0.8
    assert curve["best"][-1] == (0.97 if higher else 0.2)
    assert (np.diff(sign * np.array(curve["best"])) >= 0).all()
    known = curve["low"] if higher else curve["high"]
    assert all(sign * side <= sign * best for side, best in zip(known, curve["best"], strict=True))
    unknown = curve["high"] if higher else curve["low"]
    assert unknown[-1] is None, "seven draws cannot say how good the best could be"


def test_more_draws_make_both_sides_of_the_bands_known():
    curve = tuning_curve(np.random.default_rng(0).random(41).tolist())
    assert curve["high"][2] is not None
    assert curve["low"][40] > curve["best"][2]


def test_the_bands_hold_for_the_distribution_that_the_draws_came_from():
    rng, ns, held = np.random.default_rng(1), np.arange(1, 12), 0
    truth = 0.5 ** (1 / ns)  # the median of the best of n uniform draws
    for _ in range(400):
        curve = tuning_curve([-1.0, *rng.random(11)])
        low = np.array([v if v is not None else -np.inf for v in curve["low"][1:]])
        high = np.array([v if v is not None else np.inf for v in curve["high"][1:]])
        held += ((low <= truth) & (truth <= high)).all()
    assert held / 400 >= 0.93


def test_tuning_curves_are_the_same_whatever_was_asked_before():
    scores = [0.1, 0.5, 0.3, 0.7]
    first = tuning_curve(scores)
    tuning_curve([0.1, *np.linspace(0, 1, 6)])
    assert tuning_curve(scores) == first


def test_trials_that_left_no_score_are_the_worst():
    curve = tuning_curve([float("nan"), float("nan"), 0.5, 0.6])
    assert curve["best"] == [None, 0.5, 0.6, 0.6]
    assert tuning_curve([0.9, float("nan")])["best"] == [0.9, 0.9]
    assert tuning_curve([float("nan")])["low"] == [None]
    assert tuning_curve([0.5, 0.5, 0.5])["best"] == [0.5, 0.5, 0.5]


def test_recipes_that_hardly_differ_have_an_interval_of_a_few_points() -> None:
    """Of 1795 outcomes 7 differ: Satterthwaite's degrees of freedom alone would be a tenth, the interval anything."""
    d = np.zeros((5, 359))
    d[[1, 1, 2, 2, 3, 3, 3], [2, 3, 1, 3, 0, 1, 3]] = [1, -1, -1, 1, -1, -1, 1]
    found = means(d[None])
    for alpha in (0.05, 0.05 / 12):
        (low, high), (inner, outer) = found.crossed(alpha)[0], found.seeds(alpha)[0]
        assert -0.03 < low <= inner < 0 < outer <= high < 0.03
    assert found.crossed_df[0] == 4
