"""How a study's runs are executed: each kind of them for itself, within a part of the work; kept, read and said."""

import time
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg import activation, dropout, init, loss, norm
from thalweg.errors import InputError
from thalweg.recipe import Together
from thalweg.record import Store
from thalweg.study import planning
from thalweg.study.before import alike, explain, understood
from thalweg.study.budget import whole_study
from thalweg.study.plan import Protocol, kinds
from thalweg.study.planning import make_plans, plan_facts, plans_of, sentences
from thalweg.technique import Choice
from thalweg.train import planner
from thalweg.train.planner import Plan

PLAN = Plan("vmapped", 8, 1e-4, 1e-4, "8 together by vmap")


@pytest.fixture
def task():
    return small_digits(lambda: nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)))


@pytest.fixture
def tries(monkeypatch):
    """Return what is measured and looked at, by kind, instead of how long it takes."""
    found = {"measure": {}, "look": [], "compile": {}, "runs": []}

    def measure(task, together, *, processes, seconds=1.0, runs):
        found["measure"][together] = seconds
        found["runs"].append(runs)
        return PLAN

    def look(task, together, like, *, processes, runs):
        found["look"].append(together)
        return like

    def to_compile(task, together, plan, seconds, where):
        found["compile"][together] = seconds
        return plan

    for name, stands_in in (("measure", measure), ("look", look), ("to_compile", to_compile)):
        monkeypatch.setattr(planning, name, stands_in)
    return found


def shaped(**more):
    return {
        f"{one.name} {other.name}": tw.Recipe(tw.optim.sgd(), activation=one(), norm=other(), **more)
        for one in (activation.gelu, activation.tanh, activation.relu, activation.silu)
        for other in (norm.layer, norm.batch, norm.rms)
    }


@pytest.mark.parametrize(
    "part",
    [
        {"activation": activation.leaky_relu(slope=0.123456789)}, {"norm": norm.group()}, {"loss": loss.huber()},
        {"dropout": dropout.gaussian(0.2)}, {"accumulate": 3}, {"precision": "bf16"}, {"bucket": "length"},
        {"freeze": "0.* 1.bias"}, {"batch_size": 17},
    ],
)  # fmt: skip
def test_plans_are_read_as_they_were_kept(part):
    together = tw.Recipe(**part).resolved().together()
    plans = {Together(): PLAN, together: Plan("one by one", 1, 0.1, 0.2, "so", "yes", 3, 2)}
    assert plans_of(plan_facts(plans, 2), {}, Protocol()) == plans


def test_a_study_of_old_goes_on_as_it_began():
    """Which was: by a plan for each batch size; only the plain kind compiled; some kinds one by one."""
    old = {key: value for key, value in asdict(PLAN).items() if key != "graphs"} | {"compiles": "yes", "first": 8}
    recipes = {
        "plain": tw.Recipe(), "normed": tw.Recipe(norm=norm.layer()), "again": tw.Recipe(recompute="blocks"),
    }  # fmt: skip
    plain, normed, again = plans_of({"by_batch_size": {"64": old}}, recipes, Protocol()).values()
    assert (plain.executor, plain.together, plain.compiles, plain.first) == ("vmapped", 8, "yes", 8)
    assert (normed.executor, normed.together, normed.compiles, normed.first) == ("vmapped", 8, "", 0)
    assert (again.executor, again.together, again.compiles, again.first) == ("one by one", 1, "", 0)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"by_kind": {"norm = 3": {}}},
        {"by_kind": {Together().recipe().toml(): {"a": 3}}},
        {"by_batch_size": {}},
    ],
)
def test_a_plan_that_cannot_be_read_is_refused_in_a_sentence(facts):
    with pytest.raises(InputError, match=r"the study's plan is of another version of thalweg, .* another --out"):
        plans_of(facts, {"plain": tw.Recipe()}, Protocol())


def test_kinds_that_differ_in_numbers_are_measured_once_and_planned_apart(task, tries):
    recipe = tw.Recipe(tw.optim.sgd(), activation=activation.leaky_relu(slope=tw.LogUniform(0.01, 0.3)))
    plans, _ = make_plans(task, {"leaky": recipe}, Protocol(trials=5), None, 1, compiles=True)
    assert len(plans) == len(tries["compile"]) == 5
    assert len(tries["measure"]) + len(tries["look"]) == 1
    work = list(tries["compile"].values())
    assert work[0] > 20 * work[1], "defaults and rates"


