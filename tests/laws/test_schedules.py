"""Laws that every schedule of the catalogue keeps."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from thalweg import schedule
from thalweg.errors import InputError
from thalweg.recipe import Recipe

SCHEDULES = list(schedule.CATALOGUE.values())
by_name = pytest.mark.parametrize("technique", SCHEDULES, ids=lambda technique: technique.name)


# -- torch ---------------------------------------------------------------------------------------------


def one_cycle(optimizer, **more):
    return lr_scheduler.OneCycleLR(optimizer, 1.0, 100, cycle_momentum=False, **more)


def then(*parts, at):
    return lambda o: lr_scheduler.SequentialLR(o, [part(o) for part in parts], at)


TORCH = {
    "constant": (schedule.constant(), lambda o: lr_scheduler.ConstantLR(o, 1.0)),
    "step": (schedule.step(100, every=7, gamma=0.5), lambda o: lr_scheduler.StepLR(o, 7, 0.5)),
    "multistep": (
        schedule.multistep(100, milestones=(10, 10, 25, 70), gamma=0.3),
        lambda o: lr_scheduler.MultiStepLR(o, [10, 10, 25, 70], 0.3),
    ),
    "exponential": (schedule.exponential(100, end=0.01), lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / 100))),
    "linear": (schedule.linear(40, start=0.2, end=0.7), lambda o: lr_scheduler.LinearLR(o, 0.2, 0.7, 40)),
    "polynomial": (schedule.polynomial(60, power=2.5), lambda o: lr_scheduler.PolynomialLR(o, 60, 2.5)),
    "cosine": (schedule.cosine(100, end=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, 100, 0.1)),
    "cosine_restarts": (
        schedule.cosine_restarts(period=5, growth=2, end=0.1),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2, 0.1),
    ),
    "triangular": (
        schedule.triangular(half=7, low=0.1, gamma=0.5),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, 7, mode="triangular2", cycle_momentum=False),
    ),
    "one_cycle": (schedule.one_cycle(100), one_cycle),
    "one_cycle_linear": (
        schedule.one_cycle_linear(100, pct_start=0.4, div_factor=10, final_div_factor=100),
        lambda o: one_cycle(o, pct_start=0.4, div_factor=10, final_div_factor=100, anneal_strategy="linear"),
    ),
    "one_cycle_three_phase": (schedule.one_cycle_three_phase(100), lambda o: one_cycle(o, three_phase=True)),
    "one_cycle_three_phase_linear": (
        schedule.one_cycle_three_phase_linear(100, pct_start=0.4),
        lambda o: one_cycle(o, pct_start=0.4, three_phase=True, anneal_strategy="linear"),
    ),
    "warmup": (schedule.warmup(10), lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 9)),
    "ConstantLR": (
        schedule.linear(9, start=1 / 3, end=1 / 3) >> schedule.constant(),
        lambda o: lr_scheduler.ConstantLR(o, 1 / 3, 9),
    ),
    "no growth": (
        schedule.cosine_restarts(period=13),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 13),
    ),
    "triangular of one height": (
        schedule.triangular(half=4, low=0.25),
        lambda o: lr_scheduler.CyclicLR(o, 0.25, 1.0, 4, cycle_momentum=False),
    ),
    "warm-up and cosine": (
        schedule.warmup(10) >> schedule.cosine(90, end=0.01),
        then(
            lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 9),
            lambda o: lr_scheduler.CosineAnnealingLR(o, 90, 0.01),
            at=[10],
        ),
    ),
    "warm-up, stable, decay": (
        schedule.warmup(10) >> schedule.constant(50) >> schedule.linear(40, end=0.1),
        then(
            lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 9),
            lambda o: lr_scheduler.ConstantLR(o, 1.0),
            lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, 40),
            at=[10, 60],
        ),
    ),
}
NOT_IN_TORCH = {"inverse_sqrt", "minus_sqrt"}
FEEDBACK = {technique.name for technique in SCHEDULES if technique.state}  # tests/schedule/test_plateau.py compares


def test_every_schedule_is_compared_with_torch():
    assert set(schedule.CATALOGUE) <= set(TORCH) | NOT_IN_TORCH | FEEDBACK
    assert {"plateau"} == FEEDBACK


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.filterwarnings("ignore:Detected call of", "ignore:The epoch parameter in")
def test_torch_has_the_same_values(name):
    ours, theirs = TORCH[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = theirs(optimizer)
    for step in range(100):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-14)
        scheduler.step()


def test_the_source_of_inverse_sqrt_has_the_same_values():
    ours = schedule.warmup(100) >> schedule.inverse_sqrt(timescale=100)
    for step in range(1, 1000):  # "Attention is all you need", equation 3, counted from 1
        assert ours(step - 1) == pytest.approx(
            100**0.5 * min(step**-0.5, step * 100**-1.5) if step <= 100 else (100 / (step - 1)) ** 0.5, rel=1e-12
        )


# -- laws ----------------------------------------------------------------------------------------------

METRICS = [1.0, 0.8, 0.9, 0.9, 0.7, 0.75, float("nan"), 0.71, 0.7, 0.7, 0.69999, 2.0, 0.5, 0.5]


def values(rate, total):
    """Return the multipliers of a run of ``total`` steps that has a metric after every third step."""
    seen, found = rate.start(), []
    for step in range(total):
        found.append(rate(step, seen))
        if step % 3 == 2:
            seen = rate.observe(seen, METRICS[step // 3 % len(METRICS)], step + 1)
    return found


@by_name
@pytest.mark.parametrize("total", [*range(1, 12), 100])
def test_multipliers_are_between_0_and_1_for_a_run_of_any_length(technique, total):
    found = values(technique().resolved(total), total)
    assert len(found) == total
    assert all(0 <= value <= 1 for value in found)
    if not technique.state:
        assert technique().multipliers(total).tolist() == found


@by_name
def test_it_is_a_pure_function(technique):
    rate = technique(20)
    seen = rate.start()
    forwards = [rate(step, seen) for step in range(30)]
    backwards = [rate(step, seen) for step in reversed(range(30))]
    assert forwards == backwards[::-1]
    before = repr(seen)
    assert rate.observe(seen, 0.5, 3) == rate.observe(seen, 0.5, 3)
    assert repr(seen) == before, "a state is not changed, but followed by another"


@by_name
def test_a_chain_counts_each_parts_steps_from_its_own_start(technique):
    chain = schedule.constant(6) >> technique(24)
    alone = technique(24)
    whole = values(chain, 60)
    assert whole[:6] == [1.0] * 6
    if not technique.state:  # for one that follows a metric, see tests/schedule/test_plateau.py
        assert whole[6:] == values(alone, 54)


@by_name
def test_after_its_end_it_stays_or_goes_on_as_it_is_declared(technique):
    if not technique.endless:
        rate = technique(20)
        assert rate(20) == rate(21) == rate(1000)


@by_name
def test_its_space_is_within_its_limits(technique):
    assert "torch" in inspect.getdoc(technique.formula) or technique.name == "warmup"
    for name, place in technique.space.items():
        technique(**{name: place.at(0.0)})
        technique(**{name: place.at(1.0)})


@by_name
def test_toml_reads_it_back(technique):
    ranged = technique(0.5, **technique.space)
    for whole in (technique(), technique(7), ranged, schedule.warmup(3) >> ranged):
        recipe = Recipe(schedule=whole)
        assert Recipe.from_toml(recipe.toml()) == recipe
        resolved = recipe.resolved()
        assert Recipe.from_toml(resolved.toml()) == resolved
        assert Recipe.from_toml(resolved.toml()).digest() == resolved.digest()


@pytest.mark.parametrize("technique", [t for t in SCHEDULES if t.counts], ids=lambda technique: technique.name)
def test_what_counts_in_steps_is_whole_or_a_share(technique):
    (name,) = technique.counts
    many = isinstance(technique.hyperparameters[name], tuple)
    for bad in (0, 1.5, 1000.25):
        with pytest.raises(InputError, match=f"{name} of {technique.name} takes whole numbers of steps or shares"):
            technique(**{name: (bad,) if many else bad})
    share, whole = (technique(40, **{name: (n,) if many else n}) for n in (0.25, 10))
    assert [share(step) for step in range(40)] == [whole(step) for step in range(40)]
    with pytest.raises(InputError, match=f"say how many steps {technique.name} lasts"):
        technique(**{name: (0.25,) if many else 0.25})(3)


# -- chains --------------------------------------------------------------------------------------------


@st.composite
def chains(draw):
    """Return random parts, one after the other, each of a few steps, and the whole's number of steps."""
    techniques = draw(st.lists(st.sampled_from(SCHEDULES), min_size=1, max_size=4))
    quick = {"patience": 0, "factor": 0.5}  # so that what follows a metric moves
    parts = [technique(draw(st.integers(1, 12)), **(quick if technique.state else {})) for technique in techniques]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole >> part
    return whole


