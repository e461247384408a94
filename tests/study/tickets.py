"""A small lottery that tests draw from."""

from torch import nn

import thalweg as tw
from thalweg import optim
from thalweg.study import lottery

RECIPE = tw.Recipe(optim.adam(lr=0.01), epochs=2)
STEPS = 3
"""Of an epoch: 180 examples in batches of 64 or fewer."""


def net():
    return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 10))


NAMES = ["0.weight", "2.weight", "4.weight"]


def draw(task, out, **more):
    values = {"rounds": 3, "rate": 0.5, "seeds": 2, "processes": 1, "progress": False, **more}
    return lottery(task, RECIPE, out=out, **values)
