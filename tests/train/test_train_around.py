"""What goes around an optimizer does in a population what it says, and nothing to anyone else."""

import copy

import numpy as np
import pytest
import torch
from test_dropout import Hidden
from torch import nn

from small import small_digits
from thalweg import average, gradient, optim, wrapper
from thalweg.average import precise_batch_norm
from thalweg.recipe import Recipe
from thalweg.study.budget import expected_seconds
from thalweg.study.plan import Job
from thalweg.train import EXECUTORS, Member, train
from thalweg.train.planner import Plan

by_executor = pytest.mark.parametrize(
    "executor", [pytest.param(name, marks=pytest.mark.slow) if name == "compiled" else name for name in EXECUTORS]
)


def member(seed=0, optimizer=None, **roles):
    values = {"epochs": 3, "batch_size": 32, **roles}
    return Member(Recipe(optimizer or optim.momentum(lr=0.02), **values).resolved(), seed)


def plain_net():
    return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 10))


def batch_norm_net():
    return nn.Sequential(
        nn.Linear(64, 16, bias=False), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.3),
        nn.Linear(16, 16, bias=False), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def task():
    return small_digits(plain_net)


@pytest.fixture(scope="module")
def exact_task():
    return small_digits(plain_net, dtype=torch.float64)


@pytest.fixture(scope="module")
def norm_task():
    return small_digits(batch_norm_net, dtype=torch.float64)


def weights(result):
    return torch.cat([w.flatten().double() for name, w in result.weights.items() if "num" not in name])


def same(one, other):
    return torch.equal(weights(one), weights(other)) and np.array_equal(one.curve.valid, other.curve.valid)


@by_executor
def test_sam_with_radius_0_is_no_sam(task, executor):
    """So its second gradient is on the same batch with the same dropout masks, to the bit."""
    runs = [member(0), member(0, wrapper=wrapper.sam(0.0)), member(1), member(0, wrapper=wrapper.sam(0.1))]
    results = train(task, runs, executor, keep_weights=True)
    assert same(results[0], results[1])
    assert not same(results[0], results[3])


def test_sam_sees_the_same_masks_where_torch_draws_them_itself():
    task = small_digits(Hidden)
    runs = [member(0), member(0, wrapper=wrapper.sam(0.0))]
    one, other = train(task, runs, keep_weights=True)
    assert same(one, other)


@by_executor
def test_neighbours_of_sam_and_batch_norms_statistics_are_left_alone(norm_task, executor):
    """Its own too: they see one pass a step, at the weights that are trained."""
    runs = [member(0), member(1, wrapper=wrapper.sam(0.2)), member(0, wrapper=wrapper.sam(0.0)), member(2)]
    results = train(norm_task, runs, executor, keep_weights=True)
    without = train(norm_task, [runs[0], member(1), member(0), runs[3]], executor, keep_weights=True)
    for i in (0, 3):
        assert same(results[i], without[i])
    torch.testing.assert_close(weights(results[2]), weights(results[0]), rtol=1e-10, atol=1e-12)
    for result in results:
        assert result.weights["1.num_batches_tracked"] == result.steps


@by_executor
def test_an_average_watches_and_does_not_touch(norm_task, executor):
    runs = [member(0), member(0, average=average.ema(0.9)), member(0, average=average.swa(start=0.3))]
    results = train(norm_task, runs, executor, keep_weights=True)
    for result in results[1:]:
        assert np.array_equal(result.curve.train_loss[1:], results[0].curve.train_loss[1:])
        assert not same(result, results[0])


@by_executor
def test_an_average_is_the_mean_of_what_shorter_runs_end_with(exact_task, executor):
    """At a constant rate a run of two epochs is the beginning of a run of three."""
    runs = [member(0, epochs=k) for k in (1, 2, 3, 4)]
    ends = [weights(train(exact_task, [run], executor, keep_weights=True)[0]) for run in runs]

    def end(of, epochs=4):
        return weights(train(exact_task, [member(0, epochs=epochs, average=of)], executor, keep_weights=True)[0])

    def close(one, other):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)

    close(end(average.swa(start=0.0)), sum(ends) / 4)
    close(end(average.swa(start=0.5)), (ends[2] + ends[3]) / 2)
    close(end(average.swa(start=0.75)), ends[3])
    close(end(average.swa(start=0.9, every=10_000)), ends[3])  # has not begun: the weights themselves
    close(end(average.swa(start=0.0, every=2 * 6)), (ends[1] + ends[3]) / 2)


@by_executor
def test_moving_averages_take_every_step_in(exact_task, executor):
    """With one batch an epoch, runs of one to four epochs end after one to four steps."""
    runs = {k: member(0, epochs=k, batch_size=500) for k in (1, 2, 3, 4)}
    w = {k: weights(train(exact_task, [run], executor, keep_weights=True)[0]) for k, run in runs.items()}
    means = {
        "ema": 0.8 * (0.8 * (0.8 * w[1] + 0.2 * w[2]) + 0.2 * w[3]) + 0.2 * w[4],
        "ema_corrected": (0.8**3 * w[1] + 0.8**2 * w[2] + 0.8 * w[3] + w[4]) / (1 + 0.8 + 0.8**2 + 0.8**3),
        "ema_warmup": None,
    }
    mean = w[1]
    for n in (1, 2, 3):
        rising = min(0.8, (1 + n) / (10 + n))
        mean = rising * mean + (1 - rising) * w[n + 1]
    means["ema_warmup"] = mean
    for name, expected in means.items():
        run = member(0, epochs=4, batch_size=500, average=average.CATALOGUE[name](0.8))
        (result,) = train(exact_task, [run], executor, keep_weights=True)
        torch.testing.assert_close(weights(result), expected, rtol=1e-12, atol=1e-12)


