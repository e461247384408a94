"""Compiled code is kept under what it does: what does the same finds it, and nothing else does."""

import gc
import subprocess
import sys
import weakref
from collections import defaultdict

import pytest
import torch
from layer_kinds import KINDS
from test_rows import begun
from torch import nn
from torch.nn import functional as F

from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe, Together
from thalweg.study import planning
from thalweg.study.plan import tuning
from thalweg.train import inductor, planner
from thalweg.train.compiled import Compiled, Graph
from thalweg.train.planner import Plan
from thalweg.train.recorded import recorded
from thalweg.train.state import beginnings

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:Using padding='same'")


def step_of(kind):
    models, batch = begun(kind, 4, 5, "compiled", rows=4)
    return Graph(models, ("step", 4, 5), models.training(slice(0, 4), batch))


@pytest.mark.slow
def test_a_step_of_every_kind_of_layer_has_a_name_of_its_own_and_the_same_each_time():
    named = defaultdict(list)
    for kind in KINDS:
        one, other = step_of(kind), step_of(kind)
        assert one.path == other.path, kind
        named[one.path].append((kind, one))
    for shared in named.values():
        assert len({graph.graph().code for _, graph in shared}) == 1, [kind for kind, _ in shared]
    assert len(named) > 0.8 * len(KINDS)


def test_processors_that_are_not_alike_have_code_of_their_own_where_they_share_a_cache(monkeypatch):
    """Inductor compiles for the processor that it runs on, and another may lack its instructions."""
    paths = {inductor.path_of("step 0"), inductor.path_of("step 0")}
    for found in (("skylake-avx512", "+avx512f"), ("sapphirerapids", "+avx512f,+amx-tile")):
        monkeypatch.setattr(inductor, "processor", lambda found=found: found)
        paths.add(inductor.path_of("step 0"))
    assert len(paths) == 3


HALF = torch.linspace(-1, 1, 8)


class Said(nn.Module):
    """What a function makes of a layer's outputs."""

    def __init__(self, says):
        super().__init__()
        self.first, self.last, self.says = nn.Linear(64, 8), nn.Linear(8, 10), says
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x):
        return self.last(self.says(self.first(x), self.scale))


SAYS = {
    "tanh": lambda x, _: x.tanh(),
    "relu": lambda x, _: x.relu(),
    "leaky": lambda x, _: F.leaky_relu(x, 0.1),
    "leakier": lambda x, _: F.leaky_relu(x, 0.2),
    "constant": lambda x, _: x * HALF,
    "other constant": lambda x, _: x * HALF.flip(0),
    "number": lambda x, _: x * 0.5,
    "buffer": lambda x, scale: x * scale,
    "square": lambda x, _: x * x,
    "order": lambda x, _: (x + 1).tanh() * x,
    "other order": lambda x, _: x.tanh() * (x + 1),
    "in place": lambda x, _: x.mul_(0.5),
    "turned": lambda x, _: x.flip(1),
    "first of two": lambda x, _: torch.cat(x.chunk(2, 1)[:1] * 2, 1),
    "last of two": lambda x, _: torch.cat(x.chunk(2, 1)[1:] * 2, 1),
    "cut": lambda x, _: x.detach(),
    "nothing": lambda x, _: x,
}


def graph_of(says, what="step", slots=4, examples=36, dtype=torch.float32):
    task = small_digits(lambda: Said(says).to(dtype))
    models = Compiled(task, beginnings(task, slots, Recipe(optim.adam(), batch_size=36).resolved()))
    batch = task.train.at(torch.arange(examples).repeat(slots, 1))
    some = slice(0, slots)
    given = (
        models.training(some, batch) if what == "step" else models.evaluation(some, task.train.at(range(64)).inputs)
    )
    return Graph(models, (what, slots, examples), given)


@pytest.mark.parametrize("what", ["step", "evaluate"])
def test_what_differs_has_another_name(what):
    paths = {name: graph_of(says, what).path for name, says in SAYS.items()}
    if what == "evaluate":
        del paths["cut"]  # which is nothing, without gradients
    assert len(set(paths.values())) == len(paths)
    assert paths == {name: graph_of(SAYS[name], what).path for name in paths}


def test_other_sizes_are_other_code():
    tanh = SAYS["tanh"]
    every = [graph_of(tanh), graph_of(tanh, slots=5), graph_of(tanh, examples=35), graph_of(tanh, "evaluate")]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    every.append(graph_of(tanh))
    torch.set_num_threads(threads)
    assert len({graph.path for graph in every}) == len(every)


def test_tensors_of_a_function_are_told_apart():
    x, y = torch.ones(3), torch.ones(3)
    ways = [lambda x, y: x - y, lambda x, y: y - x, lambda x, y: x - x, lambda x, y: (x - y, x), lambda x, y: x.exp()]
    assert len({recorded(way, [x, y]) for way in ways}) == len(ways)
    assert recorded(ways[0], [x, y]) == recorded(ways[0], [y, x]) == recorded(ways[0], [x + 1, y])
    assert recorded(ways[0], [x, y]) != recorded(ways[0], [x.double(), y.double()])


def test_to_know_the_name_imports_no_compiler():
    code = """
import sys, torch, thalweg as tw
from thalweg.train import inductor, planner
torch.set_num_threads(1)
task, kind = tw.load_task("digits"), tw.Recipe().resolved().together()
plan = planner.measure(task, kind, processes=2, seconds=0)
assert len(planner.graphs(task, kind, plan)) == 3
print([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        return self.out(x) if x.sum().item() > 0 else self.out(-x)


def test_what_vmap_cannot_take_is_said():
    recipes = {"adam": Recipe(optim.adam(), batch_size=36, epochs=3000)}
    plans, _ = planning.make_plans(
        small_digits(Counts), recipes, tuning(trials=1, seeds=40, seed=0), None, 2, compiles=True
    )
    (plan,) = plans.values()
    assert plan.executor == "one by one"
    assert "takes a number out of a tensor" in plan.reason


def test_code_is_looked_for_only_where_there_is_work_enough(monkeypatch):
    asked = []
    monkeypatch.setattr(planner, "graphs", lambda *given: asked.append(given) or [])
    task, plan = small_digits(Counts), Plan("vmapped", 32, 1e-3, 1e-3, "as said")
    step = 3 * 32 * 1e-3
    planner.to_compile(task, Together(), plan, max(planner.WORTH, 99 * step))
    planner.to_compile(task, Together(), Plan("vmapped", 32, 1.0, 1.0, "slow"), 99 * 96.0)
    assert len(asked) == 1, "of the second, to look alone would take a hundredth"


def test_what_is_not_compiled_after_all_keeps_no_task_alive():
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10)))
    plan = planner.to_compile(task, Together(batch_size=36), Plan("vmapped", 4, 1e-5, 1e-5, "so"), 21.0)
    assert "compiling would take longer" in plan.reason
    gone = weakref.ref(task)
    del task
    gc.collect()
    assert gone() is None
