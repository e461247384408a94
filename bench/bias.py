"""What norms and dropout do: how much sooner, how sparse, how likely, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import Tensor, nn, set_num_threads
from torch.nn import functional as F

import bias_speed
import thalweg as tw
from clock import met, table
from thalweg import dropout, norm, prune
from thalweg.inspect._picture import save
from thalweg.task import Split
from thalweg.train import Member, Result, train
from thalweg.train.made import model_of

HERE = Path(__file__).parent


def section() -> str:
    set_num_threads(1)
    parts = [f"### {title}\n\n{measure()}" for title, measure in PARTS.items()]
    return "\n\n".join(["## Inductive biases", *parts])


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a fully connected network."""
    parts: list[nn.Module] = []
    for a, b in pairwise(sizes):
        parts += [nn.Linear(a, b), activation()]
    return nn.Sequential(*parts[:-1])


def digits(model: Callable[[], nn.Module]) -> tw.Task:
    data = load_digits(return_X_y=True)
    return tw.Task(model=model, data=data, loss=F.cross_entropy, metric=tw.accuracy, standardize=True, name="digits")


# -- batch norm: how much sooner --------------------------------------------------------------------------

SOONER = 2.0
RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
TUNING, SEEDS, EPOCHS = 3, 10, 30
NETS: dict[str, tuple[tuple[int, ...], type[nn.Module]]] = {
    "64-64-10, ReLU": ((64, 64, 10), nn.ReLU),
    "64-100-100-100-10, ReLU": ((64, 100, 100, 100, 10), nn.ReLU),
    "64-100-100-100-10, sigmoid": ((64, 100, 100, 100, 10), nn.Sigmoid),
}
"""The task's own network, a deeper one, and the one of Ioffe & Szegedy 2015, section 4.1."""

WAYS = {"plain": None, "batch norm": norm.batch()}
SOONER_PICTURE = HERE / "sooner.svg"


@dataclass(frozen=True)
class Course:
    """Validation accuracy over epochs, shape ``(seeds, epochs + 1)``, at the learning rate that was chosen."""

    rate: float
    valid: np.ndarray


def sooner() -> str:
    courses = {name: {way: _course(name, way) for way in WAYS} for name in NETS}
    steps = len(range(0, len(digits(lambda: mlp((64, 10))).train), 64))
    _draw_sooner(courses, steps)
    rows = []
    for name, both in courses.items():
        plain, normed = (both[way].valid.mean(0) for way in WAYS)
        ours, theirs = _reached(normed, plain[-1]), _reached(plain, plain[-1])
        own = [_sooner(p, n) for p, n in zip(*(both[way].valid for way in WAYS), strict=True)]
        ratio = _sooner(plain, normed)
        rows.append([
            name, *(f"{both[way].rate:g}" for way in WAYS), f"{plain[-1]:.2%}", f"{normed[-1]:.2%}",
            str(steps * (theirs or 0)), "never" if ours is None else str(steps * ours), f"{ratio:.1f}",
            f"{np.median(own):.1f}", f"≥ {SOONER:g}", met(ratio >= SOONER),
        ])  # fmt: skip
    head = [
        "network", "rate, plain", "rate, batch norm", "plain ends at", "batch norm ends at", "plain there at step",
        "batch norm there at step", "sooner by", "median of the seeds' own", "target", "",
    ]  # fmt: skip
    return f"""SGD, {EPOCHS} epochs of {steps} steps, validation accuracy after each, means of {SEEDS} seeds. Each way
has the rate of {", ".join(f"{rate:g}" for rate in RATES)} with which it ends best, on {TUNING} seeds of their own.
The step is the first at which the mean is as high as that of plain training at its end; plain training is held to
the same.

{table(head, rows)}

![Validation accuracy over the steps]({SOONER_PICTURE.name})

With one hidden layer there is little to accelerate: both ways are at their plateau within 100 steps, and the step at
which a mean of ten seeds crosses it is luck. With three, batch norm learns where plain training at its best rate is
slow, most with sigmoids."""


