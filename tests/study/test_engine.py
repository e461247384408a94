"""Runs in processes: every run has a record, whatever happens to its neighbours."""

import errno
import math
import os
import signal
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg.recipe import Together
from thalweg.record import Store, StoreError
from thalweg.study.engines.local import Local
from thalweg.study.engines.order import Order
from thalweg.study.plan import Job
from thalweg.train import Member, pulse
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan, measure


def jobs(seeds, recipe=None):
    resolved = (recipe or tw.Recipe(tw.optim.sgd(), epochs=2)).resolved()
    return [Job(f"run {seed}", Member(resolved, seed)) for seed in seeds]


def records(task, todo, plans, processes=1, **more):
    """Run jobs; return their records by identity, how many epochs were counted, and what was said."""
    found, epochs, said = {}, [], []
    engine = Local(task, processes=processes, say=said.append, **more)
    engine.run(todo, plans, on_record=lambda r: found.update({r.identity: r}), on_epochs=epochs.append)
    return found, sum(epochs), said


def plans(executor="vmapped", together=32):
    return {Together(): Plan(executor, together, 0.001, 0.001, "")}


def dealt(todo, plans, processes):
    """Return the lanes of an order, as they are begun one after the other."""
    order = Order(todo, plans, processes, left=(), wanted={job.identity for job in todo}, begins=False)
    return [lane for lane, _ in iter(lambda: order.next(1.0), None)]


def test_work_is_dealt_evenly_and_never_beyond_what_fits_together():
    for count in (1, 2, 5, 31, 32, 33, 64, 65, 200):
        for processes in (1, 2, 3):
            lanes = dealt(jobs(range(count)), plans(), processes)
            assert sorted(r for x in lanes for r, _, _ in x.runs) == sorted(j.identity for j in jobs(range(count)))
            sizes = [len(x.runs) for x in lanes]
            assert max(sizes) <= 32
            assert len(lanes) >= min(processes, count)


def test_batch_sizes_train_apart():
    mixed = [tw.Recipe(epochs=e, batch_size=b) for e in (1, 2) for b in (16, 32)]
    every = [j for i, r in enumerate(mixed) for j in jobs(range(10 * i, 10 * i + 3), r)]
    (plan,) = plans().values()
    lanes = dealt(every, {Together(batch_size=16): plan, Together(batch_size=32): plan}, 1)
    assert len(lanes) >= 2
    for lane in lanes:
        assert len({tw.Recipe.from_toml(text).batch_size for _, text, _ in lane.runs}) == 1


@pytest.mark.parametrize("executor", ["vmapped", "one by one"])
def test_processes_change_nothing(linear_task, executor):
    alone, epochs, _ = records(linear_task, jobs(range(6)), plans(executor))
    shared, epochs_too, _ = records(linear_task, jobs(range(6)), plans(executor), processes=2)
    assert epochs == epochs_too == 12
    assert alone.keys() == shared.keys() == {f"run {i}" for i in range(6)}
    for name, record in alone.items():
        np.testing.assert_array_equal(record.curve.train_loss, shared[name].curve.train_loss)
        np.testing.assert_array_equal(record.outcomes, shared[name].outcomes)
        assert record.test == shared[name].test


def test_a_run_that_is_left_alone_gives_the_bits_it_gives_in_company():
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)))
    company, *_ = records(task, jobs(range(9)), plans())
    for left in (1, 2, 3):
        few, *_ = records(task, jobs(range(left)), plans())
        assert len(few) == left
        for name, record in few.items():
            np.testing.assert_array_equal(record.curve.train_loss, company[name].curve.train_loss)


def test_a_run_that_diverges_is_recorded_and_its_neighbours_go_on(linear_task):
    wild = tw.Recipe(tw.optim.sgd(lr=3e38), epochs=3)
    tame = tw.Recipe(tw.optim.sgd(lr=0.1), epochs=3)
    alone, *_ = records(linear_task, jobs(range(3), tame), plans())
    mixed, *_ = records(linear_task, [*jobs(range(3), tame), *jobs(range(3, 6), wild)], plans())
    for seed in range(3):
        assert mixed[f"run {seed}"].status == "finished"
        np.testing.assert_array_equal(mixed[f"run {seed}"].outcomes, alone[f"run {seed}"].outcomes)
    for seed in range(3, 6):
        lost = mixed[f"run {seed}"]
        assert lost.status == "diverged"
        assert "stopped being finite in epoch" in lost.reason
        assert math.isnan(lost.valid)
        assert 0 <= lost.outcomes.mean() <= 0.4, "the untrained model's"


