"""Processes that die, or are stopped with all others, cost their lanes some time and nothing else."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from killing import family, kill, wait
from test_engine import jobs, plans, records
from torch import nn

from small import small_digits
from thalweg.study.engines.children import fork
from thalweg.study.engines.lanes import Watch
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.epochs import batches

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="lanes are forked")


@pytest.fixture(scope="module")
def task():
    return small_digits(lambda: nn.Sequential(nn.Linear(64, 9), nn.Dropout(0.3), nn.Linear(9, 10)))


@pytest.fixture
def dying(monkeypatch, tmp_path):
    """Return what has processes die after a step, where a function of lane and deaths so far says so.

    What was done since the last checkpoint is lost, and ``kept`` says whether there is one after each step.
    """

    def sets(dies, *, kept=False):
        whole, deaths = Watch.step, tmp_path / "deaths"
        deaths.touch()

        def step(self, lane, population):
            if kept:
                whole(self, lane, population)
            if dies(lane, deaths.stat().st_size):
                with deaths.open("a") as file:
                    file.write(".")
                os.kill(os.getpid(), signal.SIGKILL)
            if not kept:
                whole(self, lane, population)

        monkeypatch.setattr(Watch, "step", step)
        return deaths

    return sets


def same(found, whole):
    assert found.keys() == whole.keys()
    for name, record in found.items():
        np.testing.assert_array_equal(record.curve.train_loss, whole[name].curve.train_loss)
        np.testing.assert_array_equal(record.outcomes, whole[name].outcomes)


def test_a_lane_whose_process_is_killed_twice_goes_on_in_halves(task, tmp_path, dying):
    whole, *_ = records(task, jobs(range(12)), plans())
    deaths = dying(lambda lane, count: len(lane.states) == 6 and "run 0" in {r for r, *_ in lane.runs} and count < 2)
    found, _, said = records(task, jobs(range(12)), plans(), 2, checkpoints=Checkpoints(tmp_path), seconds=0)
    assert deaths.stat().st_size == 2
    same(found, whole)
    once, twice = said
    assert "6 runs: its process died (exit code -9)" in once
    assert once.endswith("they go on from where they were last kept")
    assert "6 runs together: its process died (exit code -9)" in twice
    assert twice.endswith("they go on in halves")
    assert sorted(r.executor for r in found.values()) == 6 * ["vmapped, 3 together"] + 6 * ["vmapped, 6 together"]
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize(("executor", "together"), [("vmapped", 32), ("one by one", 1)])
def test_a_lane_that_is_killed_again_and_again_but_gets_on_stays_as_it_is(task, tmp_path, dying, executor, together):
    whole, *_ = records(task, jobs(range(6)), plans(executor, together), 2)
    deaths = dying(lambda *_: True, kept=True)
    found, _, said = records(
        task, jobs(range(6)), plans(executor, together), 2, checkpoints=Checkpoints(tmp_path), seconds=0
    )
    steps = 2 * len(batches(len(task.train), jobs([0])[0].member.recipe.batch_size))
    assert deaths.stat().st_size == steps * (2 if together > 1 else 6), "a step, a death"
    same(found, whole)
    assert {r.executor for r in found.values()} == {r.executor for r in whole.values()}
    assert {r.status for r in found.values()} == {"finished"}
    assert all(" where " in line and "last kept" in line for line in said)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_lanes_whose_processes_always_die_end_one_by_one(task, tmp_path, dying):
    alone, *_ = records(task, jobs(range(8)), plans("one by one"))
    dying(lambda lane, _: lane.executor != "one by one")
    found, _, said = records(task, jobs(range(8)), plans(together=8), 2, checkpoints=Checkpoints(tmp_path), seconds=0)
    same(found, alone)
    assert {r.executor for r in found.values()} == {"one by one"}
    # Two lanes of four, too few for halves: each goes on once, and is then taken apart.
    assert len(said) == 4
    assert sum(line.endswith("tried again one by one") for line in said) == 2
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_process_killed_inside_a_write_leaves_no_half_of_it(task, tmp_path, monkeypatch):
    whole, *_ = records(task, jobs(range(6)), plans())
    replace, killed = os.replace, tmp_path / "killed"

    def die_once(*given):
        if not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*given)

    monkeypatch.setattr(os, "replace", die_once)
    found, *_ = records(task, jobs(range(6)), plans(), 2, checkpoints=Checkpoints(tmp_path), seconds=0)
    assert killed.exists()
    same(found, whole)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_where_memory_runs_out_the_kernel_ends_a_lane_and_not_the_study():
    def adjusted():
        return int(Path("/proc/self/oom_score_adj").read_text())

    child = fork(lambda pipe: pipe.send(adjusted()))
    try:
        assert child.pipe.recv() == min(1000, adjusted() + 500)
    finally:
        child.end()


def stopped(pipe, task):
    os.setsid()
    pipe.send(records(task, jobs(range(2)), plans("one by one", 1), 2, patience=1.0)[2])


def test_time_in_which_all_were_stopped_tries_nobodys_patience(monkeypatch):
    """As by Ctrl-Z, and going on a while later."""

    class Slow(nn.Linear):
        def forward(self, x):
            time.sleep(0.1 * self.training)
            return super().forward(x)

    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=stopped, args=(theirs, small_digits(lambda: Slow(64, 10))))
    process.start()
    theirs.close()
    try:
        everybody = wait(lambda: len(found := family(process.pid)) == 3 and found)
        time.sleep(0.2)
        kill(everybody, signal.SIGSTOP)
        time.sleep(2.5)
        kill(reversed(everybody), signal.SIGCONT)  # the first of them last, or it would hear from nobody
        assert ours.recv() == []
    finally:
        kill(family(process.pid))
        process.join()
        ours.close()
