"""Compiled code on a cluster: each node compiles its own, one that cannot goes without, and bits are the plan's."""

import os
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn
from work import assert_same, runs_of

import thalweg as tw
from small import small_digits
from thalweg import cli
from thalweg.errors import InputError
from thalweg.study.engines import kept
from thalweg.study.engines.lanes import lanes_left
from thalweg.study.engines.local import Local
from thalweg.study.engines.ray import Cluster
from thalweg.study.plan import Job
from thalweg.train import Member, planner
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.inductor import no_compiler
from thalweg.train.planner import Plan

pytestmark = pytest.mark.skipif(no_compiler() != "", reason="there is no C++ compiler")

PENDING = Plan("vmapped", 4, 1e-4, 1e-4, "as said", "pending", first=3, graphs=2)
READY = replace(PENDING, compiles="yes")


def made(act=lambda: None, hidden=48):
    """Return the task; ``act`` is called where its model is."""

    class Layer(nn.Linear):
        def forward(self, x):
            act()
            return super().forward(x)

    return small_digits(lambda: nn.Sequential(Layer(64, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 10)))


RECIPE = tw.Recipe(tw.optim.adam(), batch_size=len(made().train))  # steps of one size: two graphs
KIND = RECIPE.resolved().together()


def run_by(engine, plan, epochs, **more):
    """Have eleven runs trained, and return their records by identity."""
    recipe, found = replace(RECIPE, epochs=epochs).resolved(), {}
    jobs = [Job(name, Member(recipe, seed)) for name, _, seed in runs_of(11)]
    hear = {"on_record": lambda one: found.update({one.identity: one}), "on_epochs": lambda _: None, **more}
    engine.run(jobs, {KIND: plan}, begins=True, **hear)
    return found


def trained(task, address, plan=PENDING, *, epochs=30, on_epochs=lambda _: None, **more):
    """Return what a cluster makes of them, what was said, and what became of the plan."""
    said, became = [], []
    with Cluster(task, address, say=said.append, on_plan=lambda _, plan: became.append(plan), **more) as cluster:
        return run_by(cluster, plan, epochs, on_epochs=on_epochs), said, became


def locally(task, epochs=30):
    """Return what the local engine makes of them with code that is there."""
    return run_by(Local(task, processes=1), READY, epochs)


def manners(found):
    """Return how runs were trained, in the order of their seeds."""
    return [found[f"run {seed}"].executor for seed in range(11)]


def same(found, whole):
    """The same runs were trained alike to the same bits, in whatever company."""
    assert [how.partition(",")[0] for how in manners(found)] == [how.partition(",")[0] for how in manners(whole)]
    for name, record in found.items():
        assert_same(record, whole[name], but=["executor"])


def files(cache):
    return {path: path.stat().st_mtime_ns for path in Path(cache, "compiled").iterdir()}


@pytest.fixture
def cached(joined, monkeypatch):
    """The node has the code, and this process may use it, too."""
    monkeypatch.setenv("THALWEG_CACHE", joined.cache)
    trained(made(), joined.address)


LONG = 1500  # epochs, which take a second or more


def test_a_node_compiles_while_the_first_runs_train_and_bits_are_those_of_one_machine(joined, monkeypatch):
    found, _, (plan,) = trained(made(), joined.address)
    assert plan.compiles == "yes"
    assert "; compiled another " in plan.reason
    assert manners(found) == ["vmapped, 3 together"] * 3 + ["compiled, 4 together"] * 8
    there = files(joined.cache)
    assert len(there) == 2
    again, _, (other,) = trained(made(), joined.address)
    assert other.compiles == "yes"
    same(again, found)
    same(trained(made(), joined.address, plan)[0], found)  # the study goes on with the plan as it was kept
    monkeypatch.setenv("THALWEG_CACHE", joined.cache)
    same(locally(made()), found)
    assert files(joined.cache) == there, "what is there is used"


