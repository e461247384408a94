"""What recipes change of a model and its loss: the same run in any company, and what the formula says."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from small import small_digits
from thalweg import activation, dropout, init, loss, norm, optim, penalty, stop
from thalweg.errors import InputError
from thalweg.recipe import Recipe
from thalweg.train import Member, Population, train
from thalweg.train.counter import step_keys
from thalweg.train.dropout import KeyedDropout
from thalweg.train.epochs import batches, order
from thalweg.train.made import check_made, model_of
from thalweg.train.state import begin, packed, unpacked


def mlp():
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def recipe(**roles):
    return Recipe(**{"optimizer": optim.sgd(lr=0.1), "epochs": 3, "batch_size": 32, **roles}).resolved()


ROLES = {
    "init": {"init": init.orthogonal()},
    "activation": {"activation": activation.silu()},
    "norm": {"norm": norm.batch()},
    "all": {
        "init": init.he_normal(), "activation": activation.elu(), "norm": norm.layer(), "penalty": penalty.l2(0.01),
        "loss": loss.cross_entropy(smoothing=0.1),
    },
    "dropout": {"dropout": dropout.dropout(0.3)},
    "gaussian dropout": {"dropout": dropout.gaussian(0.3), "norm": norm.rms()},
    "l1": {"penalty": penalty.l1(0.001)},
    "max-norm": {"penalty": penalty.max_norm(0.5)},
    "hinge": {"loss": loss.hinge()},
    "variational dropout": {"dropout": dropout.variational(alpha=0.4)},
    "sparse variational dropout": {"dropout": dropout.sparse_variational(weight=0.5, start=0.0, end=2.0)},
    "stop": {"stop": stop.patience(1), "epochs": 12, "optimizer": optim.sgd(lr=2.0)},
}  # fmt: skip


def same(one, other):
    assert np.array_equal(one.outcomes, other.outcomes)
    assert (one.steps, one.train, one.valid, one.test) == (other.steps, other.train, other.valid, other.test)
    assert all(torch.equal(x, other.weights[name]) for name, x in one.weights.items())


@pytest.mark.parametrize("roles", ROLES.values(), ids=ROLES)
def test_a_run_is_the_same_in_any_company_and_close_to_itself_alone(roles):
    task = small_digits(mlp, dtype=torch.float64)
    members = [Member(recipe(**roles), seed) for seed in range(5)]
    together = train(task, members, "vmapped", keep_weights=True)
    same(train(task, members[3:4], "vmapped", keep_weights=True)[0], together[3])
    (alone,) = train(task, members[3:4], keep_weights=True)
    assert alone.steps == together[3].steps
    for name, x in alone.weights.items():
        torch.testing.assert_close(together[3].weights[name], x, rtol=1e-8, atol=1e-10)
    (plain,) = train(task, [Member(recipe(), 3)], keep_weights=True)
    assert plain.steps != alone.steps or any(
        not torch.equal(x, plain.weights[name]) for name, x in alone.weights.items() if name in plain.weights
    )


def by_hand(task, change, seed=0, epochs=2, lr=0.1, batch_size=32):
    """Train a plain loop on a run's batches; ``change(net, output, targets)`` is its loss."""
    net = task.model(seed)
    run = Member(recipe(), seed)
    for epoch in range(epochs):
        rows = torch.from_numpy(order(task, run, epoch))
        for cut in batches(len(task.train), batch_size):
            batch = task.train.at(rows[cut])
            net.zero_grad()
            change(net, net(batch.inputs), batch.targets).backward()
            with torch.no_grad():
                for p in net.parameters():
                    p -= lr * p.grad
    return net


