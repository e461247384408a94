"""What a population holds in memory: models pass in groups, to the same bits; what is freed is given back."""

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe, Together
from thalweg.train import EXECUTORS, Member, footprint, train
from thalweg.train.company import _broken
from thalweg.train.footprint import at_once, saved_bytes
from thalweg.train.judging import outcomes
from thalweg.train.population import Population
from thalweg.train.state import begin, begin_all, beginnings
from thalweg.train.step import OneByOne

MODELS = {
    "gelu": lambda: nn.Sequential(nn.Linear(64, 7), nn.GELU(), nn.Linear(7, 10)),
    "batch norm": lambda: nn.Sequential(nn.Linear(64, 7), nn.BatchNorm1d(7), nn.SiLU(), nn.Linear(7, 10)),
    "dropout": lambda: nn.Sequential(nn.Linear(64, 7), nn.Sigmoid(), nn.Dropout(0.3), nn.Linear(7, 10)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 10)
    ),
}  # fmt: skip


def members(count, **roles):
    recipe = Recipe(optim.adam(lr=0.01), **{"epochs": 2, "batch_size": 45, **roles}).resolved()
    return [Member(recipe, seed) for seed in range(count)]


def same(one, other):
    for mine, theirs in zip(one, other, strict=True):
        assert all(torch.equal(x, theirs.weights[name]) for name, x in mine.weights.items())
        assert np.array_equal(mine.outcomes, theirs.outcomes)
        assert np.array_equal(mine.curve.train_loss, theirs.curve.train_loss, equal_nan=True)


def in_groups(task, runs, monkeypatch, executor="vmapped"):
    """Return what runs come to all at once, and in groups of four."""
    found = []
    for bytes_ in (2**40, 1):
        monkeypatch.setattr(footprint, "PASS", bytes_)
        models = EXECUTORS[executor](task, beginnings(task, len(runs), runs[0].recipe), len(runs))
        assert (len(models.passes(len(models.parameters))) > 1) == (bytes_ == 1)
        found.append(train(task, runs, executor, keep_weights=True))
    return found


@pytest.mark.parametrize("count", [5, 8, 13])
@pytest.mark.parametrize("model", MODELS)
def test_models_that_pass_in_groups_come_to_the_same_bits(model, count, monkeypatch):
    same(*in_groups(small_digits(MODELS[model]), members(count), monkeypatch))


@pytest.mark.parametrize("roles", [{"accumulate": 3}, {"wrapper": tw.wrapper.sam()}, {"average": tw.average.swa()}])
def test_groups_do_not_change_how_a_batch_passes_or_what_goes_around_a_step(roles, monkeypatch):
    same(*in_groups(small_digits(MODELS["batch norm"]), members(9, **roles), monkeypatch))


def test_an_epochs_last_batch_brings_no_more_models_together(monkeypatch):
    task, runs, seen = small_digits(MODELS["gelu"]), members(8, batch_size=50), set()
    assert len(task.train) % 50 == 30
    monkeypatch.setattr(footprint, "PASS", 6 * saved_bytes(task, runs[0].recipe.together(), 50))

    class Seeing(EXECUTORS["vmapped"]):
        def _some(self, weights, rest, batch, keys, gradients):
            seen.add((batch.width, len(weights) - self.spare))
            return super()._some(weights, rest, batch, keys, gradients)

    monkeypatch.setitem(EXECUTORS, "vmapped", Seeing)
    train(task, runs, "vmapped")
    assert seen == {(50, 4), (30, 4)}


