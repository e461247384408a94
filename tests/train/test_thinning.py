"""Dropout in one pass over memory: the bits of its tensor form, forwards and backwards, wherever it is taken."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import grad, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from small import small_digits
from thalweg import Recipe, optim
from thalweg.dropout._asked import thinned
from thalweg.optim._executors.fused import ALONE, PIECE
from thalweg.train import Member, counter, dropout, train
from thalweg.train.dropout import KeyedDropout, mask

KEY = torch.tensor(-7_046_029_254_386_353_131)
BITS = {torch.float32: torch.int32, torch.float64: torch.int64, torch.bfloat16: torch.int16}


@pytest.fixture
def calls(monkeypatch):
    """How often the machine code is called: in one pass over a tensor, and for the factors of stacked ones."""
    counted = {"thin": 0, "factors": 0}

    def count(name):
        whole = getattr(dropout, name)

        def counting(*args):
            counted[name] += 1
            return whole(*args)

        monkeypatch.setattr(dropout, name, counting)

    count("thin")
    count("factors")
    return counted


def in_tensors(x, p):
    """The tensor form, written out."""
    keep = mask(KeyedDropout(KEY).following(), x.shape, p)
    return x * keep.to(x.dtype) * (1.0 / (1.0 - p) if p < 1 else 0.0)


def keyed(x, p):
    with KeyedDropout(KEY):
        return F.dropout(x, p)


def same_bits(a, b):
    return a.dtype == b.dtype and torch.equal(a.view(BITS[a.dtype]), b.view(BITS[b.dtype]))


@pytest.mark.parametrize("dtype", BITS)
@pytest.mark.parametrize("p", [0.1, 0.5, 1 / 3, 1.0])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (0, 3), (33, 65), (2, 3, 5, 7)])
def test_forwards_and_backwards_the_bits_are_those_of_the_tensor_form(shape, p, dtype, calls):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found, expected = keyed(x, p), in_tensors(x, p)
    assert same_bits(found, expected)
    (mine,) = torch.autograd.grad(found, x, weights)
    (theirs,) = torch.autograd.grad(expected, x, weights)
    assert same_bits(mine, theirs)
    assert calls["thin"] == 2


def test_what_is_not_finite_stays_so():
    x = torch.tensor([float("inf"), -float("inf"), float("nan"), -0.0, 1e38, -1e-45] * 40)
    found, expected = keyed(x, 0.6), in_tensors(x, 0.6)
    assert torch.equal(found.isnan(), expected.isnan())
    finite = ~found.isnan()
    assert same_bits(found[finite], expected[finite])


def test_nothing_is_kept_for_the_backward_pass_but_the_key():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        found = keyed(torch.randn(1000, requires_grad=True), 0.5)
    assert kept == []
    found.sum().backward()


@pytest.mark.parametrize("count", [ALONE + 1, 3 * PIECE + ALONE + 17])
def test_threads_share_the_work_and_not_the_bits(count):
    x = torch.randn(count)
    alone = keyed(x, 0.3)
    torch.set_num_threads(2)
    assert same_bits(keyed(x, 0.3), alone)
    assert same_bits(alone, in_tensors(x, 0.3))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own forward mode
def test_gradients_of_gradients_tangents_and_many_gradients_at_once():
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)

    def cubed(x):
        return keyed(x, 0.4) ** 3

    assert torch.autograd.gradcheck(cubed, (x,), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(cubed, (x,))
    tangent = torch.randn_like(x)
    assert torch.equal(jvp(lambda x: keyed(x, 0.4), (x,), (tangent,))[1], in_tensors(tangent, 0.4))


def test_a_gradient_that_is_one_number_repeated_is_taken():
    x = torch.randn(6, 5, requires_grad=True)
    keyed(x, 0.5).sum().backward()
    assert torch.equal(x.grad, in_tensors(torch.ones(6, 5), 0.5))


def test_tensors_that_do_not_lie_in_one_piece_have_the_same_mask(calls):
    x = torch.randn(6, 8, 5, 4)
    for given in (x.transpose(1, 3), x.to(memory_format=torch.channels_last), x[:, ::2], x[0, 0, 0, 0].expand(9, 3)):
        found = keyed(given, 0.4)
        assert torch.equal(found, in_tensors(given, 0.4))
        assert torch.equal(found, keyed(given.contiguous(), 0.4))
    assert calls == {"thin": 4, "factors": 4}


def test_types_without_machine_code_are_dropped_in_tensors(calls):
    x = torch.randn(100)
    assert torch.equal(keyed(x.half(), 0.5), in_tensors(x, 0.5).half())
    assert torch.equal(keyed(torch.arange(100), 0.5), in_tensors(torch.arange(100.0), 0.5))
    assert calls == {"thin": 0, "factors": 0}


def test_a_rate_may_be_a_tensor_and_learn():
    x = torch.randn(50, dtype=torch.float64)
    rate = torch.tensor(0.3, dtype=torch.float64)
    with KeyedDropout(KEY):
        assert torch.equal(thinned(x, rate), keyed(x, 0.3))
    rate.requires_grad_()
    with KeyedDropout(KEY):
        thinned(x, rate).sum().backward()
    assert rate.grad.item() == pytest.approx(keyed(x, 0.3).sum().item() / 0.7)


def test_what_is_traced_is_in_tensors(calls):
    def loss(x, key):
        with KeyedDropout(key):
            return F.dropout(x, 0.4).sin().sum()

    x = torch.randn(8, 6)
    graph = make_fx(grad(loss))(x, KEY)
    exported = torch.export.export(Dropping(), (x,))
    assert calls == {"thin": 0, "factors": 0}
    assert torch.equal(graph(x, KEY), grad(loss)(x, KEY))
    assert torch.equal(exported.module()(x), keyed(x, 0.4))
    assert not torch.equal(graph(x, KEY + 1), graph(x, KEY)), "the mask is part of the graph, not a constant"


class Dropping(nn.Module):
    def forward(self, x):
        with KeyedDropout(KEY):
            return F.dropout(x, 0.4)


def test_models_that_vmap_stacks_get_their_factors_at_once(calls):
    x, keys = torch.randn(5, 7, 3), torch.arange(5) * 77
    rates = torch.tensor([0.0, 0.1, 0.5, 0.6, 0.9], dtype=torch.float64)

    def loss(x, key, rate):
        with KeyedDropout(key):
            return (thinned(x, rate) ** 2).sum() + (F.dropout(x.t(), 0.25) ** 3).sum()

    stacked = vmap(grad(loss))(x, keys, rates)
    assert calls == {"thin": 0, "factors": 2}
    for i in range(5):
        assert torch.equal(stacked[i], grad(loss)(x[i], keys[i], rates[i]))


def test_vmap_inside_a_models_own_forward_shares_the_mask():
    """Its key is not stacked, so neither is the mask; as it was in tensors."""
    x = torch.randn(5, 40)
    with KeyedDropout(KEY):
        found = vmap(lambda row: F.dropout(row, 0.5))(x)
    assert torch.equal(found, x * in_tensors(torch.ones(40), 0.5))


def test_two_levels_of_vmap_are_left_to_tensors():
    x, keys = torch.randn(2, 3, 40), torch.arange(6).view(2, 3)

    def drop(x, key):
        with KeyedDropout(key):
            return F.dropout(x, 0.5)

    found = vmap(vmap(drop))(x, keys)
    assert torch.equal(found[1, 2], drop(x[1, 2], keys[1, 2]))


def test_training_takes_it(calls):
    """One by one forwards and backwards, stacked for all runs at once; and the runs drop the same units."""
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10)),
                        dtype=torch.float64)  # fmt: skip
    members = [Member(Recipe(optim.sgd(lr=0.1), epochs=1).resolved(), seed) for seed in range(3)]
    apart = train(task, members, "one by one", keep_weights=True)
    steps = apart[0].steps
    assert calls == {"thin": 1 + 2 * 3 * steps, "factors": 0}, "and once to see whether the model drops at all"
    together = train(task, members, "vmapped", keep_weights=True)
    assert calls["factors"] == steps
    for one, other in zip(apart, together, strict=True):
        for name, weight in one.weights.items():
            np.testing.assert_allclose(weight, other.weights[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [[0], [1], [7], [3, 4, 5], [200_000]])
def test_hashes_are_those_of_the_tensor_form(shape, monkeypatch):
    keys = torch.tensor([3, -(2**63), 2**62 + 1])

    def found():
        return [counter.hashed(keys[1], shape), vmap(lambda key: counter.hashed(key, shape))(keys)]

    quick = found()
    assert counter.QUICKER[0](keys[1], shape) is not None
    monkeypatch.setattr(counter, "QUICKER", [])
    for x, y in zip(quick, found(), strict=True):
        assert torch.equal(x, y)
        assert x.dtype == y.dtype