@given(chains(), st.integers(0, 50))
def test_a_chain_goes_on_from_any_step_as_if_it_had_not_stopped(rate, at):
    """What is kept of a run is the step and what was seen of the metric."""
    whole = values(rate, 50)
    seen = rate.start()
    for step in range(at):
        if step % 3 == 2:
            seen = rate.observe(seen, METRICS[step // 3 % len(METRICS)], step + 1)
    again = Recipe.from_toml(Recipe(schedule=rate).toml()).schedule
    for step in range(at, 50):
        assert again(step, seen) == whole[step]
        if step % 3 == 2:
            seen = again.observe(seen, METRICS[step // 3 % len(METRICS)], step + 1)


@given(chains())
def test_a_chain_is_its_parts_one_after_the_other(rate):
    start = 0
    for part in rate.parts:
        technique, steps = part.technique, dict(part.values)["steps"]
        if not technique.state:
            alone = technique(steps)
            assert [rate(start + i, rate.start()) for i in range(steps)] == [alone(i) for i in range(steps)]
        start += steps


def test_open_parts_share_what_the_others_leave():
    whole = (schedule.warmup(10) >> schedule.cosine() >> schedule.constant()).resolved(101)
    assert sum(dict(part.values)["steps"] for part in whole.parts) == 101
    assert dict(whole.parts[0].values)["steps"] == 10


def test_a_share_is_of_the_whole_run():
    assert np.argmax((schedule.warmup(0.1) >> schedule.cosine()).multipliers(200)) in (19, 20)


def test_warmup_wastes_no_step_at_rate_0_and_arrives():
    assert schedule.warmup(4).multipliers(6).tolist() == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("period", "growth"), [(3, 3), (7, 2), (10, 3), (1, 5), (1000, 2)])
def test_no_restart_is_missed_by_rounding(period, growth):
    rate = schedule.cosine_restarts(period=period, growth=growth)
    start, length = 0, period
    while start < 10**7:
        assert rate(start) == 1.0
        assert start == 0 or rate(start - 1) < 1.0 - 1e-15 or length == growth
        start, length = start + length, length * growth


def test_a_schedule_that_follows_a_metric_has_no_multipliers_beforehand():
    with pytest.raises(InputError, match="plateau follows a metric"):
        schedule.plateau().multipliers(10)
    with pytest.raises(InputError, match="plateau follows a metric"):
        (schedule.warmup(3) >> schedule.plateau())(5)
