"""A batch in parts, in bfloat16, with frozen parameters: the same run, by every way to train it."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from small import small_digits
from thalweg import optim, wrapper
from thalweg.errors import InputError
from thalweg.loss import cross_entropy
from thalweg.recipe import Recipe
from thalweg.technique import Choice
from thalweg.train import Member, train
from thalweg.train.compiled import compile_steps, count_compiled
from thalweg.train.epochs import batches
from thalweg.train.passes import check_passes, fewest, freeze, part_keys, parts, trainable
from thalweg.train.population import Population
from thalweg.train.state import begin, packed, unpacked
from thalweg.train.step import OneByOne
from thalweg.train.vmapped import Vmapped

EXECUTORS = ["one by one", "vmapped", pytest.param("compiled", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALWEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def member(seed=0, optimizer=None, **roles):
    plain = {"epochs": 2, "batch_size": 36}
    return Member(Recipe(optimizer or optim.adam(lr=0.01), **{**plain, **roles}).resolved(), seed)


def runs(task, executor, count=3, **roles):
    return train(task, [member(seed, **roles) for seed in range(count)], executor, keep_weights=True)


def mlp(between=nn.Identity):
    return lambda: nn.Sequential(nn.Linear(64, 16), between(), nn.Tanh(), nn.Linear(16, 10))


def agree(one, other, **tolerance):
    for name, x in one.weights.items():
        torch.testing.assert_close(other.weights[name], x, **tolerance)


def same(one, other):
    assert np.array_equal(one.outcomes, other.outcomes)
    assert all(torch.equal(x, other.weights[name]) for name, x in one.weights.items())


# -- parts ---------------------------------------------------------------------------------------------


@given(st.integers(2, 70), st.integers(1, 40), st.integers(1, 40))
def test_the_fewest_that_pass_at_once_are_known(count, batch_size, accumulate):
    accumulate = min(accumulate, batch_size)
    sizes = [cut.stop - cut.start for cut in batches(count, batch_size)]
    cuts = [cut for size in sizes for cut in parts(size, accumulate, batch_size)]
    assert fewest(count, Recipe(batch_size=batch_size, accumulate=accumulate)) == min(c.stop - c.start for c in cuts)


@pytest.mark.parametrize(("accumulate", "batch_size"), [(1, 1), (2, 3), (4, 64), (5, 36), (36, 36), (7, 13)])
def test_parts_cover_a_batch_with_sizes_one_apart_and_none_of_one_example(accumulate, batch_size):
    for count in range(1, batch_size + 1):
        cuts = parts(count, accumulate, batch_size)
        sizes = [cut.stop - cut.start for cut in cuts]
        assert [i for cut in cuts for i in range(count)[cut]] == list(range(count))
        assert max(sizes) - min(sizes) <= 1
        if batch_size >= 2 * accumulate and count > 1:
            assert min(sizes) > 1
    assert len(parts(batch_size, accumulate, batch_size)) == accumulate


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("roles", [{}, {"wrapper": wrapper.sam(0.1)}], ids=["plain", "sam"])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(executor, roles):
    """Also of batches that do not divide: 180 examples in batches of 50, the last of 30, in 4 parts."""
    task = small_digits(mlp(), dtype=torch.float64)
    sgd = {"optimizer": optim.sgd(lr=0.1), "batch_size": 50, **roles}
    for whole, cut in zip(runs(task, executor, **sgd), runs(task, executor, accumulate=4, **sgd), strict=True):
        agree(whole, cut, rtol=1e-9, atol=1e-12)
        assert cut.curve.train_loss[1:] == pytest.approx(whole.curve.train_loss[1:], rel=1e-9)
        assert cut.steps == whole.steps


def test_parts_pass_one_after_the_other():
    """Otherwise nothing is won: no layer sees more examples at once than a part has."""
    seen = set()

    class Seeing(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.add(len(x))
            return super().forward(x)

    task = small_digits(lambda: Seeing(64, 10))
    for executor in ("one by one", "vmapped"):
        seen.clear()
        runs(task, executor, accumulate=4)
        assert max(seen) == 9


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(reduction="sum"), lambda o, y: nn.functional.cross_entropy(o, y, reduction="sum") / 36],
    ids=["a sum", "by a constant"],
)
def test_a_sum_over_examples_does_not_pass_in_parts(loss):
    """It would be trained by a gradient that is smaller by the number of parts."""
    task = small_digits(mlp(), loss=loss)
    check_passes(task, member().recipe)
    for recipe in (member(accumulate=4).recipe, Recipe(accumulate=Choice([1, 2]))):
        with pytest.raises(
            InputError, match=r"^accumulate: the loss of task small digits is a sum over .* the mean, or"
        ):
            check_passes(task, recipe)
        check_passes(task, replace(recipe, loss=cross_entropy()))


class Helped(nn.Linear):
    """A linear model with a second head in training alone."""

    def __init__(self):
        super().__init__(64, 10)
        self.aside = nn.Linear(64, 10)

    def forward(self, x):
        return (super().forward(x), self.aside(x)) if self.training else super().forward(x)


@pytest.mark.parametrize("executor", EXECUTORS[:2])
def test_a_loss_of_what_is_put_out_in_training_alone_is_looked_at_there(executor):
    def loss(output, y, reduction="mean"):
        return sum(nn.functional.cross_entropy(head, y, reduction=reduction) for head in output)

    task = small_digits(Helped, loss=loss, dtype=torch.float64)
    for whole, cut in zip(runs(task, executor), runs(task, executor, accumulate=4), strict=True):
        agree(whole, cut, rtol=1e-7, atol=1e-9)
    with pytest.raises(InputError, match="is a sum over"):
        check_passes(small_digits(Helped, loss=partial(loss, reduction="sum")), member(accumulate=4).recipe)


@pytest.mark.parametrize(
    "loss",
    [
        nn.functional.cross_entropy,
        nn.CrossEntropyLoss(weight=torch.arange(1.0, 11)),
        lambda o, y: nn.functional.cross_entropy(o, y) + 0.1 * (o @ o.T).logsumexp(1).mean(),
        lambda o, y: nn.functional.cross_entropy(o.view(36, 10), y),
    ],
    ids=["a mean", "weighted", "of pairs", "of whole batches"],
)
def test_other_losses_pass_in_parts(loss):
    check_passes(small_digits(mlp(), loss=loss), member(accumulate=4).recipe)


def test_batch_norm_sees_the_parts():
    task = small_digits(mlp(lambda: nn.BatchNorm1d(16)))
    for executor in ("one by one", "vmapped"):
        whole, cut = (runs(task, executor, accumulate=n)[0] for n in (1, 4))
        assert cut.weights["1.num_batches_tracked"] == 4 * whole.weights["1.num_batches_tracked"]


def test_parts_drop_units_of_their_own_the_same_alone_and_in_company():
    keys = torch.tensor([3, 4])
    assert len({int(x) for part in range(5) for x in part_keys(keys, part)}) == 10
    task = small_digits(mlp(nn.Dropout), dtype=torch.float64)
    for alone, company in zip(*(runs(task, e, accumulate=4) for e in ("one by one", "vmapped")), strict=True):
        agree(alone, company, rtol=1e-7, atol=1e-9)
    masks = []

    class Keeping(nn.Dropout):
        def forward(self, x):
            out = super().forward(x)
            masks.append(out != 0)
            return out

    task = small_digits(mlp(Keeping))
    models = OneByOne(task, [begin(task, member(accumulate=2))])
    masks.clear()
    models.differentiate(task.train.at(torch.arange(36)[None]), [0])
    first, second = masks
    assert first.shape == second.shape
    assert 0.3 < (first == second).float().mean() < 0.7


# -- bfloat16 ------------------------------------------------------------------------------------------


class Small(nn.Module):
    """A convolution, batch norm, attention, recurrence and dropout."""

    def __init__(self):
        super().__init__()
        self.convolve = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.attend = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.last = nn.LSTM(8, 8, batch_first=True)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        h = self.convolve(x.view(-1, 1, 8, 8)).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.last(self.attend(h))[0][:, -1]))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_bf16_trains_close_to_float32_and_keeps_float32(executor):
    task = small_digits(mlp())
    plain, half = (runs(task, executor, epochs=6, precision=p)[0] for p in ("float32", "bf16"))
    assert all(x.dtype == torch.float32 for x in half.weights.values())
    assert not torch.equal(plain.weights["0.weight"], half.weights["0.weight"])
    assert half.curve.train_loss[1:] == pytest.approx(plain.curve.train_loss[1:], rel=0.03)
    agree(plain, half, rtol=0.1, atol=0.03)


def test_bf16_takes_every_kind_of_layer_together():
    task = small_digits(Small)
    kinds = []

    class Watching(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            kinds.append((self.training, out.dtype))
            return out

    for executor in ("one by one", "vmapped"):
        plain, half = (runs(task, executor, precision=p)[0] for p in ("float32", "bf16"))
        assert half.curve.train_loss[1:] == pytest.approx(plain.curve.train_loss[1:], rel=0.1)
        watched = small_digits(lambda: Watching(64, 10))
        runs(watched, executor, precision="bf16")  # the first time it also passes to see what the model is
        kinds.clear()
        runs(watched, executor, precision="bf16")
        assert set(kinds) == {(True, torch.bfloat16), (False, torch.float32)}, "evaluation is in float32"


def test_bf16_gives_the_same_bits_in_any_company():
    task = small_digits(mlp(nn.Dropout))
    some = runs(task, "vmapped", count=5, precision="bf16", accumulate=2)
    same(some[0], runs(task, "vmapped", count=3, precision="bf16", accumulate=2)[0])


# -- frozen --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
def test_frozen_parameters_keep_their_bits_and_cost_no_state(executor):
    task = small_digits(mlp())
    found = runs(task, executor, freeze="0.* 3.bias")
    for seed, result in enumerate(found):
        start = task.model(seed).state_dict()
        for name, x in result.weights.items():
            assert torch.equal(x, start[name]) == (name != "3.weight")
    assert (count := len(task.model(0)[3].weight.flatten())) == 160
    for kind in (OneByOne, Vmapped):
        assert kind(task, [begin(task, member(freeze="0.* 3.bias"))]).parameters.shape[1] == count


def test_a_frozen_run_is_that_of_a_model_whose_author_froze_it():
    def author():
        return freeze(mlp()(), "0.*")

    for executor in ("one by one", "vmapped"):
        for one, other in zip(
            runs(small_digits(mlp()), executor, freeze="0.*"), runs(small_digits(author), executor), strict=True
        ):
            same(one, other)


def test_tied_parameters_are_frozen_by_either_name():
    net = mlp()()
    net.again = nn.Linear(64, 16)
    net.again.weight = net[0].weight
    assert "0.weight" not in trainable(freeze(net, "again.weight"))


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"freeze": "encoder.*"}, 'freeze: no parameter of the model is called "encoder.*"; it has 0.weight, 0.bias'),
        ({"freeze": "0.* 9.bias"}, 'no parameter of the model is called "9.bias"'),
        ({"freeze": "0.* 3.*"}, '"0.* 3.*" names every parameter of the model, so that nothing is left to train'),
    ],
)
def test_what_does_not_fit_the_model_is_refused_in_a_sentence(roles, message):
    with pytest.raises(InputError) as error:
        check_passes(small_digits(mlp()), Recipe(**roles))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_does_not_fit_the_task_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="precision bf16 is for tasks of float32; small digits is of float64"):
        check_passes(small_digits(mlp(), dtype=torch.float64), Recipe(precision="bf16"))
    with pytest.raises(InputError, match=r"recompute: the model has no nn\.Sequential or nn\.ModuleList"):
        check_passes(small_digits(lambda: nn.Linear(64, 10)), Recipe(recompute="blocks"))
    check_passes(small_digits(mlp()), Recipe(precision="bf16", freeze="0.*", recompute="blocks", accumulate=2))


# -- together ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_code_is_compiled_for_each_form_and_each_size_of_part():
    task = small_digits(mlp())
    recipe = Recipe(batch_size=36, accumulate=4, precision="bf16", freeze="0.*")
    compile_steps(task, 3, [36], recipe.together())
    assert count_compiled(task) == 2, "a step of 9 examples, and an evaluation"
    runs(task, "compiled", accumulate=4, precision="bf16", freeze="0.*")
    assert count_compiled(task) == 2, "which were the ones"


@pytest.mark.slow
def test_compiled_parts_of_a_frozen_model_are_the_vmapped_ones():
    task = small_digits(mlp())
    found = [runs(task, executor, accumulate=4, freeze="0.*") for executor in ("vmapped", "compiled")]
    for one, other in zip(*found, strict=True):
        agree(one, other, rtol=1e-3, atol=1e-4)
    assert count_compiled(task) == 2


@pytest.mark.parametrize(
    ("executor", "roles"), [("one by one", {"recompute": "blocks"}), ("vmapped", {})], ids=["one by one", "vmapped"]
)
def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped(executor, roles):
    task = small_digits(mlp(nn.Dropout))
    ways = {"accumulate": 3, "precision": "bf16", "freeze": "0.bias", **roles}
    members = [member(seed, **ways) for seed in range(3)]
    states, found = [begin(task, one) for one in members], []

    def keep(population):
        if population.cut == 4 and not found:
            tensors, facts = packed(population.snapshot())
            found.extend(unpacked({name: x.clone() for name, x in tensors.items()}, json.loads(json.dumps(facts))))

    def ends(states):
        population = Population(task, executor, 3, states, keep_weights=True)
        return {one.seed: result for one, result in population.run(on_step=keep)}

    whole = ends(states)
    assert [state.step for state in found] == [4, 4, 4]
    for seed, result in ends(found).items():
        same(whole[seed], result)


def test_runs_that_pass_otherwise_do_not_train_together():
    task = small_digits(mlp())
    with pytest.raises(ValueError, match="too many values to unpack"):
        train(task, [member(0), member(1, accumulate=2)], "vmapped")
