"""What vmap would pass over in a module's own tensors is seen, and each run is what a plain loop makes of it."""

import numpy as np
import pytest
import torch
from outsiders import NLL, X, net, task
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import InputError
from thalweg.inspect._checks.modes import modes
from thalweg.inspect._checks.subject import Subject
from thalweg.key import Key
from thalweg.recipe import Recipe, Together
from thalweg.task import check
from thalweg.task.outside import outside
from thalweg.train import Member, train
from thalweg.train.executors import EXECUTORS
from thalweg.train.made import check_made
from thalweg.train.planner import measure
from thalweg.train.state import beginnings


def buffer(name, value):
    return {f"_{name}": lambda self: self.register_buffer(name, value.clone())}


def centred(self, h):
    if self.training:
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
    return h - self.mean


def counted(self, h):
    if self.training:
        self._buffers["steps"] = self.steps + 1
    return h * (1 + 0.05 * self.steps)


def halved(self, h):
    if h.requires_grad:
        h.register_hook(lambda g: 0.5 * g)
    return h


def slowed(p):
    p.grad.mul_(0.1)


class Switched(nn.Linear):
    """Counts how often it is switched to training."""

    times = 0

    def train(self, mode=True):
        self.times += mode
        return super().train(mode)

    def forward(self, x):
        return super().forward(x) / (1 + 0.01 * self.times)


class Cooled(nn.Linear):
    heat = 1.0

    def eval(self):
        self.heat = 0.5
        return super().eval()

    def forward(self, x):
        return self.heat * super().forward(x)


REPLACED = {
    "a mean": net(centred, **buffer("mean", torch.zeros(8))),
    "a count": net(counted, **buffer("steps", torch.zeros(()))),
}
HOOKED = {
    "a parameter's": ("a.weight has a hook on its gradient", net(
        lambda _, h: h, hook=lambda self: self.a.weight.register_hook(lambda g: 0.1 * g),
    )),
    "a parameter's, afterwards": ("a.weight has a hook on its gradient", net(
        lambda _, h: h, hook=lambda self: self.a.weight.register_post_accumulate_grad_hook(slowed),
    )),
    "a layer's": ("b has a hook on its backward pass", net(
        lambda _, h: h, hook=lambda self: self.b.register_full_backward_hook(lambda _, given, __: (0.1 * given[0],)),
    )),
    "a layer's, before": ("b has a hook on its backward pass", net(
        lambda _, h: h, hook=lambda self: self.b.register_full_backward_pre_hook(lambda _, given: (0.1 * given[0],)),
    )),
    "a tensor's": ("its forward puts a hook on a gradient", net(halved)),
}  # fmt: skip
RECIPE = Recipe(tw.optim.sgd(lr=0.1), epochs=2, batch_size=18).resolved()


def by_hand(one, seed):
    """Return the losses by epoch of a loop in plain PyTorch."""
    with (Key(seed) / "init").seeded():
        model = one.factory()
    optimizer, data, losses = torch.optim.SGD(model.parameters(), lr=0.1), one.train, []
    for epoch in range(2):
        order = torch.from_numpy((Key(seed) / "order" / epoch).permutation(len(data)))
        seen = []
        for some in order.split(18):
            optimizer.zero_grad()
            loss = F.cross_entropy(model.train()(data.inputs[some]), data.targets[some])
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        losses.append(np.mean(seen))
        model.eval()
    return losses


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
@pytest.mark.parametrize("name", REPLACED)
def test_a_tensor_in_the_place_of_a_buffer_is_each_runs_own(name, executor):
    one = task(REPLACED[name])
    check(one)
    assert not outside(one).obstacle
    results = train(one, [Member(RECIPE, seed) for seed in range(3)], executor, keep_weights=True)
    for seed, result in enumerate(results):
        np.testing.assert_allclose(result.curve.train_loss[1:], by_hand(one, seed), rtol=1e-5)
    (buffer,) = outside(one).given_place
    assert results[0].weights[buffer].any()


