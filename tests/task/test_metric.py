"""Metrics give one number an example, whose mean is what one expects."""

from dataclasses import replace

import pytest
import torch
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error
from tiny import classes, numbers, x

import thalweg as tw
from thalweg import InputError
from thalweg.train.judging import _judged


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


def drawn_scores(rows, n, generator):
    return torch.randn(rows, n, 4, generator=generator), torch.randint(4, (n,), generator=generator)


def drawn_numbers(*shape):
    return lambda rows, n, generator: (
        torch.randn(rows, n, *shape, generator=generator), torch.randn(n, *shape, generator=generator)
    )  # fmt: skip


BY_EXAMPLE = {
    "accuracy": (tw.accuracy, drawn_scores),
    "balanced": (tw.balanced_accuracy([0, 1, 2, 3, 3]), drawn_scores),
    **{f"squared {shape}": (tw.squared_error, drawn_numbers(*shape)) for shape in [(), (1,), (3,), (17,), (5, 33)]},
    "absolute": (tw.absolute_error, drawn_numbers(19)),
    "relative": (tw.load_task("diabetes").metric, drawn_numbers(1)),
    "bits": (tw.load_task("pysource").metric, lambda rows, n, generator: (
        torch.randn(rows, n, 6, 9, generator=generator), torch.randint(9, (n, 6), generator=generator)
    )),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_EXAMPLE)
def test_many_models_are_judged_at_once_to_the_same_bits(name):
    metric, draw = BY_EXAMPLE[name]
    assert metric.by_example
    for rows, n in [(3, 1), (3, 7), (32, 64), (33, 39)]:
        outputs, targets = draw(rows, n, torch.Generator().manual_seed(rows))
        chunks = [outputs[:, : n // 2], outputs[:, n // 2 :]]
        expected = torch.stack([metric.outcomes(row, targets) for row in outputs])
        assert torch.equal(_judged([outputs], targets, metric), expected)
        assert torch.equal(_judged(chunks, targets, metric), expected)
        alone = replace(metric, by_example=False)
        assert torch.equal(_judged(chunks, targets, alone), expected)


def test_a_metric_of_the_users_own_sees_one_model_at_a_time():
    seen = []
    metric = tw.Metric(
        "centred", lambda output, y: seen.append(output.shape) or (output - output.mean()).abs(), False
    )
    outputs = torch.arange(12.0).view(3, 4)
    found = _judged([outputs], torch.zeros(4), metric)
    assert torch.equal(found, torch.stack([(row - row.mean()).abs() for row in outputs]))
    assert seen == [(4,)] * 3
