"""A task of a few numbers, any part of which a test can change."""

import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw

generator = torch.Generator().manual_seed(0)
x = torch.randn(60, 4, generator=generator)
classes = (x[:, 0] > 0).long()
numbers = x @ torch.tensor([1.0, -2.0, 0.5, 0.0])
words = torch.randint(0, 5, (60, 4), generator=generator)


def linear():
    return nn.Linear(4, 2)


class Helped(nn.Linear):
    """A linear model with a second head in training alone."""

    def __init__(self):
        super().__init__(4, 2)
        self.aside = nn.Linear(4, 2)

    def forward(self, x):
        return (super().forward(x), self.aside(x)) if self.training else super().forward(x)


def both_heads(output, y):
    """Return the loss of what `Helped` puts out in training."""
    main, aside = output
    return F.cross_entropy(main, y) + 0.3 * F.cross_entropy(aside, y)


def tiny(**changes):
    """Two classes of four numbers, with a linear model."""
    parts = {"model": linear, "data": (x, classes), "loss": F.cross_entropy, "metric": tw.accuracy, **changes}
    return tw.Task(**parts)


def quantity(**changes):
    """One number from four, with a linear model that keeps the axis of length 1."""
    parts = {"model": lambda: nn.Linear(4, 1), "data": (x, numbers), "metric": tw.squared_error, **changes}
    return tiny(**parts)
