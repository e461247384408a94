"""What batch norm does to a deep network's training, in four pictures.

A network of sigmoids, 64-100-100-100-10, on handwritten digits, without batch norm and with it behind each layer:

* smoothness: along the gradient the loss and the gradient itself change less for the size of the gradient, so that a
  step does what the gradient predicts; the plain network hardly learns.
* shift: what enters a layer is moved less by the update of the layers below it, as batch norm was made for; but the
  layer's gradient is turned more by it, not less. It is not less internal covariate shift that helps.
* gradient_growth: at initialisation of a very deep network of ReLUs, gradients grow by √(π / (π − 1)) = 1.21 a layer
  with batch norm, and by nothing with layer norm, or without any by He's initialisation.
* sensitivity: raw inputs make the loss sensitive to the first layer's weights. Two networks that compute the same, of
  raw and of standardised inputs, are moved by the same part of their weights' norm.

Source: Ioffe & Szegedy 2015; Santurkar, Tsipras, Ilyas & Mądry 2018, How Does Batch Normalization Help Optimization?;
Yang et al. 2019, A Mean Field Theory of Batch Normalization; LeCun et al. 1998, Efficient BackProp, section 4.3.

What to see: smoothness.svg, shift.svg, gradient_growth.svg and sensitivity.svg.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

import thalweg as tw
from thalweg import inspect, norm, optim, surgery

STEPS = 25


def network():
    """Return the plain network, by Glorot's initialisation."""
    parts = [nn.Linear(64, 100), nn.Sigmoid()]
    for _ in range(2):
        parts += [nn.Linear(100, 100), nn.Sigmoid()]
    net = nn.Sequential(*parts, nn.Linear(100, 10))
    tw.init.glorot_uniform().apply(net, key=0)
    return net


def trained(x, y):
    """Return a small network that knows breast cancer by standardised measurements."""
    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
    tw.init.he_normal().apply(net, key=0)
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net


def main(out="."):
    images, classes = load_digits(return_X_y=True)
    (x,) = tw.standardize(torch.tensor(images, dtype=torch.float32))
    data = list(zip(x.split(128)[:-1], torch.tensor(classes).split(128)[:-1], strict=True))
    plain = network()
    nets = {"plain": plain, "batch norm": surgery.operate(plain, x[:4], norm=norm.batch()).model}
    loss = nn.functional.cross_entropy

    def sgd(parameters):
        return optim.SGD(parameters, lr=0.5)

    found = {
        "smoothness": inspect.smoothness(nets, sgd, data, loss, steps=STEPS),
        "shift": inspect.shift(nets, sgd, data, loss, steps=STEPS),
        "gradient_growth": inspect.gradient_growth(x[:256], norms=(None, norm.batch(), norm.layer()), depth=30),
    }
    measured, target = (torch.tensor(part) for part in load_breast_cancer(return_X_y=True))
    raw = measured.float()
    found["sensitivity"] = inspect.sensitivity(trained(tw.standardize(raw)[0], target), raw, target, loss)
    for name, result in found.items():
        print(f"{name}\n{result}\n")
        result.save(Path(out) / f"{name}.svg")
    last = {layer.model: layer for layer in found["shift"].layers}
    return {
        "beta": {walk.model: float(np.median(walk.smoothness)) for walk in found["smoothness"].walks},
        "loss": {walk.model: float(walk.start[-1]) for walk in found["smoothness"].walks},
        "moved": {name: float(np.median(layer.moved)) for name, layer in last.items()},
        "cosine": {name: float(np.median(layer.cosine)) for name, layer in last.items()},
        "growth": {net.norm: (net.factor, net.predicted) for net in found["gradient_growth"].networks},
        "rise": [
            float(np.median(response.losses[2])) / found["sensitivity"].start
            for response in (found["sensitivity"].raw, found["sensitivity"].standardised)
        ],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=".", help="where to put the pictures")
    main(parser.parse_args().out)
