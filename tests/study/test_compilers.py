"""Code that is compiled beside the first runs: who waits for it, and what becomes of them where it does not come.

Here a graph of operations is its own code, so that nothing takes long; `test_kill_compiled` has the real compiler.
"""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from killing import wait
from test_engine import jobs
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.record import Store
from thalweg.study import study as study_module
from thalweg.study.engines import compilers
from thalweg.study.engines.lanes import Watch
from thalweg.study.engines.local import Local
from thalweg.train import planner
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.compiled import Graph
from thalweg.train.planner import Plan

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="lanes are forked")

PENDING = Plan("vmapped", 4, 1e3, 1e-3, "as said", "pending", 4)
"""So slow that code is faster, however long it is measured to take."""


@pytest.fixture
def task():
    return small_digits(lambda: nn.Sequential(nn.Linear(64, 9), nn.Dropout(0.3), nn.Linear(9, 10)))


@pytest.fixture
def compiles(monkeypatch):
    """Return what sets what a compiler's process does with a graph; the study's own process compiles at once."""
    begin, here = Graph.__init__, os.getpid()

    def begun(self, *given):
        begin(self, *given)
        self.seconds = 0.0

    def eager(self):
        graph = self.graph()
        self._is(lambda given: graph(*given))

    def sets(act):
        monkeypatch.setattr(Graph, "compile", lambda self: (eager if os.getpid() == here else act)(self))

    monkeypatch.setattr(compilers, "import_compiler", lambda: None)
    monkeypatch.setattr(Graph, "__init__", begun)
    monkeypatch.setattr(Graph, "load", lambda self: self.code is not None)
    sets(eager)
    return sets


TODO = [*jobs(range(8)), *jobs(range(8, 12), tw.Recipe(tw.optim.adam(), epochs=3))]


def trained(task, plan=PENDING, processes=2, found=None, became=None, patience=60.0, **more):
    """Run `TODO`, or what is left of it; return records by identity, and what became of the plan."""
    found, became = {} if found is None else found, [] if became is None else became
    engine = Local(
        task, processes=processes, on_plan=lambda _, plan: became.append(plan), patience=patience, **more
    )  # fmt: skip
    engine.run(
        TODO, {Together(): plan}, on_record=lambda r: found.update({r.identity: r}), on_epochs=lambda _: None,
        done=set(found), begins=True,
    )  # fmt: skip
    return found, became


def executors(found):
    return {name: record.executor.partition(",")[0] for name, record in found.items()}


def same(found, whole):
    assert executors(found) == executors(whole)
    for name, record in found.items():
        np.testing.assert_array_equal(record.curve.train_loss, whole[name].curve.train_loss)
        np.testing.assert_array_equal(record.outcomes, whole[name].outcomes)


def test_who_is_compiled_does_not_depend_on_when_the_code_is_there(task, compiles):
    """The first runs, the longest, are not, whether the code is there before them, while they train, or later."""
    whole, (plan,) = trained(task)
    assert plan.compiles == "yes"
    first = {f"run {i}" for i in range(8, 12)}
    assert executors(whole) == {f"run {i}": "vmapped" if f"run {i}" in first else "compiled" for i in range(12)}
    same(trained(task, plan)[0], whole)  # the study goes on with the plan as it was kept
    same(trained(task)[0], whole)  # the code is there by now
    same(trained(task, processes=1)[0], whole)


@pytest.mark.parametrize(("steps", "seconds"), [((2, 5, 7), 0), ((13, 1), 0), ((10, 7), 60)])
def test_who_is_compiled_does_not_depend_on_interruptions(task, compiles, tmp_path, monkeypatch, steps, seconds):
    """Also where a lane had no checkpoint yet, and its runs are dealt again."""
    whole, _ = trained(task)
    checkpoints, plan, found = Checkpoints(tmp_path), PENDING, {}
    step, left = Watch.step, [None]

    def stepped(self, lane, population):
        step(self, lane, population)
        left.pop()
        if not left:
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "step", stepped)
    for count in steps:
        left[:] = [None] * count
        became = []
        with pytest.raises(KeyboardInterrupt):
            trained(task, plan, 1, found, became=became, checkpoints=checkpoints, seconds=seconds)
        plan = became[-1] if became else plan
    left[:] = [None] * 1000
    assert 0 < len(found) < 12
    same(trained(task, plan, 1, found, checkpoints=checkpoints)[0], whole)


def test_a_compiler_that_dies_once_is_begun_again(task, compiles, tmp_path):
    whole, _ = trained(task)

    def die_once(graph):
        if not (mark := tmp_path / graph.path.stem).exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    compiles(die_once)
    found, (plan,) = trained(small_digits(task.factory))
    assert plan.compiles == "yes"
    same(found, whole)


