"""Pictures that are mixed, and the loss of examples with the targets of several."""

import numpy as np
import pytest
import torch
from pictures import MIXING, member, members, pictures
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import augment, optim
from thalweg.key import Key
from thalweg.train import train
from thalweg.train.augmented import Augmenting
from thalweg.train.made import check_made
from thalweg.train.mixing import Mixed, paired


@pytest.fixture(scope="module")
def task():
    return pictures()


def test_the_loss_of_mixed_targets_is_that_of_soft_labels():
    output = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    first, second, weight = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([3, 3, 2, 0, 1, 1]), torch.rand(6).double()
    targets = paired(first, 2)
    targets[:, 1], targets[:, 2], targets[:, 3] = second, weight, 1 - weight
    soft = weight[:, None] * F.one_hot(first, 4) + (1 - weight[:, None]) * F.one_hot(second, 4)
    found, meant = Mixed(F.cross_entropy, 2, torch.int64)(output, targets), F.cross_entropy(output, soft)
    torch.testing.assert_close(found, meant)
    torch.testing.assert_close(torch.autograd.grad(found, output), torch.autograd.grad(meant, output))


def test_targets_and_weights_are_those_that_the_policy_says(task):
    policy = augment.mixup(alpha=1.0) >> augment.cutmix()
    numbers = torch.arange(20, 40)[None]
    found = Augmenting(task, [member(policy).recipe], [5]).batch(numbers, [2]).at(0)
    low, high = task.train.inputs.min(), task.train.inputs.max()
    levels = (task.train.inputs[20:40] - low) / (high - low)
    images, labels = policy.mixed(levels, task.train.targets[20:40], range(20, 40), classes=10, epoch=2, seed=5)
    torch.testing.assert_close(found.inputs, images * (high - low) + low)
    classes, weights = found.targets[:, :4].long(), found.targets[:, 4:]
    torch.testing.assert_close((F.one_hot(classes, 10) * weights[..., None]).sum(1).float(), labels)


def test_runs_that_mix_train_apart_from_others_and_those_that_only_differ_in_their_policy_together():
    kinds = [member(policy).recipe.together() for policy in (None, augment.flip(), augment.trivial())]
    assert len(set(kinds)) == 1
    mixing = [member(p).recipe.together() for p in (augment.mixup(), augment.flip() >> augment.cutmix())]
    assert len(set(mixing)) == 1
    assert {mixing[0].labels, kinds[0].labels} == {2, 1}
    for kind in (*kinds, *mixing, member(augment.mixup() >> augment.mixup()).recipe.together()):
        assert kind.recipe().resolved().together() == kind


def test_mixing_passes_in_parts_and_in_bf16(task):
    for roles in ({"accumulate": 3}, {"precision": "bf16"}):
        runs = members(MIXING, **roles)
        results = train(task, runs, "vmapped", keep_weights=True)
        for run, result in zip(runs, results, strict=True):
            (alone,) = train(task, [run])
            assert result.curve.train_loss[1:] == pytest.approx(alone.curve.train_loss[1:], rel=0.02)
    whole, parts = (train(task, [member(MIXING["mixup"], 1, accumulate=n)])[0] for n in (1, 4))
    assert whole.curve.train_loss[1:] == pytest.approx(parts.curve.train_loss[1:], rel=1e-4)


def test_numbers_are_mixed_as_classes_are():
    """For the squared error, to weigh two losses or to mix the targets is the same gradient."""
    inputs, targets = torch.rand(90, 1, 4, 4), torch.randn(90, 1)
    task = tw.Task(model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 1)), data=(inputs, targets),
                   loss=F.mse_loss, metric=tw.squared_error)  # fmt: skip
    run = member(augment.mixup(alpha=1.0), optimizer=optim.sgd(lr=0.1), epochs=1, batch_size=54)
    check_made(task, run.recipe)
    (result,) = train(task, [run], keep_weights=True)
    order = (Key(0) / "order" / 0).permutation(54)
    x, y = task.train.inputs[order], task.train.targets[order]
    x, shares = augment.mixup(alpha=1.0).mixed(x, torch.eye(54), order, epoch=0, seed=0)
    module = task.model(0)
    F.mse_loss(module(x), shares @ y).backward()
    for name, p in module.named_parameters():
        torch.testing.assert_close(p.detach() - 0.1 * p.grad, result.weights[name])


class Helped(nn.Module):
    """A linear model with a second head in training alone."""

    def __init__(self):
        super().__init__()
        self.main, self.aside = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x):
        x = x.flatten(1)
        return (self.main(x), self.aside(x)) if self.training else self.main(x)


def test_a_loss_of_what_is_put_out_in_training_alone_mixes_too():
    images, y = (getattr(pictures().train, name) for name in ("inputs", "targets"))
    task = tw.Task(
        model=Helped, data=(images, y), loss=lambda o, y: sum(F.cross_entropy(x, y) for x in o), metric=tw.accuracy
    )
    before = torch.get_rng_state()
    check_made(task, member(augment.mixup()).recipe)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.isfinite(train(task, [member(augment.mixup())])[0].train)
