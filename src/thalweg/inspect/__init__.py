"""Looking at a task, a model or an optimizer without changing it."""

from thalweg.inspect._check import CHECKS, Check, check
from thalweg.inspect._checks.finding import Finding
from thalweg.inspect._dropout import Activations, DropoutEffect, dropout
from thalweg.inspect._gradient_growth import GradientGrowth, Growth, gradient_growth
from thalweg.inspect._predict import Prediction, predict
from thalweg.inspect._range_test import RangeTest, range_test
from thalweg.inspect._sensitivity import Response, Sensitivity, sensitivity
from thalweg.inspect._shift import Layer, Shift, shift
from thalweg.inspect._smoothness import Along, Smoothness, smoothness
from thalweg.inspect._variance import Variance, variance

__all__ = [
    "CHECKS", "Activations", "Along", "Check", "DropoutEffect", "Finding", "GradientGrowth", "Growth", "Layer",
    "Prediction", "RangeTest", "Response", "Sensitivity", "Shift", "Smoothness", "Variance", "check", "dropout",
    "gradient_growth", "predict", "range_test", "sensitivity", "shift", "smoothness", "variance",
]  # fmt: skip