def test_a_compiler_that_always_dies_leaves_the_runs_uncompiled(task, compiles):
    compiles(lambda _: os.kill(os.getpid(), signal.SIGKILL))
    found, (plan,) = trained(task)
    assert plan.reason == "as said; not compiled: the compiler died (exit code -9)"
    assert plan.compiles == ""
    assert set(executors(found).values()) == {"vmapped"}
    assert len(found) == 12


def test_a_compiler_that_is_stuck_is_ended_with_what_it_has_started(task, compiles, tmp_path):
    def sleep(_):
        program = subprocess.Popen(["sleep", "60"])
        (tmp_path / str(program.pid)).touch()
        program.wait()

    compiles(sleep)
    found, (plan,) = trained(task, patience=3.0)
    assert plan.reason == "as said; not compiled: the compiler did not come to an end"
    assert set(executors(found).values()) == {"vmapped"}
    assert len(found) == 12
    programs = [int(path.name) for path in tmp_path.iterdir()]
    assert programs
    wait(lambda: not any(os.access(f"/proc/{one}/exe", os.R_OK) for one in programs), 5)


# -- the study ------------------------------------------------------------------------------------------


@pytest.fixture
def study(task, tmp_path, monkeypatch):
    """Return what does a study whose steps are compiled, and goes on with it."""
    plans = {Together(): PENDING}
    monkeypatch.setattr(study_module, "make_plans", lambda task, named, protocol, *_: (dict(plans), protocol))
    recipes = {"sgd": tw.Recipe(tw.optim.sgd(lr=tw.Choice((0.1, 0.2))), epochs=2)}

    def compare():
        # As another process would: nothing is traced or loaded.
        again = small_digits(task.factory)
        return tw.compare(again, recipes, trials=2, seeds=6, out=tmp_path, processes=1, progress=False)

    return compare


def stopped(study, monkeypatch, steps):
    """Stop a study after so many steps."""
    step, left = Watch.step, [None] * steps

    def stepped(self, lane, population):
        step(self, lane, population)
        left.pop()
        if not left:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "step", stepped)
        with pytest.raises(KeyboardInterrupt):
            study()


def refuse(_):
    raise RuntimeError("the compiler is on strike. It says no more.")


def test_a_study_that_was_compiled_is_refused_where_nothing_can_be(study, compiles, monkeypatch, tmp_path):
    stopped(study, monkeypatch, 8)
    with Store(tmp_path) as store:
        assert store.get("plan")["by_kind"][Together().recipe().toml()]["compiles"] == "yes"
        before = store.finished()
    with monkeypatch.context() as patch:
        patch.setattr(Graph, "compile", refuse)
        message = "are compiled, and here they cannot be: the compiler is on strike .*; choose another --out"
        with pytest.raises(InputError, match=message):
            study()
        with Store(tmp_path) as store:
            assert store.finished() == before
        patch.setenv("CXX", "no-such-compiler")
        with pytest.raises(InputError, match=r"cannot be: there is no C\+\+ compiler \(no-such-compiler\); choose"):
            study()
    study()


def test_without_a_compiler_a_study_is_made_and_says_so(task, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(planner, "WORTH", 0.0)
    monkeypatch.setattr(planner, "LOOKS", 0.0)
    recipes = {name: tw.Recipe(getattr(tw.optim, name)(), epochs=2) for name in ("sgd", "adam")}
    found = tw.compare(task, recipes, trials=2, seeds=3, out=tmp_path, processes=1, progress=False)
    assert found.verdict["sentences"]
    with Store(tmp_path) as store:
        assert {run.status for run in store.runs().values()} == {"finished"}
    why = "not compiled, because there is no C++ compiler (no-such-compiler)"
    assert why in (tmp_path / "report.html").read_text()


def test_a_study_that_is_done_needs_no_code(study, compiles, monkeypatch):
    verdict = study().verdict
    monkeypatch.setattr(Graph, "compile", refuse)
    assert study().verdict == verdict


def test_what_a_kill_left_of_a_lane_is_tidied_up(study, compiles, monkeypatch, tmp_path):
    """After the last record of all, so that nothing is left to be trained."""
    monkeypatch.setitem(Local.__init__.__kwdefaults__, "seconds", 0)
    remove = Checkpoints.remove

    def stop_at_the_last(self, name):
        with Store(tmp_path) as store:
            chosen = store.entries("chosen")
            if chosen and {entry.run for entry in chosen} <= store.finished():
                raise KeyboardInterrupt
        remove(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "remove", stop_at_the_last)
        with pytest.raises(KeyboardInterrupt):
            study()
    assert Checkpoints(tmp_path).names()
    study()
    assert not list((tmp_path / "checkpoints").iterdir())
