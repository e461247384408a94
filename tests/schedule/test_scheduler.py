"""The adapter for loops that want a ``torch.optim.lr_scheduler``: it cannot be resumed wrongly."""

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

import thalweg as tw
from thalweg import schedule
from thalweg.errors import InputError
from thalweg.optim import _classes
from thalweg.schedule import Scheduler

TOTAL = 24
METRICS = [1.0, 0.9, 0.95, 0.93, 0.9, 0.9, 0.4, 0.4]
QUICK = {"patience": 0, "factor": 0.5}
WHOLE = {
    **{name: technique(**(QUICK if technique.state else {})) for name, technique in schedule.CATALOGUE.items()},
    "warm-up and cosine": schedule.warmup(5) >> schedule.cosine(),
    "warm-up and plateau": schedule.warmup(5) >> schedule.plateau(**QUICK),
    "warm-up, stable, decay": schedule.warmup(3) >> schedule.constant() >> schedule.minus_sqrt(0.3),
    "plateau in the middle": schedule.linear(4) >> schedule.plateau(9, **QUICK) >> schedule.exponential(),
}


def parameters(count=1):
    return [torch.nn.Parameter(torch.ones(2)) for _ in range(count)]


def sgd(rates=(0.3,)):
    return torch.optim.SGD([{"params": parameters(), "lr": rate} for rate in rates], lr=1.0, momentum=0.9)


