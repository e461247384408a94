"""Weight decay in Adam: through the gradient it depends on the gradient's scale; decoupled, it does not.

L2 adds λ·p to the gradient, and Adam divides all of it by the gradient's own size: a weight whose gradients are 100
times as large decays a hundredth as fast. AdamW shrinks every weight by lr·λ instead, whatever its gradients are.
For plain SGD the two are one and the same, which is why they were taken for one.

Source: Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization, section 2 and Proposition 2.

Here gradients are pure noise with mean 0, of five scales, so that nothing but decay moves weights in one direction.
Each run is repeated with all signs flipped, and the mean of both taken, in which the noise's own walk cancels.

What to see: the share that a weight loses a step, in units of lr: for adamw always λ = 0.1; for adam_l2 about
λ/scale, a slope of −1 in decoupled_decay.svg, where both axes are logarithmic.
"""

import argparse
from math import log
from pathlib import Path

import altair as alt
import torch
from torch import nn

import thalweg as tw

SCALES = (1.0, 3.0, 10.0, 30.0, 100.0)
WEIGHTS, STEPS, RATE, DECAY = 1000, 400, 1e-3, 0.1


def decay(kind, scale):
    """Return the share that weights lose a step, divided by the learning rate."""
    noise = torch.randn(STEPS, WEIGHTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = nn.Parameter(torch.ones(2, WEIGHTS, dtype=torch.float64))
    optimizer = kind([p], lr=RATE, weight_decay=DECAY)
    for row in scale * noise:
        p.grad = torch.stack([row, -row])
        optimizer.step()
    return -log(p.mean().item()) / (STEPS * RATE)


def main(out="."):
    kinds = {"adam_l2": tw.optim.Adam, "adamw": tw.optim.AdamW}  # Adam with weight_decay selects adam_l2
    found = {name: [decay(kind, scale) for scale in SCALES] for name, kind in kinds.items()}

    rows = [
        {"scale": scale, "optimizer": name, "decay": value}
        for name, values in found.items()
        for scale, value in zip(SCALES, values, strict=True)
    ]
    x = alt.X("scale:Q", title="scale of gradients", scale=alt.Scale(type="log"))
    y = alt.Y("decay:Q", title="share lost a step / learning rate", scale=alt.Scale(type="log"))
    chart = alt.Chart(alt.Data(values=rows)).mark_line(point=True).encode(x=x, y=y, color="optimizer:N")
    chart.properties(width=400, height=280).save(Path(out) / "decoupled_decay.svg")

    print("scale of gradients   " + "".join(f"{scale:>9.0f}" for scale in SCALES))
    for name, values in found.items():
        print(f"decay with {name:10}" + "".join(f"{value:>9.4f}" for value in values))
    slopes = {name: log(v[-1] / v[0]) / log(SCALES[-1] / SCALES[0]) for name, v in found.items()}
    print(f"on log-log axes, slope {slopes['adam_l2']:+.2f} for adam_l2 and {slopes['adamw']:+.2f} for adamw")
    return {"decay": found, "slopes": slopes}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the picture")
    main(parser.parse_args().out)