@pytest.mark.parametrize(("epochs", "measured"), [(1, 1), (3000, 12)])
def test_measuring_takes_a_part_of_the_work(task, tries, epochs, measured):
    recipes = shaped(epochs=epochs)
    plans, protocol = make_plans(task, recipes, Protocol(trials=2, seeds=3), None, 1, compiles=False)
    assert len(plans) == 12
    assert len(tries["measure"]) == measured
    spent = sum(list(tries["measure"].values())[1:])
    assert spent <= 0.05 * whole_study(task, recipes, protocol, plans, 1)


def test_twelve_kinds_with_little_work_are_planned_in_no_time(task):
    started = time.process_time()
    plans, _ = make_plans(task, shaped(epochs=1), Protocol(trials=2, seeds=3), None, 1, compiles=True)
    assert time.process_time() - started < 6
    assert {plan.executor for plan in plans.values()} == {"vmapped"}


@pytest.mark.parametrize("working", [2.0, 0.7])
def test_a_budget_is_work_too(task, tries, monkeypatch, working):
    monkeypatch.setattr(planning, "at_once", lambda processes: working)
    make_plans(task, shaped(epochs=400), Protocol(), 300.0, 2, compiles=True)
    assert len(tries["measure"]) == 12
    assert sum(tries["compile"].values()) == pytest.approx(working * 300 / planning.OVERHEAD, rel=0.15)


def test_so_many_are_measured_together_as_a_process_gets():
    """Two of a model this small take longer by vmap, which fills them up to three, than one by one; twenty do not."""
    small = small_digits(lambda: nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)))
    plain, other = tw.Recipe(epochs=400), tw.Recipe(norm=norm.layer(), epochs=1)
    for seeds, processes, executor in ((4, 2, "one by one"), (2, 1, "one by one"), (40, 2, "vmapped")):
        protocol = Protocol(trials=0, seeds=seeds)
        plans, _ = make_plans(small, {"plain": plain, "other": other}, protocol, None, processes, compiles=False)
        assert [plan.executor for plan in plans.values()] == [executor] * 2
        assert all(plan.together == 32 for plan in plans.values()), "for code, and for runs that come from elsewhere"
        assert f"{seeds // processes} together by vmap" in plans[Together()].reason


def test_what_a_budget_leaves_is_measured_as_it_will_be_together(task, tries):
    recipes, asked = {"plain": tw.Recipe(epochs=30_000)}, Protocol(trials=64, seeds=80)
    make_plans(task, recipes, asked, None, 8, compiles=False)
    assert tries["runs"] == [64 + 80 + 21]
    _, protocol = make_plans(task, recipes, asked, 60.0, 8, compiles=False)
    left = protocol.trials + protocol.seeds + 7 * protocol.rate_seeds
    assert tries["runs"][1:] == [64 + 80 + 21, left]
    assert left < 3 * 8


