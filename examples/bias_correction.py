"""What Adam's bias correction does: without it, the first steps are several times too long.

Both of Adam's means start at 0. After t steps the mean of gradients holds only 1 − β1^t of its weight, and the mean
of squares only 1 − β2^t. Dividing by these corrects both, so on the same gradients

    corrected step / uncorrected step = √(1 − β2^t) / (1 − β1^t).

With β = (0.9, 0.999) the uncorrected first step is 3.2 times as long as the corrected one, the twelfth 6.6 times;
after some thousand steps they are alike. (Many believe the correction to make the first steps longer: it does for the
mean of gradients, and the other one outweighs it.)

Source: Kingma & Ba 2015, Adam, section 3.

What to see: the measured ratio is the predicted one at each of the first 50 steps of a network on handwritten digits;
bias_correction.svg shows how long the steps are.
"""

import argparse
from pathlib import Path

import altair as alt
import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw

STEPS, RATE, BETAS = 50, 1e-3, (0.9, 0.999)


def gradients():
    """Yield the gradients of a network that Adam trains, one flat vector a step."""
    torch.manual_seed(0)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x) / 16, torch.tensor(y)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).double()
    optimizer = tw.optim.Adam(model.parameters(), lr=RATE, betas=BETAS)
    for step in range(STEPS):
        batch = (tw.Key(0) / "batch" / step).permutation(len(x))[:64]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        yield torch.cat([p.grad.flatten() for p in model.parameters()])
        optimizer.step()


def main(out="."):
    lengths = {"adam": [], "adam_uncorrected": []}
    classes = {"adam": tw.optim.Adam, "adam_uncorrected": tw.optim.AdamUncorrected}
    seen = list(gradients())  # the same for both
    for name, kind in classes.items():
        p = nn.Parameter(torch.zeros_like(seen[0]))
        optimizer = kind([p], lr=RATE, betas=BETAS, eps=1e-12)
        for g in seen:
            before, p.grad = p.detach().clone(), g
            optimizer.step()
            lengths[name].append(((p - before).square().mean().sqrt() / RATE).item())

    measured = [a / b for a, b in zip(lengths["adam"], lengths["adam_uncorrected"], strict=True)]
    predicted = [(1 - BETAS[1] ** t) ** 0.5 / (1 - BETAS[0] ** t) for t in range(1, STEPS + 1)]

    rows = [
        {"step": t, "optimizer": name, "length": length}
        for name, found in lengths.items()
        for t, length in enumerate(found, 1)
    ]
    y = alt.Y("length:Q", title="root mean square step / learning rate", scale=alt.Scale(type="log"))
    chart = alt.Chart(alt.Data(values=rows)).mark_line(point=True).encode(x="step:Q", y=y, color="optimizer:N")
    chart.properties(width=480, height=280).save(Path(out) / "bias_correction.svg")

    worst = max(range(STEPS), key=lambda i: 1 / measured[i])
    print("step   corrected / uncorrected: measured, predicted")
    for i in (0, 1, worst, STEPS - 1):
        print(f"{i + 1:4}   {measured[i]:.4f}  {predicted[i]:.4f}")
    first, most = 1 / measured[0], 1 / measured[worst]
    print(f"without correction, step 1 is {first:.1f} times as long, and step {worst + 1} {most:.1f} times")
    return {"measured": measured, "predicted": predicted}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the picture")
    main(parser.parse_args().out)
