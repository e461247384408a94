"""Nesterov's momentum on the slide and in PyTorch: two forms, one trajectory.

The slide looks ahead:                  v ← ρv − α∇f(x + ρv);   x ← x + v.
PyTorch takes the gradient where it is: u ← ρu + ∇f(y);         y ← y − α(∇f(y) + ρu).

They are one method with y = x + ρv and v = −αu: PyTorch's weights *are* the point that the slide looks ahead to. So
the weights that one prints differ while training moves, and agree when it comes to rest.

Source: Nesterov 1983; Sutskever, Martens, Dahl & Hinton 2013, section 2; Bengio, Boulanger-Lewandowski & Pascanu
2013.

What to see: on a softmax regression of handwritten digits, |y − (x + ρv)| stays at the rounding of float64 while |y −
x| is 0.03 at its largest; in nesterov_two_forms.svg the paths through a ravine, where the crosses of x + ρv lie on y.
"""

import argparse
from pathlib import Path

import altair as alt
import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw


def both(gradient, start, steps, lr, rho):
    """Return the trajectories x and x + ρv of the slide's form, and y of the optimizer's; each (steps + 1, …)."""
    x, v = start.clone(), torch.zeros_like(start)
    y = nn.Parameter(start.clone())
    optimizer = tw.optim.SGD([y], lr=lr, momentum=rho, nesterov=True)
    path = [(x, x + rho * v, y.detach().clone())]
    for _ in range(steps):
        v = rho * v - lr * gradient(x + rho * v)
        x = x + v
        y.grad = gradient(y.detach())
        optimizer.step()
        path.append((x, x + rho * v, y.detach().clone()))
    return [torch.stack(points) for points in zip(*path, strict=True)]


def digits():
    """Return the gradient of a softmax regression as a function of its weights, (64, 10)."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x) / 16, nn.functional.one_hot(torch.tensor(y)).double()
    return lambda w: x.T @ (torch.softmax(x @ w, 1) - y) / len(x) + 1e-2 * w


def main(out="."):
    x, ahead, y = both(digits(), torch.zeros(64, 10, dtype=torch.float64), steps=500, lr=0.1, rho=0.9)
    apart = (y - x).abs().amax(dim=(1, 2))
    found = {
        "after the change of variables": (y - ahead).abs().max().item(),
        "as they stand": apart.max().item(),
        "as they stand, at the end": apart[-1].item(),
    }

    ravine = torch.tensor([0.3, 4.0], dtype=torch.float64)
    paths = both(lambda w: ravine * w, torch.tensor([-4.0, 1.5], dtype=torch.float64), steps=25, lr=0.12, rho=0.85)
    rows = [
        {"path": name, "step": t, "first": point[0].item(), "second": point[1].item()}
        for name, path in zip(("x", "x + ρv", "y"), paths, strict=True)
        for t, point in enumerate(path)
    ]
    place = alt.Chart(alt.Data(values=rows)).encode(
        x="first:Q", y="second:Q", order="step:O", color=alt.Color("path:N", sort=["x", "y", "x + ρv"])
    )  # fmt: skip
    lines = place.transform_filter("datum.path != 'x + ρv'").mark_line(point=True)
    crosses = place.transform_filter("datum.path == 'x + ρv'").mark_point(shape="cross", size=90, angle=45)
    (lines + crosses).properties(width=480, height=280).save(Path(out) / "nesterov_two_forms.svg")

    for name, value in found.items():
        print(f"largest difference {name}: {value:.1e}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the picture")
    main(parser.parse_args().out)
