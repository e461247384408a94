"""What changed in a task is seen, and named by its part; what did not change has the same hash everywhere."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import Helped, both_heads, classes, linear, quantity, tiny, words, x
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.task import fingerprint
from thalweg.task.fingerprint import hash_weights


class Net(nn.Module):
    """Two layers, dropout and a buffer."""

    def __init__(self, scale=1.0, rate=0.5, act=torch.relu, buffer=1.0):
        super().__init__()
        self.hidden, self.drop, self.out = nn.Linear(4, 8), nn.Dropout(rate), nn.Linear(8, 2)
        nn.init.orthogonal_(self.hidden.weight, scale)
        self.act = act
        self.register_buffer("temperature", torch.tensor(buffer))

    def forward(self, x):
        return self.out(self.drop(self.act(self.hidden(x)))) / self.temperature


class Sharper(Net):
    def forward(self, x):
        return super().forward(x) * (1.0 if self.training else 2.0)


class Renamed(Net):
    def __init__(self):
        super().__init__()
        self.last = self.out
        del self.out

    def forward(self, x):
        return self.last(self.drop(self.act(self.hidden(x)))) / self.temperature


def net(**changes):
    return tiny(**{"model": Net, **changes})


def nudged(tensor, by):
    changed = tensor.clone()
    changed[-1] += by
    return changed


def parts(of):
    return {word: (part.inputs, part.targets) for word, part in zip(("train", "valid", "test"), of, strict=True)}


def rearranged(**changes):
    plain = net()
    return net(data=None, **{**parts((plain.train, plain.valid, plain.test)), **changes})


plain = net()
inputs, targets = plain.test.inputs, plain.test.targets

CHANGES = {
    # what changed, which part is the first to say so, which parts stay the same
    "one bit of one test input": (rearranged(test=(nudged(inputs, 2e-7), targets)), "data", "model loss metric"),
    "one test target": (rearranged(test=(inputs, 1 - targets)), "data", "model loss metric"),
    "the order of test examples": (rearranged(test=(inputs.flip(0), targets.flip(0))), "data", "model loss metric"),
    "an example the less": (rearranged(test=(inputs[1:], targets[1:])), "data", "model loss metric"),
    "valid for test": (
        rearranged(**parts((plain.train, plain.test, plain.valid))),
        "data",
        "model loss metric",
    ),
    "the seed of the splits": (net(seed=1), "data", "model"),
    "standardized": (net(standardize=True), "data", "model"),
    "the type": (net(dtype=torch.float64), "data", ""),
    "a wider layer": (net(model=lambda: nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2))), "model", "data"),
    "initial weights": (net(model=lambda: Net(scale=1.001)), "model", "data"),
    "a buffer": (net(model=lambda: Net(buffer=1.001)), "model", "data"),
    "a layer's name": (net(model=Renamed), "model", "data"),
    "the forward pass": (net(model=lambda: Net(act=torch.tanh)), "loss", "data model"),
    "the forward pass in training alone": (net(model=lambda: Net(rate=0.4)), "loss", "data model metric"),
    "the loss": (net(loss=nn.CrossEntropyLoss(label_smoothing=0.01)), "loss", "data model metric"),
    "the loss's scale": (net(loss=lambda o, y: 1.02 * F.cross_entropy(o, y)), "loss", "data model metric"),
    "the loss's gradient alone": (
        net(loss=lambda o, y: F.cross_entropy(o, y) + 0 * o.sum() + (o - o.detach()).sum()),
        "loss",
        "data model metric",
    ),
    "the loss's value in training alone": (
        net(loss=lambda o, y: F.cross_entropy(o, y) + 0.1 * o.requires_grad),
        "loss",
        "data model metric",
    ),
    "the forward pass in evaluation alone": (net(model=Sharper), "loss", "data model metric"),
    "the metric's name": (net(metric=tw.Metric("other", tw.accuracy.outcomes, True)), "metric", "data model loss"),
    "its direction": (net(metric=tw.Metric("accuracy", tw.accuracy.outcomes, False)), "metric", "data model loss"),
    "its outcomes": (
        net(metric=tw.Metric("accuracy", lambda o, y: (o.argmax(1) != y).float(), True)),
        "metric",
        "data model loss",
    ),
}


@pytest.mark.parametrize(("changed", "first", "same"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_named_by_its_part_and_earlier_parts_stay(changed, first, same):
    one, two = fingerprint(plain), fingerprint(changed)
    assert list(one) == ["data", "model", "loss", "metric"]
    assert next(part for part in one if one[part] != two[part]) == first
    assert {part for part in one if one[part] == two[part]} >= set(same.split())


def test_what_says_nothing_about_runs_is_not_seen():
    assert fingerprint(net(name="other", epochs=3, batch_size=5, note="hello")) == fingerprint(plain)
    assert fingerprint(net(data=(x.double().numpy(), classes.numpy().astype(np.int8)))) == fingerprint(plain)


def test_the_global_generators_neither_matter_nor_move():
    import random

    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(fingerprint(net()))
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]


WIDE = """
import torch
from torch import nn
import thalweg as tw
from thalweg.task import fingerprint

