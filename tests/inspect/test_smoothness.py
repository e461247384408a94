"""Loss and gradient along the gradient: exact where they are known, and nothing is changed by looking."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from thalweg import inspect, norm, optim, surgery
from thalweg.errors import InputError
from untouched import facts, same

CROSS_ENTROPY = nn.functional.cross_entropy


def batches(count=3, size=16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, size, 6, generator=generator)
    return [(part, (part[:, 0] > 0).long() + (part[:, 1] > 1).long()) for part in x]


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 3))


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, lr=rate)


class Bowl(nn.Module):
    """The loss ½ Σ aᵢ wᵢ², whatever the inputs."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))

    def forward(self, x):
        return 0.5 * (torch.tensor([1.0, 3.0, 10.0]) * self.w**2).sum() + 0 * x.sum()


def test_of_a_quadratic_everything_is_known():
    found = inspect.smoothness(Bowl(), sgd(0.02), [(torch.zeros(1), torch.zeros(1))], lambda y, _: y, steps=3)
    (walk,) = found.walks
    a, w = np.array([1.0, 3.0, 10.0]), np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(walk.rates, np.linspace(0.01, 0.08, 8))
    for step in range(3):
        g = a * w
        assert walk.start[step] == pytest.approx(0.5 * (a * w**2).sum())
        for rate, loss, change in zip(walk.rates, walk.losses[step], walk.changes[step], strict=True):
            assert loss == pytest.approx(0.5 * (a * (w - rate * g) ** 2).sum())
            assert change == pytest.approx(rate * np.linalg.norm(a * g))
        assert walk.smoothness[step] == pytest.approx(np.linalg.norm(a * g) / np.linalg.norm(g))
        w = w - 0.02 * g


def test_it_is_what_a_copy_of_the_model_does():
    """Against a loop of its own: torch's optimizer, and losses at other weights by functional_call."""
    model, data = net(), batches()
    (walk,) = inspect.smoothness(model, sgd(0.3), data, CROSS_ENTROPY, steps=5, reach=(0.1, 0.9), points=3).walks
    apart = copy.deepcopy(model)
    optimizer = torch.optim.SGD(apart.parameters(), lr=0.3)
    for step in range(5):
        x, y = data[step % 3]
        here = {name: p.detach().clone() for name, p in apart.named_parameters()}
        optimizer.zero_grad()
        loss = CROSS_ENTROPY(apart(x), y)
        loss.backward()
        assert walk.start[step] == pytest.approx(loss.item(), rel=1e-5)
        g = {name: p.grad.clone() for name, p in apart.named_parameters()}
        most = 0.0
        for i, rate in enumerate((0.1, 0.5, 0.9)):
            there = {name: (p - rate * g[name]).requires_grad_() for name, p in here.items()}
            value = CROSS_ENTROPY(functional_call(copy.deepcopy(apart), there, (x,)), y)
            after = torch.autograd.grad(value, list(there.values()))
            change = math.sqrt(sum(((a - g[n]) ** 2).sum().item() for a, n in zip(after, there, strict=True)))
            assert walk.losses[step, i] == pytest.approx(value.item(), rel=1e-4)
            assert walk.changes[step, i] == pytest.approx(change, rel=1e-3)
            most = max(most, change / rate)
        length = math.sqrt(sum((p**2).sum().item() for p in g.values()))
        assert walk.smoothness[step] == pytest.approx(most / length, rel=1e-3)
        optimizer.step()


def test_passes_of_one_step_drop_the_same_units():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 3))
    (walk,) = inspect.smoothness(model, sgd(1e-6), batches(), CROSS_ENTROPY, steps=4).walks
    np.testing.assert_allclose(walk.losses, np.repeat(walk.start[:, None], 8, 1), rtol=1e-4)
    assert len(np.unique(walk.start[[0, 3]])) == 2, "the same batch and weights at another step: other units"


def test_passes_of_one_step_see_the_same_buffers_and_the_next_step_what_it_left():
    class Counted(Bowl):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            self.count += 1
            return super().forward(x) * self.count

    model = Counted()
    data = [(torch.zeros(1), torch.zeros(1))]
    (walk,) = inspect.smoothness(model, sgd(1e-9), data, lambda y, _: y, steps=3).walks
    assert walk.start == pytest.approx(walk.start[0] * np.array([1.0, 2.0, 3.0]), rel=1e-6)
    np.testing.assert_allclose(walk.losses, np.repeat(walk.start[:, None], 8, 1), rtol=1e-6)
    assert model.count == 0


