"""What the tests of clusters share: a small study's lanes, and what came of them."""

import dataclasses

import numpy as np
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg.study.engines.lanes import Lane, state_of
from thalweg.study.engines.local import Local
from thalweg.study.engines.order import Order
from thalweg.study.engines.ray import Cluster
from thalweg.study.plan import Job
from thalweg.train.planner import Plan

SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
"""A node."""


def small_task(**more):
    return small_digits(lambda: nn.Sequential(nn.Linear(64, 16), nn.Dropout(0.1), nn.Linear(16, 10)), **more)


def runs_of(count, epochs=3, recipe=None):
    """Runs with the seeds 0, 1, …"""
    text = (recipe or tw.Recipe(tw.optim.adam(), epochs=epochs)).resolved().toml()
    return [(f"run {seed}", text, seed) for seed in range(count)]


def lane_of(runs, name="lane-0", executor="vmapped"):
    return Lane(name, executor, len(runs), tuple(map(state_of, runs)))


def lanes_of(count, together=5, epochs=3, executor="vmapped", recipe=None):
    """The same, dealt in lanes."""
    runs = runs_of(count, epochs, recipe)
    parts = [runs[i : i + together] for i in range(0, count, together)]
    return [lane_of(part, f"lane-{number}", executor) for number, part in enumerate(parts)]


def locally(task, work):
    """Return the records that the local engine makes of the same runs, all with one plan."""
    jobs = [Job(state.member.identity, state.member) for lane in work for state in lane.states]
    together = jobs[0].member.recipe.together()
    plans, found = {together: Plan(work[0].executor, work[0].slots, 0.001, 0.001, "")}, {}
    Local(task, processes=1).run(
        jobs, plans, on_record=lambda r: found.update({r.identity: r}), on_epochs=lambda _: None
    )
    return found


def train(cluster, work, **more):
    """Train lanes on a cluster that was entered."""
    more = {"on_record": lambda _: None, "on_epochs": lambda _: None, **more}
    cluster.train(Order([], {}, 1, left=work, wanted=(), begins=False), **more)


def collected(task, work, address, say=None, patience=600.0, checkpoints=None, **more):
    """Return the records that the cluster makes, by identity, and what was said."""
    records, said = [], []
    with Cluster(task, address, say=say or said.append, patience=patience, checkpoints=checkpoints) as cluster:
        train(cluster, work, **{"on_record": records.append, **more})
    assert len({record.identity for record in records}) == len(records)
    return {record.identity: record for record in records}, said


def assert_same(record, other, *, but=()):
    """Two records are equal to the bit, but for the time that was taken."""
    for field in dataclasses.fields(record):
        mine, theirs = getattr(record, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(mine):
            for column in dataclasses.fields(mine):
                np.testing.assert_array_equal(getattr(mine, column.name), getattr(theirs, column.name))
        elif field.name not in {"cpu_seconds", *but}:
            np.testing.assert_array_equal(mine, theirs, err_msg=field.name)


class Acting(nn.Module):
    """A linear classifier; each time that it trains on a batch, ``act`` is called with it."""

    def __init__(self, act):
        super().__init__()
        self.out = nn.Linear(64, 10)
        self.act = act

    def forward(self, x):
        if self.training:
            self.act(self)
        return self.out(x)


STILL = tw.Recipe(tw.optim.sgd(lr=1e-6), epochs=1)
"""Trains, and hardly moves."""


def where_biased(act):
    """What acts where a run whose first bias is above a bound has come to train."""
    return lambda model: act() if float(model.out.bias[0].detach()) > 0.1 else None


def biased(task, count):
    """Return the first so many runs in which that acts."""
    found = {f"run {seed}" for seed in range(count) if float(task.model(seed).out.bias[0].detach()) > 0.1}
    assert 0 < len(found) < count / 2, "the case this test is for"
    return found
