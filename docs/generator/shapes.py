"""Charts of what shapes a model: activations, norms, initialisations, dropout, penalties, losses, pruning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np
import torch
from torch import nn

from generator.look import MAIN, SECOND, bars, chart, curve, heat
from thalweg import init, loss, penalty
from thalweg.activation import ActivationTechnique
from thalweg.dropout import DropoutTechnique
from thalweg.init import InitTechnique
from thalweg.key import Key
from thalweg.loss import LossTechnique
from thalweg.norm import NormTechnique
from thalweg.penalty import PenaltyTechnique
from thalweg.prune import PruneTechnique
from thalweg.technique import Technique

__all__ = ["CHARTS"]


def _activation(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, ActivationTechnique)
    x = torch.linspace(-5, 5, 201, dtype=torch.float64, requires_grad=True)
    y = technique().module()(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    at = x.detach().numpy()
    made = curve({technique.name: (at, y.detach().numpy()), "slope": (at, slope.numpy())}, "x", "y", domain=(-1.5, 3))
    return made, "The activation and its slope."


def _norm(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, NormTechnique)
    draw = np.random.default_rng(0)
    examples, features, places = 4, 4, 32
    middle = draw.normal(size=(examples, 1)) * 1.5 + draw.normal(size=(1, features)) * 1.5
    spread = 0.4 + 1.2 * draw.random((examples, features))
    x = torch.tensor(middle[..., None] + spread[..., None] * draw.normal(size=(examples, features, places)))
    ingredient = technique(groups=2) if technique.name == "group" else technique()
    y = ingredient.module(features, dims=1).double().train()(x).detach()
    charts = []
    for title, values in (("before", x), ("after", y)):
        mean, deviation = values.mean(-1), values.std(-1)
        columns: dict[str, list[Any]] = {"example": [], "feature": [], "mean": [], "low": [], "high": []}
        for e in range(examples):
            for f in range(features):
                m, d = float(mean[e, f]), float(deviation[e, f])
                for name, value in zip(columns, (e + 1, f"feature {f + 1}", m, m - d, m + d), strict=True):
                    columns[name].append(value)
        base = chart(columns).encode(
            x=alt.X("example:O", title="example", axis=alt.Axis(labelAngle=0)),
            color=alt.Color(
                "feature:N", legend=alt.Legend(), scale=alt.Scale(range=[MAIN, SECOND, "#3d9a6a", "#a05bb5"])
            ),
            xOffset="feature:N",
        )
        charts.append(
            alt.layer(
                base.mark_rule(strokeWidth=3).encode(
                    y=alt.Y("low:Q", title="mean ± deviation", scale=alt.Scale(domain=[-4.5, 4.5])), y2="high:Q"
                ),
                base.mark_circle(size=36).encode(y="mean:Q"),
            ).properties(width=210, height=190, title=title)
        )
    word = ", in two groups" if technique.name == "group" else ""
    return alt.hconcat(*charts), f"Four features of four examples over their places, before and after{word}."


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _weights(technique: InitTechnique) -> torch.Tensor:
    """Return a weight as a model gets it, as a matrix."""
    if technique.name == "fixup":

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.branch = nn.Sequential(nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 96))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out: torch.Tensor = x + self.branch(x)
                return out

        blocks = nn.Sequential(*[Block() for _ in range(4)], nn.Linear(96, 2))
        init.fixup().apply(blocks, 0)
        return blocks.get_parameter("0.branch.0.weight").detach()
    if technique.name == "dirac":
        return technique().draw((96, 96, 3), 0).flatten(1)
    model = nn.Sequential(nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 96))
    given = {"batch": _normal(256, 96)} if technique.name == "lsuv" else {}
    technique().apply(model, 0, **given)
    return model.get_parameter("0.weight").detach()


def _init(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, InitTechnique)
    w = _weights(technique)
    edge = max(float(w.abs().max()), 1e-9)
    counts, edges = np.histogram(w.numpy(), bins=41, range=(-edge, edge))
    made = bars(counts, edges, "weight", "share of the weights").properties(width=230, height=216)
    shown = w[:24, :24].tolist()
    cells = heat(shown, "24 outputs by 24 inputs", low=-edge, high=edge, cell=9, diverging=True)
    return alt.hconcat(made, cells), "The weights of a layer of 96 inputs and 96 outputs in front of a ReLU."


def _dropout(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, DropoutTechnique)
    rows, columns, rate = 8, 24, 0.3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        if technique.diverges:
            return _distribution(technique)
        if technique.name == "embedding":
            table = nn.Embedding(6, 1)
            table.weight.data.fill_(1.0)
            words = torch.randint(6, (rows, columns))
            seen = technique(p=rate).module(table)(words)[..., 0].detach()
            what = "Words of 8 sequences, a row each, of a vocabulary of six"
        elif technique.name == "rnn":
            seen = technique(p=rate).module()(torch.ones(3, columns, rows))[1].T
            what = "8 features of a sequence, a row each, over its time steps"
        elif technique.name == "spatial":
            seen = technique(p=rate).module()(torch.ones(3, rows, columns))[0]
            what = "8 channels of an example, a row each, at their places"
        else:
            seen = technique(p=rate).module()(torch.ones(rows, columns))
            what = "24 units of 8 examples, a row each"
    return heat(seen.tolist(), f"factors at a rate of {rate}", low=0.0, high=2.0, cell=16), (
        f"{what}: white has left, and the darker, the larger the factor."
    )


def _distribution(technique: DropoutTechnique) -> tuple[Any, str]:
    layer = nn.Linear(64, 1, bias=False)
    init.he_normal().apply(layer, 3)
    x = _normal(1, 64)
    plain = layer(x).item()
    made = technique().module(layer).train()
    values = made(x.expand(20000, -1)).detach().flatten().numpy()
    counts, edges = np.histogram(values, bins=60)
    drawn = bars(counts, edges, "what the unit puts out", "share of the draws")
    rule = chart({"x": [plain]}).mark_rule(color=SECOND, strokeWidth=2).encode(x="x:Q")
    return alt.layer(drawn, rule).properties(width=420, height=190), (
        "What one unit puts out for the same input, drawn 20000 times as training begins; the line is its value "
        "without noise."
    )


def _penalty(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, PenaltyTechnique)
    if technique.place != "loss":
        lengths = np.linspace(0, 6, 61)
        after = []
        for length in lengths:
            layer = nn.Linear(2, 1, bias=False)
            layer.weight.data = torch.tensor([[0.6, 0.8]]) * float(length)
            penalty.max_norm(3.0).apply(layer)
            after.append(layer.weight.norm().item())
        return curve({technique.name: (lengths, after)}, "length before", "length after"), (
            "The length of a unit's weights before and after, at a limit of 3."
        )
    w = torch.linspace(-2, 2, 161, dtype=torch.float64)
    values, pulls = [], []
    for number in w:
        layer = nn.Linear(1, 1, bias=False).double()
        layer.weight.data.fill_(float(number))
        value = technique(strength=1.0).of(layer)
        value.backward()
        values.append(value.item())
        pulls.append(float(layer.weight.grad))  # type: ignore[arg-type]
    made = curve({"penalty": (w, values), "its slope": (w, pulls)}, "weight", "penalty", domain=(-4.5, 6))
    return made, "The penalty of one weight, and the slope by which it pulls, at a strength of 1."


def _loss(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, LossTechnique)
    x = np.linspace(-4, 4, 161)
    if technique.name in ("cross_entropy", "hinge"):
        target = torch.tensor([0])
        lines = {technique.name: technique()}
        if technique.name == "cross_entropy":
            lines["with a smoothing of 0.1"] = technique(smoothing=0.1)
        else:
            lines["cross_entropy"] = loss.cross_entropy()
        made = {
            name: (x, [float(one(torch.tensor([[m, 0.0]], dtype=torch.float64), target)) for m in x])
            for name, one in lines.items()
        }
        return curve(
            made, "score of the right class less that of the wrong one", "loss"
        ), "The loss with two classes."
    if technique.name == "trimmed":
        batch = np.linspace(-1, 1, 9)
        lines = {"trimmed": loss.trimmed(share=0.1), "squared_error": loss.squared_error()}
        many = {
            name: (x, [float(one(torch.tensor([*batch, e]), torch.zeros(10, dtype=torch.float64))) for e in x])
            for name, one in lines.items()
        }
        return curve(many, "error of the tenth example", "loss of the batch"), (
            "The loss of ten examples, nine of which stay as they are, with a tenth of them left out."
        )
    zero = torch.zeros(1, dtype=torch.float64)
    lines = {technique.name: technique(), "squared_error": loss.squared_error()}
    made = {name: (x, [float(one(torch.tensor([e]), zero)) for e in x]) for name, one in lines.items()}
    return curve(made, "error", "loss", domain=(0, 8)), "The loss of one example."


def _prune(technique: Technique) -> tuple[Any, str]:
    assert isinstance(technique, PruneTechnique)
    model = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4))
    init.he_normal().apply(model, 0)
    x = _normal(128, 32)
    x = x * torch.linspace(0.1, 2.0, 32)
    y = x[:, -4:].argmax(1)
    given: dict[str, Any] = {
        "snip": {"batch": (x, y), "loss": nn.functional.cross_entropy}, "synflow": {"batch": x},
        "random": {"key": Key(2)}, "unit_magnitude": {"batch": x},
    }.get(technique.name, {})  # fmt: skip
    masks = technique().masks(model, keep=0.3, **given)
    w = model.get_parameter("0.weight").detach()
    edge = float(w.abs().max())
    both = [
        heat(values.tolist(), title, low=-edge, high=edge, cell=8, diverging=True)
        for title, values in (("weights", w), ("what stays", w * masks["0.weight"]))
    ]
    more = " Inputs on the right are larger, and the last four decide." if technique.name == "snip" else ""
    return alt.hconcat(*both), f"A layer's 16 outputs by 32 inputs, of a model of which 30% is kept.{more}"


CHARTS: dict[str, Callable[[Technique], tuple[Any, str]]] = {
    "activation": _activation, "norm": _norm, "init": _init, "dropout": _dropout, "penalty": _penalty, "loss": _loss,
    "prune": _prune,
}  # fmt: skip
"""From a technique of a kind to its chart and what it shows."""