class Fragile(nn.Module):
    """Raises, or takes its process down, when its first weight is above a bound; else a linear classifier."""

    def __init__(self, act):
        super().__init__()
        self.out = nn.Linear(64, 10)
        self.act = act

    def forward(self, x):
        if self.training and float(self.out.bias[0].detach()) > 0.1:
            self.act()
        return self.out(x)


def raise_error():
    raise ValueError("the weather was bad")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("act", "processes", "reason"),
    [
        (raise_error, 1, "ValueError: the weather was bad"),
        (raise_error, 2, "ValueError: the weather was bad"),
        (die, 2, "its process died (exit code -9), perhaps for want of memory"),
    ],
    ids=["raises", "raises in a worker", "dies"],
)
def test_what_fails_is_recorded_with_its_reason_and_takes_nobody_along(act, processes, reason):
    task = small_digits(lambda: Fragile(act))
    bad = {s for s in range(12) if float(task.model(s).out.bias[0].detach()) > 0.1}
    assert 0 < len(bad) < 6, "the case this test is for"
    still = tw.Recipe(tw.optim.sgd(lr=1e-6), epochs=1)
    found, *_ = records(task, jobs(range(12), still), plans("one by one", 6), processes)
    assert {s for s in range(12) if found[f"run {s}"].status == "failed"} == bad
    assert {found[f"run {s}"].reason for s in bad} == {reason}
    assert all(found[f"run {s}"].outcomes is not None for s in range(12) if s not in bad)


def test_a_population_that_vmap_cannot_take_trains_one_by_one():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            return self.out(x) * float(x.abs().max() > 0)  # a number out of a tensor

    task = small_digits(Counting)
    found, _, said = records(task, jobs(range(3)), plans())
    assert {r.status for r in found.values()} == {"finished"}
    assert {r.executor for r in found.values()} == {"one by one"}
    assert len(said) == 1
    assert said[0].endswith("tried again one by one")


def test_something_else_is_done_once_while_processes_train(linear_task):
    found, seen = {}, []
    Local(linear_task, processes=2).run(
        jobs(range(6)), plans(together=3), on_record=lambda r: found.update({r.identity: r}),
        on_epochs=lambda _: None, meanwhile=lambda: seen.append(len(found)),
    )  # fmt: skip
    assert seen == [0]
    assert len(found) == 6


def test_the_callers_threads_are_left_as_they_were(linear_task):
    torch.set_num_threads(2)
    records(linear_task, jobs(range(2)), plans())
    assert torch.get_num_threads() == 2


def test_workers_take_tasks_that_cannot_be_pickled():
    offset = torch.tensor(1.0)
    task = small_digits(lambda: nn.Linear(64, 10), loss=lambda o, y: F.cross_entropy(o + offset, y))
    found, *_ = records(task, jobs(range(4)), plans(), processes=2)
    assert {r.status for r in found.values()} == {"finished"}


class Acts(nn.Module):
    """Does something in its training passes."""

    act = staticmethod(lambda x: None)

    def forward(self, x):
        if self.training:
            Acts.act(x)
        return x


@pytest.fixture
def acting(monkeypatch):
    """Return a task, and what sets what its models do in each training pass."""
    task = small_digits(lambda: nn.Sequential(Acts(), nn.Linear(64, 10)))
    calm, *_ = records(task, jobs(range(12)), plans())
    return task, calm, lambda act: monkeypatch.setattr(Acts, "act", staticmethod(act))


def alike(found, calm):
    assert found.keys() == calm.keys()
    for name, record in found.items():
        np.testing.assert_array_equal(record.curve.train_loss, calm[name].curve.train_loss)
        np.testing.assert_array_equal(record.outcomes, calm[name].outcomes)


