"""Adam goes to the wrong end of a line; AMSGrad and Yogi go to the right one.

On F = [−1, 1], let the loss of step t be 1010·x if t mod 101 = 1, and −10·x otherwise. A cycle of 101 steps adds up
to 10·x, so the best point is x = −1. Adam divides each gradient by the root of a mean that forgets: the one large
gradient is divided by the largest root, and the hundred small ones that pull the other way by ever smaller roots. In
sum it walks to x = +1, which costs 20/101 ≈ 0.198 a step for ever. AMSGrad's denominator never shrinks and Yogi's
moves slowly; they walk to −1, and their average regret vanishes.

The second problem is the theorem's: 3·x if t mod 3 = 1, else −x, with β1 = 0 and β2 = 1 / (1 + 3²).

Source: Reddi, Kale & Kumar 2018, On the Convergence of Adam and Beyond (arXiv 1904.09237), section 5 and Theorem 1;
Yogi: Zaheer et al. 2018. Rates fall as α/√t and every step is projected onto F, as there.

What to see: the last positions, and in adam_counterexample.svg Adam's average regret staying above the line of
20/101.
"""

import argparse
from pathlib import Path

import altair as alt

from thalweg import optim

STEPS = 400_000
# Yogi's denominator settles near 1010, and the others' near 100: at ten times the rate its steps are as long.
RATES = {"adam": 1.0, "amsgrad": 1.0, "yogi": 10.0}


def play(technique, gradient, steps, rate, **hyperparameters):
    """Return the positions and the average regrets at 100 times, from x = 0."""
    formula, x, loss = technique.formula, 0.0, 0.0  # a formula takes plain numbers as it takes tensors
    state = [technique.start.get(name, 0.0) for name in technique.state]
    times, positions, regrets = [], [], []
    for t in range(1, steps + 1):
        g = gradient(t)
        loss += g * (x - -1.0)
        x, *state = formula(x, g, *state, t=t, lr=rate / t**0.5, **hyperparameters)
        x = min(1.0, max(-1.0, x))
        if t % (steps // 100) == 0:
            times.append(t)
            positions.append(x)
            regrets.append(loss / t)
    return times, positions, regrets


def main(out="."):
    ends, regret, rows = {}, {}, []
    for name, rate in RATES.items():
        times, positions, regrets = play(
            optim.CATALOGUE[name], lambda t: 1010.0 if t % 101 == 1 else -10.0, STEPS, rate, beta1=0.9, beta2=0.99
        )
        ends[name], regret[name] = positions[-1], regrets[-1]
        rows += [{"step": t, "optimizer": name, "average regret": r} for t, r in zip(times, regrets, strict=True)]
    theorem = {
        name: play(
            optim.CATALOGUE[name], lambda t: 3.0 if t % 3 == 1 else -1.0, 30_000, 0.5, beta1=0.0, beta2=0.1, eps=1e-12
        )[1][-1]
        for name in RATES
    }

    line = alt.Chart(alt.Data(values=[{"at": 20 / 101}])).encode(y=alt.Y("at:Q", title="average regret"))
    line = line.mark_rule(strokeDash=[4, 4]) + line.mark_text(
        align="left", x=4, dy=8, text="at x = +1 for ever: 20/101"
    )
    curves = alt.Chart(alt.Data(values=rows)).mark_line().encode(
        x="step:Q", y=alt.Y("average regret:Q", scale=alt.Scale(domain=[0, 1], clamp=True)), color="optimizer:N"
    )  # fmt: skip
    (curves + line).properties(width=480, height=280).save(Path(out) / "adam_counterexample.svg")

    print(f"after {STEPS:,} steps (the best point is -1):")
    for name in RATES:
        print(
            f"  {name:8} x = {ends[name]:+.3f}   average regret {regret[name]:.3f}   theorem 1: {theorem[name]:+.3f}"
        )
    return {"ends": ends, "regret": regret, "theorem": theorem}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the picture")
    main(parser.parse_args().out)
