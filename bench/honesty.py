"""Is the verdict honest? Its intervals and claims, measured on scores recorded from real runs.

Scores of many seeds are recorded once, and then studies are drawn from them: who is told apart although there is
nothing to tell, how often the truth lies in the intervals, and what difference is seen. The truth is known, because
it is that of all the scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn, set_num_threads
from torch.nn import functional as F

import thalweg as tw
from clock import table
from thalweg.inspect._picture import save
from thalweg.study.statistics import Estimates, Floats, differences, means, pair_alpha
from thalweg.train import Member, train

RECORDED, REPETITIONS = 600, 2000
NAMES, SEEDS, TESTS = 6, 10, (100, 360)
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
SEEN, POWER = 2.0, 0.9
PICTURE = Path(__file__).with_name("power.svg")
DIFFERENT = {
    "adam": tw.optim.adam(lr=1e-3),
    "adamw": tw.optim.adamw(lr=3e-3),
    "rmsprop": tw.optim.rmsprop(lr=1e-3),
    "momentum": tw.optim.momentum(lr=0.01),
    "sgd": tw.optim.sgd(lr=0.03),
    "adagrad": tw.optim.adagrad(lr=0.01),
}
HELD_OUT = {
    "nadam": tw.optim.nadam(lr=2e-3),
    "adadelta": tw.optim.adadelta(lr=1.0),
    "yogi": tw.optim.yogi(lr=0.01),
    "nesterov": tw.optim.nesterov(lr=0.02),
    "amsgrad": tw.optim.amsgrad(lr=3e-3),
    "adagrad": tw.optim.adagrad(lr=3e-3),
}
"""Recipes, on another task, by which nothing in `thalweg.study.statistics` was chosen."""

HELD_OUT_SIZES, HELD_OUT_TESTS = ((64, 30), (32, 20)), (100, 200)


def section() -> str:
    set_num_threads(1)
    digits = task("digits", hidden=64)
    adam, fewer = record(digits, DIFFERENT["adam"], RECORDED), RECORDED // 3
    pools = {name: adam[:fewer] if name == "adam" else record(digits, o, fewer) for name, o in DIFFERENT.items()}
    tests = (*TESTS, adam.shape[1])
    lines = [false_claims(adam, REPETITIONS, redraw) for redraw in (False, True)]
    lines += [coverage_all(pools, "6 recipes", REPETITIONS, redraw) for redraw in (None, *tests)]
    lines += [coverage_pair(adam, adam, "one recipe twice", REPETITIONS, r, same=True) for r in (None, *tests)]
    lines += [coverage_pair(pools["adam"], pools["sgd"], "adam and sgd", REPETITIONS, r) for r in (None, *tests)]
    for hidden, epochs in HELD_OUT_SIZES:
        cancer = task("breast_cancer", hidden)
        others = {name: record(cancer, o, fewer, epochs) for name, o in HELD_OUT.items()}
        who = f"held out: 6 recipes on breast_cancer, 30-{hidden}-2, {epochs} epochs"
        held = (None, *HELD_OUT_TESTS, len(cancer.test))
        lines += [coverage_all(others, who, REPETITIONS, redraw) for redraw in held]
    powers = power(adam, REPETITIONS)
    draw(powers)
    return write(adam, pools, lines, powers)


def task(name: str, hidden: int) -> tw.Task:
    load, inputs, classes = {"digits": (load_digits, 64, 10), "breast_cancer": (load_breast_cancer, 30, 2)}[name]
    return tw.Task(
        model=lambda: nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes)),
        data=load(return_X_y=True),
        loss=F.cross_entropy,
        metric=tw.accuracy,
        standardize=True,
        splits=(0.5, 0.1, 0.4),
        name=name,
    )


def record(
    task: tw.Task, optimizer: tw.technique.Ingredient, seeds: int, epochs: int = 30, together: int = 100
) -> Floats:
    """Train a recipe once a seed; return the test outcomes, shape ``(seeds, examples)``."""
    recipe = tw.Recipe(optimizer, epochs=epochs, batch_size=64).resolved()
    outcomes: list[np.ndarray] = []
    for start in range(0, seeds, together):
        members = [Member(recipe, seed) for seed in range(start, min(start + together, seeds))]
        outcomes += [result.outcomes for result in train(task, members, "vmapped")]
    return np.stack(outcomes).astype(float)


# -- what is measured ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """How often something was so, by each interval; ``target`` says which of them shall lie where."""

    what: str
    seeds: float
    crossed: float
    bootstrap: float | None
    target: tuple[str, float, float]

    def cells(self) -> list[str]:
        which, least, most = self.target
        values = {"seeds": [self.seeds], "crossed": [self.crossed], "both": [self.seeds, self.crossed]}[which]
        verdict = "**below**" if min(values) < least else "**above**" if max(values) > most else "met"
        goal = f"{which} {100 * least:g} to {100 * most:g}%" if least else f"{which} ≤ {100 * most:g}%"
        return [self.what, *map(_percent, (self.seeds, self.crossed, self.bootstrap)), goal, verdict]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def halves(found: Estimates, alpha: float) -> tuple[Floats, Floats]:
    """Return the half widths of both intervals."""
    seeds, crossed = found.seeds(alpha), found.crossed(alpha)
    assert seeds is not None
    assert crossed is not None
    return (seeds[:, 1] - seeds[:, 0]) / 2, (crossed[:, 1] - crossed[:, 0]) / 2


def crossed_bootstrap(outcomes: Floats, rng: np.random.Generator, draws: int = 500) -> Floats:
    """Return the percentile interval of the crossed bootstrap (Bouthillier et al. 2021) of a paired difference."""
    n, m = outcomes.shape
    seeds, examples = _resampled(n, draws, rng), _resampled(m, draws, rng)
    ends: Floats = np.quantile(((seeds @ outcomes) * examples).sum(1) / (n * m), [0.025, 0.975])
    return ends


def _resampled(count: int, draws: int, rng: np.random.Generator) -> Floats:
    """Return how often each of ``count`` is drawn when as many are drawn with replacement, ``draws`` times."""
    picks = rng.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    return np.bincount(picks.ravel(), minlength=draws * count).reshape(draws, count).astype(float)


def same_recipe(scores: Floats, repetitions: int, redraw: bool, rng: np.random.Generator) -> Iterator[Floats]:
    """Draw studies of one recipe under six names, each with its own seeds; shape ``(names, seeds, examples)``."""
    for _ in range(repetitions):
        rows = rng.choice(len(scores), NAMES * SEEDS, replace=False)
        S = scores[rows].reshape(NAMES, SEEDS, -1)
        yield S[:, :, rng.integers(S.shape[2], size=S.shape[2])] if redraw else S


def different(
    pools: Mapping[str, Floats], repetitions: int, redraw: int | None, rng: np.random.Generator
) -> Iterator[Floats]:
    """Draw studies of really different recipes on shared seeds, and on ``redraw`` examples drawn anew."""
    whole = np.stack(list(pools.values()))
    for _ in range(repetitions):
        S = whole[:, rng.integers(whole.shape[1], size=SEEDS)]
        yield S if redraw is None else S[:, :, rng.integers(S.shape[2], size=redraw)]


def false_claims(scores: Floats, repetitions: int, redraw: bool) -> Line:
    """Claims where there is nothing to claim; what is left is the simultaneous coverage."""
    rng = np.random.default_rng([1, redraw])
    alpha, wrong = pair_alpha(NAMES, SEEDS), np.zeros(2)
    for S in same_recipe(scores, repetitions, redraw, rng):
        found = differences(S)
        wrong += [(np.abs(found.mean) > half).any() for half in halves(found, alpha)]
    what = "another test set each time" if redraw else "the same test set"
    seeds, crossed = wrong / repetitions
    what = f"one recipe under {NAMES} names, {what}: some difference claimed"
    return Line(what, seeds, crossed, None, ("both", 0.0, 0.065))


def power(scores: Floats, repetitions: int) -> dict[float, Floats]:
    """One of six names shifted by so many standard deviations of the seeds: some pair of it claimed."""
    rng = np.random.default_rng(2)
    alpha, deviation = pair_alpha(NAMES, SEEDS), scores.mean(1).std(ddof=1)
    found = {shift: np.zeros(2) for shift in SHIFTS}
    for S in same_recipe(scores, repetitions, False, rng):
        pairs = differences(S)
        own = np.flatnonzero(np.triu_indices(NAMES, 1)[0] == 0)
        for shift in SHIFTS:
            away = np.abs(pairs.mean[own] + shift * deviation)
            found[shift] += [(away > half[own]).any() for half in halves(pairs, alpha)]
    return {shift: hits / repetitions for shift, hits in found.items()}


def coverage_all(pools: Mapping[str, Floats], who: str, repetitions: int, redraw: int | None) -> Line:
    """How often all intervals of a study of different recipes hold at once."""
    rng = np.random.default_rng([3, redraw or 0])
    truth = differences(np.stack(list(pools.values()))).mean
    alpha, held = pair_alpha(len(pools), SEEDS), np.zeros(2)
    for S in different(pools, repetitions, redraw, rng):
        found = differences(S)
        held += [(np.abs(found.mean - truth) <= half).all() for half in halves(found, alpha)]
    what = f"another {redraw} test examples each time" if redraw else "the same test set"
    seeds, crossed = held / repetitions
    return Line(f"{who}, {what}: all intervals hold", seeds, crossed, None, _goal(redraw))


def coverage_pair(a: Floats, b: Floats, what: str, repetitions: int, redraw: int | None, same: bool = False) -> Line:
    """How often one pair's 95% intervals hold, and the crossed bootstrap's."""
    rng = np.random.default_rng([4, redraw or 0, same])
    held, truth = np.zeros(3), 0.0 if same else a.mean() - b.mean()
    for _ in range(repetitions):
        if same:
            rows = rng.choice(len(a), 2 * SEEDS, replace=False)
            D = a[rows[:SEEDS]] - a[rows[SEEDS:]]
        else:
            rows = rng.integers(len(a), size=SEEDS)
            D = a[rows] - b[rows]
        D = D if redraw is None else D[:, rng.integers(D.shape[1], size=redraw)]
        found = means(D[None])
        low, high = crossed_bootstrap(D, rng)
        held += [*(abs(found.mean[0] - truth) <= half[0] for half in halves(found, 0.05)), low <= truth <= high]
    shown = f"another {redraw} test examples each time" if redraw else "the same test set"
    seeds, crossed, bootstrap = held / repetitions
    return Line(f"{what}, {shown}: the interval holds", seeds, crossed, bootstrap, _goal(redraw))


def _goal(redraw: int | None) -> tuple[str, float, float]:
    return "crossed" if redraw else "seeds", 0.93, 0.97


# -- how it is shown -------------------------------------------------------------------------------------


def write(adam: Floats, pools: Mapping[str, Floats], lines: Sequence[Line], powers: Mapping[float, Floats]) -> str:
    """Return the measurements as Markdown."""
    deviation = 100 * adam.mean(1).std(ddof=1)
    scores = ", ".join(f"{name} {100 * scores.mean():.2f}%" for name, scores in pools.items())
    power_rows = [
        [f"{shift:g}", f"{shift * deviation:.2f}", _percent(seeds), _percent(crossed), *_power_goal(shift, seeds)]
        for shift, (seeds, crossed) in powers.items()
    ]
    known = 196 * (0.95 * 0.05 / REPETITIONS) ** 0.5
    return f"""## Honesty of the verdict