@pytest.mark.parametrize("kind", [torch.optim.Adam, optim.Adam, optim.SGD])
def test_model_optimizer_and_generators_are_left_as_they_were(kind):
    model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Dropout(), nn.ReLU(), nn.Linear(12, 3))
    model[1].eval()
    optimizer, generator = kind(model.parameters(), lr=0.01), torch.Generator().manual_seed(3)
    x = torch.cat([part for part, _ in batches()])
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), 16, shuffle=True, generator=generator)
    for x, y in loader:
        CROSS_ENTROPY(model(x), y).backward()
        optimizer.step()
    before = facts(model, optimizer, generator)
    one = inspect.smoothness(model, optimizer, loader, CROSS_ENTROPY, steps=4)
    assert same(before, facts(model, optimizer, generator))
    assert str(one) == str(inspect.smoothness(model, optimizer, loader, CROSS_ENTROPY, steps=4))
    with pytest.raises(InputError, match="Sequential cannot take a batch"):
        inspect.smoothness(model, optimizer, [(torch.zeros(2, 7), torch.zeros(2).long())], CROSS_ENTROPY)
    assert same(before, facts(model, optimizer, generator))


def test_what_batch_norm_does_where_it_helps():
    """A deep network of sigmoids: by the same steps the loss falls, and the gradient predicts its course better."""
    torch.manual_seed(0)
    parts = [nn.Linear(6, 40), nn.Sigmoid()]
    for _ in range(3):
        parts += [nn.Linear(40, 40), nn.Sigmoid()]
    plain = nn.Sequential(*parts, nn.Linear(40, 3))
    normed = surgery.operate(plain, batches()[0][0], norm=norm.batch()).model
    found = inspect.smoothness({"plain": plain, "batch norm": normed}, sgd(0.5), batches(), CROSS_ENTROPY, steps=30)
    without, with_ = found.walks
    assert with_.start[-1] < 0.5 * without.start[-1]
    assert np.median(with_.smoothness) < np.median(without.smoothness)


@pytest.mark.parametrize("steps", [1, 4])
def test_it_is_a_table_and_a_picture(steps, tmp_path):
    models = {"one": net(), "other": nn.Linear(6, 3)}
    found = inspect.smoothness(models, sgd(0.1), batches(), CROSS_ENTROPY, steps=steps)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == ["loss", "one", "other", "loss:"]
    assert lines[-1].endswith("step sizes 0.05 to 0.4")
    found.save(tmp_path / "a.svg")
    assert "effective β" in (tmp_path / "a.svg").read_text()
    assert len(found.chart().to_dict()["hconcat"]) == 3


def test_a_loss_that_explodes_is_shown_as_far_as_it_can_be(tmp_path):
    model = nn.Linear(6, 3)
    found = inspect.smoothness(model, sgd(1e30), batches(), lambda y, _: (y**4).mean(), steps=3)
    assert not np.isfinite(found.walks[0].losses).all()
    found.save(tmp_path / "a.svg")
    assert str(found)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.smoothness(3, sgd(0.1), batches(), CROSS_ENTROPY), "give an nn.Module, or several by name"),
        (lambda: inspect.smoothness({}, sgd(0.1), batches(), CROSS_ENTROPY), "give an nn.Module, or several by name"),
        (lambda: inspect.smoothness(net(), 3, batches(), CROSS_ENTROPY), "optimizer takes one of torch's kind, or a"),
        (lambda: inspect.smoothness(net(), lambda p: 3, batches(), CROSS_ENTROPY), "what makes an optimizer made a"),
        (
            lambda: inspect.smoothness({"a": net(), "b": net()}, sgd(0.1)(net().parameters()), [], CROSS_ENTROPY),
            "one optimizer cannot train several models",
        ),
        (lambda: inspect.smoothness(net(), sgd(0.1), iter(batches()), CROSS_ENTROPY), "data that can be read only"),
        (lambda: inspect.smoothness(net(), sgd(0.1), [], CROSS_ENTROPY), "data has no batch in it"),
        (lambda: inspect.smoothness(net(), sgd(0.1), batches(), "mse"), "loss takes a function (output, targets)"),
        (lambda: inspect.smoothness(net(), sgd(0.1), batches(), lambda y, t: y), "the loss takes (output, targets)"),
        (lambda: inspect.smoothness(net(), sgd(0.1), batches(), CROSS_ENTROPY, steps=0), "steps takes a whole"),
        (lambda: inspect.smoothness(net(), sgd(0.1), batches(), CROSS_ENTROPY, points=1), "points takes a whole num"),
        (lambda: inspect.smoothness(net(), sgd(0.1), batches(), CROSS_ENTROPY, reach=(1, 1)), "reach takes two step"),
        (lambda: inspect.smoothness(net(), sgd(0.0), batches(), CROSS_ENTROPY), "the optimizer's learning rate is 0"),
        (
            lambda: inspect.smoothness(net().requires_grad_(False), lambda p: optim.SGD(p), batches(), CROSS_ENTROPY),
            "Sequential has no parameter that is trained",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
