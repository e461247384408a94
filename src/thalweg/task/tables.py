"""scikit-learn's small tables: wine, breast_cancer (classes) and diabetes (a quantity)."""

from dataclasses import replace

from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import nn
from torch.nn import functional as F

from thalweg import Task, accuracy, split, squared_error


class MLP(nn.Module):
    """Two hidden layers of 32; one output a class, or one number."""

    def __init__(self, features, classes=None):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, classes or 1)
        )
        self.classes = classes

    def forward(self, x):
        """Return (N, classes), or (N,) for a quantity."""
        y = self.layers(x)
        return y if self.classes else y.squeeze(-1)


def wine():
    """178 Italian wines, 13 measurements, three cultivars."""
    data = load_wine(return_X_y=True)
    return Task(
        name="wine", model=lambda: MLP(13, 3), data=data, loss=F.cross_entropy, metric=accuracy,
        standardize=True, batch_size=16, epochs=20,
    )  # fmt: skip


def breast_cancer():
    """569 tumours, 30 measurements, malignant or benign."""
    data = load_breast_cancer(return_X_y=True)
    return Task(
        name="breast_cancer", model=lambda: MLP(30, 2), data=data, loss=F.cross_entropy, metric=accuracy,
        standardize=True, batch_size=32, epochs=20,
    )  # fmt: skip


relative_squared_error = replace(squared_error, name="relative squared error")
"""Squared error over the variance of the training targets: 1 is what always saying their mean comes to."""


def diabetes():
    """442 patients, 10 measurements, progression after a year, scaled by the training patients alone."""
    inputs, targets = load_diabetes(return_X_y=True)
    train, valid, test = split(len(targets), (0.6, 0.2, 0.2), seed=0)
    targets = (targets - targets[train].mean()) / targets[train].std()
    return Task(
        name="diabetes", model=lambda: MLP(10), loss=F.mse_loss, metric=relative_squared_error,
        train=(inputs[train], targets[train]), valid=(inputs[valid], targets[valid]),
        test=(inputs[test], targets[test]), standardize=True, batch_size=32, epochs=20,
    )  # fmt: skip
