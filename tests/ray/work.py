"""What the tests of clusters share: a small study's chunks, and what came of them."""

import dataclasses

import numpy as np
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg.study.engine_local import Local
from thalweg.study.plan import Job
from thalweg.study.queues import chunks
from thalweg.train import Member
from thalweg.train.planner import Plan

SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
"""A node."""


def small_task(**more):
    return small_digits(lambda: nn.Sequential(nn.Linear(64, 16), nn.Dropout(0.1), nn.Linear(16, 10)), **more)


def jobs_of(count, epochs=3, recipe=None):
    """Runs with the seeds 0, 1, …"""
    resolved = (recipe or tw.Recipe(tw.optim.adam(), epochs=epochs)).resolved()
    return [Job(f"run {seed}", Member(resolved, seed)) for seed in range(count)]


def plans_of(executor="vmapped", together=5):
    return {64: Plan(executor, together, 0.001, 0.001, "")}


def chunks_of(count, together=5, epochs=3, executor="vmapped", recipe=None):
    """The same, dealt in chunks."""
    return chunks(jobs_of(count, epochs, recipe), plans_of(executor, together), 1)


def locally(task, work):
    """Return the records that the local engine makes of the same runs, all with one plan."""
    found, (first, *_) = {}, work
    recipe = tw.Recipe.from_toml(first.runs[0][1])
    jobs = jobs_of(sum(len(chunk.runs) for chunk in work), recipe=recipe)
    plans = plans_of(first.executor, first.slots)
    Local(task, processes=1).run(
        jobs, plans, on_record=lambda r: found.update({r.identity: r}), on_epochs=lambda _: None
    )
    return found


def assert_same(record, other):
    """Two records are equal to the bit, but for the time that was taken."""
    for field in dataclasses.fields(record):
        mine, theirs = getattr(record, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(mine):
            for column in dataclasses.fields(mine):
                np.testing.assert_array_equal(getattr(mine, column.name), getattr(theirs, column.name))
        elif field.name != "cpu_seconds":
            np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