Scores recorded from real runs: digits, 64-64-10, 30 epochs, {adam.shape[1]} test examples; {len(adam)} seeds of adam,
{len(pools["adam"])} of each of six optimizers ({scores}). Drawn from them, for every line: {REPETITIONS}
studies of {SEEDS} seeds, so a rate of 95% is known to ±{known:.1f} points. Studies of several recipes use the
simultaneous level, pairs 95%. The crossed bootstrap (Bouthillier et al. 2021) stands beside for comparison. The least
width of the crossed interval was chosen by the scores on digits; nothing was by those that are held out.

{table(["drawn", "seed interval", "crossed interval", "crossed bootstrap", "target", ""], [x.cells() for x in lines])}

The seed interval speaks of the same test set and is not meant to hold on another; the crossed interval speaks of
another. It is too wide where recipes do not differ on any example: a variance cannot be estimated below 0, and no
crossed interval is narrower than its seed interval. That is safe, and costs power. It is too narrow where recipes
differ on a handful of examples, of which a small test set may hold none.

One of {NAMES} names shifted, the same test set: how often one of its pairs is claimed. A standard deviation of the
seeds is {deviation:.2f} points.

![Power over the size of the shift]({PICTURE.name})

{table(["shift, standard deviations", "points", "seed interval", "crossed interval", "target", ""], power_rows)}
"""


def _power_goal(shift: float, seeds: float) -> list[str]:
    if shift != SEEN:
        return ["", ""]
    return [f"seeds ≥ {100 * POWER:g}%", "met" if seeds >= POWER else "**below**"]


def draw(powers: Mapping[float, Floats]) -> None:
    """Draw both intervals' power over the size of the shift."""
    names = ("seed interval", "crossed interval")
    rows = [
        {"shift": shift, "claimed": float(share), "interval": name}
        for shift, shares in powers.items()
        for name, share in zip(names, shares, strict=True)
    ]
    axis = alt.Axis(format="%", tickCount=5)
    lines = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("shift:Q", title="shift, in standard deviations of the seeds"),
            y=alt.Y("claimed:Q", title="studies in which it is claimed", axis=axis),
            color=alt.Color("interval:N", title=None, sort=names),
        )
    )
    save(lines.properties(width=420, height=240, background="white"), PICTURE)
