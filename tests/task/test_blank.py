"""Memory that nobody has filled: torch's lstsq is the same each time, and what is never filled is named."""

import pytest
import torch
from tiny import tiny
from torch import nn

from thalweg.errors import InputError
from thalweg.task import check
from thalweg.task.blank import filled


def test_a_model_whose_weights_come_from_least_squares_is_the_same_each_time():
    def make():
        layer = nn.Linear(8, 6)
        with torch.no_grad():
            layer.weight.copy_(torch.linalg.lstsq(torch.rand(20, 6, 8), torch.rand(20, 6, 6)).solution.mean(0).T)
        return layer

    task, junk = tiny(model=make), [torch.full((8,), i, dtype=torch.int32) for i in range(50)]
    first = task.model(0).weight
    for _ in range(20):
        junk = [torch.randint(0, 9, (8,), dtype=torch.int32) for _ in junk]
        del junk[::2]
        junk += [torch.ones(8, dtype=torch.int32)] * 25
        assert torch.equal(task.model(0).weight, first)


class Scaled(nn.Linear):
    def __init__(self, fills):
        super().__init__(4, 2)
        self.scale, self.fills = nn.Parameter(torch.empty(4)), fills

    def forward(self, x):
        if self.fills and self.scale.isnan().any():
            with torch.no_grad():
                self.scale.fill_(2.0)
        return super().forward(x * self.scale)


def test_weights_that_are_never_filled_are_named():
    check(tiny(model=lambda: Scaled(True)))
    with pytest.raises(InputError, match=r"has NaN in scale as it is made; fill what torch\.empty"):
        check(tiny(model=lambda: Scaled(False)))


def test_what_torch_is_told_is_afterwards_as_before():
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(KeyError), filled():
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.zeros(2).new_empty(0).shape == (0,)
