"""Small real tasks for tests."""

from sklearn.datasets import load_digits
from torch.nn import functional as F

import thalweg as tw


def small_digits(model, **more):
    """The first 300 digits, with a model of the test's choice."""
    inputs, targets = load_digits(return_X_y=True)
    arguments = {"loss": F.cross_entropy, "metric": tw.accuracy, "standardize": True, "name": "small digits", **more}
    return tw.Task(model=model, data=(inputs[:300], targets[:300]), **arguments)
