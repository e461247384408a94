"""A schedule that follows the validation metric, in populations: each run follows its own."""

import numpy as np
import pytest
from torch import nn

from small import small_digits
from thalweg import Metric, optim, schedule
from thalweg.recipe import Recipe
from thalweg.train import Member, train
from thalweg.train.rates import Rates


def member(whole, seed=0, **roles):
    return Member(
        Recipe(**{"optimizer": optim.sgd(lr=0.5), "schedule": whole, "epochs": 8, **roles}).resolved(), seed
    )


def after(rate, curve, steps, higher_is_better):
    """Return the multipliers that a run's recorded validation metrics ask for, epoch by epoch."""
    rate, seen, found = rate.resolved(int(curve.step[-1])), None, []
    seen = rate.start()
    for epoch, value in enumerate(curve.valid[1:], start=1):
        found += [rate(step, seen) for step in range((epoch - 1) * steps, epoch * steps)]
        seen = rate.observe(seen, -value if higher_is_better else value, epoch * steps)
    return found


@pytest.fixture
def used(monkeypatch):
    """What the optimizer was given, a row a run."""
    from thalweg.train import company

    kept = []

    class Watched(Rates):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.multipliers = []
            kept.append(self)

        def at(self, steps):
            found = super().at(steps)
            self.multipliers.append(found)
            return found

    monkeypatch.setattr(company, "Rates", Watched)
    return kept


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
def test_each_run_follows_its_own_metric(linear_task, executor, used):
    quick = schedule.warmup(7) >> schedule.plateau(patience=0, factor=0.5, threshold=0.01)
    members = [member(quick, seed) for seed in range(3)] + [member(schedule.cosine(), 3)]
    results = train(linear_task, members, executor)
    (rates,) = used
    steps = results[0].steps // 8
    multipliers = np.stack(rates.multipliers, axis=1)
    for i, result in enumerate(results[:3]):
        assert multipliers[i].tolist() == after(members[i].recipe.schedule, result.curve, steps, True)
        assert multipliers[i][-1] < 1, "the metric did not always improve"
    assert multipliers[3].tolist() == schedule.cosine().multipliers(results[3].steps).tolist()
    assert len({tuple(row) for row in multipliers[:3]}) > 1, "seeds improve in different epochs"


def test_a_metric_that_is_better_when_lower_is_read_so(used):
    loss = Metric("cross entropy", lambda o, y: nn.functional.cross_entropy(o, y, reduction="none"), False)
    task = small_digits(lambda: nn.Linear(64, 10), metric=loss)
    (result,) = train(task, [member(schedule.plateau(patience=1, factor=0.3), optimizer=optim.sgd(lr=0.01))])
    assert (np.diff(result.curve.valid) < 0).all()
    assert (np.array(used[0].multipliers) == 1).all()


def test_company_does_not_matter(linear_task):
    rate = schedule.plateau(patience=0, factor=0.5)
    members = [member(rate, seed) for seed in range(4)]
    together = train(linear_task, members, "vmapped")
    others = train(linear_task, [members[2], *(member(schedule.constant(), s) for s in (7, 8))], "vmapped")
    assert np.array_equal(together[2].outcomes, others[0].outcomes)
    assert np.array_equal(together[2].curve.valid, others[0].curve.valid)


def test_a_run_that_diverges_lowers_its_own_rate_alone(linear_task, used):
    rate = schedule.plateau(patience=1, factor=0.1)
    calm, wild = member(rate, 0, optimizer=optim.sgd(lr=1e-3)), member(rate, 1, optimizer=optim.sgd(lr=1e39))
    results = train(linear_task, [calm, wild], "vmapped")
    assert results[1].reason
    alone = train(linear_task, [calm, calm], "vmapped")
    assert np.array_equal(results[0].outcomes, alone[0].outcomes)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_of_an_epoch_or_two(linear_task, epochs):
    for whole in (
        schedule.plateau(),
        schedule.warmup(1) >> schedule.plateau(),
        schedule.plateau() >> schedule.linear(1),
    ):
        (result,) = train(linear_task, [member(whole, epochs=epochs, batch_size=1000)])
        assert result.reason == ""
