"""Places in a lane that fall free are filled from its queue, which changes nobody's bits."""

import numpy as np
import pytest
from test_engine import jobs, plans, records
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg.study.engines.lanes import Watch
from thalweg.study.engines.local import Local
from thalweg.study.engines.order import Order
from thalweg.train.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def task():
    return small_digits(lambda: nn.Sequential(nn.Linear(64, 9), nn.Dropout(0.3), nn.Linear(9, 10)))


@pytest.fixture
def lanes(monkeypatch):
    """Return the lanes that are begun from now on: the identities of their first runs, and of each that entered."""
    begun, make, more = {}, Order.lane, Local._more

    def lane(self, executor, slots, runs, **how):
        made = make(self, executor, slots, runs, **how)
        begun[made.name] = [run[0] for run in runs]
        return made

    def entering(self, busy, free):
        runs = more(self, busy, free)
        begun.setdefault(busy.lane.name, []).extend(run[0] for run in runs)
        return runs

    monkeypatch.setattr(Order, "lane", lane)
    monkeypatch.setattr(Local, "_more", entering)
    return begun


def of_lengths(*epochs):
    """Return jobs of so many epochs, under names that say so."""
    found = []
    for seed, count in enumerate(epochs):
        recipe = tw.Recipe(tw.optim.adam(), tw.schedule.cosine(), epochs=count)
        found += jobs([seed], recipe)
    return found


def same(found, whole):
    assert found.keys() == whole.keys()
    for name, record in found.items():
        np.testing.assert_array_equal(record.curve.train_loss, whole[name].curve.train_loss)
        np.testing.assert_array_equal(record.outcomes, whole[name].outcomes)


@pytest.mark.parametrize("executor", ["vmapped", "one by one"])
@pytest.mark.parametrize("processes", [1, 2])
def test_places_that_fall_free_are_filled(task, lanes, executor, processes):
    todo = of_lengths(4, 1, 3, 1, 2, 1, 1, 3, 2, 1)
    alone = {}
    for job in todo:
        alone |= records(task, [job], plans(executor))[0]
    lanes.clear()
    found, _, said = records(task, todo, plans(executor, 3 if executor == "vmapped" else 1), processes)
    same(found, alone)
    assert not said
    assert len(lanes) == processes, "each lane goes on until nothing is left"
    assert sorted(name for runs in lanes.values() for name in runs) == sorted(job.identity for job in todo)
    assert {r.executor for r in found.values()} == {executor if executor == "one by one" else "vmapped, 3 together"}


def test_a_lane_of_runs_that_diverge_goes_on_with_others(task, lanes):
    wild = jobs(range(3), tw.Recipe(tw.optim.sgd(lr=3e38), epochs=9))
    calm = jobs(range(3, 9), tw.Recipe(tw.optim.sgd(lr=0.1), epochs=2))
    alone, *_ = records(task, calm, plans())
    lanes.clear()
    found, *_ = records(task, [*wild, *calm], plans(together=3))
    assert [found[f"run {i}"].status for i in range(9)] == 3 * ["diverged"] + 6 * ["finished"]
    same({name: found[name] for name in alone}, alone)
    assert len(lanes) == 1


def test_a_lane_that_goes_on_from_a_checkpoint_takes_others_too(task, lanes, tmp_path, monkeypatch):
    todo = of_lengths(3, 3, 2, 2, 1, 1, 1)
    plan = plans(together=5)  # seven runs are dealt as four and three
    whole, *_ = records(task, todo, plan)
    step, left = Watch.step, [None] * 4

    def stepped(self, lane, population):
        step(self, lane, population)
        left.pop()
        if not left:
            raise KeyboardInterrupt

    found = {}

    def go_on():
        Local(task, processes=1, checkpoints=Checkpoints(tmp_path), seconds=0).run(
            todo, plan, on_record=lambda r: found.update({r.identity: r}), on_epochs=lambda _: None,
            done=set(found), begins=True,
        )  # fmt: skip

    monkeypatch.setattr(Watch, "step", stepped)
    with pytest.raises(KeyboardInterrupt):
        go_on()
    left[:] = [None] * 1000
    (lane,) = Checkpoints(tmp_path).names()
    lanes.clear()
    go_on()
    same(found, whole)
    assert set(lanes) == {lane}
    assert lanes[lane] == [job.identity for job in todo[4:]]
