"""Processes against threads: chosen by what is measured, never beyond the cores, and the same bits after a kill."""

import multiprocessing
import os
import time
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_engine import jobs, records
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg.recipe import Together
from thalweg.record import Store
from thalweg.study import lottery, planning, single, threads, train
from thalweg.study.before import explain
from thalweg.study.budget import arms, span
from thalweg.study.engines.children import fork
from thalweg.study.engines.lanes import Watch
from thalweg.study.engines.local import Local
from thalweg.study.plan import Protocol
from thalweg.study.planning import at_work, in_numbers, plan_facts, plans_of
from thalweg.study.threads import GAIN, spread, tried
from thalweg.study.tickets import lottery as lotteries
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan

STEP = 0.1
SLOW = Plan("one by one", 1, STEP, 0.01, "one by one, at 100000 µs a run and step")


@pytest.fixture(scope="module")
def task():
    """A task whose model is so large that two threads share what one does, and whose metric shows every bit of it."""
    entropy = tw.Metric("entropy", lambda output, y: F.cross_entropy(output, y, reduction="none"), False)

    def model():
        return nn.Sequential(nn.Linear(64, 700), nn.LayerNorm(700), nn.Tanh(), nn.Dropout(0.3), nn.Linear(700, 10))

    return small_digits(model, metric=entropy)


@pytest.fixture
def measured(monkeypatch):
    """Let steps take so long with so many threads as is said; return what was measured."""

    def takes(seconds, together=STEP):
        found = []

        def measure(_task, _kind, executor, runs, *, threads, processes, seconds=0.0):
            assert executor == "one by one" or threads == 1, "a run's bits must not depend on its company"
            found.append((executor, runs, threads, processes))
            time = together if executor == "vmapped" else times(threads)
            return None if time is None else (time, 0.01)

        times = seconds
        monkeypatch.setattr(threads, "tried", measure)
        return found

    return takes


def one_kind(task, runs, plan=SLOW, cores=2, epochs=100):
    """Return the plan of so many runs of a kind, if it was measured."""
    recipe = tw.Recipe(tw.optim.sgd(), epochs=epochs).resolved()
    kind = recipe.together()
    return spread(task, [[(recipe, runs)]], {kind: plan}, cores).get(kind)


def shared(threads):
    """Threads share nine tenths of the work."""
    return STEP * (0.1 + 0.9 / threads)


# -- the choice --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cores", [2, 3, 4, 16, 64])
@pytest.mark.parametrize("memory", [0, 1, 2, 5])
def test_processes_times_threads_are_never_more_than_the_cores(task, measured, cores, memory):
    tries = measured(shared)
    plan = replace(SLOW, processes=memory if memory < cores else 0)
    for runs in (1, 2, 3, 5, 17, 200):
        found = one_kind(task, runs, plan, cores) or plan
        assert found.at_once(cores) * found.threads <= cores
        assert found.at_once(cores) <= (plan.processes or cores)
        assert found.at_once(cores) * found.share(cores) <= cores + 1e-9
    assert all(threads * processes <= cores for _, _, threads, processes in tries)
    assert all(processes <= (plan.processes or cores) for *_, processes in tries)