def _course(name: str, way: str) -> Course:
    sizes, activation = NETS[name]
    task = digits(lambda: mlp(sizes, activation))
    seeds = range(1000, 1000 + TUNING)
    tried = _valid(task, [(rate, seed) for rate in RATES for seed in seeds], way).reshape(len(RATES), TUNING, -1)
    ends = np.nan_to_num(tried[:, :, -1]).mean(1)
    rate = RATES[int(ends.argmax())]
    return Course(rate, _valid(task, [(rate, seed) for seed in range(SEEDS)], way))


def _valid(task: tw.Task, runs: Sequence[tuple[float, int]], way: str) -> np.ndarray:
    members = [
        Member(tw.Recipe(tw.optim.sgd(lr=rate), epochs=EPOCHS, norm=WAYS[way]).resolved(), seed)
        for rate, seed in runs
    ]
    found = [result.curve.valid for result in train(task, members, "vmapped")]
    return np.stack([np.pad(v, (0, EPOCHS + 1 - len(v)), constant_values=0.0) for v in found])  # what diverged ends


def _sooner(plain: np.ndarray, normed: np.ndarray) -> float:
    """Return how many times sooner one course is where the other ends than that one itself; 0 if it never is."""
    own, other = _reached(plain, plain[-1]), _reached(normed, plain[-1])
    return 0.0 if own is None or other is None else own / other


def _reached(valid: np.ndarray, height: float) -> int | None:
    """Return the first epoch at whose end a course is so high, from 1."""
    there = np.flatnonzero(valid[1:] >= height)
    return int(there[0]) + 1 if len(there) else None


def _draw_sooner(courses: dict[str, dict[str, Course]], steps: int) -> None:
    panels = []
    for name, both in courses.items():
        end = float(both["plain"].valid[:, -1].mean())
        rows = []
        for way, course in both.items():
            low, high = np.quantile(course.valid, [0.1, 0.9], axis=0)
            rows += [
                {"way": way, "step": steps * i, "mean": mean, "low": low[i], "high": high[i]}
                for i, mean in enumerate(course.valid.mean(0))
            ]
        base = alt.Chart(alt.InlineData(values=rows)).encode(
            x=alt.X("step:Q", title="step"),
            color=alt.Color("way:N", title=None, sort=list(WAYS), scale=alt.Scale(range=["#8a8f98", "#2b6cb0"])),
        )
        scale = alt.Scale(domain=[1 - 4 * (1 - end), 1], nice=False)
        mean, low = (
            alt.Y(f"{what}:Q", title="validation accuracy", axis=alt.Axis(format=".0%", tickCount=5), scale=scale)
            for what in ("mean", "low")
        )
        band = base.mark_area(opacity=0.2, clip=True).encode(y=low, y2="high:Q")
        line = base.mark_line(clip=True).encode(y=mean)
        rule = alt.Chart(alt.InlineData(values=[{"end": end}])).mark_rule(strokeDash=[3, 3], color="#8a8f98")
        chart = alt.layer(band, line, rule.encode(y="end:Q"), title=name)
        panels.append(chart.properties(width=230, height=200))
    save(alt.hconcat(*panels).properties(background="white"), SOONER_PICTURE)


# -- sparse variational dropout ---------------------------------------------------------------------------

GONE, LOST = 0.95, 1.5
WEIGHTS = {(64, 300, 100, 10): (0.03, 0.1, 0.3), (64, 64, 10): (0.2, 0.4, 0.8)}
SPARSE_SEEDS, SPARSE_EPOCHS = 5, {(64, 300, 100, 10): 100, (64, 64, 10): 400}
RETRAINED = 50
"""Epochs for which the weights that are left are trained on, the others held at 0 (Han et al. 2015)."""
BEGINS, WHOLE = 0.1, 0.4
SPARSE_PICTURE = HERE / "sparse.svg"