def go(optimizer, scheduler, start, stop):
    """Train from one step to another, a metric after every third, and return the rates that the steps used."""
    found = []
    for step in range(start, stop):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.ones_like(p)
        found.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        if step % 3 == 2 and scheduler.schedule.feedback:
            scheduler.step(METRICS[step // 3 % len(METRICS)])
        else:
            scheduler.step()
    return found


def through_a_file(state):
    """Return a state that was saved and is loaded as torch does it by default: plain numbers and tensors alone."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def made_loaded_optimizer_first(make, whole, saved):
    optimizer = make()
    scheduler = Scheduler(optimizer, whole, TOTAL)
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    return optimizer, scheduler


def made_loaded_scheduler_first(make, whole, saved):
    optimizer = make()
    scheduler = Scheduler(optimizer, whole, TOTAL)
    scheduler.load_state_dict(saved[1])
    optimizer.load_state_dict(saved[0])
    return optimizer, scheduler


def scheduler_made_for_a_loaded_optimizer(make, whole, saved):
    optimizer = make()
    optimizer.load_state_dict(saved[0])
    scheduler = Scheduler(optimizer, whole, TOTAL)
    scheduler.load_state_dict(saved[1])
    return optimizer, scheduler


def scheduler_alone(make, whole, saved):
    optimizer = make()
    for group in optimizer.param_groups:
        group["lr"] = 123.0  # such as another rate on the command line
    scheduler = Scheduler(optimizer, whole, TOTAL)
    scheduler.load_state_dict(saved[1])
    return optimizer, scheduler


ORDERS = [
    made_loaded_optimizer_first, made_loaded_scheduler_first, scheduler_made_for_a_loaded_optimizer, scheduler_alone,
]  # fmt: skip


@pytest.mark.parametrize("load", ORDERS)
@pytest.mark.parametrize("name", WHOLE)
def test_it_resumes_to_the_bit_from_every_step_in_every_order(name, load):
    make = lambda: sgd((0.3, 0.007))  # noqa: E731
    optimizer = make()
    whole = go(optimizer, Scheduler(optimizer, WHOLE[name], TOTAL), 0, TOTAL)
    for at in range(TOTAL):
        optimizer = make()
        scheduler = Scheduler(optimizer, WHOLE[name], TOTAL)
        before = go(optimizer, scheduler, 0, at)
        saved = through_a_file((optimizer.state_dict(), scheduler.state_dict()))
        optimizer, scheduler = load(make, WHOLE[name], saved)
        assert before + go(optimizer, scheduler, at, TOTAL) == whole


@pytest.mark.parametrize("name", WHOLE)
def test_the_rates_are_each_groups_own_times_the_multiplier(name):
    rate = WHOLE[name].resolved(TOTAL)
    optimizer = sgd((0.3, 0.007))
    scheduler = Scheduler(optimizer, WHOLE[name], TOTAL)
    seen = rate.start()
    for step, used in enumerate(go(optimizer, scheduler, 0, TOTAL)):
        assert used == [0.3 * rate(step, seen), 0.007 * rate(step, seen)]
        if step % 3 == 2:
            seen = rate.observe(seen, METRICS[step // 3 % len(METRICS)], step + 1)


@st.composite
def chains(draw):
    techniques = draw(st.lists(st.sampled_from(list(schedule.CATALOGUE.values())), min_size=1, max_size=4))
    parts = [technique(draw(st.integers(1, 9)), **(QUICK if technique.state else {})) for technique in techniques]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole >> part
    return whole


@given(chains(), st.integers(0, 40), st.sampled_from(ORDERS))
@settings(max_examples=60, deadline=None)
def test_random_chains_resume_to_the_bit(whole, at, load):
    total = 40
    optimizer = sgd()
    rates = go(optimizer, Scheduler(optimizer, whole), 0, total)
    optimizer = sgd()
    scheduler = Scheduler(optimizer, whole)
    before = go(optimizer, scheduler, 0, at)
    saved = (copy.deepcopy(optimizer.state_dict()), copy.deepcopy(scheduler.state_dict()))
    resolved = schedule.Schedule(whole.parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("test_scheduler.TOTAL", None)
        optimizer, scheduler = load(sgd, resolved, saved)
    assert before + go(optimizer, scheduler, at, total) == rates


CLASSES = sorted(
    name
    for name, thing in vars(_classes).items()
    if isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer) and name != "FormulaOptimizer"
)
THEIRS = ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "NAdam"]


@pytest.mark.parametrize(
    "make", [*(getattr(tw.optim, name) for name in CLASSES), *(getattr(torch.optim, name) for name in THEIRS)]
)
def test_every_optimizer_takes_its_rates_and_goes_on_after_a_file(make):
    def fresh():
        generator = torch.Generator().manual_seed(0)
        ps = [torch.nn.Parameter(torch.randn(3, 2, generator=generator)) for _ in range(2)]
        return ps, make([{"params": ps[:1], "lr": 0.02}, {"params": ps[1:], "lr": 0.002}])

    def train(ps, optimizer, scheduler, start, stop):
        for step in range(start, stop):
            optimizer.zero_grad()
            loss = sum(((p - step / 10) ** 2).sum() for p in ps)
            loss.backward()
            optimizer.step()
            scheduler.step()

    whole = schedule.warmup(3) >> schedule.cosine()
    ps, optimizer = fresh()
    train(ps, optimizer, Scheduler(optimizer, whole, 10), 0, 10)
    qs, optimizer = fresh()
    scheduler = Scheduler(optimizer, whole, 10)
    train(qs, optimizer, scheduler, 0, 4)
    weights, saved = [q.detach().clone() for q in qs], copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    qs, optimizer = fresh()
    for q, weight in zip(qs, weights, strict=True):
        q.data.copy_(weight)
    optimizer.load_state_dict(saved[0])
    scheduler = Scheduler(optimizer, whole, 10)
    scheduler.load_state_dict(saved[1])
    train(qs, optimizer, scheduler, 4, 10)
    for p, q in zip(ps, qs, strict=True):
        assert torch.equal(p, q)


def test_a_group_that_is_added_later_follows_from_its_first_step():
    rate = schedule.linear(10)

    def grown(at):
        optimizer = sgd()
        scheduler = Scheduler(optimizer, rate)
        used = go(optimizer, scheduler, 0, at)
        optimizer.add_param_group({"params": parameters(), "lr": 0.05})
        return optimizer, scheduler, used

    optimizer, scheduler, _ = grown(4)
    p = optimizer.param_groups[1]["params"][0]
    p.grad = torch.ones(2)
    optimizer.step()
    assert p[0].item() == pytest.approx(1 - 0.05 * rate(4)), "its first step has the schedule's rate"
    assert [group["lr"] for group in optimizer.param_groups] == [0.3 * rate(4), 0.05 * rate(4)]
    scheduler.step()
    assert scheduler.get_last_lr() == [0.3 * rate(5), 0.05 * rate(5)]

    for load in ORDERS[:3]:  # saved before it ever stepped
        optimizer, scheduler, _ = grown(4)
        saved = through_a_file((scheduler.state_dict(), optimizer.state_dict()))[::-1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("test_scheduler.TOTAL", None)
            optimizer, scheduler = load(lambda: sgd((0.3, 0.05)), rate, saved)
        assert go(optimizer, scheduler, 4, 8) == [[0.3 * rate(i), 0.05 * rate(i)] for i in range(4, 8)]

    optimizer = sgd()
    scheduler = Scheduler(optimizer, rate)
    scheduler.load_state_dict(saved[1])  # before the group is added again
    optimizer.add_param_group({"params": parameters(), "lr": 77.0})
    optimizer.load_state_dict(saved[0])
    assert go(optimizer, scheduler, 4, 8) == [[0.3 * rate(i), 0.05 * rate(i)] for i in range(4, 8)]


def test_its_state_is_what_is_needed_and_nothing_else():
    optimizer = sgd((0.3, 0.1))
    scheduler = Scheduler(optimizer, schedule.warmup(2) >> schedule.plateau(patience=0))
    go(optimizer, scheduler, 0, 6)
    assert scheduler.state_dict() == {
        "step": 6,
        "base_lrs": [0.3, 0.1],
        "seen": [[], pytest.approx([1.0, 0.9, 0, 0])],
    }
    plain = Scheduler(sgd(), schedule.cosine(10))
    assert plain.state_dict() == {"step": 0, "base_lrs": [0.3], "seen": [[]]}


def test_it_starts_at_a_step_without_a_saved_state():
    optimizer = sgd()
    rates = go(optimizer, Scheduler(optimizer, schedule.cosine(10)), 0, 10)
    optimizer = sgd()
    scheduler = Scheduler(optimizer, schedule.cosine(10), step=6)
    assert go(optimizer, scheduler, 6, 10) == rates[6:]


def test_a_second_schedule_starts_from_the_groups_own_rate():
    """As torch's do: a rate that the first has brought down to 0 is not what the second multiplies."""
    optimizer = sgd()
    go(optimizer, Scheduler(optimizer, schedule.linear(3)), 0, 3)
    assert optimizer.param_groups[0]["lr"] == 0.0
    scheduler = Scheduler(optimizer, schedule.linear(3))
    assert optimizer.param_groups[0]["lr"] == 0.3
    assert scheduler.get_last_lr() == [0.3]


def test_a_metric_is_a_step_with_step_and_none_with_observe():
    optimizer = sgd((1.0,))
    scheduler = Scheduler(optimizer, schedule.warmup(2) >> schedule.plateau(patience=0, factor=0.5))
    for metric in (1.0, 1.0, 1.0, torch.tensor(1.0), 1.0):
        optimizer.step()
        scheduler.step(metric)
    assert scheduler.last_epoch == 5
    assert scheduler.get_last_lr() == [0.25], "the third is the first that the plateau sees"
    scheduler.observe(1.0)
    assert scheduler.last_epoch == 5
    assert scheduler.get_last_lr() == [0.125]
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_a_metric_that_is_better_when_higher_is_read_so():
    rates = []
    for sign, higher in ((1, False), (-1, True)):
        optimizer = sgd()
        scheduler = Scheduler(optimizer, schedule.plateau(**QUICK), higher_is_better=higher)
        rates.append([])
        for metric in METRICS:
            optimizer.step()
            scheduler.step(sign * metric)
            rates[-1].append(scheduler.get_last_lr())
    assert rates[0] == rates[1]
    assert rates[0][-1] < [0.3]


def test_a_rate_in_a_tensor_stays_in_its_tensor():
    rate = torch.tensor(0.5)
    optimizer = torch.optim.Adam(parameters(), lr=rate)
    held = optimizer.param_groups[0]["lr"]
    scheduler = Scheduler(optimizer, schedule.linear(4))
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is held
    assert held.item() == 0.375


def test_it_is_torchs_scheduler_and_stands_in_its_sequence():
    optimizer = sgd((1.0,))
    ours = [Scheduler(optimizer, schedule.warmup(4)), Scheduler(optimizer, schedule.cosine(6))]
    assert all(isinstance(part, lr_scheduler.LRScheduler) for part in ours)
    whole = lr_scheduler.SequentialLR(optimizer, ours, [4])
    found = []
    for _ in range(10):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        whole.step()
    chain = schedule.warmup(4) >> schedule.cosine(6)
    assert found == [chain(step) for step in range(10)]


def test_copies_of_an_optimizer_do_not_hang_on_the_scheduler():
    optimizer = sgd()
    scheduler = Scheduler(optimizer, schedule.linear(4))
    copied = copy.deepcopy(optimizer)
    scheduler.step()
    assert copied.param_groups[0]["lr"] == 0.3
    del scheduler
    optimizer.add_param_group({"params": parameters(), "lr": 0.1})
    optimizer.step()
    assert optimizer.param_groups[1]["lr"] == 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scheduler(sgd(), schedule.cosine()), "say how many steps cosine lasts"),
        (lambda: Scheduler(sgd(), schedule.linear(50), 20), "lasts 50 steps, and the run has 20"),
        (lambda: Scheduler(sgd(), "cosine"), "takes a schedule such as schedule.cosine"),
        (lambda: Scheduler([1], schedule.constant()), "takes a torch optimizer, not list"),
        (lambda: Scheduler(sgd(), schedule.constant(), 0), "total takes a whole number from 1 up, not 0"),
        (lambda: Scheduler(sgd(), schedule.constant(), step=-1), "step takes a whole number from 0 up, not -1"),
        (lambda: Scheduler(sgd(), schedule.constant()).step(0.3), "constant follows no metric"),
        (lambda: Scheduler(sgd(), schedule.constant()).observe(0.3), "constant follows no metric"),
        (lambda: Scheduler(sgd(), schedule.plateau()).step("low"), "a metric is a number, not str"),
        (lambda: Scheduler(sgd(), schedule.plateau()).step(torch.ones(2)), "a metric is a number, not Tensor"),
        (
            lambda: Scheduler(sgd(), schedule.plateau()).load_state_dict({"step": 1, "base_lrs": [1], "seen": [[]]}),
            "is not of the schedule plateau",
        ),
        (
            lambda: Scheduler(sgd(), schedule.constant()).load_state_dict(
                lr_scheduler.StepLR(sgd(), 3).state_dict()
            ),
            "what torch's schedulers save cannot be loaded",
        ),
    ],
)  # fmt: skip
def test_what_it_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
