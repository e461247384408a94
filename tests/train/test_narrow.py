"""Functions of tensors so narrow that torch computes a whole row by other means: the same values, filled up."""

import pytest
import torch
from test_stacked import Stacked, agrees, double
from torch import nn
from torch.nn import functional as F

NARROW = {
    "sigmoid": (lambda x: torch.sigmoid(x) + x.sigmoid() + torch.special.expit(x), 3),
    "silu": (F.silu, 1),
    "mish": (F.mish, 1),
    "elu": (lambda x: F.elu(x, 0.7) + F.celu(x, 0.6) + F.selu(x) + torch.selu(x), 4),
    "gelu": (lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"), 2),
    "softplus": (lambda x: F.softplus(x, 2, threshold=1), 1),
    "glu": (lambda x: F.glu(x).sum() + F.glu(x, 0).sum(), 2),
    "pow": (lambda x: torch.pow(2.0, x) + 3.0**x + x.abs() ** 1.3 + x.abs() ** x + x.abs().pow(x[0, 0]), 5),
    "hyperbolic": (lambda x: x.sinh() + torch.cosh(x) + (x / 9).atanh() + x.exp2(), 4),
    "two": (lambda x: torch.atan2(x, x[0]) + torch.logaddexp(x, x[:, :1]) + x.logaddexp2(x.mean()), 3),
}


@pytest.mark.parametrize(("function", "calls"), NARROW.values(), ids=NARROW)
def test_functions_of_narrow_tensors(function, calls):
    agrees(function, [double(2, 4)], count=calls)
    with Stacked() as mode:
        function(double(4, 8))
    assert mode.calls == 0


def test_activations_of_narrow_tensors_write_where_they_are_to():
    for call in (lambda x: F.silu(x, True), lambda x: F.elu(x, inplace=True), nn.CELU(inplace=True)):
        theirs, ours = double(3), double(3)
        expected = call(theirs)
        with Stacked() as mode:
            assert call(ours) is ours
        assert mode.calls == 1
        torch.testing.assert_close(ours, expected, rtol=1e-14, atol=1e-14)


def test_tensors_that_are_named_are_left_to_torch():
    x, place = double(3).abs(), torch.zeros(3).double()
    with Stacked() as mode:
        torch.pow(x, exponent=x)
        torch.sigmoid(x, out=place)
    assert mode.calls == 0
    assert place.all()