def test_of_a_kind_that_vmap_cannot_take_it_is_said_however_little_its_work(task):
    class Stiff(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(64, 12), nn.Identity(), nn.Linear(12, 10)

        def forward(self, x):
            x = self.first(x).relu()
            return self.last(x) * (1 if isinstance(self.norm, nn.Identity) or x.sum() > 0 else 2)

    (like,) = {planner.measure(task, Together(), seconds=0)}
    found = planner.look(small_digits(Stiff), Together(), like)
    assert found.executor == "vmapped"
    assert "too little work to measure it" in found.reason

    class Stubborn(Stiff):
        def __init__(self):
            super().__init__()
            self.norm = nn.Flatten()

    found = planner.look(small_digits(Stubborn), Together(), like)
    assert found.executor == "one by one"
    assert "an if on the tensor's values" in found.reason


@pytest.mark.parametrize(
    ("part", "why"), [({"recompute": "blocks"}, "blocks are computed again"), ({}, "together by vmap")]
)
def test_what_trains_alone_says_why(part, why):
    task = small_digits(
        lambda: nn.Sequential(nn.Linear(64, 12), *[nn.Sequential(nn.Linear(12, 12), nn.ReLU()) for _ in range(2)])
    )
    found = planner.measure(task, tw.Recipe(**part).resolved().together(), seconds=0)
    assert why in found.reason
    assert (found.executor == "one by one" and found.together == 1) == bool(part)


def test_compilers_of_all_kinds_come_first(task, tries, monkeypatch):
    pending = Plan("vmapped", 8, 1e-4, 1e-4, "so", "pending", graphs=3)
    monkeypatch.setattr(planning, "to_compile", lambda *_: pending)
    recipes = {"plain": tw.Recipe(), "normed": tw.Recipe(norm=norm.layer())}
    firsts = [
        [plan.first for plan in make_plans(task, recipes, Protocol(), None, processes, compiles=True)[0].values()]
        for processes in (1, 6, 8)
    ]
    assert firsts == [[0, 0], [0, 0], [16, 16]]


def test_what_would_take_long_without_code_waits_for_it(task, tries, monkeypatch):
    monkeypatch.setattr(
        planning, "to_compile", lambda _task, _kind, plan, *_: replace(plan, compiles="pending", graphs=3)
    )
    firsts = []
    for epochs in (300, 30_000):  # of three steps of 1e-4 s, eight runs together
        recipes = {"plain": tw.Recipe(epochs=epochs)}
        (plan,) = make_plans(task, recipes, Protocol(), None, 8, compiles=True)[0].values()
        firsts.append(plan.first)
    assert firsts == [5 * 8, 0]


class Nodes(planner.Here):
    """Of a cluster: two of four cores each lack the code."""

    def compilers(self, graphs):
        return 2 * min(4, graphs)


def test_on_a_cluster_as_many_are_compiled_together_as_its_cores_get(task, tries, monkeypatch):
    monkeypatch.setattr(
        planning, "to_compile", lambda _task, _kind, plan, *_: replace(plan, compiles="pending", graphs=3)
    )
    monkeypatch.setattr(planning, "measure", lambda *_, **__: replace(PLAN, together=32, processes=3))
    found = []
    for cores, seeds in ((8, 1000), (8, 200), (8, 60), (8, 3), (64, 1000)):
        protocol = Protocol(trials=0, seeds=seeds)
        (plan,) = make_plans(task, {"": tw.Recipe()}, protocol, None, cores, False, Nodes())[0].values()
        found.append(plan.together)
        assert (plan.processes, plan.first) == (0, (cores - 6) * plan.together), "each node has memory of its own"
    assert found == [32, 32, 8, 4, 16]


def test_a_kind_is_said_where_there_are_others():
    relu, tanh = (tw.Recipe(activation=a()).resolved().together() for a in (activation.relu, activation.tanh))
    slow = Plan("one by one", 1, 1e-4, 1e-4, "one by one")
    assert sentences({relu: PLAN}, 1) == ["8 together by vmap"]
    assert sentences({relu: PLAN, tanh: slow, Together(): PLAN}, 2) == [
        "activation relu; activation as it is: 8 together by vmap; 2 processes",
        "activation tanh: one by one; 2 processes",
    ]  # fmt: skip
    assert sentences({Together(): PLAN, Together(batch_size=32, accumulate=2): slow}, 1) == [
        "batch size 64, accumulate 1: 8 together by vmap", "batch size 32, accumulate 2: one by one",
    ]  # fmt: skip


def test_it_is_said_that_steps_will_be_compiled(task, monkeypatch):
    def to_compile(_task, together, plan, _seconds, _where):
        return replace(plan, compiles="pending", graphs=1 if together.batch_size == 32 else 3)

    monkeypatch.setattr(planning, "to_compile", to_compile)
    recipes = {"large": tw.Recipe(), "small": tw.Recipe(batch_size=32)}
    large, small = sentences(make_plans(task, recipes, Protocol(), None, 2, compiles=True)[0], 2)
    assert large.endswith("; 3 graphs are compiled when the study begins; 2 processes")
    assert small.endswith("; 1 graph is compiled when the study begins; 2 processes")
    plans, _ = make_plans(task, recipes, Protocol(), None, 1, compiles=False)
    assert not any("compiled" in line for line in sentences(plans, 1))
    spread = replace(PLAN, compiles="pending", graphs=2, nodes=3)
    (line,) = sentences({Together(): spread}, 1)
    assert line.endswith("; 2 graphs are compiled on each of 3 nodes when the study begins")
    ready = replace(PLAN, compiles="yes", graphs=3)
    assert sentences({Together(): ready}, 1) == [PLAN.reason]


def test_numbers_are_said_where_they_matter():
    sloped = [
        tw.Recipe(activation=activation.leaky_relu(slope=slope)).resolved().together() for slope in (0.1, 0.2, 0.3)
    ]
    assert sentences(dict.fromkeys(sloped, PLAN), 1) == ["8 together by vmap"]
    pending = replace(PLAN, compiles="pending", graphs=2)
    assert sentences({sloped[0]: PLAN, sloped[1]: pending}, 1) == [
        "activation leaky_relu(slope=0.1): 8 together by vmap",
        "activation leaky_relu(slope=0.2): 8 together by vmap; 2 graphs are compiled when the study begins",
    ]  # fmt: skip
    other = Plan("vmapped", 8, 1e-4, 1e-4, "8 together by vmap; not compiled")
    assert sentences({sloped[0]: PLAN, sloped[1]: PLAN, sloped[2]: other}, 1) == [
        "activation leaky_relu(slope=0.1); activation leaky_relu(slope=0.2): 8 together by vmap",
        "activation leaky_relu(slope=0.3): 8 together by vmap; not compiled",
    ]  # fmt: skip


def test_a_study_of_several_kinds_keeps_and_shows_their_plans(task, tmp_path):
    recipes = {name: recipe for name, recipe in shaped(epochs=1).items() if "relu" in name}
    tw.compare(task, recipes, trials=2, seeds=2, processes=1, out=tmp_path, progress=False)
    with Store(tmp_path) as store:
        plan = store.get("plan")
        protocol = Protocol(trials=2, seeds=2)
        assert list(plans_of(plan, {}, protocol)) == kinds(recipes, protocol)
        said = [name for line in plan["sentences"] for name in line.partition(":")[0].split("; ")]
        assert sorted(said) == ["norm batch", "norm layer", "norm rms"]
    assert all(line in (tmp_path / "report.html").read_text() for line in plan["sentences"])


def zeroed():
    module = nn.Linear(64, 10)
    for p in module.parameters():
        nn.init.zeros_(p)
    return module


def seeded():
    torch.manual_seed(0)
    return nn.Linear(64, 10)


SAME = (
    "all runs begin from the same weights, because the model of task small digits has these whatever the seed; seeds "
    "differ in the order of data and in what training draws"
)


@pytest.mark.parametrize(
    ("model", "inits", "said"),
    [
        (seeded, [None], [SAME]),
        (seeded, [None, init.he_normal()], [SAME]),
        (seeded, [init.he_normal()], []),
        (zeroed, [None], [SAME]),
        (lambda: nn.Linear(64, 10), [None], []),
        (lambda: nn.Sequential(seeded(), nn.Linear(10, 10)), [None], [SAME]),
        (lambda: nn.Sequential(nn.Linear(64, 10), seeded()), [None], []),
    ],
)
def test_that_all_runs_begin_alike_is_said(model, inits, said):
    recipes = {str(one): tw.Recipe(tw.optim.sgd(), epochs=1, init=one) for one in inits}
    assert alike(small_digits(model), recipes) == said


def test_that_a_batch_is_all_there_is_is_said_once_in_a_plan():
    task = small_digits(seeded)
    recipes = {name: tw.Recipe(epochs=1, batch_size=size) for name, size in (("a", 180), ("b", 300), ("c", 300))}
    whole = "a batch of 300 is all of the 180 training examples: an epoch is one step"
    assert understood(task, recipes) == [whole]
    assert understood(task, {"": tw.Recipe(batch_size=Choice([64, 181]))}) == [whole.replace("300", "181")]
    lines = explain(task, recipes, trials=1, seeds=2, processes=1)
    assert [line for line in lines if line in (whole, SAME)] == [whole, SAME]
