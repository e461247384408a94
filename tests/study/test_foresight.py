"""What is traced in a process of its own, while plans are measured, is what would have been traced here."""

import gc
import weakref

import pytest
import torch
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe, Together
from thalweg.study import planning
from thalweg.study.engines import compilers
from thalweg.study.engines.compilers import Foresight
from thalweg.study.plan import tuning
from thalweg.train import planner
from thalweg.train.planner import Plan


@pytest.fixture(autouse=True)
def one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def mlp():
    return nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 10))


def plan_of(task, kind):
    return planner.measure(task, kind, processes=2, seconds=0)


KINDS = [Together(batch_size=36), Together(batch_size=50, shaping=(("norm", tw.norm.layer()),))]


def told(task, kinds):
    foresight = Foresight(task, kinds, 2)
    try:
        for kind in kinds:
            foresight.tell(kind)
    finally:
        foresight.end()


def test_the_same_graphs_are_found_without_tracing_here(monkeypatch):
    here, there = small_digits(mlp), small_digits(mlp)
    told(there, KINDS)
    with monkeypatch.context() as patch:
        patch.setattr("torch.fx.experimental.proxy_tensor.make_fx", None)
        found = [
            (graph.path, graph.seconds)
            for kind in KINDS
            for graph in planner.graphs(there, kind, plan_of(there, kind))
        ]
    expected = [
        (graph.path, graph.seconds) for kind in KINDS for graph in planner.graphs(here, kind, plan_of(here, kind))
    ]
    assert found == expected
    assert len(set(found)) == len(found) >= 4


def test_they_are_traced_here_once_they_have_to_be_compiled():
    task = small_digits(mlp)
    told(task, KINDS[:1])
    graph = planner.graphs(task, KINDS[0], plan_of(task, KINDS[0]))[0]
    assert len(graph.graph().graph.nodes) * 0.02 + 9 == pytest.approx(graph.seconds)


def test_a_process_that_dies_leaves_the_tracing_to_this_one(monkeypatch):
    monkeypatch.setattr(compilers, "foretold", lambda *_: __import__("os")._exit(1))
    task = small_digits(mlp)
    told(task, KINDS)
    assert planner.graphs(task, KINDS[0], plan_of(task, KINDS[0]))


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        return self.out(x) if x.sum().item() > 0 else self.out(-x)


def test_what_cannot_be_traced_is_said_as_before():
    task = small_digits(Counts)
    told(task, KINDS[:1])
    recipes = {"adam": Recipe(optim.adam(), batch_size=36, epochs=3000)}
    plans, _ = planning.make_plans(task, recipes, tuning(trials=1, seeds=40, seed=0), None, 2, compiles=True)
    (plan,) = plans.values()
    assert plan.executor == "one by one"
    assert "takes a number out of a tensor" in plan.reason


@pytest.mark.parametrize("epochs", [1, 3000])
def test_a_study_asks_for_what_was_foreseen_where_it_has_work_enough(epochs, monkeypatch):
    asked = []
    monkeypatch.setattr(Foresight, "tell", lambda self, kind: asked.append((self.child is not None, kind)))
    task = small_digits(mlp)
    recipes = {"adam": Recipe(optim.adam(), batch_size=36, epochs=epochs)}
    planning.make_plans(task, recipes, tuning(trials=2, seeds=20, seed=0), None, 2, compiles=True)
    assert asked == ([(True, Together(batch_size=36))] if epochs == 3000 else [])


def test_what_is_not_compiled_after_all_keeps_no_task_alive():
    task = small_digits(mlp)
    told(task, KINDS[:1])
    plan = planner.to_compile(
        task, KINDS[0], Plan("vmapped", plan_of(task, KINDS[0]).together, 1e-5, 1e-5, "so"), 21.0
    )
    assert "compiling would take longer" in plan.reason
    gone = weakref.ref(task)
    del task
    gc.collect()
    assert gone() is None
