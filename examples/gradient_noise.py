"""The noise of a minibatch's gradient falls as one over the batch size.

A minibatch's gradient is the mean of B gradients of single examples. Its squared distance from the full gradient is
tr Σ / B when examples are drawn independently, with Σ the covariance of the single examples' gradients. Drawn without
replacement, as an epoch draws them, it is (N − B) / (N − 1) of that, and 0 when the batch is the training set.

Source: Bottou, Curtis & Nocedal 2018, Optimization Methods for Large-Scale Machine Learning, section 4; the batch
size at which noise and gradient are as large, tr Σ / |g|²: McCandlish, Kaplan & Amodei 2018 (arXiv 1812.06162).

What to see: for a network on handwritten digits, a slope of −1 in gradient_noise.svg, with both axes logarithmic.
"""

import argparse
from math import log
from pathlib import Path

import altair as alt
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call, grad, vmap

import thalweg as tw

SIZES, DRAWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024), 100


def gradients():
    """Return the gradient of every example after 30 steps of SGD, shape (examples, weights)."""
    torch.manual_seed(0)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = tw.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    def loss(weights, one, target):
        return nn.functional.cross_entropy(functional_call(model, weights, (one[None],)), target[None])

    weights = {name: p.detach() for name, p in model.named_parameters()}
    each = vmap(grad(loss), in_dims=(None, 0, 0))(weights, x, y)
    return torch.cat([g.flatten(1) for g in each.values()], dim=1)


def main(out="."):
    each = gradients()
    n = len(each)
    full = each.mean(0)
    trace = (each - full).square().sum().item() / n
    noise = {"independent": [], "an epoch's": []}
    for size in SIZES:
        key = tw.Key(0) / "draw" / size
        for way, rows in noise.items():
            shares = torch.zeros(DRAWS, n)  # one row a minibatch: the share that each example has in it
            for i in range(DRAWS):
                generator = (key / way / i).generator()
                chosen = generator.integers(n, size=size) if way == "independent" else generator.permutation(n)[:size]
                shares[i] = torch.bincount(torch.from_numpy(chosen), minlength=n) / size
            rows.append((shares @ each - full).square().sum(1).mean().item())
    predicted = {
        "independent": [trace / size for size in SIZES],
        "an epoch's": [trace / size * (n - size) / (n - 1) for size in SIZES],
    }

    rows = [
        {"batch size": size, "batches": way, "noise": value}
        for way, values in noise.items()
        for size, value in zip(SIZES, values, strict=True)
    ]
    x = alt.X("batch size:Q", scale=alt.Scale(type="log", base=2))
    y = alt.Y("noise:Q", title="squared distance from the full gradient", scale=alt.Scale(type="log"))
    chart = alt.Chart(alt.Data(values=rows)).mark_line(point=True).encode(x=x, y=y, color="batches:N")
    chart.properties(width=400, height=280).save(Path(out) / "gradient_noise.svg")

    independent = noise["independent"]
    slope = log(independent[-1] / independent[0]) / log(SIZES[-1] / SIZES[0])
    balance = trace / full.square().sum().item()
    print("batch size " + "".join(f"{size:>9}" for size in SIZES))
    for way, values in noise.items():
        print(f"{way:11}" + "".join(f"{value:>9.4f}" for value in values))
    print(f"on log-log axes, slope {slope:+.3f}; noise and gradient are as large at a batch of {balance:.0f}")
    return {"noise": noise, "predicted": predicted, "slope": slope, "balance": balance}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the picture")
    main(parser.parse_args().out)