def sparse() -> str:
    rows, points = [], []
    for sizes, weights in WEIGHTS.items():
        name, recipe = "-".join(map(str, sizes)), _annealed(sizes, more=RETRAINED)
        members = [Member(recipe, seed) for seed in range(SPARSE_SEEDS)]
        plain = np.mean([result.test for result in train(digits(lambda s=sizes: mlp(s)), members, "vmapped")])
        rows.append([name, "plain", "", "", f"{plain:.2%}", "", "", ""])
        good = False
        for weight, (gone, before, accuracy) in _sparse(sizes, weights).items():
            lost = 100 * float(plain - accuracy)
            points.append({"network": name, "weight": weight, "gone": gone, "lost": lost})
            good = good or (gone >= GONE and lost <= LOST)
            shares = (f"{share:.2%}" for share in (gone, before, accuracy))
            rows.append([name, f"{weight:g}", *shares, f"{lost:.2f}", "", ""])
        rows[-1][6:] = [f"≥ {GONE:.0%} gone for ≤ {LOST:g} points, at some weight", met(good)]
    _draw_sparse(points)
    lengths = " and ".join(f"{epochs} epochs for {'-'.join(map(str, s))}" for s, epochs in SPARSE_EPOCHS.items())
    head = ["network", "weight of KL", "weights gone", "as pruned", "retrained", "points lost", "target", ""]
    return f"""Adam with rate 0.001, in a line to 0; means of {SPARSE_SEEDS} seeds, {lengths}. Then
what is left is trained on in the same way for {RETRAINED} epochs without noise, what is gone held at 0; the plain
network beside it has all these epochs in one.
The weight of the divergence is 0 in the first {BEGINS:.0%} of the steps and whole after {WHOLE:.0%}; log σ² starts
at −10, weights with log α ≥ 3 are gone, and no layer is left out.

{table(head, rows)}

![Points of accuracy lost over the share of weights gone]({SPARSE_PICTURE.name})

The smaller network has a tenth of the weights, and fewer to spare. One test example is
{100 / len(digits(nn.Identity).test):.2f} points of one seed's accuracy."""


def _sparse(sizes: Sequence[int], weights: Sequence[float]) -> dict[float, tuple[float, float, float]]:
    """Return by the weight of the divergence the share of weights gone, and accuracy as pruned, and retrained.

    All train in one population, and retrain one by one.
    """
    task = digits(lambda: mlp(sizes))
    members = [Member(_annealed(sizes, weight), seed) for weight in weights for seed in range(SPARSE_SEEDS)]
    found: dict[float, list[tuple[float, float, float]]] = {weight: [] for weight in weights}
    for member, result in zip(members, train(task, members, "vmapped", keep_weights=True), strict=True):
        plain = dropout.pruned(_model(task, member.recipe, member.seed, result))
        masks = {name: p != 0 for name, p in plain.named_parameters() if p.dim() > 1}
        gone = 1 - sum(int(x.sum()) for x in masks.values()) / sum(x.numel() for x in masks.values())
        before = _right(plain, task)
        _retrain(plain, masks, task, member)
        found[dict(member.recipe.dropout)["weight"]].append((gone, before, _right(plain, task)))
    return {weight: tuple(np.mean(each, axis=0).tolist()) for weight, each in found.items()}


def _right(model: nn.Module, task: tw.Task) -> float:
    with torch.no_grad():
        return (model(task.test.inputs).argmax(1) == task.test.targets).double().mean().item()


def _retrain(model: nn.Module, masks: dict[str, Tensor], task: tw.Task, member: Member) -> None:
    """Train what a mask leaves, in batches of the recipe's size and in orders of the member's seed."""
    inputs, targets = task.train.inputs, task.train.targets
    batches = math.ceil(len(inputs) / member.recipe.batch_size)
    optimizer = tw.optim.Adam(model.parameters(), lr=1e-3)
    schedule = tw.schedule.Scheduler(optimizer, tw.schedule.linear(RETRAINED * batches))
    orders = torch.Generator().manual_seed(member.seed)
    with prune.held(model, masks):
        for _ in range(RETRAINED):
            for some in torch.randperm(len(inputs), generator=orders).chunk(batches):
                optimizer.zero_grad()
                F.cross_entropy(model(inputs[some]), targets[some]).backward()
                optimizer.step()
                schedule.step()