@pytest.mark.parametrize(
    ("roles", "change"),
    [
        (
            {"penalty": penalty.l2(0.02)},
            lambda net, y, t: F.cross_entropy(y, t) + 0.02 * sum(net[i].weight.square().sum() for i in (0, 2)),
        ),
        (
            {"penalty": penalty.elastic_net(strength=0.01, beta=0.5)},
            lambda net, y, t: (
                F.cross_entropy(y, t)
                + 0.01 * sum(0.5 * net[i].weight.square().sum() + net[i].weight.abs().sum() for i in (0, 2))
            ),
        ),
        ({"loss": loss.cross_entropy(smoothing=0.2)}, lambda _, y, t: F.cross_entropy(y, t, label_smoothing=0.2)),
        (
            {"loss": loss.hinge()},
            lambda _, y, t: ((y - y.gather(1, t[:, None]) + 1).clamp(min=0).sum(1) - 1).mean(),
        ),
    ],
    ids=["l2", "elastic net", "smoothing", "hinge"],
)
def test_it_is_what_a_plain_loop_does(roles, change):
    task = small_digits(mlp, dtype=torch.float64)
    members = [Member(recipe(epochs=2, **roles), seed) for seed in range(3)]
    net = by_hand(task, change)
    for executor in ("one by one", "vmapped"):
        result = train(task, members, executor, keep_weights=True)[0]
        for name, x in net.state_dict().items():
            torch.testing.assert_close(result.weights[name], x, rtol=1e-9, atol=1e-12)


def test_strengths_are_each_runs_own():
    task = small_digits(mlp)
    strengths = (0.0, 1e-3, 1e-2, 1e-1)
    members = [Member(recipe(penalty=penalty.l2(s)), 7) for s in strengths]
    sizes = [
        sum(x.square().sum().item() for x in result.weights.values())
        for result in train(task, members, "vmapped", keep_weights=True)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.5 * sizes[-1]


def test_penalties_of_all_kinds_train_side_by_side_as_each_does_alone():
    task = small_digits(mlp)
    kinds = [{}, *({"penalty": p} for p in (penalty.l1(1e-2), penalty.l2(1e-2), penalty.max_norm(0.5)))]
    members = [Member(recipe(**more), 7) for more in kinds]
    found = train(task, members, "vmapped", keep_weights=True)
    for one, result in zip(members, found, strict=True):
        same(train(task, [one], "vmapped", keep_weights=True)[0], result)
    ends = [torch.cat([x.flatten() for x in result.weights.values()]) for result in found]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(ends, 2))


def test_rates_are_each_runs_own():
    task = small_digits(mlp)
    members = [Member(recipe(dropout=dropout.dropout(p)), 7) for p in (0.0, 0.2, 0.9)]
    assert len({member.recipe.together() for member in members}) == 1
    results = train(task, members, "vmapped", keep_weights=True)
    plain = train(task, [Member(recipe(), 7)] * 3, "vmapped", keep_weights=True)[0]
    assert all(torch.equal(x, plain.weights[name]) for name, x in results[0].weights.items()), "nothing leaves"
    losses = [float(result.curve.train_loss[-1]) for result in results]
    assert losses == sorted(losses)
    assert losses[2] > 1.1 * losses[0]
    for member, result in zip(members, results, strict=True):
        same(train(task, [member], "vmapped", keep_weights=True)[0], result)


def test_max_norm_holds_after_every_step():
    task = small_digits(mlp)
    seen = []

    def look(population):
        for state in population.snapshot():
            seen.extend(float(x.norm(dim=1).max()) for name, x in state.tensors.items() if name.endswith("weight"))

    members = [Member(recipe(penalty=penalty.max_norm(0.3), epochs=1), seed, str(seed)) for seed in range(3)]
    population = Population(task, "vmapped", 3, [begin(task, member) for member in members])
    list(population.run(on_step=look))
    assert max(seen) == pytest.approx(0.3, rel=1e-4)


def test_a_stopped_run_has_the_weights_of_its_best_epoch_and_leaves_the_others_alone():
    task = small_digits(mlp)
    early = recipe(optimizer=optim.sgd(lr=3.0), epochs=15, stop=stop.patience(2))
    late = recipe(optimizer=optim.sgd(lr=0.05), epochs=15)
    results = train(task, [Member(early, 1), Member(late, 1), Member(early, 2)], "vmapped", keep_weights=True)
    for result in (results[0], results[2]):
        curve = result.curve.valid[1:]
        reached = int(np.isfinite(curve).sum())
        assert reached < 15
        assert result.steps == reached * (result.curve.step[1])
        best = int(np.argmax(curve[:reached])) + 1
        assert reached - best == 2
        assert result.valid == pytest.approx(curve[best - 1], abs=1e-6)
        assert result.reason == ""
    same(train(task, [Member(late, 1)], "vmapped", keep_weights=True)[0], results[1])