@pytest.mark.parametrize(("runs", "cores", "chosen"), [(1, 2, 2), (3, 2, 2), (3, 16, 5), (1, 16, 16), (8, 16, 2)])
def test_few_runs_of_a_large_model_share_the_cores(task, measured, runs, cores, chosen):
    tries = measured(shared)
    found = one_kind(task, runs, cores=cores)
    assert found.threads == chosen
    assert (found.executor, found.compiles) == ("one by one", "")
    assert found.step_seconds == pytest.approx(chosen * shared(chosen)), "seconds of all its cores"
    assert found.reason.endswith(f"with {chosen} threads {STEP / shared(chosen):.1f} times faster")
    assert tries[0] == ("one by one", 1, 1, min(runs, cores)), "as many at once as there would be"
    assert ("one by one", 1, chosen, min(runs, cores // chosen)) in tries


def test_threads_that_are_no_faster_are_not_taken(task, measured):
    for times in (lambda threads: STEP, lambda threads: STEP * 1.5, lambda threads: STEP if threads == 1 else None):
        measured(times)
        found = one_kind(task, 1)
        assert (found.threads, found.step_seconds) == (1, STEP)
        assert found.reason == f"{SLOW.reason}; no faster with more threads"
    measured(lambda threads: STEP / (1 if threads == 1 else 0.97 * GAIN))
    assert one_kind(task, 1).reason == f"{SLOW.reason}; with 2 threads only 1.1 times faster"


def test_three_runs_on_two_cores_wait_for_one_another_only_where_that_is_worth_it(task, measured):
    """With one thread each there are two rounds; with two threads three, and each has to be quick."""
    for gain, chosen in ((1.4, 1), (1.6, 1), (1.8, 2)):
        measured(lambda threads, gain=gain: STEP if threads == 1 else STEP / gain)
        assert one_kind(task, 3).threads == chosen


def test_kinds_that_gain_nothing_keep_one_thread_beside_those_that_gain(task, monkeypatch):
    large, small = (tw.Recipe(epochs=epochs, batch_size=size).resolved() for epochs, size in ((360, 64), (120, 16)))
    kinds = [recipe.together() for recipe in (large, small)]

    def measure(_task, kind, _executor, _runs, *, threads, processes, seconds):
        return (shared(threads) if kind == kinds[0] else STEP / 4), 0.01

    monkeypatch.setattr(threads, "tried", measure)
    plans = {kinds[0]: SLOW, kinds[1]: replace(SLOW, step_seconds=STEP / 4)}
    found = spread(task, [[(large, 1), (small, 1)]], plans, 4)
    assert [found[kind].threads for kind in kinds] == [2, 1]


@pytest.mark.parametrize(("runs", "cores"), [(2, 2), (4, 2), (5, 2), (100, 2), (45, 16), (160, 16)])
def test_where_no_core_would_be_idle_nothing_is_measured(task, measured, runs, cores):
    assert one_kind(task, runs, cores=cores) is None
    assert measured(shared) == []


def test_runs_that_take_seconds_are_not_measured(task, measured):
    tries = measured(shared)
    assert one_kind(task, 1, replace(SLOW, step_seconds=STEP / 10), epochs=20) is None
    assert tries == []


def test_measuring_takes_a_part_of_the_work_however_many_kinds_there_are(task, measured):
    tries = measured(shared)
    norms = (tw.norm.layer, tw.norm.batch, tw.norm.rms, tw.norm.instance)
    for epochs in (1, 10, 100, 1000):
        tries.clear()
        recipes = [tw.Recipe(norm=norm(), epochs=epochs).resolved() for norm in norms[: 3 if epochs < 1000 else 4]]
        plans = {recipe.together(): SLOW for recipe in recipes}
        arm = [(recipe, 1) for recipe in recipes]
        spread(task, [arm], plans, 64)
        spent = len(tries) * (threads.LEAST + 4 * STEP)
        assert spent <= threads.SHARE * span(task, arm, plans, 64)
    assert tries, "the case this test is for"


def test_memory_for_few_leaves_cores_to_their_threads(task, measured):
    measured(shared)
    found = one_kind(task, 100, replace(SLOW, processes=2), cores=16)
    assert (found.threads, found.at_once(16)) == (8, 2)
    assert at_work(found, 16) == "2 processes of 8 threads each"
    assert one_kind(task, 100, cores=16) is None


def test_few_runs_of_a_model_that_vmap_takes_are_held_against_one_by_one(task, measured):
    plan = replace(SLOW, executor="vmapped", together=8, reason="8 together by vmap")
    tries = measured(shared, together=0.5 * STEP)
    assert one_kind(task, 1, plan, cores=2).executor == "vmapped"
    assert tries == [("vmapped", 1, 1, 1), ("one by one", 1, 1, 1), ("one by one", 1, 2, 1)]
    measured(shared, together=1.5 * STEP)
    found = one_kind(task, 1, plan, cores=2)
    assert (found.executor, found.threads) == ("one by one", 2)
    assert found.reason == (
        "one by one with 2 threads at 55000 µs a run and step, as there are few runs for the cores; "
        "many would be 8 together by vmap"
    )
    measured(lambda threads: STEP, together=1.5 * STEP)
    found = one_kind(task, 1, plan, cores=2)
    assert (found.executor, found.threads) == ("one by one", 1)


def test_a_study_measures_what_it_is_made_of(task, measured, monkeypatch):
    tries = measured(shared)
    monkeypatch.setattr(planning, "measure", lambda *_, **__: SLOW)
    monkeypatch.setattr(planning, "to_compile", lambda _task, _kind, plan, *_: plan)
    recipes = {"one": tw.Recipe(tw.optim.sgd(), epochs=100), "other": tw.Recipe(tw.optim.adam(), epochs=100)}
    for seeds, cores, chosen in ((1, 2, 1), (3, 2, 1), (1, 4, 2), (3, 16, 2), (2, 16, 4), (40, 16, 1)):
        plans, _ = planning.make_plans(task, recipes, Protocol(trials=0, seeds=seeds), None, cores, compiles=True)
        assert [plan.threads for plan in plans.values()] == [chosen]
    tries.clear()
    plans, _ = planning.make_plans(task, recipes, Protocol(trials=0, seeds=1), None, 16, compiles=False)
    assert [plan.threads for plan in plans.values()] == [1], "a cluster's tasks have one core each"
    assert not tries


def test_a_compiled_plan_has_one_thread(task):
    several = replace(SLOW, executor="one by one", together=8, threads=2)
    assert planning.to_compile(task, Together(), several, 1e9) == several


def test_it_is_said_before_anything_is_run(task, measured, monkeypatch):
    measured(shared)
    monkeypatch.setattr(planning, "measure", lambda *_, **__: replace(SLOW, processes=1))
    recipes = [tw.Recipe(tw.optim.sgd(), epochs=30)]
    lines = explain(task, recipes, trials=1, seeds=1, processes=2)
    assert f"{SLOW.reason}; with 2 threads 1.8 times faster; 1 process of 2 threads" in lines


def test_what_is_said_and_kept_of_it_is_true(task):
    kinds = [Together(), Together(batch_size=32)]
    plans = {kinds[0]: replace(SLOW, threads=4), kinds[1]: SLOW}
    assert [at_work(plan, 8) for plan in plans.values()] == ["2 processes of 4 threads each", "8 processes"]
    assert in_numbers(plans, 8) == ("2 or 8", "4 or 1")
    assert in_numbers({kinds[0]: SLOW}, 8) == (8, 1)
    assert plans_of(plan_facts(plans, 8), {}, Protocol()) == plans


def test_the_time_is_that_of_the_last_to_end(task):
    recipe = tw.Recipe(tw.optim.sgd(), epochs=10).resolved()
    kind = recipe.together()
    alone = span(task, [(recipe, 1)], {kind: SLOW}, 1)
    for runs, cores, plan, rounds in [
        (3, 16, SLOW, 1), (3, 2, SLOW, 2), (17, 16, SLOW, 2), (6, 16, replace(SLOW, processes=2), 3),
        (3, 16, replace(SLOW, threads=5), 1 / 5), (3, 16, replace(SLOW, threads=8), 2 / 8),
        (3, 2, replace(SLOW, threads=8), 3 / 8),
    ]:  # fmt: skip
        assert span(task, [(recipe, runs)], {kind: plan}, cores) == pytest.approx(rounds * alone)
    assert len(arms({"a": tw.Recipe()}, Protocol(trials=0, seeds=3))) == 1


# -- measuring ---------------------------------------------------------------------------------------------------


def test_it_is_measured_in_processes_that_begin_together(task):
    before = torch.get_num_threads()
    for count_, processes in ((1, 2), (2, 1)):
        step, epoch = tried(task, Together(), "one by one", 1, threads=count_, processes=processes, seconds=0.05)
        assert 0 < step < 1
        assert 0 < epoch < 1
    assert torch.get_num_threads() == before


def test_what_gives_other_bits_each_time_keeps_one_thread():
    class Restless(nn.Linear):
        calls = count()

        def forward(self, x):
            return super().forward(x) * (1 + 1e-3 * (next(self.calls) % 7))

    task = small_digits(lambda: Restless(64, 10))
    how = {"processes": 1, "seconds": 0.0}
    assert tried(task, Together(), "one by one", 1, threads=2, **how) is None
    assert tried(task, Together(), "one by one", 1, threads=1, **how) is not None


def test_what_fails_or_dies_while_it_is_tried_is_not_chosen(task):
    class Mortal(nn.Linear):
        def forward(self, x):
            if torch.get_num_threads() > 1:
                os._exit(3)
            return super().forward(x)

    task = small_digits(lambda: Mortal(64, 10))
    assert tried(task, Together(), "one by one", 1, threads=2, processes=2, seconds=0.0) is None


@pytest.mark.slow
def test_a_small_model_keeps_its_thread_and_a_large_one_is_measured(monkeypatch):
    plan = replace(SLOW, step_seconds=1e-3, epoch_seconds=1e-3)
    small = small_digits(lambda: nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)))
    assert one_kind(small, 1, plan, epochs=10_000).threads == 1
    large = small_digits(
        lambda: nn.Sequential(nn.Linear(64, 2000), nn.Tanh(), nn.Linear(2000, 2000), nn.Linear(2000, 10))
    )
    figures = {}

    def watched(*given, threads, **named):
        figures[threads] = tried(*given, threads=threads, **named)
        return figures[threads]

    monkeypatch.setattr(threads, "tried", watched)
    found = one_kind(large, 1, replace(SLOW, step_seconds=0.02), epochs=5000)
    assert figures.keys() == {1, 2}
    ratio = figures[1][0] / figures[2][0]  # which whatever else works here decides
    assert found.threads == 2 or ratio < 1.1 * GAIN
    assert found.threads == 1 or ratio > GAIN / 1.1