def _annealed(sizes: Sequence[int], weight: float | None = None, more: int = 0) -> tw.Recipe:
    epochs, variational = SPARSE_EPOCHS[tuple(sizes)] + more, None
    if weight is not None:
        variational = dropout.sparse_variational(weight=weight, start=BEGINS * epochs, end=WHOLE * epochs)
    return tw.Recipe(tw.optim.adam(lr=1e-3), tw.schedule.linear(), epochs=epochs, dropout=variational).resolved()


def _draw_sparse(points: Sequence[dict[str, Any]]) -> None:
    base = alt.Chart(alt.InlineData(values=list(points))).encode(
        x=alt.X("gone:Q", title="weights gone", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False)),
        y=alt.Y("lost:Q", title="points of test accuracy lost", scale=alt.Scale(zero=False)),
        color=alt.Color("network:N", title=None, sort=None),
    )
    line = base.mark_line(point=True).encode(order="weight:Q")
    text = base.mark_text(dy=-9, fontSize=9).encode(text=alt.Text("weight:Q"))
    wanted = alt.InlineData(values=[{"gone": GONE, "to": 1.0, "lost": LOST, "down": 0.0}])
    area = alt.Chart(wanted).mark_rect(opacity=0.12, color="#2f855a")
    area = area.encode(x="gone:Q", x2="to:Q", y="lost:Q", y2="down:Q")
    save(alt.layer(area, line, text).properties(width=420, height=240, background="white"), SPARSE_PICTURE)


# -- MC dropout -------------------------------------------------------------------------------------------

SPLITS, SAMPLES = 10, 100
DROPPED, LENGTHS = (0.0, 0.1, 0.2, 0.4), (10, 20, 40, 80)
PRECISIONS = np.geomspace(0.5, 4.0, 10)


def sampled() -> str:
    rows = []
    for name, task in (("breast_cancer", _cancer), ("diabetes", _diabetes)):
        found = [_likelihoods(task(split), split) for split in range(SPLITS)]
        for how in found[0]:
            for other in ("a network without dropout", "its own single pass"):
                pairs = np.array([(one[how][other], one[how]["MC dropout"]) for one in found])
                each = pairs[:, 1] - pairs[:, 0]
                half = stats.t.ppf(0.975, SPLITS - 1) * each.std(ddof=1) / SPLITS**0.5
                goal = ["better", met(each.mean() > half)] if other == "a network without dropout" else ["", ""]
                rows.append([
                    name, how, other, *(f"{mean:.4f}" for mean in pairs.mean(0)), f"{each.mean():+.4f} ± {half:.4f}",
                    f"{(each > 0).sum()} of {SPLITS}", *goal,
                ])  # fmt: skip
    head = ["data", "trained", "beside", "its", "MC dropout's", "difference, 95%", "better on", "target", ""]
    return f"""Predictive log-likelihood of a test example in nats, by the mean density of {SAMPLES} passes
(`dropout.predict`), means of {SPLITS} splits; the MLP of the task, 32-32, Adam with its defaults, batches of 32. The
precision of quantities, and MC dropout's rate of {", ".join(map(str, DROPPED[1:]))}, are chosen by the likelihood of
the validation split; in the rows that say so, either way chooses by it how many epochs of
{", ".join(map(str, LENGTHS))} it trains, too. All of a split train in one population, from the same initial weights.

{table(head, rows)}"""


def _cancer(split: int) -> tw.Task:
    return tw.Task(
        model=lambda: mlp((30, 32, 32, 2)), data=load_breast_cancer(return_X_y=True), loss=F.cross_entropy,
        metric=tw.accuracy, standardize=True, seed=split, name="breast_cancer",
    )  # fmt: skip