def test_a_run_that_is_about_to_stop_goes_on_from_any_step():
    task = small_digits(mlp)
    members = [Member(recipe(**ROLES["stop"]), seed, str(seed)) for seed in range(3)]
    whole = {m.identity: r for m, r in Population(task, "vmapped", 3, [begin(task, m) for m in members]).run()}
    kept = []
    first = Population(task, "vmapped", 3, [begin(task, m) for m in members])

    def look(population):
        tensors, facts = packed(population.snapshot())
        kept.append(unpacked({name: x.clone() for name, x in tensors.items()}, json.loads(json.dumps(facts))))

    list(first.run(on_step=look))
    for states in kept[3:24:5]:
        again = {m.identity: r for m, r in Population(task, "vmapped", 3, states).run()}
        for name, result in again.items():
            assert np.array_equal(result.outcomes, whole[name].outcomes)
            assert np.array_equal(result.curve.valid, whole[name].curve.valid, equal_nan=True)


def test_first_values_follow_from_seed_and_name_whatever_is_put_between_the_layers():
    task = small_digits(mlp)
    plain = model_of(task, recipe(init=init.he_normal()), 3).state_dict()
    normed = model_of(task, recipe(init=init.he_normal(), norm=norm.batch()), 3).state_dict()
    assert all(torch.equal(x, normed[name]) for name, x in plain.items())
    other = model_of(task, recipe(init=init.he_normal()), 4).state_dict()
    assert not torch.equal(plain["0.weight"], other["0.weight"])


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"norm": norm.removed()}, "the model has no norm to take out"),
        ({"init": init.fixup()}, "fixup found no residual branches"),
        ({"norm": norm.group(groups=5)}, "0: group"),
    ],
)
def test_what_does_not_fit_is_refused(roles, message, tmp_path):
    task = small_digits(mlp)
    with pytest.raises(InputError, match=message):
        check_made(task, recipe(**roles))
    with pytest.raises(InputError, match=f"recipe it: .*{message}"):
        tw.compare(task, {"it": recipe(**roles), "plain": recipe()}, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_class_of_which_the_model_says_nothing_is_refused():
    task = small_digits(lambda: nn.Linear(64, 9))
    with pytest.raises(InputError, match="hinge got the class 9 in its targets, and the output is of 9: 0 to 8"):
        check_made(task, recipe(loss=loss.hinge()))
    check_made(small_digits(lambda: nn.Linear(64, 10)), recipe(loss=loss.hinge()))


def test_a_loss_for_other_targets_is_refused():
    x = torch.randn(60, 3)
    task = tw.Task(
        model=lambda: nn.Linear(3, 1), data=(x, x.sum(1, keepdim=True)), loss=F.mse_loss, metric=tw.squared_error
    )
    with pytest.raises(InputError, match="the loss hinge takes classes, and the targets of task task are numbers"):
        check_made(task, recipe(loss=loss.hinge()))


@pytest.mark.parametrize("way", [{"batch_size": 1}, {"batch_size": 6, "accumulate": 5}])
def test_batch_norm_in_batches_of_one_is_refused(way):
    task = small_digits(mlp)
    check_made(task, recipe(norm=norm.layer(), **way))
    for kind in (norm.batch(), norm.batch_untracked(), norm.batch_cumulative()):
        with pytest.raises(InputError, match=r"^0: batch norm has nothing to take a variance over in a batch of one"):
            check_made(task, recipe(norm=kind, **way))
        check_made(small_digits(unnormed), recipe(norm=kind, **way))  # where pictures have many places


def weightless():
    return nn.Sequential(nn.LayerNorm(64), nn.AvgPool1d(6, 6))


@pytest.mark.parametrize("part", [penalty.l2(0.1), penalty.max_norm(1.0)], ids=str)
def test_a_penalty_of_a_model_without_weights_is_refused_before_anything_is_written(part, tmp_path):
    task = small_digits(weightless)
    message = "the penalty found nothing in Sequential: it has no trained weights beside biases and norms"
    with pytest.raises(InputError, match=f"recipe it: {message}"):
        tw.compare(task, {"plain": recipe(), "it": recipe(penalty=part)}, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="the penalty found nothing"):
        check_made(small_digits(mlp), recipe(penalty=part, freeze="*.weight"))
    check_made(small_digits(mlp), recipe(penalty=part))


def normed():
    return nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


def unnormed():
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), conv)