def wide():
    model = nn.Sequential(nn.Linear(64, 300), nn.Dropout(0.2), nn.BatchNorm1d(300), nn.Linear(300, 10))
    nn.init.orthogonal_(model[0].weight)
    return model

digits = tw.load_task("digits")
part = (digits.train.inputs.flatten(1), digits.train.targets)
task = tw.Task(model=wide, data=part, loss=digits.loss, metric=digits.metric)
found = []
for threads in (1, 2):
    torch.set_num_threads(threads)
    found.append(fingerprint(task))
    assert torch.get_num_threads() == threads
assert found[0] == found[1]
print(found[0])
"""


def test_it_is_the_same_in_another_process_and_with_any_number_of_threads():
    here = {}
    exec(WIDE.replace("print(found[0])", "result = found[0]"), here)
    command = [sys.executable, "-W", "error", "-c", "import torch; torch.randn(3)\n" + WIDE]
    there = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    assert there.stdout.strip() == str(here["result"])


def test_a_gradient_that_is_rounding_has_no_digits():
    def model():
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))

    module = model()
    F.cross_entropy(module(x), classes).backward()
    assert 0 < module[0].bias.grad.norm() < 1e-6, "the bias of a layer before a norm does nothing"
    noisy = tiny(model=model, loss=lambda o, y: F.cross_entropy(o * (1 + 1e-6), y))
    assert fingerprint(noisy)["loss"] == fingerprint(tiny(model=model))["loss"]


@pytest.mark.parametrize(
    "task",
    [
        tiny(data=({"a": x, "b": words}, classes), model=lambda: Both()),
        quantity(loss=lambda o, y: F.mse_loss(o[:, 0], y), dtype=torch.bfloat16),
        tiny(model=lambda: nn.utils.parametrizations.spectral_norm(linear())),
        tiny(model=lambda: nn.Sequential(nn.Linear(4, 4).requires_grad_(False), linear())),
        tiny(metric=tw.Metric("one value", lambda o, y: (o.argmax(1) == y).float().mean(), True)),
    ],
    ids=["a dict", "bfloat16", "spectral norm", "frozen", "one value"],
)
def test_every_kind_of_task_has_one_and_it_repeats(task):
    one = fingerprint(task)
    assert fingerprint(task) == one
    assert all(len(value) == 64 for value in one.values())


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Embedding(5, 2)

    def forward(self, a, b):
        return self.a(a) + self.b(b).mean(1)


def test_a_loss_of_what_is_put_out_in_training_alone_is_seen_there():
    plain = fingerprint(tiny(model=Helped, loss=both_heads))
    assert fingerprint(tiny(model=Helped, loss=both_heads)) == plain
    other = fingerprint(tiny(model=Helped, loss=lambda o, y: both_heads(o, y) + 0.01 * o[1].square().mean()))
    assert [part for part in plain if plain[part] != other[part]] == ["loss"]


def test_weights_that_are_views_or_sparse_have_the_hash_of_their_values():
    one, two = nn.Linear(4, 4), nn.Linear(4, 4)
    two.load_state_dict(one.state_dict())
    two.weight = nn.Parameter(one.weight.t().contiguous().t())
    assert hash_weights(one) == hash_weights(two)
    one.register_buffer("mix", torch.eye(4).to_sparse())
    two.register_buffer("mix", torch.eye(4).to_sparse())
    assert hash_weights(one) == hash_weights(two)
    two.mix = 2 * two.mix
    assert hash_weights(one) != hash_weights(two)
