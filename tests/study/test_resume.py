"""What is stopped while it trains goes on from where it was kept, to the same bits, and leaves nothing behind."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_engine import jobs, plans, records
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg import report
from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.record import Store
from thalweg.study import planning, single, train
from thalweg.study.engines import local as engine_local
from thalweg.study.engines.lanes import Watch
from thalweg.study.engines.queues import queues
from thalweg.train import planner
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.planner import Plan


def net():
    return nn.Sequential(nn.Linear(64, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 10))


FALLS = tw.schedule.warmup(2) >> tw.schedule.plateau(patience=0, factor=0.5, threshold=0.5)
RECIPE = tw.Recipe(tw.optim.adam(), FALLS, epochs=4, average=tw.average.ema())


@pytest.fixture
def interrupted(monkeypatch):
    """Return what lets the so-manieth step of all lanes from now on be the last."""
    whole, left = Watch.step, []

    def step(self, lane, population):
        whole(self, lane, population)
        if left and not left.pop():
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "step", step)
    return lambda steps: left.__init__([False, *[True] * (steps - 1)])


@pytest.fixture(scope="module")
def task():
    return small_digits(net)


def same(one, other):
    assert one.keys() == other.keys()
    for name, record in one.items():
        alike = other[name]
        assert (record.status, record.executor, record.steps) == (alike.status, alike.executor, alike.steps)
        np.testing.assert_array_equal(record.outcomes, alike.outcomes)
        for column in ("train_loss", "valid"):
            np.testing.assert_array_equal(getattr(record.curve, column), getattr(alike.curve, column))


@pytest.mark.parametrize("stops", [(2,), (3,), (4, 1, 4), (11, 1)])
def test_a_single_run_goes_on_to_the_same_bits(task, tmp_path, interrupted, stops):
    undisturbed = train(task, RECIPE, out=tmp_path / "whole", progress=False)
    out = tmp_path / "stopped"
    for count in stops:
        interrupted(count)
        with pytest.raises(KeyboardInterrupt):
            train(task, RECIPE, out=out, progress=False, seconds=0)
        assert Checkpoints(out).names() == ["run"]
    with pytest.raises(InputError, match="holds another run, half done; choose another --out"):
        train(task, RECIPE, out=out, seed=1, progress=False)
    steps = Checkpoints(out).load("run")[1]["states"][0]["step"]
    assert steps == sum(stops), "each goes on where the one before was kept"
    trained = train(task, RECIPE, out=out, progress=False)
    assert Checkpoints(out).names() == []
    whole, weights = (load_file(tmp_path / place / "weights.safetensors") for place in ("whole", "stopped"))
    assert all(torch.equal(x, weights[name]) for name, x in whole.items())
    same({"": undisturbed.record}, {"": trained.record})


@pytest.mark.parametrize("after", ["weights.safetensors", "recipe.toml", "begin", "remove", "write"])
def test_a_single_run_that_is_stopped_at_its_end_is_done_all_the_same(task, tmp_path, monkeypatch, after):
    """After each of the files that it leaves."""
    train(task, RECIPE, out=tmp_path / "whole", progress=False)
    out = tmp_path / "stopped"

    def ended(call, *given):
        call(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if after in ("begin", "remove"):
            owner = Store if after == "begin" else Checkpoints
            whole = getattr(owner, after)
            patch.setattr(owner, after, lambda *given: ended(whole, *given))
        elif after == "write":
            whole_page = report.write
            patch.setattr(report, "write", lambda *given: ended(whole_page, *given))
        else:
            write = single.write_whole
            patch.setattr(single, "write_whole", lambda path, content: ended(write, path, content)
                          if path.name == after else write(path, content))  # fmt: skip
        with pytest.raises(KeyboardInterrupt):
            train(task, RECIPE, out=out, progress=False, seconds=0)
    train(task, RECIPE, out=out, progress=False)
    for name in ("weights.safetensors", "recipe.toml"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (out / "report.html").exists()
    assert not [*(out / "checkpoints").iterdir(), *out.glob("*.tmp")]


@pytest.mark.parametrize("executor", ["vmapped", "one by one"])
def test_lanes_go_on_and_take_others_in(task, tmp_path, interrupted, executor):
    todo = [*jobs(range(4), RECIPE), *jobs(range(4, 9), tw.Recipe(tw.optim.sgd(), epochs=2))]
    plan = plans(executor, 5)
    whole, *_ = records(task, todo, plan)
    checkpoints, found = Checkpoints(tmp_path), {}
    for steps in (2, 4, 3, 3):
        interrupted(steps)
        with pytest.raises(KeyboardInterrupt):
            go_on(task, todo, plan, checkpoints, found)
    go_on(task, todo, plan, checkpoints, found)
    same(found, whole)
    assert checkpoints.names() == []


def go_on(task, todo, plan, checkpoints, found, **more):
    engine = engine_local.Local(task, processes=1, checkpoints=checkpoints, seconds=0, **more)
    engine.run(todo, dict(plan), on_record=lambda r: found.update({r.identity: r}), on_epochs=lambda _: None,
               done=set(found), begins=True)  # fmt: skip


def test_who_is_compiled_depends_on_the_plan_and_the_jobs_alone():
    every = jobs(range(20))
    for compiles in ("pending", "yes"):
        first, rest = queues(every, {Together(): Plan("vmapped", 4, 1, 1, "", compiles, 6)}, begins=True)
        assert (first.executor, [run[0] for run in first.runs]) == ("vmapped", [job.identity for job in every[:6]])
        assert (rest.executor, len(rest.runs), rest.waits) == ("compiled", 14, compiles == "pending")
        (only,) = queues(every, {Together(): Plan("vmapped", 4, 1, 1, "", compiles, 6)})
        assert (only.executor, len(only.runs)) == ("compiled", 20)
        plan = Plan("vmapped", 4, 1, 1, "", compiles, 6, without=0.25)  # the share of nodes that cannot compile
        first, rest = queues(every, {Together(): plan}, begins=True)
        assert [(first.executor, len(first.runs)), (rest.executor, len(rest.runs))] == [
            ("vmapped", 10),
            ("compiled", 10),
        ]
        first, rest = queues(every, {Together(): plan})
        assert [len(first.runs), len(rest.runs)] == [5, 15]


def test_runs_that_pass_their_batches_otherwise_stand_in_queues_of_their_own():
    recipes = [tw.Recipe(), tw.Recipe(accumulate=2), tw.Recipe(precision="bf16"), tw.Recipe(wrapper=tw.wrapper.sam())]
    every = [job for i, recipe in enumerate(recipes) for job in jobs(range(3 * i, 3 * i + 3), recipe)]
    (plan,) = plans().values()
    found = queues(every, {job.member.recipe.together(): plan for job in every})
    assert [len(queue.runs) for queue in found] == [3, 3, 3, 3]


def test_a_study_that_goes_on_measures_nothing(task, tmp_path, interrupted, monkeypatch):
    rate = tw.Choice((0.01, 0.1))  # of which there is no curve
    recipes = {"sgd": tw.Recipe(tw.optim.sgd(lr=rate), epochs=2), "adam": tw.Recipe(tw.optim.adam(lr=rate), epochs=1)}

    def study():
        return tw.compare(task, recipes, trials=2, seeds=2, processes=1, out=tmp_path, progress=False)

    interrupted(5)
    with pytest.raises(KeyboardInterrupt):
        study()
    with Store(tmp_path) as store:
        plan = store.get("plan")

    def refuse(*_, **__):
        raise AssertionError("measured")

    for module, name in ((planning, "measure"), (planning, "to_compile"), (planner, "timed")):
        monkeypatch.setattr(module, name, refuse)
    study()
    with Store(tmp_path) as store:
        assert store.get("verdict") is not None
        assert store.get("plan") == plan


@pytest.mark.parametrize("generations", [1, 2])
def test_a_study_whose_checkpoints_are_damaged_says_so_and_comes_to_the_same_bits(
    task, tmp_path, interrupted, generations
):
    """The one before is used; where that is damaged too, its runs begin anew."""
    todo, found, said = jobs(range(5), RECIPE), {}, []
    whole, *_ = records(task, todo, plans(together=5))
    interrupted(8)
    with pytest.raises(KeyboardInterrupt):
        go_on(task, todo, plans(together=5), Checkpoints(tmp_path), found)
    files = sorted((tmp_path / "checkpoints").iterdir(), key=lambda path: -int(path.name.split(".")[1]))
    for path in files[:generations]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    go_on(task, todo, plans(together=5), Checkpoints(tmp_path), found, say=said.append)
    same(found, whole)
    assert len(said) == generations
    assert "is damaged (its checksum does not hold)" in said[0]
    ends = ["the one before is used", "and its runs begin anew"]
    assert said[-1].endswith(ends[generations - 1])
    assert all(path.name.endswith(".damaged") for path in (tmp_path / "checkpoints").iterdir())


def test_a_single_run_whose_checkpoint_is_damaged_comes_to_the_same_weights(task, tmp_path, interrupted):
    train(task, RECIPE, out=tmp_path / "whole", progress=False)
    out = tmp_path / "stopped"
    interrupted(5)
    with pytest.raises(KeyboardInterrupt):
        train(task, RECIPE, out=out, progress=False, seconds=0)
    newest = max((out / "checkpoints").iterdir(), key=lambda path: int(path.name.split(".")[1]))
    newest.write_bytes(newest.read_bytes()[:-9])
    train(task, RECIPE, out=out, progress=False)
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]
    (left,) = (out / "checkpoints").iterdir()
    assert left.name == f"{newest.name}.damaged"