# -- training ----------------------------------------------------------------------------------------------------


def planned(count, **more):
    return {Together(): replace(SLOW, threads=count, **more)}


def same(found, whole):
    assert found.keys() == whole.keys()
    for name, record in found.items():
        assert record.executor == whole[name].executor
        np.testing.assert_array_equal(record.outcomes, whole[name].outcomes)
        np.testing.assert_array_equal(record.curve.train_loss, whole[name].curve.train_loss)


def test_runs_with_two_threads_give_the_same_bits_here_and_in_processes(task):
    todo = jobs(range(3), tw.Recipe(tw.optim.adam(), epochs=3))
    here, *_ = records(task, todo, planned(2), processes=1)
    there, *_ = records(task, todo, planned(2), processes=2)
    same(there, here)
    assert {record.executor for record in here.values()} == {"one by one, 2 threads"}
    assert torch.get_num_threads() == 1, "the caller's are left as they were"
    one, *_ = records(task, todo, planned(1), processes=2)
    assert {record.executor for record in one.values()} == {"one by one"}
    for name, record in one.items():
        np.testing.assert_allclose(record.curve.train_loss, here[name].curve.train_loss, rtol=1e-3)
        assert (record.outcomes != here[name].outcomes).any(), (
            "the case this test is for: two threads round otherwise"
        )


