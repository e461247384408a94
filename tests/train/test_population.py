"""Training many runs at once leaves each as if it were alone."""

import random

import numpy as np
import pytest
import torch
from test_dropout import Hidden, Noisy
from torch import nn

from small import small_digits
from thalweg import optim, schedule
from thalweg.optim._executors.population import PopulationStep
from thalweg.recipe import Recipe, Together
from thalweg.study.engines.queues import queues
from thalweg.study.plan import Job
from thalweg.train import Member, train
from thalweg.train.epochs import batches
from thalweg.train.planner import Plan, measure
from thalweg.train.vmapped import Vmapped


def member(optimizer, seed=0, **roles):
    return Member(Recipe(optimizer, **{"epochs": 3, **roles}).resolved(), seed)


@pytest.fixture(scope="module")
def dropout_task():
    return small_digits(lambda: nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Dropout(0.4), nn.Linear(24, 10)))


def test_neighbours_do_not_matter(dropout_task):
    """Bit for bit, among other optimizers, other seeds, and in a population of another size."""
    me = member(optim.adam(lr=0.01), seed=5, schedule=schedule.cosine())
    others = [member(o(), seed) for seed in range(3) for o in (optim.sgd, optim.yogi, optim.nadam)]
    one = train(dropout_task, [me, *others], "vmapped", keep_weights=True)[0]
    other = train(dropout_task, [*others[:4], me], "vmapped", keep_weights=True)[4]
    for name, weight in one.weights.items():
        assert torch.equal(weight, other.weights[name])
    assert np.array_equal(one.outcomes, other.outcomes)


def test_optimizers_share_a_queue_and_each_forward_pass_and_rows_of_one_formula_an_update(dropout_task, monkeypatch):
    every = [member(o(), seed) for seed in range(3) for o in (optim.sgd, optim.yogi, optim.adam)]
    jobs = [Job(str(i), one) for i, one in enumerate(every)]
    plan = Plan("vmapped", 32, 1e-4, 1e-4, "")
    assert [len(queue.runs) for queue in queues(jobs, {Together(): plan}, begins=False)] == [9]
    passes, updates = [], []
    differentiate, step = Vmapped.differentiate, PopulationStep.step

    def passed(self, batch, steps):
        passes.append(len(steps))
        return differentiate(self, batch, steps)

    def updated(self, given, *more):
        updates.append(len(given))
        return step(self, given, *more)

    monkeypatch.setattr(Vmapped, "differentiate", passed)
    monkeypatch.setattr(PopulationStep, "step", updated)
    train(dropout_task, every, "vmapped")
    steps = 3 * len(batches(len(dropout_task.train), every[0].recipe.batch_size))
    assert passes == [10] * steps, "nine and a spare row"
    assert updates == [3, 3, 3] * steps


def test_results_come_in_the_members_order(dropout_task):
    members = [member(o(), seed) for seed in range(2) for o in (optim.yogi, optim.adagrad, optim.sgd)]
    results = train(dropout_task, members, "vmapped")
    for one, result in zip(members, results, strict=True):
        (alone,) = train(dropout_task, [one])
        assert result.curve.train_loss[1:] == pytest.approx(alone.curve.train_loss[1:], rel=1e-4)


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
def test_a_run_that_diverges_disturbs_nobody_and_scores_as_it_began(dropout_task, executor):
    calm = [member(optim.adam(), seed) for seed in range(3)]
    wild = member(optim.sgd(lr=1e30), 7)
    results = train(dropout_task, [calm[0], wild, *calm[1:]], executor)
    assert "stopped being finite in epoch 1" in results[1].reason
    assert np.isnan(results[1].valid)
    untrained = dropout_task.model(7).eval()
    with torch.no_grad():
        score = dropout_task.metric.outcomes(untrained(dropout_task.test.inputs), dropout_task.test.targets)
    assert np.array_equal(results[1].outcomes, score.numpy())
    without = train(dropout_task, calm, executor)
    for result, alone in zip([results[0], *results[2:]], without, strict=True):
        assert result.reason == ""
        assert np.array_equal(result.outcomes, alone.outcomes)


def test_batch_norms_buffers_are_each_runs_own():
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 10)))
    members = [member(optim.sgd(lr=0.1), seed) for seed in range(3)]
    together = train(task, members, "vmapped", keep_weights=True)
    for one, result in zip(members, together, strict=True):
        (alone,) = train(task, [one], keep_weights=True)
        assert result.weights["1.num_batches_tracked"] == alone.weights["1.num_batches_tracked"] == result.steps
        torch.testing.assert_close(result.weights["1.running_mean"], alone.weights["1.running_mean"])


def test_frozen_parameters_stay_and_tied_ones_stay_tied():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(64, 64)
            self.second = nn.Linear(64, 64)
            self.second.weight = self.first.weight
            self.head = nn.Linear(64, 10)
            self.head.bias.requires_grad_(False)

        def forward(self, x):
            return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))

    task = small_digits(Net)
    for executor in ("one by one", "vmapped"):
        results = train(task, [member(optim.adam(), s) for s in range(3)], executor, keep_weights=True)
        for seed, result in enumerate(results):
            assert torch.equal(result.weights["head.bias"], task.model(seed).head.bias)
            assert torch.equal(result.weights["first.weight"], result.weights["second.weight"])
            assert not torch.equal(result.weights["first.weight"], task.model(seed).first.weight)


