"""Looking at a task, a model or an optimizer without changing it."""

from thalweg.inspect._check import CHECKS, Check, check
from thalweg.inspect._checks.finding import Finding
from thalweg.inspect._dropout import Activations, DropoutEffect, dropout
from thalweg.inspect._gradient_growth import GradientGrowth, Growth, gradient_growth
from thalweg.inspect._gradients import Chained, Gradients, gradients
from thalweg.inspect._landscape.descent import Descent, OptimizerPath, descent
from thalweg.inspect._landscape.planes import LossPlane, PlanePath, loss_plane, trajectory_plane
from thalweg.inspect._landscape.segment import LossSegment, loss_segment
from thalweg.inspect._landscape.surfaces import SURFACES, Surface
from thalweg.inspect._landscape.training import weights_along
from thalweg.inspect._noise import Noise, noise
from thalweg.inspect._predict import Prediction, predict
from thalweg.inspect._preview import Preview, preview
from thalweg.inspect._range_test import RangeTest, range_test
from thalweg.inspect._sensitivity import Response, Sensitivity, sensitivity
from thalweg.inspect._shift import Layer, Shift, shift
from thalweg.inspect._smoothness import Along, Smoothness, smoothness
from thalweg.inspect._variance import Variance, variance

__all__ = [
    "CHECKS", "SURFACES", "Activations", "Along", "Chained", "Check", "Descent", "DropoutEffect", "Finding",
    "GradientGrowth", "Gradients", "Growth", "Layer", "LossPlane", "LossSegment", "Noise", "OptimizerPath",
    "PlanePath", "Prediction", "Preview", "RangeTest", "Response", "Sensitivity", "Shift", "Smoothness", "Surface",
    "Variance", "check", "descent", "dropout", "gradient_growth", "gradients", "loss_plane", "loss_segment",
    "noise", "predict", "preview", "range_test", "sensitivity", "shift", "smoothness", "trajectory_plane",
    "variance", "weights_along",
]  # fmt: skip
