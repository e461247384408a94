"""A rate that follows the metric: torch's values, and the part of a chain that sees it."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from thalweg import schedule
from thalweg.errors import InputError

metrics = st.lists(
    st.one_of(st.floats(0, 2), st.sampled_from([0.5, 0.49999, 0.500001, math.nan, math.inf])), max_size=60
)


def follow(rate, seen, values, every=1, start=0):
    found = []
    for i, metric in enumerate(values):
        seen = rate.observe(seen, metric, start + every * (i + 1))
        found.append(rate(start + every * (i + 1), seen))
    return found, seen


@given(
    metrics,
    st.sampled_from([0.1, 0.5, 0.9]),
    st.integers(0, 3),
    st.sampled_from([0.0, 1e-4, 0.1]),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.booleans(),
)
@settings(max_examples=300)
def test_torch_has_the_same_values(values, factor, patience, threshold, cooldown, end, higher_is_better):
    named = {"factor": factor, "patience": patience, "threshold": threshold, "cooldown": cooldown}
    ours = schedule.plateau(**named, end=end)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    mode = "max" if higher_is_better else "min"
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, mode, **named, min_lr=end, eps=0.0)
    found, _ = follow(ours, ours.start(), [-v if higher_is_better else v for v in values])
    for value, metric in zip(found, values, strict=True):
        theirs.step(metric)
        assert value == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


def test_a_metric_below_0_that_gets_worse_does_not_count_as_better():
    """As torch does: in its mode "min" −1 is followed by −0.99995 as a new best."""
    rate = schedule.plateau(patience=2, factor=0.5)
    worse = [-1.0, *np.linspace(-0.99999, -0.9, 12)]
    assert follow(rate, rate.start(), worse)[0][-1] == 0.5**4
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, factor=0.5)
    for metric in [-1.0] * 13:
        theirs.step(metric)
    assert optimizer.param_groups[0]["lr"] == 1.0, "torch takes each of the same values for better than the last"


def test_a_part_sees_the_metrics_of_its_own_steps():
    rate = schedule.warmup(6) >> schedule.plateau(8, patience=0, factor=0.5) >> schedule.constant()
    seen = rate.start()
    seen = rate.observe(seen, 0.1, 3)
    seen = rate.observe(seen, 0.1, 6)
    assert seen == rate.start(), "in warm-up it is not asked"
    assert rate(6, seen) == 1.0
    seen = rate.observe(seen, 0.5, 9)
    assert rate(9, seen) == 1.0, "0.5 is the first it sees"
    seen = rate.observe(seen, 0.6, 12)
    assert rate(12, seen) == 0.5
    seen = rate.observe(seen, 0.7, 14)
    assert rate(13, seen) == 0.25
    assert rate.observe(seen, 0.8, 15) == seen
    assert rate(14, seen) == 1.0, "each part's multiplier is its own"


def test_two_plateaus_in_a_chain_see_each_their_own():
    rate = schedule.plateau(4, patience=0, factor=0.5) >> schedule.plateau(patience=0, factor=0.1)
    _, seen = follow(rate, rate.start(), [1.0, 1.0, 1.0, 1.0])
    assert rate(3, seen) == 0.125
    assert rate(4, seen) == 1.0
    found, _ = follow(rate, seen, [1.0, 1.0], start=4)
    assert found == pytest.approx([1.0, 0.1])


@given(metrics, st.integers(0, 60))
def test_its_state_is_plain_numbers_and_goes_through_json(values, at):
    rate = schedule.warmup(5) >> schedule.plateau(patience=1, factor=0.5, cooldown=1)
    whole, _ = follow(rate, rate.start(), values)
    first, seen = follow(rate, rate.start(), values[:at])
    again = tuple(map(tuple, json.loads(json.dumps(seen))))
    rest, _ = follow(rate, again, values[at:], start=len(first))
    assert first + rest == whole


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"factor": 1.0}, "factor of plateau takes a number from 0 up to, but not, 1, not 1.0"),
        ({"patience": 1.5}, "patience of plateau takes a whole number, not 1.5"),
        ({"patience": -1}, "patience of plateau takes a whole number from 0 up, not -1"),
        ({"mode": "max"}, 'unknown hyperparameter of plateau "mode"'),
    ],
)
def test_what_it_refuses(named, message):
    with pytest.raises(InputError, match=message):
        schedule.plateau(**named)
