"""Handwritten digits, 8 × 8 pixels: 1,797 of them, from the UCI repository by way of scikit-learn."""

from importlib.metadata import distribution

import numpy as np
from torch import nn
from torch.nn import functional as F

from thalweg import InputError, Task, accuracy

# scikit-learn's own table, read without importing scikit-learn: that takes longer than to train a model on it.
TABLE = str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz"))


def mlp():
    """64 pixels, 64 hidden units, 10 classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn():
    """Two 3 × 3 convolutions, halved after each, 10 classes."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def digits(model="mlp"):
    """Return the task with one of its models, ``"mlp"`` or ``"cnn"``; images are (N, 1, 8, 8)."""
    models = {"mlp": mlp, "cnn": cnn}
    if model not in models:
        raise InputError(f'digits has the models mlp and cnn, not "{model}"')
    table = np.loadtxt(TABLE, delimiter=",")
    return Task(
        name="digits" if model == "mlp" else f"digits-{model}",
        model=models[model],
        data=(table[:, :64].reshape(-1, 1, 8, 8), table[:, 64].astype(int)),
        loss=F.cross_entropy,
        metric=accuracy,
        standardize=True,
    )