@pytest.mark.parametrize(("runs", "slots", "groups"), [(3, 8, 3), (1, 8, 1), (8, 8, 8)])
def test_where_models_pass_alone_nothing_passes_for_empty_places(runs, slots, groups, monkeypatch):
    monkeypatch.setattr(footprint, "PASS", 1)
    task, passed = small_digits(MODELS["gelu"]), []
    models = EXECUTORS["compiled"](task, beginnings(task, runs, members(1)[0].recipe), slots)

    def call(_, size, given):
        passed.append(size)
        weights, rest, *_ = given
        return [weights, weights[:, 0], *rest.values()]

    monkeypatch.setattr(type(models), "_call", call)
    models.differentiate(task.train.at(torch.arange(45).repeat(slots, 1)), [0] * slots)
    assert passed == [("step", 1, 45)] * groups
    assert torch.equal(models.gradients[:runs], models.parameters[:runs])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gelu", "batch norm"])
def test_compiled_models_that_pass_in_groups_come_to_the_same_bits(model, monkeypatch):
    def task():  # as another process would: nothing is traced
        return small_digits(MODELS[model])

    monkeypatch.setattr(footprint, "PASS", 2**40)
    whole = train(task(), members(8), "compiled", keep_weights=True)
    groups = task()
    together = members(1)[0].recipe.together()
    monkeypatch.setattr(footprint, "PASS", 4 * saved_bytes(groups, together, 45))
    models = EXECUTORS["compiled"](groups, beginnings(groups, 8, members(1)[0].recipe), 8)
    assert models.passes(8) == [(slice(0, 4), 4), (slice(4, 8), 4)]
    same(whole, train(groups, members(8), "compiled", keep_weights=True))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["batch norm", "dropout"])
def test_compiled_models_that_pass_alone_come_to_the_same_bits_in_any_population(model, monkeypatch):
    monkeypatch.setattr(footprint, "PASS", 1)
    task = small_digits(MODELS[model])
    models = EXECUTORS["compiled"](task, beginnings(task, 5, members(1)[0].recipe), 5)
    assert models.passes(5) == [(slice(i, i + 1), 1) for i in range(5)]
    whole = train(task, members(8), "compiled", keep_weights=True)
    same(whole[2:5], train(task, members(8)[2:5], "compiled", keep_weights=True))
    few = Population(task, "compiled", 8, begin_all(task, members(8)[2:4], alike=True), keep_weights=True)
    same(whole[2:4], [result for _, result in few.run()])
    alone = train(task, members(8), "one by one", keep_weights=True)
    for mine, theirs in zip(whole, alone, strict=True):
        np.testing.assert_allclose(mine.curve.train_loss, theirs.curve.train_loss, rtol=1e-3)


def test_groups_are_even_and_not_too_small():
    assert at_once(40_000, 64, alike=False) == 32
    assert at_once(10**9, 64, alike=False) == 4
    assert at_once(10**9, 9, alike=False) == 3
    assert at_once(0, 64, alike=False) == 64
    assert at_once(500_000, 31, alike=True) == 31
    assert at_once(500_000, 32, alike=True) == 4
    assert at_once(530_000, 32, alike=True) == 1
    assert at_once(300_000, 20, alike=True) == 5


def test_what_a_step_keeps_is_counted_without_weights():
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)))
    kept = [4 * 50 * width for width in (64, 12, 10)]  # the inputs, what is hidden, and the loss's
    assert sum(kept) <= saved_bytes(task, Together(), 50) <= sum(kept) + 8 * 50 + 100
    half = saved_bytes(task, Together(precision="bf16"), 50)
    assert half != saved_bytes(task, Together(), 50)


def test_gradients_are_written_where_they_were():
    task = small_digits(MODELS["gelu"])
    models = EXECUTORS["vmapped"](task, beginnings(task, 5))
    place, batch = models.gradients.data_ptr(), task.train.at(torch.arange(40).repeat(6, 1))
    for step in range(2):
        before = models.gradients.clone()
        models.differentiate(batch, [step] * 6)
        assert models.gradients.data_ptr() == place
        assert not torch.equal(models.gradients, before) or step
    assert models.gradients.grad_fn is None


