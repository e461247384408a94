"""Metrics give one number an example, whose mean is what one expects."""

import pytest
import torch
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error
from tiny import classes, numbers, x

import thalweg as tw
from thalweg import InputError


def test_accuracy_is_the_share_of_examples_whose_highest_output_is_the_class():
    scores = x[:, :3]
    values = tw.accuracy.outcomes(scores, classes)
    assert values.shape == (60,)
    assert values.mean().item() == pytest.approx(accuracy_score(classes, scores.argmax(1)))


@pytest.mark.parametrize(
    ("metric", "reference"), [(tw.squared_error, mean_squared_error), (tw.absolute_error, mean_absolute_error)]
)
@pytest.mark.parametrize("shape", [(60,), (20, 3), (5, 3, 4)])
def test_errors_are_the_mean_over_an_examples_outputs(metric, reference, shape):
    output, targets = x[:, 1].reshape(shape), numbers.reshape(shape)
    values = metric.outcomes(output, targets)
    assert values.shape == shape[:1]
    assert values.mean().item() == pytest.approx(reference(targets.flatten(), output.flatten()), rel=1e-5)
    assert torch.equal(metric.outcomes(output.unsqueeze(-1), targets), values), "an axis of length 1 is no pairing"


def test_only_accuracy_is_better_when_higher():
    metrics = (tw.accuracy, tw.squared_error, tw.absolute_error)
    assert [metric.higher_is_better for metric in metrics] == [True, False, False]


@pytest.mark.parametrize(
    ("output", "targets"), [(x[:, 0], classes), (x[:, :1], classes), (x, x), (x[:, :, None].expand(60, 4, 2), x)]
)
def test_accuracy_refuses_what_is_not_scores_and_classes(output, targets):
    with pytest.raises(InputError, match=r"accuracy compares scores \(N, classes\) with classes \(N,\), not shape"):
        tw.accuracy.outcomes(output, targets)
