"""Early stopping in anyone's own loop."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from small import small_digits
from thalweg import optim, stop
from thalweg.errors import InputError
from thalweg.technique import Choice


def stopped(early, metrics, **direction):
    seen = early.start(**direction)
    for metric in metrics:
        seen, now = early.observe(seen, metric)
        if now:
            break
    return seen.epoch, seen.best_epoch


def test_it_stops_after_so_many_epochs_without_improvement():
    losses = [5.0, 4.0, 4.5, 4.2, 3.9, 4.0, 4.1, 4.2, 1.0]
    assert stopped(stop.patience(1), losses) == (3, 2)
    assert stopped(stop.patience(2), losses) == (4, 2)
    assert stopped(stop.patience(3), losses) == (8, 5)
    assert stopped(stop.patience(4), losses) == (9, 9)
    assert stopped(stop.never(), losses) == (9, 9)


def test_never_goes_on():
    assert stopped(stop.never(), [0.5] * 100) == (100, 1)


def test_the_same_is_no_improvement():
    assert stopped(stop.patience(2), [0.5, 0.5, 0.5, 0.5]) == (3, 1)


def test_an_improvement_is_min_delta_at_least():
    falling = [1.0, 0.75, 0.6, 0.5, 0.4, 0.25]
    assert stopped(stop.patience(2, min_delta=0.25), falling) == (6, 6)  # 1, 0.75, 0.5, 0.25
    assert stopped(stop.patience(1, min_delta=0.25), falling) == (3, 2)
    assert stopped(stop.patience(2, min_delta=0.25), [-x for x in falling], higher_is_better=True) == (6, 6)


def test_a_metric_that_is_no_number_is_no_improvement():
    nan = float("nan")
    assert stopped(stop.patience(2), [nan, nan, nan]) == (2, 0)
    assert stopped(stop.patience(2), [3.0, nan, 2.0, nan, nan]) == (5, 3)
    assert stopped(stop.patience(2), [0.3, nan, nan], higher_is_better=True) == (3, 1)


def test_what_cannot_be_is_said():
    with pytest.raises(InputError, match="epochs of patience takes a whole number from 1 up, not 0"):
        stop.patience(0)
    with pytest.raises(InputError, match="epochs of patience takes a whole number, not 2"):
        stop.patience(2.5)
    early = stop.patience(Choice((2, 3)))
    with pytest.raises(InputError, match="epochs of patience is a range to search; give it a value"):
        early.observe(early.start(), 1.0)


def test_a_loop_of_ones_own_ends_with_its_best_weights():
    task = small_digits(nn.Linear)
    (x, y), (x_valid, y_valid) = ((split.inputs, split.targets) for split in (task.train, task.valid))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.Adam(net.parameters(), lr=0.03)
    early = stop.patience(5)
    seen, losses, best = early.start(), [], {}
    while True:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        with torch.no_grad():
            losses.append(F.cross_entropy(net(x_valid), y_valid).item())
        seen, now = early.observe(seen, losses[-1])
        if seen.waited == 0:
            best = copy.deepcopy(net.state_dict())
        if now:
            break
    net.load_state_dict(best)
    with torch.no_grad():
        assert F.cross_entropy(net(x_valid), y_valid).item() == min(losses) == losses[seen.best_epoch - 1]
    assert len(losses) == seen.best_epoch + 5 < 200