@pytest.mark.parametrize(
    ("plan", "cores", "most"),
    [({"threads": 2}, 4, 2), ({"threads": 2}, 3, 1), ({"threads": 4}, 2, 1), ({"threads": 1, "processes": 2}, 4, 2)],
)
def test_lanes_begin_while_cores_and_memory_are_left(linear_task, monkeypatch, plan, cores, most):
    seen, start = [], Local._start

    def starting(self, lane, queue):
        start(self, lane, queue)
        seen.append(len(self.busy))

    monkeypatch.setattr(Local, "_start", starting)
    found, *_ = records(linear_task, jobs(range(5)), {Together(): replace(SLOW, **plan)}, processes=cores)
    assert len(found) == 5
    assert max(seen) == most


def test_kinds_with_one_thread_fill_the_cores_that_others_leave(linear_task, monkeypatch):
    seen, start = [], Local._start

    def starting(self, lane, queue):
        start(self, lane, queue)
        seen.append(sum(busy.lane.threads for busy in self.busy.values()))

    monkeypatch.setattr(Local, "_start", starting)
    recipes = [tw.Recipe(tw.optim.sgd(), epochs=2, batch_size=size) for size in (64, 32)]
    todo = [*jobs(range(2), recipes[0]), *jobs(range(2, 5), recipes[1])]
    plans = planned(2) | {Together(batch_size=32): SLOW}
    found, *_ = records(linear_task, todo, plans, processes=3)
    assert len(found) == 5
    assert max(seen) == 3


