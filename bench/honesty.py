"""Is the verdict honest? Its intervals and claims, measured on scores recorded from real runs.

Usage: python bench/honesty.py [--out SECTION.md] [--cache DIR] [--seeds 600] [--repetitions 2000]

Scores of many seeds are recorded once (a pool), and then studies are drawn from the pool: who is told apart
although there is nothing to tell, how often the truth lies in the intervals, and what difference is seen.
The truth is known, because it is the pool's.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from torch import nn, set_num_threads
from torch.nn import functional as F

import thalweg as tw
from thalweg.study.statistics import Estimates, Floats, differences, means, pair_alpha
from thalweg.train import Member, train

NAMES, SEEDS, TESTS = 6, 10, (100, 360)
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
DIFFERENT = {
    "adam": tw.optim.adam(lr=1e-3),
    "adamw": tw.optim.adamw(lr=3e-3),
    "rmsprop": tw.optim.rmsprop(lr=1e-3),
    "momentum": tw.optim.momentum(lr=0.01),
    "sgd": tw.optim.sgd(lr=0.03),
    "adagrad": tw.optim.adagrad(lr=0.01),
}


def task() -> tw.Task:
    return tw.Task(
        model=lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        data=load_digits(return_X_y=True),
        loss=F.cross_entropy,
        metric=tw.accuracy,
        standardize=True,
        splits=(0.5, 0.1, 0.4),
        name="digits",
    )


def record(task: tw.Task, recipe: tw.Recipe, seeds: Sequence[int], together: int = 100) -> Floats:
    """Train a recipe once a seed; return the test outcomes, shape ``(seeds, examples)``."""
    outcomes = []
    for start in range(0, len(seeds), together):
        members = [Member(recipe.resolved(), seed) for seed in seeds[start : start + together]]
        outcomes += [result.outcomes for result in train(task, members, "vmapped")]
    return np.stack(outcomes).astype(float)


def pool(optimizer: tw.technique.Ingredient, seeds: int, cache: Path) -> Floats:
    """Return recorded outcomes, from the cache if they are there."""
    recipe = tw.Recipe(optimizer, epochs=30, batch_size=64)
    name = hashlib.sha256(f"{recipe.toml()}{seeds}".encode()).hexdigest()[:16]
    path = cache / f"honesty-{name}.npz"
    if not path.exists():
        start = time.perf_counter()
        np.savez_compressed(path, outcomes=record(task(), recipe, range(seeds)) == 1.0)
        print(f"recorded {seeds} runs of {optimizer} in {time.perf_counter() - start:.0f} s", flush=True)
    with np.load(path) as found:
        return found["outcomes"].astype(float)


# -- what is measured ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    what: str
    seeds: float | None
    crossed: float | None
    bootstrap: float | None = None
    target: str = ""

    def cells(self) -> list[str]:
        values = [f"{100 * x:.1f}%" if x is not None else "" for x in (self.seeds, self.crossed, self.bootstrap)]
        return [self.what, *values, self.target]


def halves(found: Estimates, alpha: float) -> tuple[Floats, Floats]:
    """Return the half widths of both intervals."""
    seeds, crossed = found.seeds(alpha), found.crossed(alpha)
    assert seeds is not None
    assert crossed is not None
    return (seeds[:, 1] - seeds[:, 0]) / 2, (crossed[:, 1] - crossed[:, 0]) / 2


def crossed_bootstrap(outcomes: Floats, rng: np.random.Generator, draws: int = 500) -> Floats:
    """Return the percentile interval of the crossed bootstrap (Bouthillier et al. 2021) of a paired difference."""
    n, m = outcomes.shape
    seeds = rng.multinomial(n, np.full(n, 1 / n), draws)
    examples = rng.multinomial(m, np.full(m, 1 / m), draws)
    return np.quantile(((seeds @ outcomes) * examples).sum(1) / (n * m), [0.025, 0.975])


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
    return Line(
        f"one recipe under {NAMES} names, {what}: some difference claimed", *(wrong / repetitions), None, "≤ 6.5%"
    )


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


def coverage_all(pools: Mapping[str, Floats], repetitions: int, redraw: int | None) -> Line:
    """How often all intervals of a study of different recipes hold at once."""
    rng = np.random.default_rng([3, redraw or 0])
    truth = differences(np.stack(list(pools.values()))).mean
    alpha, held = pair_alpha(len(pools), SEEDS), np.zeros(2)
    for S in different(pools, repetitions, redraw, rng):
        found = differences(S)
        held += [(np.abs(found.mean - truth) <= half).all() for half in halves(found, alpha)]
    what = f"another {redraw} test examples each time" if redraw else "the same test set"
    seeds, crossed = held / repetitions
    return Line(f"{len(pools)} recipes, {what}: all intervals hold", seeds, crossed, None, _goal(redraw))


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
    return Line(f"{what}, {shown}: the interval holds", *(held / repetitions), _goal(redraw))


def _goal(redraw: int | None) -> str:
    return "crossed 93–97%" if redraw else "seeds 93–97%"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the section of bench/RESULTS.md here")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seeds", type=int, default=600)
    parser.add_argument("--repetitions", type=int, default=2000)
    arguments = parser.parse_args()
    set_num_threads(1)
    cache, repetitions = arguments.cache, arguments.repetitions
    adam = pool(DIFFERENT["adam"], arguments.seeds, cache)
    pools = {name: pool(optimizer, arguments.seeds // 3, cache) for name, optimizer in DIFFERENT.items()}
    examples = adam.shape[1]
    start = time.perf_counter()
    lines = [false_claims(adam, repetitions, redraw) for redraw in (False, True)]
    lines += [coverage_all(pools, repetitions, redraw) for redraw in (None, *TESTS, examples)]
    lines += [
        coverage_pair(adam, adam, "one recipe twice", repetitions, r, same=True) for r in (None, *TESTS, examples)
    ]
    a, b = "adam", "sgd"
    for redraw in (None, *TESTS, examples):
        lines.append(coverage_pair(pools[a], pools[b], f"{a} and {b}", repetitions, redraw))
    powers = power(adam, repetitions)
    text = section(adam, pools, lines, powers, repetitions)
    print(text)
    print(f"({time.perf_counter() - start:.0f} s without the recording)")
    if arguments.out:
        arguments.out.write_text(text + "\n")


def section(
    adam: Floats, pools: Mapping[str, Floats], lines: Sequence[Line], powers: Mapping[float, Floats], repetitions: int
) -> str:
    """Return the measurements as Markdown."""
    deviation = adam.mean(1).std(ddof=1)
    scores = ", ".join(f"{name} {100 * scores.mean():.2f}%" for name, scores in pools.items())
    rows = [
        "## Honesty of the verdict",
        "",
        f"Scores recorded from real runs: digits, 64-64-10, 30 epochs; {len(adam)} seeds of adam,",
        f"{len(pools['adam'])} of each of six optimizers ({scores}), {adam.shape[1]} test examples.",
        f"Drawn from them: {repetitions} studies of {SEEDS} seeds a line, so that a rate of 95% is known to",
        f"±{196 * (0.95 * 0.05 / repetitions) ** 0.5:.1f} points.",
        f"Standard deviation of adam's seeds: {100 * deviation:.2f} points. `python bench/honesty.py`",
        "",
        "| drawn | seed interval | crossed interval | crossed bootstrap | target |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {' | '.join(line.cells())} |" for line in lines),
        "",
        f"One of {NAMES} names shifted, the same test set: how often one of its pairs is claimed.",
        "",
        "| shift, in standard deviations of the seeds | in points | seed interval | crossed interval |",
        "| --- | --- | --- | --- |",
        *(
            f"| {shift:g} | {100 * shift * deviation:.2f} | {100 * seeds:.1f}% | {100 * crossed:.1f}% |"
            for shift, (seeds, crossed) in powers.items()
        ),
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
