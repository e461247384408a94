"""A study whose runs have two threads each comes to the same bits, however often it is killed."""

import random
import signal
import sys
import time

import pytest
from killing import assert_same, end, family, kill, python, recorded, wait

from thalweg.record import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc"),
]

SCRIPT = """
import sys
from torch import nn
import thalweg as tw
from small import small_digits
from thalweg.recipe import Together
from thalweg.study import study
from thalweg.study.engines import local
from thalweg.train.planner import Plan

out, processes = sys.argv[1:]
def model():
    return nn.Sequential(nn.Linear(64, 700), nn.BatchNorm1d(700), nn.Tanh(), nn.Dropout(0.3), nn.Linear(700, 10))
plan = Plan("one by one", 1, 1e-3, 1e-3, "as said", threads=2)
study.make_plans = lambda task, named, protocol, *_: ({Together(): plan}, protocol)
local.Local.__init__.__kwdefaults__["seconds"] = 0.05
rate = tw.Choice((0.003, 0.01))  # of which there is no curve
falls = tw.schedule.plateau(patience=0, factor=0.5, threshold=0.2)
recipes = {"adam": tw.Recipe(tw.optim.adam(lr=rate), falls, epochs=9, average=tw.average.ema()),
           "sgd": tw.Recipe(tw.optim.sgd(lr=rate), falls, epochs=9)}
tw.compare(small_digits(model), recipes, trials=2, seeds=2, out=out, processes=int(processes), progress=False)
"""


@pytest.mark.parametrize(("processes", "then"), [(2, 2), (3, 1)])
def test_it_comes_to_the_same_bits(tmp_path, processes, then):
    """Also when it goes on with fewer cores than threads."""

    def start(out, processes):
        return python("-c", SCRIPT, out, processes)

    def ends(out, processes):
        process = start(out, processes)
        try:
            _, said = process.communicate(timeout=300)
        finally:
            end(process)
        assert process.returncode == 0, said

    def is_killed(out, after):
        process, before = start(out, processes), recorded(out)
        try:
            wait(lambda: len(family(process.pid)) > 1)
            time.sleep(after)
            wait(lambda: recorded(out) > before or list(out.glob("checkpoints/*.safetensors")))
            kill(family(process.pid), signal.SIGKILL)
        finally:
            end(process)
        assert process.returncode == -signal.SIGKILL
        with Store(out) as store:
            assert store.get("verdict") is None, "the case this test is for"

    ends(tmp_path / "whole", processes)
    out, moments = tmp_path / "out", random.Random(processes)
    for _ in range(3):
        is_killed(out, moments.uniform(0.0, 0.4))
    ends(out, then)
    assert_same(out, tmp_path / "whole")
    with Store(out) as store:
        assert {run.executor for run in store.runs().values()} == {"one by one, 2 threads"}
        environment = store.get("environment")
    assert (environment["processes"], environment["threads"]) == (1, 2)