def _diabetes(split: int) -> tw.Task:
    inputs, targets = load_diabetes(return_X_y=True)
    rows = tw.split(len(targets), (0.6, 0.2, 0.2), seed=split)
    targets = ((targets - targets[rows[0]].mean()) / targets[rows[0]].std())[:, None]
    parts = dict(zip(("train", "valid", "test"), ((inputs[r], targets[r]) for r in rows), strict=True))
    return tw.Task(
        model=lambda: mlp((10, 32, 32, 1)), loss=F.mse_loss, metric=tw.squared_error, standardize=True,
        name="diabetes", **parts,
    )  # fmt: skip


def _likelihoods(task: tw.Task, split: int) -> dict[str, dict[str, float]]:
    """Return mean test log-likelihoods: of those trained to the end, and where each way chooses its epochs."""
    recipes = [
        tw.Recipe(tw.optim.adam(), epochs=epochs, batch_size=32, dropout=dropout.mc(p)).resolved()
        for p in DROPPED
        for epochs in LENGTHS
    ]
    found = train(task, [Member(recipe, split) for recipe in recipes], "vmapped", keep_weights=True)
    models = [_model(task, recipe, split, result) for recipe, result in zip(recipes, found, strict=True)]
    plain, thinned = models[: len(LENGTHS)], models[len(LENGTHS) :]
    last = len(LENGTHS) - 1
    return {
        f"{LENGTHS[-1]} epochs": _beside(task, plain[last:], thinned[last :: len(LENGTHS)]),
        "as long as it chooses": _beside(task, plain, thinned),
    }


def _beside(task: tw.Task, plain: Sequence[nn.Module], thinned: Sequence[nn.Module]) -> dict[str, float]:
    """Return the mean test log-likelihoods of those that are best on the validation split."""
    (one, *of_one), (several, *of_several) = _best(task, plain, _single), _best(task, thinned, _several)
    _, *of_its_own = _best(task, [several], _single)
    return {
        "a network without dropout": _single(one, task.test, *of_one),
        "its own single pass": _single(several, task.test, *of_its_own),
        "MC dropout": _several(several, task.test, *of_several),
    }


def _model(task: tw.Task, recipe: tw.Recipe, seed: int, result: Result) -> nn.Module:
    model = model_of(task, recipe, seed)
    assert result.weights is not None
    model.load_state_dict(result.weights)
    return model.eval()


Likelihood = Callable[..., float]
"""From a model, a split and, for quantities, a precision to the mean log-likelihood of its targets."""


def _best(task: tw.Task, models: Sequence[nn.Module], likelihood: Likelihood) -> tuple[Any, ...]:
    """Return the model, and the precision of quantities, under which the validation split is likeliest."""
    precisions = [(float(p),) for p in PRECISIONS] if task.valid.targets.is_floating_point() else [()]
    tried = [(model, *precision) for model in models for precision in precisions]
    return max(tried, key=lambda one: likelihood(one[0], task.valid, *one[1:]))


@torch.no_grad()
def _single(model: nn.Module, part: Split, precision: float | None = None) -> float:
    y: Tensor = model(part.inputs).double()
    if precision is None:
        return -float(F.cross_entropy(y, part.targets))
    error = float(((y - part.targets) ** 2).mean())
    return 0.5 * (math.log(precision) - math.log(2 * math.pi) - precision * error)


def _several(model: nn.Module, part: Split, precision: float | None = None) -> float:
    found = dropout.predict(model, part.inputs, SAMPLES, targets=part.targets, precision=precision, batch_size=4096)
    assert found.log_likelihood is not None
    return float(found.log_likelihood.mean())


# -- all of them ------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], str]] = {
    "What norms and dropout cost": bias_speed.text,
    "How much sooner with batch norm": sooner,
    "Sparse variational dropout": sparse,
    "MC dropout": sampled,
}
"""What is measured, by title."""
