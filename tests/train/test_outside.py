"""What a model keeps outside its parameters and buffers is seen, and its runs are what each would be alone."""

import random
import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from outsiders import CARRIED, DRAWN, FINE, RANDOM, SHARED, Net, net, task
from torch import nn

import exported
import thalweg as tw
from thalweg.errors import InputError
from thalweg.inspect._checks.modes import modes
from thalweg.inspect._checks.subject import Subject
from thalweg.recipe import Recipe, Together
from thalweg.record import Store
from thalweg.study.engines.lanes import not_kept
from thalweg.study.tickets.chain import Chain
from thalweg.study.tickets.ticket import Terms, Ticket
from thalweg.task import check, fingerprint
from thalweg.task.held import changed, held
from thalweg.task.outside import Outside, check_alike, outside
from thalweg.train import Member, train
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.executors import EXECUTORS
from thalweg.train.planner import measure
from thalweg.train.state import beginnings


@pytest.mark.parametrize("name", DRAWN)
def test_what_differs_between_seeds_is_named_and_its_runs_do_not_share_a_module(name):
    what, model = DRAWN[name]
    seen = outside(task(model))
    assert (seen.random, seen.shared, seen.carried, not_kept(task(model))) == ("", "", "", "")
    assert seen.drawn.startswith(what), seen
    with pytest.raises(RuntimeError, match=f"^{what}"):
        EXECUTORS["vmapped"](one := task(model), beginnings(one, 3))


@pytest.mark.parametrize("name", CARRIED)
def test_what_one_pass_leaves_for_the_next_is_named_and_its_runs_are_not_kept(name):
    what, model = CARRIED[name]
    one = task(model)
    seen = outside(one)
    assert (seen.random, seen.shared, seen.drawn) == ("", "", "")
    assert seen.carried.startswith(what), seen
    assert f"{what}" in not_kept(one)
    with pytest.raises(RuntimeError, match=f"^{what}"):
        EXECUTORS["vmapped"](one, beginnings(one, 3))


@pytest.mark.parametrize("name", {**SHARED, **RANDOM})
def test_what_copies_share_or_what_differs_under_one_seed_is_refused(name):
    what, model = {**SHARED, **RANDOM}[name]
    with pytest.raises(InputError, match=rf"^the model of task mine .*{what}.*draw") as error:
        check(task(model, name="mine"))
    assert ("under one seed" in str(error.value)) == (name in RANDOM)


@pytest.mark.parametrize("name", FINE)
def test_what_makes_no_difference_stands_in_nobodys_way(name):
    one = task(FINE[name])
    check(one)
    assert outside(one) == Outside(first=outside(one).first)
    assert outside(one).first  # it could be looked at
    for seed in range(20):
        check_alike(one, one.model(seed))
    together = EXECUTORS["vmapped"](one, beginnings(one, 3))
    if "spectral" not in name:  # which torch writes by out=
        together.differentiate(one.train.at(torch.arange(18).repeat(4, 1)), [0] * 4)


def square():
    return nn.Parameter(torch.randn(8, 8))


def test_a_parameter_that_is_used_by_another_name_has_another_stand_in_for_it():
    for make in (square, lambda: nn.Parameter(torch.eye(8))):  # the latter the same for all seeds
        seen = outside(
            task(net(lambda self, h: h @ self.mine[0], w=lambda _, m=make: m(), mine=lambda self: [self.w]))
        )
        assert (seen.drawn, seen.twice) == ("", True)
    plain = outside(task(net(lambda self, h: h @ self.w, w=lambda _: square(), mine=lambda self: [self.w])))
    assert not plain.twice, "nobody uses it"


def test_a_plan_and_a_check_say_what_stands_in_the_way():
    counting, drawing = (task(kinds[name][1]) for kinds, name in ((CARRIED, "a counter"), (DRAWN, "a tensor")))
    for one, words in (
        (counting, "k, which is no buffer, changes in forward"),
        (drawing, "B, which is no parameter"),
    ):
        plan = measure(one, Together(batch_size=18), seconds=0)
        assert (plan.executor, plan.together) == ("one by one", 1)
        assert f"because vmap cannot take this model: {words}" in plan.reason
        finding = modes(Subject(one, Recipe(batch_size=18, epochs=1).resolved()))
        assert words in finding.what, finding
        assert finding.level == ("wrong" if one is counting else "note")