def test_noise_that_has_no_key_is_repeatable_one_by_one():
    task = small_digits(lambda: Noisy(64, 10))
    plan = measure(task, Together())
    assert plan.executor == "one by one"
    assert "draws from a global generator" in plan.reason
    first, second = (train(task, [member(optim.adam())], keep_weights=True)[0] for _ in range(2))
    assert all(torch.equal(w, second.weights[n]) for n, w in first.weights.items())


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, num_layers=2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.lstm(x.view(-1, 8, 8))[0][:, -1])


@pytest.mark.parametrize("model", [Hidden, Recurrent])
def test_dropout_inside_torchs_own_modules_has_the_same_masks_alone_and_in_company(model):
    task = small_digits(model, dtype=torch.float64)
    members = [member(optim.sgd(lr=0.1), seed) for seed in range(3)]
    for one, result in zip(members, train(task, members, "vmapped", keep_weights=True), strict=True):
        (alone,) = train(task, [one], keep_weights=True)
        for name, weight in alone.weights.items():
            torch.testing.assert_close(result.weights[name], weight, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("draw", [lambda: float(np.random.rand()), random.random], ids=["numpy", "python"])
def test_numbers_drawn_outside_torch_are_seeded_too(draw):
    """vmap would draw once for all runs."""

    class Outside(nn.Linear):
        def forward(self, x):
            return super().forward(x * (1 + draw()) if self.training else x)

    task = small_digits(lambda: Outside(64, 10))
    assert measure(task, Together()).executor == "one by one"
    first, second = (train(task, [member(optim.adam())], keep_weights=True)[0] for _ in range(2))
    assert all(torch.equal(w, second.weights[n]) for n, w in first.weights.items())


class FirstSeen(nn.Module):
    """Begins with the first examples that it sees, in whatever mode, as a codebook and an ActNorm do."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(64, 8), nn.Parameter(torch.ones(8))
        self.register_buffer("book", torch.zeros(10, 8))
        self.register_buffer("begun", torch.tensor(False))
        self.register_buffer("seen", torch.zeros(64))

    def forward(self, x):
        hidden = self.layer(x)
        if not self.begun:
            with torch.no_grad():
                self.book.copy_(hidden[torch.randint(len(x), (10,))])
                self.scale.copy_(1 / hidden.std(0))
                self.seen.copy_(x[0])
                self.begun.fill_(True)
        return -torch.cdist(hidden * self.scale, self.book)


def test_a_layer_that_begins_with_what_it_sees_first_begins_with_what_it_trains_on():
    task = small_digits(FirstSeen)
    first, again = (train(task, [member(optim.adam(), 3)], keep_weights=True)[0] for _ in range(2))
    assert first.curve.valid.tolist() == again.curve.valid.tolist()
    for name, x in first.weights.items():
        assert torch.equal(x, again.weights[name]), name
    holds = {part: bool((getattr(task, part).inputs == first.weights["seen"]).all(1).any())
             for part in ("train", "valid", "test")}  # fmt: skip
    assert holds == {"train": True, "valid": False, "test": False}


def test_what_is_counted_while_judging_does_not_count():
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(64, 10)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return super().forward(x)

    task = small_digits(Counting)
    for executor in ("one by one", "vmapped"):
        results = train(task, [member(optim.sgd(), seed) for seed in range(3)], executor, keep_weights=True)
        assert [int(result.weights["calls"]) for result in results] == [result.steps for result in results]


def test_what_vmap_cannot_take_is_said_with_the_reason():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x):
            y = self.layer(x)
            return y if y.sum() > 0 else -y

    plan = measure(small_digits(Branches), Together())
    assert plan.executor == "one by one"
    assert "by an if on the tensor's values" in plan.reason


def test_what_vmap_does_slowly_is_measured_and_not_warned_of():
    """Warnings are errors here."""
    task = small_digits(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(64, 10)))
    assert measure(task, Together()).executor in ("one by one", "vmapped")
    (first, *_) = train(task, [member(optim.adam(), s) for s in range(3)], "vmapped")
    assert first.reason == ""


def test_batches_cover_an_epoch_once():
    for n, size in [(10, 3), (9, 3), (7, 64), (1, 64), (65, 64)]:
        covered = [i for cut in batches(n, size) for i in range(n)[cut]]
        dropped = n > 1 and n % size == 1
        assert covered == list(range(n - dropped))


def test_the_metric_that_is_one_value_for_a_split(linear_task):
    import thalweg as tw

    whole = tw.Metric("share of class 3", lambda output, y: (output.argmax(-1) == 3).float().mean(), True)
    task = small_digits(lambda: nn.Linear(64, 10), metric=whole)
    for executor in ("one by one", "vmapped"):
        results = train(task, [member(optim.adam(), s) for s in range(3)], executor)
        assert all(result.outcomes.shape == (1,) for result in results)
        assert results[0].test == pytest.approx(results[0].outcomes[0])


@pytest.mark.parametrize("act", [nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Mish], ids=lambda cls: cls.__name__)
def test_bits_do_not_depend_on_the_row_where_sizes_are_no_multiple_of_a_vector(act):
    """Torch computes the elements left over at a tensor's end by other means, and to other last bits."""
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 7), act(), nn.Linear(7, 5), act(), nn.Linear(5, 10)))
    runs = [Member(Recipe(optim.sgd(lr=0.1), epochs=2, batch_size=13).resolved(), seed) for seed in range(5)]
    together = train(task, runs, "vmapped", keep_weights=True)
    for i in (0, 2, 4):
        (alone,) = train(task, runs[i : i + 1], "vmapped", keep_weights=True)
        assert all(torch.equal(x, together[i].weights[name]) for name, x in alone.weights.items())