def test_a_driver_that_is_stopped_goes_on_to_the_same_bits(joined, cached, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    def stop(_):
        if any(lane.executor == "compiled" for lane in lanes_left(Checkpoints(tmp_path), set())):
            raise StoppedError

    monkeypatch.setattr(kept, "SECONDS", 0.0)
    with pytest.raises(StoppedError):
        trained(made(), joined.address, epochs=LONG, on_epochs=stop, checkpoints=Checkpoints(tmp_path))
    (lane,) = lanes_left(Checkpoints(tmp_path), set())
    assert 0 < lane.states[0].step < LONG
    assert lane.slots == 4
    found, _, _ = trained(made(), joined.address, READY, epochs=LONG, checkpoints=Checkpoints(tmp_path))
    assert Checkpoints(tmp_path).names() == []
    same(found, locally(made(), LONG))


def test_a_node_that_is_shot_costs_no_bits(joined, cached, second, monkeypatch):
    """The runs go on from where they were kept, or begin anew, on a node that has the code, too."""
    shot = []

    def shoot(_):
        if not shot and any(one.node == second.node_id and one.trains for one in cluster._busy.values()):
            shot.append(joined.shoot(second))

    with Cluster(made(), joined.address, say=print) as cluster:
        found = run_by(cluster, READY, LONG, on_courses=shoot)
    assert shot
    same(found, locally(made(), LONG))


@pytest.fixture
def without(nodes, joined, monkeypatch, tmp_path):
    """A second node, which has no compiler."""
    with monkeypatch.context() as patch:
        patch.setenv("CXX", "no-such-compiler")
        patch.setenv("THALWEG_CACHE", str(tmp_path / "cache"))
        node = nodes.add()
    yield node
    nodes.shoot(node)


def test_a_node_without_a_compiler_goes_without_says_so_and_trains_its_share(joined, cached, without):
    slow = made(lambda: time.sleep(0.01))  # where it is not compiled
    found, said, _ = trained(slow, joined.address, replace(PENDING, without=0.3), epochs=1000)
    reason = "there is no C++ compiler (no-such-compiler)"
    assert f"node {without.node_ip_address} goes without compiled code: {reason}" in said
    assert [how.partition(",")[0] for how in manners(found)] == ["vmapped"] * 6 + ["compiled"] * 5
    for name, record in locally(made(), 1000).items():
        if record.executor.startswith("compiled") and found[name].executor.startswith("compiled"):
            assert_same(record, found[name])


def refuse():
    """Not to be traced, and so not to be compiled."""
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    if get_proxy_mode() is not None:
        raise RuntimeError("the model is on strike. It says no more.")


def test_where_no_node_can_compile_runs_go_without(joined):
    found, said, (plan,) = trained(made(refuse, 47), joined.address)  # not the others' code
    assert plan.compiles == ""
    assert re.fullmatch(r"as said; not compiled: the model is on strike \(test_codes.py, line \d+\)", plan.reason)
    assert (
        f"{joined.cluster.head_node.node_ip_address} goes without compiled code: the model is on strike" in said[-1]
    )
    assert {how.partition(",")[0] for how in manners(found)} == {"vmapped"}


def test_where_no_node_can_compile_what_was_compiled_before_is_refused(joined):
    with pytest.raises(
        InputError, match=r"are compiled, and no node of the Ray cluster can .*: the model is on strike .*; add"
    ):
        trained(made(refuse, 47), joined.address, READY)


def dying(mark, times):
    """What dies so many times where it is traced to be compiled."""

    def act():
        from torch.fx.experimental.proxy_tensor import get_proxy_mode

        if get_proxy_mode() is not None and len(list(mark.iterdir())) < times:
            (mark / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return act


@pytest.mark.parametrize(("times", "becomes"), [(1, "yes"), (9, "")])
def test_a_compiler_that_dies_is_begun_once_more(joined, tmp_path, times, becomes):
    found, said, (plan,) = trained(made(dying(tmp_path, times), 48 + times), joined.address)  # not the others' code
    assert plan.compiles == becomes
    assert len(found) == 11
    if not becomes:
        died = "its process died, perhaps for want of memory"
        assert plan.reason == f"as said; not compiled: {died}"
        assert f"node {joined.cluster.head_node.node_ip_address} goes without compiled code: {died}" in said
        assert len(list(tmp_path.iterdir())) <= 4


def test_a_plan_says_what_is_compiled_on_the_nodes(joined, monkeypatch, capsys):
    monkeypatch.setattr(planner, "PAYS", ((0.0, 0),))
    monkeypatch.setattr(planner, "WORTH", 0)
    monkeypatch.setattr(planner, "LOOKS", 0)
    line = f"compare digits --vary optimizer=sgd,adam --epochs 1 --plan --engine ray --address {joined.address}"
    monkeypatch.setattr(sys, "argv", ["thalweg", *line.split()])
    with suppress(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    assert "graphs are compiled when the study begins" in said
