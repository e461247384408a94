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


@pytest.mark.parametrize("shape", [(20, 3), (5, 3, 4)])
@pytest.mark.parametrize("axis", [-1, 1])
def test_accuracy_suggests_what_fits_a_class_at_each_place(shape, axis):
    targets = classes.reshape(shape).clone()
    output = torch.nn.functional.one_hot(targets, 7).float()
    output[0] = output[0].roll(1, -1)
    with pytest.raises(InputError, match="for a class at each place") as caught:
        tw.accuracy.outcomes(output.movedim(-1, axis), targets)
    suggested = eval(str(caught.value).partition("such as ")[2])
    assert suggested(output.movedim(-1, axis), targets).tolist() == [0] + [1] * (len(targets) - 1)


def test_what_accuracy_suggests_leaves_out_places_that_are_masked():
    targets = torch.tensor([[0, 1, -100], [1, -100, -100]])
    output = torch.tensor([[[9.0, 0, 0]] * 3] * 2)
    with pytest.raises(InputError) as caught:
        tw.accuracy.outcomes(output, targets)
    suggested = eval(str(caught.value).partition("such as ")[2])
    assert suggested(output, targets).tolist() == [0.5, 0.0]


def test_accuracy_suggests_what_fits_one_score():
    with pytest.raises(InputError, match=r"for one score an example, give .*\(\(output > 0\) == \(y > 0\)\)"):
        tw.accuracy.outcomes(x[:, :1], classes)