def test_a_process_that_is_killed_once_goes_on_from_its_checkpoint(acting, tmp_path):
    task, calm, does = acting
    passes = tmp_path / "passes"

    def act(_):
        with passes.open("a") as file:
            file.write(".")
        if passes.stat().st_size == 8:
            die()

    does(act)
    found, epochs, said = records(
        task, jobs(range(12)), plans(), 2, checkpoints=Checkpoints(tmp_path), seconds=0
    )  # fmt: skip
    alike(found, calm)
    (line,) = said
    assert "its process died (exit code -9)" in line
    assert line.endswith("they go on from where they were last kept")
    assert epochs in (24, 30), "an epoch that ended after the last checkpoint is counted again"
    # Two lanes of 6 steps, 2 epochs of 3; what the dead one had in hand is all that is done again.
    assert 13 <= passes.stat().st_size <= 14
    assert Checkpoints(tmp_path).names() == []


def test_a_process_that_gives_no_sign_of_life_is_named(acting):
    task, _, does = acting
    does(lambda _: time.sleep(60))
    started = time.monotonic()
    found, _, said = records(task, jobs(range(2)), plans("one by one", 1), 2, patience=0.4)
    assert time.monotonic() - started < 20
    assert {r.status for r in found.values()} == {"failed"}
    assert {r.reason for r in found.values()} == {"its process gave no sign of life for 0 s"}
    assert said


class Slow(nn.Linear):
    """Takes its time where nothing is learnt: when it is made, and in evaluation mode."""

    def __init__(self):
        super().__init__(64, 10)
        time.sleep(0.04)

    def forward(self, x):
        if not self.training:
            time.sleep(0.04)
        return super().forward(x)


def test_what_is_made_and_judged_slowly_is_no_standstill(monkeypatch):
    monkeypatch.setattr(pulse, "EVERY", 0.0)
    x, y = torch.randn(2000, 64), torch.arange(2000) % 10
    task = tw.Task(
        model=lambda: nn.Sequential(Slow(), nn.BatchNorm1d(10)), data=(x, y), loss=F.cross_entropy, metric=tw.accuracy
    )
    todo = jobs(range(2), tw.Recipe(tw.optim.sgd(), epochs=1, average=tw.average.swa()))
    kind = todo[0].member.recipe.together()
    measure(task, kind, seconds=0)  # which looks at the model before there are lanes
    found, _, said = records(task, todo, {kind: plans("one by one", 1)[Together()]}, 2, patience=0.5)
    assert {r.status for r in found.values()} == {"finished"}
    assert said == []


@pytest.mark.parametrize("processes", [1, 2])
def test_runs_that_take_too_much_memory_together_go_on_in_halves(acting, monkeypatch, processes):
    task, calm, _ = acting
    from thalweg.train.vmapped import Vmapped

    whole = Vmapped.differentiate

    def differentiate(self, batch, steps):
        if len(steps) > 4:  # three and a spare row
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory")
        return whole(self, batch, steps)

    monkeypatch.setattr(Vmapped, "differentiate", differentiate)
    found, _, said = records(task, jobs(range(12)), plans(), processes)
    alike(found, calm)
    assert {r.executor for r in found.values()} == {"vmapped, 3 together"}
    assert all(line.endswith("they go on in halves") for line in said)


def test_a_full_disk_ends_the_study_and_it_goes_on_when_there_is_room(acting, monkeypatch, tmp_path):
    task, calm, _ = acting
    found = {}

    def run():
        Local(task, processes=2, checkpoints=Checkpoints(tmp_path), seconds=0).run(
            jobs(range(12)), plans(together=2), on_record=lambda r: found.update({r.identity: r}),
            on_epochs=lambda _: None, done=set(found), begins=True,
        )  # fmt: skip

    whole = os.fsync
    count = []

    def fsync(file):
        count.append(file)
        if len(count) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match="cannot be written: No space left on device"):
        run()
    monkeypatch.setattr(os, "fsync", whole)
    run()
    alike(found, calm)


def test_what_an_engine_says_is_kept_for_those_who_watch(tmp_path):
    mark, here = tmp_path / "killed", os.getpid()

    class Dying(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            if self.training and os.getpid() != here and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return self.out(x)

    recipes = {"sgd": tw.Recipe(tw.optim.sgd(), epochs=2), "adam": tw.Recipe(tw.optim.adam(), epochs=2)}
    out = tmp_path / "study"
    tw.compare(small_digits(Dying), recipes, trials=1, seeds=3, out=out, processes=2, progress=False)
    assert mark.exists()
    with Store(out) as store:
        said = store.get("progress")["said"]
    assert [line for line in said if "its process died" in line], said