def test_runs_that_begin_side_by_side_are_those_that_begin_alone():
    task, runs = small_digits(MODELS["batch norm"]), members(3)
    for one, run in zip(begin_all(task, runs), runs, strict=True):
        alone = begin(task, run)
        assert one.member == alone.member
        assert one.tensors.keys() == alone.tensors.keys()
        assert all(torch.equal(x, alone.tensors[name]) for name, x in one.tensors.items())


def test_outputs_are_one_tensor_where_they_can_be_and_else_as_the_models_return_them():
    class Odd(nn.Linear):
        """Returns scores; or, where its bias says so, fewer of them, or others beside them."""

        def forward(self, x):
            scores = super().forward(x)
            return (scores, x) if self.bias[0] > 2 else scores[:, :3] if self.bias[0] > 1 else scores

    task = small_digits(lambda: Odd(64, 10))
    models, inputs = OneByOne(task, beginnings(task, 3)), task.test.at(slice(0, 5)).inputs
    alone = [module(inputs).detach() for module in models.modules]
    assert torch.equal(models.outputs(inputs), torch.stack(alone))
    for bias, shape in ((1.5, (5, 3)), (2.5, None)):
        with torch.no_grad():
            models.modules[1].bias[0] = bias
        first, second, third = models.outputs(inputs)
        assert torch.equal(first, alone[0])
        assert torch.equal(third, alone[2])
        assert (second.shape if shape else type(second)) == (shape or tuple)


def test_a_number_that_is_not_finite_is_found_in_its_row():
    rows = torch.zeros(5, 3)
    rows[1, 0], rows[2, 2], rows[3, 1] = torch.nan, torch.inf, -torch.inf
    assert _broken(rows).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("metric", ["accuracy", "of the whole split", "of dictionaries"])
def test_how_much_is_judged_at_once_does_not_matter(metric):
    def share(output, targets):
        return (output.argmax(-1) == targets).float().mean()

    class Named(nn.Linear):
        def forward(self, x):
            return {"scores": super().forward(x)}

    if metric == "accuracy":
        task = small_digits(lambda: nn.Linear(64, 10))
    elif metric == "of the whole split":
        task = small_digits(lambda: nn.Linear(64, 10), metric=tw.Metric("share", share, True))
    else:
        task = small_digits(
            lambda: Named(64, 10),
            loss=lambda output, targets: nn.functional.cross_entropy(output["scores"], targets),
            metric=tw.Metric("share", lambda output, targets: share(output["scores"], targets), True),
        )
    models = EXECUTORS["one by one"](task, beginnings(task, 2))
    whole = outcomes(models, task.train, task.metric)
    assert whole.shape == (2, len(task.train) if metric == "accuracy" else 1)
    assert np.array_equal(outcomes(models, task.train, task.metric, judged=1), whole)


AROUND = {
    "plain": {},
    "clipped": {"gradient": tw.gradient.clip_norm()},
    "penalty": {"penalty": tw.penalty.l2()},
    "sam": {"wrapper": tw.wrapper.sam()},
    "average": {"average": tw.average.ema()},
    "parts": {"accumulate": 3},
    "by tensors": {"optimizer": optim.lars()},
}


@pytest.mark.parametrize("around", AROUND)
def test_gradients_of_one_model_are_copied_only_where_they_are_asked_for(around, monkeypatch):
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)))
    recipe = Recipe(**{"optimizer": optim.adam(), "epochs": 2, "batch_size": 36, **AROUND[around]}).resolved()
    copied = []

    def trained():
        population = Population(task, "one by one", 1, [begin(task, Member(recipe, 3, "one"))], keep_weights=True)
        on_step = lambda population: copied.append(population._rows.models.matrix is not None)  # noqa: E731
        ((_, result),) = population.run(on_step=on_step)
        return result.weights

    found = trained()
    assert set(copied) == {around not in ("plain", "average", "parts")}
    monkeypatch.setattr(OneByOne, "given", lambda self, some, *, pieces: self.gradients[some])
    assert all(torch.equal(x, found[name]) for name, x in trained().items())
