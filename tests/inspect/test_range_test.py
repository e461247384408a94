"""The learning-rate range test: what it finds, and that it leaves everything as it was."""

import copy
import hashlib
import itertools
import pickle
import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from small import small_digits
from thalweg import schedule
from thalweg.errors import InputError
from thalweg.inspect import RangeTest
from thalweg.train import Member, train


class Net(nn.Module):
    """With all that a forward pass changes: batch norm's buffers, one that is replaced, masks, a frozen layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 24)
        self.norm = nn.BatchNorm1d(24)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(24, 10)
        self.last.weight.requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("nothing", None)

    def forward(self, x):
        self.calls = self.calls + torch.rand(()) + float(np.random.rand()) + random.random()  # noqa: NPY002
        self.nothing = x.mean()
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))


OPTIMIZERS = {
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9),
    "adam": lambda ps: torch.optim.Adam(ps, lr=torch.tensor(0.01), amsgrad=True),
    "thalweg's sgd": lambda ps: tw.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
    "thalweg's adam": lambda ps: tw.optim.AdamW(ps, lr=0.01),
    "lookahead": lambda ps: tw.wrapper.Lookahead(tw.optim.Adam(ps, lr=0.01, amsgrad=True), k=3),
    "thalweg's nadam": lambda ps: tw.optim.NAdam(ps, lr=0.01, executor="eager"),
}


@pytest.fixture(scope="module")
def dataset():
    inputs, targets = load_digits(return_X_y=True)
    return TensorDataset(torch.from_numpy(inputs[:256]).float() / 16, torch.from_numpy(targets[:256]))


class Bench:
    """A model that has been trained for a while, with all around it."""

    def __init__(self, dataset, make, steps=4):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        self.model = Net()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [{"params": trained[:2]}, {"params": trained[2:]}]
        self.optimizer = make(groups)
        for group, rate in zip(self.optimizer.param_groups, (0.1, 0.01), strict=True):
            group["lr"] = torch.tensor(rate) if isinstance(group["lr"], torch.Tensor) else rate
        own = torch.Generator().manual_seed(7)
        self.data = DataLoader(dataset, batch_size=32, shuffle=True, generator=own)
        self.scheduler = schedule.Scheduler(self.optimizer, schedule.cosine(40))
        self.train(steps)
        self.model.norm.eval()  # a mode of one module alone
        for p in self.model.parameters():  # gradients that wait to be used
            p.grad = None if p is trained[0] else torch.full_like(p, 0.5)

    def train(self, steps):
        self.model.train()
        for inputs, targets in itertools.islice(self.data, steps):
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(inputs), targets).backward()
            self.optimizer.step()
            self.scheduler.step()

    def sweep(self, loss=F.cross_entropy, **more):
        return schedule.range_test(self.model, self.optimizer, self.data, loss, **{"steps": 30, **more})

    def state(self):
        """Return everything there is, and which objects it is in."""
        ps = list(self.model.parameters())
        content = [
            self.model.state_dict(),
            [p.grad for p in ps],
            dict(self.model.named_buffers()),
            [module.training for module in self.model.modules()],
            self.optimizer.state_dict(),
            self.scheduler.state_dict(),
            torch.get_rng_state(), np.random.get_state(), random.getstate(), self.data.generator.get_state(),  # noqa: NPY002
            self.optimizer.__dict__.get("_opt_called"),
        ]  # fmt: skip
        identity = [
            *map(id, ps), *map(id, self.model.buffers()), *(id(p.grad) for p in ps),
            *map(id, self.optimizer.param_groups),
            *(id(x) for state in self.optimizer.state.values() for x in state.values()),
            *(id(group["lr"]) for group in self.optimizer.param_groups if isinstance(group["lr"], torch.Tensor)),
        ]  # fmt: skip
        return digest(content), identity


def digest(thing):
    def plain(x):
        if isinstance(x, torch.Tensor):
            return (str(x.dtype), tuple(x.shape), x.detach().numpy().tobytes())
        if isinstance(x, np.ndarray):
            return x.tobytes()
        if isinstance(x, dict):
            return [(repr(key), plain(value)) for key, value in x.items()]
        return [plain(item) for item in x] if isinstance(x, list | tuple) else repr(x)

    return hashlib.sha256(pickle.dumps(plain(thing))).hexdigest()


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_everything_is_bit_for_bit_as_it_was(dataset, name, steps):
    bench = Bench(dataset, OPTIMIZERS[name], steps)
    before = bench.state()
    found = bench.sweep()
    assert len(found.rates) > 10
    assert bench.state() == before


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_as_if_nothing_had_been(dataset, name, steps):
    one, other = Bench(dataset, OPTIMIZERS[name], steps), None
    one.train(5)
    after = digest(one.model.state_dict()), digest(one.optimizer.state_dict())
    other = Bench(dataset, OPTIMIZERS[name], steps)
    other.sweep()
    other.train(5)
    assert (digest(other.model.state_dict()), digest(other.optimizer.state_dict())) == after


@pytest.mark.parametrize("what", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("place", ["loss", "backward", "step", "data"])
def test_also_when_it_is_interrupted_or_raises(dataset, what, place):
    bench = Bench(dataset, OPTIMIZERS["thalweg's adam"])
    before = bench.state()
    count = itertools.count()

    def soon(*_):
        if next(count) == 7:
            raise what("now")

    def loss(output, targets):
        if place == "loss":
            soon()
        if place == "backward":
            output.register_hook(soon)
        return F.cross_entropy(output, targets)

    class Data:
        generator = bench.data.generator

        def __iter__(self):
            for batch in bench.data:
                if place == "data":
                    soon()
                yield batch

    handle = bench.optimizer.register_step_pre_hook(soon) if place == "step" else None
    with pytest.raises(what, match="now"):
        schedule.range_test(bench.model, bench.optimizer, Data(), loss, steps=30)
    if handle:
        handle.remove()
    assert bench.state() == before


def test_also_when_it_is_interrupted_while_it_puts_things_back(dataset, monkeypatch):
    bench = Bench(dataset, OPTIMIZERS["sgd"])
    before = bench.state()
    original, calls = torch.set_rng_state, []

    def once(state):
        calls.append(state)
        if len(calls) == 1:
            raise KeyboardInterrupt
        original(state)

    monkeypatch.setattr(torch, "set_rng_state", once)
    with pytest.raises(KeyboardInterrupt):
        bench.sweep()
    assert bench.state() == before


def test_a_loss_that_leaves_the_graph_of_another_model_alone(dataset):
    """A loss may read the model itself, as a penalty does; nothing of it stays behind."""
    bench = Bench(dataset, OPTIMIZERS["sgd"])
    before = bench.state()
    bench.sweep(
        lambda output, t: F.cross_entropy(output, t) + 0.01 * sum((p**2).sum() for p in bench.model.parameters())
    )
    assert bench.state() == before


def test_it_is_repeatable_and_a_seed_away_from_another(dataset):
    one, two, other = (Bench(dataset, OPTIMIZERS["sgd"]).sweep(seed=seed) for seed in (0, 0, 1))
    assert one.losses.tolist() == two.losses.tolist()
    assert one.losses.tolist() != other.losses.tolist()


def test_a_task_is_trained_as_a_run_of_that_seed(linear_task):
    """Each loss is that of the batch after the update at its rate, on the run's own weights and order."""
    found = schedule.range_test(linear_task, tw.optim.sgd(), low=0.01, high=0.1, steps=3, seed=5)
    model = linear_task.model(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    rows = (tw.Key(5) / "order" / 0).permutation(180)
    batches = [torch.from_numpy(rows[i : i + 64]) for i in (0, 64, 128)]
    batches.append(torch.from_numpy((tw.Key(5) / "order" / 1).permutation(180)[:64]))
    losses = []
    for rate, batch in zip((0.01, 0.01 * 10**0.5, 0.1, None), batches, strict=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(linear_task.train.inputs[batch]), linear_task.train.targets[batch])
        losses.append(loss.item())
        if rate:
            loss.backward()
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
    assert found.start == pytest.approx(losses[0])
    assert found.losses == pytest.approx(losses[1:], rel=1e-5)
    assert found.rates == pytest.approx([0.01, 0.01 * 10**0.5, 0.1])


def test_what_a_recipe_has_around_its_optimizer_counts(linear_task):
    """Clipped to a hundredth, the gradient allows a rate a hundred times higher."""
    plain, clipped = (
        schedule.range_test(linear_task, tw.Recipe(tw.optim.sgd(), gradient=gradient, average=average), high=1e5)
        for gradient, average in (
            (tw.gradient.clip_norm(1e9), None),
            (tw.gradient.clip_norm(0.005), tw.average.ema()),
        )
    )
    assert clipped.band[0] > 10 * plain.band[0]
    slow = tw.Recipe(tw.optim.sgd(), wrapper=tw.wrapper.lookahead(k=2))
    assert schedule.range_test(linear_task, slow).losses.tolist() != plain.losses.tolist()
    assert np.isfinite(schedule.range_test(linear_task, tw.Recipe(wrapper=tw.wrapper.sam()), steps=9).losses).all()


def test_a_task_leaves_the_generators_alone():
    task = tw.load_task("digits")
    before = digest([torch.get_rng_state(), np.random.get_state(), random.getstate()])  # noqa: NPY002
    schedule.range_test(task, tw.optim.adam(), steps=5)
    assert digest([torch.get_rng_state(), np.random.get_state(), random.getstate()]) == before  # noqa: NPY002


def test_the_band_is_where_training_works():
    """Rates in it train better than rates a hundred times lower or higher."""
    task = small_digits(
        lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    )
    low, high = schedule.range_test(task, tw.optim.sgd()).band
    rates = (low / 100, (low * high) ** 0.5, high * 100)
    results = train(task, [Member(tw.Recipe(tw.optim.sgd(lr=rate), epochs=10).resolved(), 0) for rate in rates])
    below, inside, above = (result.curve.valid[-1] for result in results)
    assert inside > below + 0.3
    assert inside > np.nan_to_num(above) + 0.3


def test_it_ends_where_the_loss_explodes(linear_task):
    found = schedule.range_test(linear_task, tw.optim.sgd(), low=0.01, high=1e30, steps=80)
    assert len(found.rates) < 60
    assert "exploded" in found.ended or "was not finite" in found.ended
    assert np.isfinite(found.losses).all()
    assert found.ended in str(found)
    assert f"band {found.band[0]:.2g} to {found.band[1]:.2g}" in str(found)


def test_where_nothing_falls_there_is_no_band(linear_task):
    found = schedule.range_test(linear_task, tw.optim.sgd(), low=1e-12, high=1e-10, steps=20)
    assert found.band is None
    assert "no band: the loss does not fall clearly at any rate" in str(found)
    found.curve()


def test_groups_keep_the_ratios_of_their_rates(dataset):
    bench = Bench(dataset, OPTIMIZERS["sgd"])
    seen = []
    bench.optimizer.register_step_pre_hook(lambda o, *_: seen.append([group["lr"] for group in o.param_groups]))
    rates = bench.sweep(steps=10, low=1e-3, high=1e-1).rates
    assert [rate for rate, _ in seen] == pytest.approx(rates)
    assert all(second == pytest.approx(rate / 10) for rate, second in seen)


def test_the_result_cannot_be_changed_and_is_drawn(linear_task, tmp_path):
    found = schedule.range_test(linear_task, tw.optim.sgd(), steps=20)
    assert isinstance(found, RangeTest)
    with pytest.raises(ValueError, match="read-only"):
        found.rates[0] = 1.0
    with pytest.raises(AttributeError):
        found.start = 1.0
    assert found.curve().to_dict()["layer"]
    for ending in ("svg", "png", "html"):
        found.save(tmp_path / f"curve.{ending}")
        assert (tmp_path / f"curve.{ending}").stat().st_size > 1000
    assert 'src="http' not in (tmp_path / "curve.html").read_text()
    with pytest.raises(InputError, match=r"saved as \.svg, \.png or \.html"):
        found.save(tmp_path / "curve.pdf")
    with pytest.raises(InputError, match="cannot be written"):
        found.save(tmp_path / "nowhere" / "curve.svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda t, b: ((t,), {"steps": 2}), "steps takes a whole number from 3 up, not 2"),
        (lambda t, b: ((t, tw.optim.sgd()), {"low": 1.0, "high": 0.1}), "needs 0 < low < high, not 1 and 0.1"),
        (lambda t, b: ((t, tw.optim.sgd(), b.data), {}), "a task brings its data and loss along"),
        (lambda t, b: ((t, "adam"), {}), "optimizer takes an ingredient such as optim.adam"),
        (lambda t, b: (("digits",), {}), "takes a Task or an nn.Module, not str"),
        (lambda t, b: ((b.model, tw.optim.sgd(), b.data, F.cross_entropy), {}), "with a module, give range_test"),
        (lambda t, b: ((b.model, b.optimizer), {}), "with a module, give range_test"),
        (lambda t, b: ((b.model, b.optimizer, iter([1]), F.cross_entropy), {}), "can be read only once"),
        (lambda t, b: ((b.model, b.optimizer, [], F.cross_entropy), {}), "data has no batch in it"),
        (lambda t, b: ((b.model, b.optimizer, [torch.ones(3)], F.cross_entropy), {}), r"pairs \(inputs, targets\)"),
        (
            lambda t, b: ((b.model, b.optimizer, b.data, lambda o, y: o.sum() * float("nan")), {}),
            "not finite before the first update",
        ),
    ],
)
def test_what_it_refuses_and_still_leaves_alone(linear_task, dataset, arguments, message):
    bench = Bench(dataset, OPTIMIZERS["sgd"])
    before = copy.copy(bench.state())
    given, named = arguments(linear_task, bench)
    with pytest.raises(InputError, match=message):
        schedule.range_test(*given, **named)
    assert bench.state() == before
