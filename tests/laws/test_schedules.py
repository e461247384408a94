"""Laws that every schedule of the catalogue keeps."""

import inspect

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from thalweg import schedule
from thalweg.catalogue import describe
from thalweg.latex import latex

SCHEDULES = list(schedule.CATALOGUE.values())
by_name = pytest.mark.parametrize("technique", SCHEDULES, ids=lambda technique: technique.name)

TORCH = {
    "constant": (schedule.constant(), lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    "step": (schedule.step(100, every=7, gamma=0.5), lambda o: lr_scheduler.StepLR(o, 7, 0.5)),
    "exponential": (schedule.exponential(100, end=0.01), lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / 100))),
    "cosine": (schedule.cosine(100, end=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, 100, 0.1)),
    "warmup": (schedule.warmup(10), lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 9)),
}


def test_every_schedule_is_compared_with_torch():
    assert set(TORCH) == set(schedule.CATALOGUE)


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_torch_has_the_same_values(name):
    ours, theirs = TORCH[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = theirs(optimizer)
    for step in range(100):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-15)
        scheduler.step()


@by_name
@pytest.mark.parametrize("total", [1, 2, 7, 100])
def test_multipliers_are_between_0_and_1_for_a_run_of_any_length(technique, total):
    values = technique().multipliers(total)
    assert values.shape == (total,)
    assert (values >= 0).all()
    assert (values <= 1).all()


@by_name
def test_it_is_a_pure_function(technique):
    rate = technique(20)
    forwards = [rate(step) for step in range(30)]
    backwards = [rate(step) for step in reversed(range(30))]
    assert forwards == backwards[::-1]


@by_name
def test_a_chain_counts_each_parts_steps_from_its_own_start(technique):
    chain = schedule.constant(5) >> technique(20)
    alone = technique(20)
    assert [chain(step) for step in range(5)] == [1.0] * 5
    assert [chain(5 + step) for step in range(40)] == [alone(step) for step in range(40)]


@by_name
def test_it_says_what_it_is(technique):
    assert technique.source
    assert technique.summary
    assert inspect.getdoc(technique.formula)
    assert f"{technique.name}: {technique.summary}" in describe("schedule")
    assert len(latex(technique)) == 1


def test_open_parts_share_what_the_others_leave():
    whole = (schedule.warmup(10) >> schedule.cosine() >> schedule.constant()).resolved(101)
    assert sum(dict(part.values)["steps"] for part in whole.parts) == 101
    assert dict(whole.parts[0].values)["steps"] == 10


def test_a_share_is_of_the_whole_run():
    assert np.argmax((schedule.warmup(0.1) >> schedule.cosine()).multipliers(200)) in (19, 20)


def test_warmup_wastes_no_step_at_rate_0_and_arrives():
    assert schedule.warmup(4).multipliers(6).tolist() == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