def stopping_after(monkeypatch, steps):
    whole, left = Watch.step, [None] * steps

    def step(self, lane, population):
        whole(self, lane, population)
        left.pop()
        if not left:
            monkeypatch.setattr(Watch, "step", whole)
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "step", step)


def test_a_lane_that_goes_on_keeps_its_threads(task, tmp_path, monkeypatch):
    """Whatever the command says the second time."""
    todo = jobs(range(2), tw.Recipe(tw.optim.adam(), epochs=3))
    whole, *_ = records(task, todo, planned(2))
    found = {}

    def go_on(processes):
        Local(task, processes=processes, checkpoints=Checkpoints(tmp_path), seconds=0).run(
            todo, planned(2), on_record=lambda r: found.update({r.identity: r}), on_epochs=lambda _: None,
            done=set(found), begins=True,
        )  # fmt: skip

    stopping_after(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        go_on(1)
    (name,) = Checkpoints(tmp_path).names()
    assert Checkpoints(tmp_path).load(name)[1]["threads"] == 2
    go_on(3)
    same(found, whole)


@pytest.mark.parametrize("number", [1, 2])
def test_thalweg_train_records_its_threads_and_keeps_them(task, tmp_path, monkeypatch, number):
    recipe = tw.Recipe(tw.optim.adam(), epochs=2)
    asked = []

    def choose(_task, _arms, plans, _cores):
        asked.append(plans)
        return {kind: replace(plan, threads=number) for kind, plan in plans.items()}

    monkeypatch.setattr(single, "spread", choose)
    whole = train(task, recipe, out=tmp_path / "whole", progress=False)
    assert whole.record.executor == ("one by one" if number == 1 else "one by one, 2 threads")
    with Store(tmp_path / "whole") as store:
        facts = store.get("environment")
    assert (facts["processes"], facts["threads"]) == (1, number)
    out = tmp_path / "stopped"
    for seconds in (0, 60):  # killed with a checkpoint, and before the first
        stopping_after(monkeypatch, 4)
        with pytest.raises(KeyboardInterrupt):
            train(task, recipe, out=out / str(seconds), progress=False, seconds=seconds)
    monkeypatch.setattr(single, "spread", None)
    for seconds in (0, 60):
        train(task, recipe, out=out / str(seconds), progress=False)
        weights = [load_file(place / "weights.safetensors") for place in (tmp_path / "whole", out / str(seconds))]
        assert all(torch.equal(x, weights[1][name]) for name, x in weights[0].items())
    assert len(asked) == 3
    ((_, record),) = records(task, jobs([0], recipe), planned(number))[0].items()
    np.testing.assert_array_equal(record.outcomes, whole.record.outcomes)


def test_a_lottery_has_them_too(task, tmp_path, monkeypatch):
    monkeypatch.setattr(lotteries, "measure", lambda *_, **__: SLOW)
    monkeypatch.setattr(
        lotteries, "spread", lambda _task, _arms, plans, _cores: {k: replace(p, threads=2) for k, p in plans.items()}
    )
    recipe = tw.Recipe(tw.optim.adam(), epochs=1)
    for name, processes in (("here", 2), ("apart", 4)):
        lottery(task, recipe, rounds=1, seeds=2, processes=processes, out=tmp_path / name, progress=False)
    with Store(tmp_path / "here") as store, Store(tmp_path / "apart") as other:
        assert store.get("plan")["lottery"]["threads"] == 2
        for kept, processes in ((store, 1), (other, 2)):
            environment = kept.get("environment")
            assert (environment["processes"], environment["threads"]) == (processes, 2)
        same(store.runs(curves=True, outcomes=True), other.runs(curves=True, outcomes=True))
        assert {run.executor for run in store.runs().values()} == {"one by one, 2 threads"}


def test_initial_weights_are_those_of_one_thread():
    """Those that come from a decomposition depend on it in their last bits."""

    def model():
        layer = nn.Linear(64, 300)
        nn.init.orthogonal_(layer.weight)
        return nn.Sequential(layer, nn.Linear(300, 10))

    task, recipe = small_digits(model), tw.Recipe(epochs=1).resolved()
    seen = []
    for number in (1, 2):
        torch.set_num_threads(number)
        seen.append(tw.train.begin(task, tw.train.Member(recipe, 0)).tensors)
        assert torch.get_num_threads() == number
    assert all(torch.equal(x, seen[1][name]) for name, x in seen[0].items())


# -- forks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["torch", "cv2"])
def test_a_child_does_not_wait_for_threads_that_its_parent_had(library):
    """As it would for those of OpenMP and OpenCV, until its parent loses patience."""
    picture = np.zeros((2000, 2000, 3), np.uint8)

    def use(number):
        if library == "torch":
            torch.set_num_threads(number)
            torch.exp(torch.zeros(1 << 20)).sum()
        else:
            cv2.setNumThreads(number)
            for _ in range(3):
                cv2.GaussianBlur(picture, (9, 9), 2)
                cv2.warpAffine(picture, np.eye(2, 3, dtype=np.float32), (2000, 2000))

    cv2 = pytest.importorskip("cv2") if library == "cv2" else None
    use(2)
    child = fork(lambda pipe: [use(number) for number in (1, 2)] and pipe.send("done"))
    try:
        assert child.pipe.poll(20)
        assert child.pipe.recv() == "done"
    finally:
        child.end()
    started = time.monotonic()
    use(2)
    assert time.monotonic() - started < 20, "here they are again"
    if cv2 is not None:
        assert cv2.getNumThreads() == 2
        cv2.setNumThreads(1)


def test_a_study_in_a_process_that_was_forked_from_one_with_a_pool_does_not_wait_for_it(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(2000, 2000).exp_().sum()  # with a pool of two
    torch.set_num_threads(threads)
    recipes = {"sgd": tw.Recipe(tw.optim.sgd(), epochs=1), "adam": tw.Recipe(tw.optim.adam(), epochs=1)}
    given = {"trials": 1, "seeds": 2, "out": tmp_path / "study", "processes": 2, "progress": False}
    process = multiprocessing.get_context("fork").Process(
        target=tw.compare, args=(small_digits(lambda: nn.Linear(64, 10)), recipes), kwargs=given
    )
    process.start()
    process.join(60)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert not alive
    assert process.exitcode == 0