@pytest.mark.parametrize(
    ("made", "use", "words"),
    [
        (lambda _: [nn.Linear(8, 8)], lambda parts: parts[0], "nn.ModuleList"),
        (lambda _: {"one": nn.Linear(8, 8)}, lambda parts: parts["one"], "nn.ModuleDict"),
        (lambda _: [[nn.Linear(8, 8)]], lambda parts: parts[0][0], "nn.ModuleList"),
        (lambda _: [nn.Parameter(torch.randn(8))], lambda parts: parts[0].mul, "nn.ParameterList"),
        (lambda _: {"one": nn.Parameter(torch.randn(8))}, lambda parts: parts["one"].mul, "nn.ParameterDict"),
        (lambda _: SimpleNamespace(one=nn.Linear(8, 8)), lambda parts: parts.one, "make it an attribute"),
        (lambda _: [torch.randn(8)], lambda parts: parts[0].mul, "register it as a buffer"),
    ],
)
def test_what_torch_does_not_find_is_to_be_kept_where_it_does(made, use, words):
    one = task(lambda: nn.Sequential(net(lambda self, h: use(self.parts)(h), parts=made)()))
    what, _, remedy = outside(one).drawn.partition("; ")
    assert what.startswith("0.parts")
    assert words in remedy
    if "buffer" not in words:
        assert words in modes(Subject(one, Recipe(batch_size=18, epochs=1).resolved())).remedy.replace("Make", "make")