@by_executor
def test_lookahead_goes_on_from_its_slow_weights_and_is_evaluated_there(exact_task, executor):
    """One step an epoch, plain gradient descent: two steps, back half of the way, and on."""

    def end(k, epochs):
        roles = {"epochs": epochs, "batch_size": 500, "wrapper": wrapper.lookahead(k=k) if k else None}
        (result,) = train(exact_task, [member(0, optim.sgd(lr=0.1), **roles)], executor, keep_weights=True)
        return weights(result)

    begin = torch.cat([p.detach().flatten() for p in exact_task.model(0).parameters()])
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(end(2, 2), (begin + end(None, 2)) / 2, **close)
    torch.testing.assert_close(end(3, 2), begin, **close)
    torch.testing.assert_close(end(2, 3), end(2, 2), **close)  # the third step is not in the slow weights yet
    assert not torch.allclose(end(2, 4), end(2, 2))


@by_executor
def test_evaluated_weights_have_their_own_batch_norm_statistics(norm_task, executor):
    roles = [{"average": average.ema(0.9)}, {"wrapper": wrapper.lookahead()}]
    runs = [member(0), *(member(0, **role) for role in roles), member(0, optim.schedule_free_sgd(lr=0.3))]
    results = train(norm_task, runs, executor, keep_weights=True)
    for i, result in enumerate(results):
        net = norm_task.model(0)
        net.load_state_dict(result.weights)
        kept = copy.deepcopy(net.state_dict())
        precise_batch_norm(net, norm_task.train.inputs.split(50))
        precise = all(
            torch.allclose(value, kept[name], rtol=1e-10, atol=1e-12) for name, value in net.state_dict().items()
        )
        assert precise == (i > 0)
        # And they are what is judged.
        net.load_state_dict(result.weights)
        with torch.no_grad():
            scores = norm_task.metric.outcomes(net.eval()(norm_task.test.inputs), norm_task.test.targets)
        assert np.array_equal(result.outcomes, scores.float().numpy())
        assert result.valid == pytest.approx(result.curve.valid[-1])


@by_executor
def test_schedule_free_optimizers_are_evaluated_at_their_average(exact_task, executor):
    """After the first step the average x is the first z: the end of a step of gradient descent."""
    free, plain = optim.schedule_free_sgd(lr=0.1), optim.sgd(lr=0.1)
    runs = [member(0, one, epochs=1, batch_size=500) for one in (free, plain)]
    one, other = train(exact_task, runs, executor, keep_weights=True)
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-12, atol=1e-12)


@by_executor
def test_gradient_techniques_do_in_a_run_what_they_do_in_a_loop(exact_task, executor):
    """One step of gradient descent, against ``apply``; each row with a threshold of its own."""
    chains = [
        gradient.clip_norm(0.1), gradient.clip_norm(0.3), gradient.clip_value(0.01), gradient.clip_adaptive(0.05),
        gradient.centralise() >> gradient.clip_adaptive(0.02) >> gradient.clip_norm(0.05), gradient.Gradient(),
    ]  # fmt: skip
    runs = [member(0, optim.sgd(lr=1.0), epochs=1, batch_size=500, gradient=chain) for chain in chains]
    results = train(exact_task, runs, executor, keep_weights=True)
    net = exact_task.model(0)
    whole = [p.detach() - w for p, w in zip(net.parameters(), results[-1].weights.values(), strict=True)]
    for chain, result in zip(chains, results, strict=True):
        for p, g in zip(net.parameters(), whole, strict=True):
            p.grad = g.clone()
        chain.apply(net.parameters())
        for p, w in zip(net.parameters(), result.weights.values(), strict=True):
            torch.testing.assert_close(p.detach() - p.grad, w, rtol=1e-10, atol=1e-12)


@by_executor
def test_a_run_that_diverges_under_an_average_is_found_and_disturbs_nobody(executor):
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))
    wild = {"optimizer": optim.sgd(lr=1e30), "average": average.swa(start=0.0), "wrapper": wrapper.lookahead()}
    calm = [member(s, average=average.ema(0.9), wrapper=wrapper.sam()) for s in range(3)]
    results = train(task, [calm[0], member(7, **wild), *calm[1:]], executor, keep_weights=True)
    assert "stopped being finite" in results[1].reason
    without = train(task, calm, executor, keep_weights=True)
    for result, alone in zip([results[0], *results[2:]], without, strict=True):
        assert result.reason == ""
        assert same(result, alone)


def test_costs_are_counted_where_they_arise(task):
    runs = [member(0), member(0, wrapper=wrapper.sam()), member(0, wrapper=wrapper.lookahead()),
            member(0, average=average.ema(), wrapper=wrapper.lookahead())]  # fmt: skip
    plain, sam, slow, both = train(task, runs)
    assert sam.cpu_seconds > 1.3 * plain.cpu_seconds
    assert [one.state_bytes for one in (plain, sam, slow, both)] == [4, 4, 8, 12]
    plan = {runs[0].recipe.together(): Plan("one by one", 1, 1.0, 0.0, "")}
    one, two = (expected_seconds(task, [Job("", run)], plan, 1) for run in runs[:2])
    assert two == 2 * one
