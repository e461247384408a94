"""Pictures, texts and policies for tests of augmentation in training."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import augment, optim
from thalweg.recipe import Recipe
from thalweg.train import Member


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))


def pictures(*shape, **more):
    """The first 300 digits, as pictures."""
    inputs, targets = load_digits(return_X_y=True)
    data = inputs[:300].reshape(-1, *(shape or (1, 8, 8))), targets[:300]
    more = {"standardize": True, **more}
    return tw.Task(model=net, data=data, loss=F.cross_entropy, metric=tw.accuracy, name="small digits", **more)


POLICIES = {
    "none": None,
    "flip": augment.flip(),
    "ssr": augment.ssr(rotate=20.0),
    "both": augment.flip() >> augment.ssr(),
    "brightness, noise": augment.brightness() >> augment.noise(),
    "trivial": augment.trivial(),
}
MIXING = {
    "mixup": augment.mixup(alpha=1.0),
    "flip, cutmix": augment.flip() >> augment.cutmix(),
    "half mixup": augment.mixup(p=0.5),
}


def member(policy, seed=0, **roles):
    roles = {"epochs": 2, "batch_size": 40, **roles}
    return Member(Recipe(roles.pop("optimizer", optim.adam(lr=0.01)), augment=policy, **roles).resolved(), seed)


def members(policies, **roles):
    return [member(policy, seed, **roles) for seed, policy in enumerate(policies.values())]


def same(one, other):
    assert np.array_equal(one.outcomes, other.outcomes)
    assert np.array_equal(one.curve.train_loss, other.curve.train_loss, equal_nan=True)
    assert all(torch.equal(x, other.weights[name]) for name, x in one.weights.items())


WORDS = ["red", "green", "blue", "long", "short", "wide"]


def encode(strings):
    return [[len(word) + ord(word[0]) % 7 for word in string.split()] or [1] for string in strings]


def texts():
    chosen = np.random.default_rng(0).integers(0, len(WORDS), (120, 5))
    strings = [" ".join(WORDS[i] for i in row) for row in chosen]
    data = strings, (chosen[:, 0] > 2).astype(int)
    return tw.Task(model=lambda: nn.EmbeddingBag(32, 2, padding_idx=0), data=data, encode=encode, padding=0,
                   loss=F.cross_entropy, metric=tw.accuracy, name="texts")  # fmt: skip