def convolved():
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), conv)


def test_a_models_own_batch_norm_in_batches_of_one_is_refused_before_anything_is_written(tmp_path):
    task = small_digits(normed)
    alone = recipe(batch_size=1)
    message = "1: batch norm has nothing to take a variance over in a batch of one; take batches of at least 2"
    for way in ({"batch_size": 1}, {"batch_size": 6, "accumulate": 5}):
        with pytest.raises(InputError, match=message):
            check_made(task, recipe(**way))
    with pytest.raises(InputError, match=f"recipe it: {message}"):
        tw.compare(task, {"it": alone, "plain": recipe()}, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    check_made(task, recipe(batch_size=1, norm=norm.layer()))
    check_made(small_digits(mlp), alone)
    check_made(small_digits(convolved), alone)


def test_a_last_batch_of_one_is_no_reason_to_refuse_batch_norm():
    task = small_digits(normed)
    size = next(n for n in range(2, len(task.train)) if len(task.train) % n == 1)
    one = recipe(batch_size=size, epochs=1)
    check_made(task, one)
    assert train(task, [Member(one, 0)])[0].steps == len(task.train) // size


@pytest.mark.parametrize(
    ("part", "grown"),
    [
        (dropout.variational(0.3, weight=2.0), lambda epoch: 2.0),
        (dropout.sparse_variational(weight=3.0, start=0.0, end=2.0), lambda epoch: 3.0 * min(epoch / 2, 1)),
    ],
)
def test_the_divergence_of_variational_layers_is_in_the_gradient(part, grown):
    """Against a loop by hand with the same noise, and the divergence in its loss.

    Its slope is up to 1e4 where a weight is small, which rounding is multiplied by.
    """
    task = small_digits(mlp, dtype=torch.float64)
    one = recipe(dropout=part, epochs=4)
    net, step = model_of(task, one, 0), 0
    keys = np.array([(tw.Key(0) / "forward").integer(63)], dtype=np.uint64)
    for epoch in range(4):
        rows = torch.from_numpy(order(task, Member(one, 0), epoch))
        for cut in batches(len(task.train), 32):
            batch = task.train.at(rows[cut])
            net.zero_grad()
            with KeyedDropout(step_keys(keys, [step])[0]):
                fit = F.cross_entropy(net(batch.inputs), batch.targets)
            (fit + grown(epoch) * dropout.kl(net) / len(task.train)).backward()
            step += 1
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.1 * p.grad
    for executor in ("one by one", "vmapped"):
        (result, *_) = train(task, [Member(one, seed) for seed in range(3)], executor, keep_weights=True)
        for name, x in net.state_dict().items():
            torch.testing.assert_close(result.weights[name], x, rtol=1e-5, atol=1e-6)


def test_thresholds_are_each_runs_own_and_noise_is_no_weight():
    task = small_digits(mlp)
    members = [Member(recipe(dropout=dropout.sparse_variational(threshold=t), penalty=penalty.l2(0.1)), 7)
               for t in (-8.0, -3.0, 8.0)]  # fmt: skip
    assert len({member.recipe.together() for member in members}) == 1
    results = train(task, members, "vmapped", keep_weights=True)
    assert results[0].valid < 0.3 < results[2].valid, "of the first, evaluation leaves out every weight"
    plain = recipe(dropout=dropout.sparse_variational(threshold=8.0))
    noise = train(task, [Member(plain, 7)] * 3, "vmapped", keep_weights=True)[2].weights["0.log_variance"]
    assert torch.allclose(results[2].weights["0.log_variance"], noise, atol=0.02)