def masking(persistent, made):
    """Registers a mask in its first pass, as many attentions do."""

    def masked(self, h):
        if self.mask is None or made is shown:
            self.register_buffer("mask", made(self, h), persistent=persistent)
        return h if made is shown else h @ self.mask

    return net(masked, _mask=lambda self: self.register_buffer("mask", None, persistent=persistent))


def constant(*_):
    return torch.ones(8, 8).triu(1)


def shown(_, h):
    return h.detach().softmax(1)


def of_weights(self, _):
    return (self.a.weight[:, :8].detach() > 0).float()


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
@pytest.mark.parametrize("persistent", [True, False])
def test_a_buffer_that_the_first_pass_registers_is_the_same_for_all_runs(persistent, executor):
    one = task(masking(persistent, constant))
    check(one)
    assert measure(one, Together(batch_size=18), seconds=0).together > 1
    results = train(one, [Member(RECIPE, seed) for seed in range(3)], executor, keep_weights=True)
    for seed, result in enumerate(results):
        np.testing.assert_allclose(result.curve.train_loss[1:], by_hand(one, seed), rtol=1e-5)
        assert ("mask" in result.weights) == persistent
        assert not persistent or torch.equal(result.weights["mask"], constant())


@pytest.mark.parametrize("made", [shown, of_weights])
def test_a_buffer_that_a_pass_registers_and_that_is_not_the_same_for_all_is_named(made):
    one = task(masking(True, made))
    check(one)
    reason = measure(one, Together(batch_size=18), seconds=0).reason
    assert "vmap cannot take this model: mask, which its forward registers as a buffer, differs between" in reason
    with pytest.raises(RuntimeError, match=r"^mask, which its forward registers"):
        train(one, [Member(RECIPE, seed) for seed in (1, 2)], "vmapped")
    for seed, result in enumerate(train(one, [Member(RECIPE, seed) for seed in range(2)])):
        np.testing.assert_allclose(result.curve.train_loss[1:], by_hand(one, seed), rtol=1e-5)


@pytest.mark.parametrize("name", HOOKED)
def test_it_is_named_and_a_run_is_the_loops(name):
    what, model = HOOKED[name]
    one = task(model)
    check(one)
    seen = outside(one)
    assert (seen.unseen[: len(what)], seen.carried, seen.drawn) == (what, "", "")
    assert f"because vmap cannot take this model: {what}" in measure(one, Together(batch_size=18), seconds=0).reason
    with pytest.raises(RuntimeError, match=f"^{what}"):
        EXECUTORS["vmapped"](one, beginnings(one, 3))
    finding = modes(Subject(one, RECIPE))
    assert (finding.level, finding.what[: len(what)]) == ("note", what)
    for seed, result in enumerate(train(one, [Member(RECIPE, seed) for seed in range(2)])):
        np.testing.assert_allclose(result.curve.train_loss[1:], by_hand(one, seed), rtol=1e-5)


def hooked(self, h):
    if self.training:
        h.register_hook(lambda g: 1.5 * g)
    return h


def kept(self, h):
    if self.training:
        h.retain_grad()
    return h


def penalised(self, h):
    if self.training:
        (g,) = torch.autograd.grad(torch.tanh(self.b(h)).sum(), h, create_graph=True)
        h = h * (1 + g.square().mean())
    return h


def filled_and_kept(self, h):
    out = torch.zeros(len(h), 8)
    out[:, :4] = kept(self, h)[:, 4:]
    return out


IN_TRAINING = {
    "a hook": (hooked, "its forward puts a hook on a gradient"),
    "a gradient that is kept": (kept, "its forward asks by retain_grad that a gradient be kept"),
    "a gradient that is taken": (penalised, "gradients are taken in its forward"),
    "a gradient that is kept, and zeros written to": (filled_and_kept, "its forward asks by retain_grad"),
}


