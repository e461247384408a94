"""Handwritten digits, 8 × 8 pixels: 1,797 of them, from the UCI repository by way of scikit-learn."""

from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from thalweg import InputError, Task, accuracy


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
    images, targets = load_digits(return_X_y=True)
    return Task(
        name="digits" if model == "mlp" else f"digits-{model}",
        model=models[model],
        data=(images.reshape(-1, 1, 8, 8), targets),
        loss=F.cross_entropy,
        metric=accuracy,
        standardize=True,
    )
