"""Looking at a task, a model or an optimizer without changing it."""

from thalweg.inspect._dropout import Activations, DropoutEffect, dropout
from thalweg.inspect._predict import Prediction, predict
from thalweg.inspect._range_test import RangeTest, range_test
from thalweg.inspect._variance import Variance, variance

__all__ = [
    "Activations", "DropoutEffect", "Prediction", "RangeTest", "Variance", "dropout", "predict", "range_test",
    "variance",
]  # fmt: skip