@pytest.mark.parametrize("name", IN_TRAINING)
def test_a_forward_that_needs_a_graph_in_training_is_trained(name):
    way, what = IN_TRAINING[name]
    one = task(net(way))
    check(one)
    check_made(one, Recipe(batch_size=len(one.train) - 1).resolved())  # whose last batch is of one example
    assert f"because vmap cannot take this model: {what}" in measure(one, Together(batch_size=18), seconds=0).reason
    for seed, result in enumerate(train(one, [Member(RECIPE, seed) for seed in range(2)])):
        np.testing.assert_allclose(result.curve.train_loss[1:], by_hand(one, seed), rtol=1e-5)


@pytest.mark.parametrize("model", [lambda: nn.Sequential(Switched(10, 2)), lambda: Cooled(10, 2)])
def test_what_a_switch_of_modes_leaves_behind_is_named(model):
    assert outside(task(model)).carried.endswith("which is no buffer, changes in train() or eval()")


def test_a_switch_that_only_sets_what_it_set_before_stands_in_nobodys_way():
    class Frozen(nn.Sequential):
        def train(self, mode=True):
            self.mode = mode
            super().train(mode)
            self[1].eval()
            return self

    assert not outside(task(lambda: Frozen(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)))).obstacle


def test_a_second_gradient_leaves_no_buffer_behind():
    one = task(REPLACED["a count"])
    recipe = Recipe(tw.optim.sgd(lr=0.1), epochs=1, batch_size=18, wrapper=tw.wrapper.sam()).resolved()
    (result,) = train(one, [Member(recipe, 0)], keep_weights=True)
    assert result.weights["steps"] == 4 == result.steps


@pytest.mark.parametrize("deep", [1, 2])
def test_models_of_several_shapes_are_refused(deep):
    def model():
        more = [nn.Linear(10, 10) for _ in range(deep if torch.rand(()) < 0.5 else 3 - deep)]
        return nn.Sequential(nn.Linear(10, 10), *more, nn.Linear(10, 2))

    with pytest.raises(InputError, match=r"^the model of task mine has another \d\.\w+ from seed to seed"):
        check(task(model, name="mine"))


def test_what_raises_for_some_seeds_is_one_sentence():
    class Odd(nn.Linear):
        def forward(self, x):
            if self.training and len(x) > 8 and self.weight[0, 0] < 0:
                raise RuntimeError("the licence is not for negative weights")
            return super().forward(x)

    with pytest.raises(InputError, match=r"^a model of task mine cannot be trained: the licence is not"):
        measure(task(lambda: Odd(10, 2), name="mine"), Together(batch_size=18), seconds=0)


def test_sparse_gradients_are_those_of_dense_ones():
    class Bag(nn.Module):
        def __init__(self, sparse):
            super().__init__()
            self.words, self.out = nn.Embedding(12, 4, sparse=sparse), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(self.words(x).mean(1))

    words = (X.abs() * 6).long().clamp(max=11)
    y = (X[:, 0] > 0).long()
    found = []
    for sparse in (True, False):
        one = tw.Task(model=lambda s=sparse: Bag(s), data=(words, y), loss=F.cross_entropy, metric=NLL)
        found.append(train(one, [Member(RECIPE, 0)])[0].curve.train_loss[1:])
    np.testing.assert_array_equal(*found)


def test_weights_are_viewed_as_complex_numbers_wherever_they_stand():
    class Filtered(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.filter, self.b = nn.Linear(10, 9), nn.Parameter(torch.randn(5, 2)), nn.Linear(9, 2)

        def forward(self, x):
            h = torch.fft.rfft(self.a(x)) * torch.view_as_complex(self.filter)
            return self.b(torch.fft.irfft(h, n=9))

    (result,) = train(one := task(Filtered), [Member(RECIPE, 0)])
    np.testing.assert_allclose(result.curve.train_loss[1:], by_hand(one, 0), rtol=1e-5)