STUDIED = [
    (CARRIED, "a counter"),
    pytest.param(DRAWN, "a number", marks=pytest.mark.slow),
    pytest.param(CARRIED, "a temperature", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kinds", "name"), STUDIED)
def test_a_study_records_what_each_run_gives_alone(tmp_path, kinds, name):
    one = task(kinds[name][1])
    recipes = [Recipe(tw.optim.adam(), epochs=1, batch_size=18)]
    for processes in (1, 2):
        tw.compare(
            one, recipes, trials=1, seeds=3, out=tmp_path / f"{processes}", processes=processes, progress=False
        )
    with Store(tmp_path / "1") as store, Store(tmp_path / "2") as other:
        runs, others = store.runs(outcomes=True), other.runs(outcomes=True)
    assert runs.keys() == others.keys()
    some = list(runs.values())[::4]
    alone = train(one, [Member(Recipe.from_toml(run.recipe), run.seed) for run in some])
    for run, result in zip(some, alone, strict=True):
        np.testing.assert_array_equal(run.outcomes, result.outcomes)
    for key, run in runs.items():
        np.testing.assert_array_equal(run.outcomes, others[key].outcomes)


FILE = """
import torch
from torch import nn
import thalweg as tw

class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.B, self.tau, self.out = torch.randn(10, 8), 1.0, nn.Linear(8, 2)

    def forward(self, x):
        if self.training:
            self.tau = max(0.1, 0.97 * self.tau)
        return self.out(torch.cos(x @ self.B / self.tau))

X = torch.randn(120, 10, generator=torch.Generator().manual_seed(0))
nll = tw.Metric("nll", lambda output, y: nn.functional.cross_entropy(output, y, reduction="none"), False)
task = tw.Task(model=Features, data=(X, (X[:, 0] > 0).long()), loss=nn.functional.cross_entropy, metric=nll)
"""


@pytest.mark.slow
def test_a_script_comes_to_what_the_study_recorded(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    recipes = [Recipe(tw.optim.adam(), epochs=3, batch_size=18)]
    out = tmp_path / "study"
    tw.compare(
        tw.load_task(f"{tmp_path}/mine.py:task"), recipes, trials=1, seeds=1, out=out, processes=1, progress=False
    )
    assert exported.run(tw.export(out, "adam"), tmp_path) == pytest.approx(
        exported.chosen(out)["adam"].test, rel=1e-5
    )


def test_members_that_end_at_different_times_are_each_as_alone():
    one = task(CARRIED["a temperature"][1])
    members = [Member(Recipe(tw.optim.adam(), epochs=n, batch_size=18).resolved(), 5) for n in (1, 3)]
    together = train(one, members)
    for member, result in zip(members, together, strict=True):
        np.testing.assert_array_equal(train(one, [member])[0].outcomes, result.outcomes)


def test_what_few_seeds_draw_is_seen_when_one_of_them_begins(tmp_path):
    one = task(net(lambda self, h: self.scale * h, scale=lambda _: 9.0 if random.random() < 0.03 else 1.0))
    odd = [seed for seed in range(100) if one.model(seed).scale == 9.0]
    assert odd
    assert not outside(one).obstacle
    members = [Member(Recipe(batch_size=18, epochs=1).resolved(), seed) for seed in (0, 1, odd[0])]
    with pytest.raises(RuntimeError, match="scale, which is no parameter or buffer, differs"):
        train(one, members, "vmapped")
    tw.compare(one, [Recipe(epochs=1, batch_size=18)], trials=1, seeds=40, out=tmp_path, processes=1, progress=False)
    with Store(tmp_path) as store:
        runs = [run for run in store.runs(outcomes=True).values() if one.model(run.seed).scale == 9.0]
    assert runs
    for run in runs:
        (alone,) = train(one, [Member(Recipe.from_toml(run.recipe), run.seed)])
        np.testing.assert_array_equal(run.outcomes, alone.outcomes)


def test_a_ticket_cannot_go_back_to_what_is_not_kept(tmp_path):
    with pytest.raises(InputError, match="tau, which is no buffer, changes in forward, so that it cannot go back"):
        tw.lottery(task(CARRIED["a temperature"][1]), rounds=1, rewind=2, out=tmp_path / "out", progress=False)


def test_a_ticket_of_another_seed_is_not_trained_by_a_module_that_is_unlike_it(tmp_path):
    one = task(net(lambda self, h: self.scale * h, scale=lambda _: 9.0 if random.random() < 0.03 else 1.0))
    odd = next(seed for seed in range(100) if one.model(seed).scale == 9.0)
    given = one, Recipe(batch_size=18, epochs=1).resolved(), Terms(rounds=1, seeds=1), fingerprint(one)
    more = {"together": 4, "checkpoints": Checkpoints(tmp_path), "tell": lambda _: None}
    for executor in ("one by one", "vmapped"):
        chain = Chain(*given, [Ticket(0, odd)], executor=executor, **more)
        with pytest.raises(RuntimeError, match="scale") if executor == "vmapped" else nullcontext():
            chain.begin(chain.tickets[0], "ticket", 0)


# -- what is held ------------------------------------------------------------------------------------------------


class Odd:
    __slots__ = ("x",)

    def __getattribute__(self, name):
        raise RuntimeError(name)


def test_odd_things_are_held_by_their_type():
    a, b = Net(None), Net(None)
    for module in (a, b):
        module.odd = [Odd(), {Odd: 1}, object(), torch.empty(2, device="meta"), torch.ones(3), float("nan")]
        module.odd.append(module.odd)
    assert changed(held(a), held(b)) == []
    b.odd[-2] = 0.0
    assert changed(held(a), held(b)) == ["odd.5"]


SCALE = scale = 2.0


class Scaled(nn.Linear):
    """Takes SCALE from this file, in a function inside its forward, and scale from itself."""

    scale = 3.0

    def forward(self, x):
        def doubled(h):
            return h * SCALE

        return doubled(super().forward(x)) * self.scale


def test_a_number_of_the_file_counts_where_it_is_taken_and_not_where_an_attribute_has_its_name(monkeypatch):
    first = held(Scaled(2, 2))
    monkeypatch.setitem(globals(), "scale", 9.0)
    assert changed(first, held(Scaled(2, 2))) == []
    monkeypatch.setitem(globals(), "SCALE", 9.0)
    assert changed(first, held(Scaled(2, 2))) == ["SCALE"]


def test_a_deep_model_is_looked_at_quickly():
    module = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()) for _ in range(100)))
    module.vocabulary = {str(i): i for i in range(50_000)}
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        held(module)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.05
