"""Models that keep something outside their parameters and buffers, as users write them, and what becomes of each."""

import functools
import itertools
import os
import random
import uuid
from collections import deque
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw

X = torch.randn(120, 10, generator=torch.Generator().manual_seed(0))
NLL = tw.Metric("nll", lambda output, y: F.cross_entropy(output, y, reduction="none"), False)
NOISE = np.random.default_rng(0)
FRESH = torch.Generator().manual_seed(0)
COUNT = itertools.count()


def task(model, **more):
    y = (X[:, 0] * X[:, 1] > 0).long()
    given = {"loss": F.cross_entropy, "metric": NLL, "epochs": 2, "batch_size": 18, **more}
    return tw.Task(model=model, data=(X, y), **given)


class Net(nn.Module):
    """Two layers, and a way between them that a test chooses."""

    def __init__(self, way, made=lambda self: None):
        super().__init__()
        self.a, self.b, self.way = nn.Linear(10, 8), nn.Linear(8, 2), way
        made(self)

    def forward(self, x):
        return self.b(self.way(self, torch.relu(self.a(x))))


def net(way, **made):
    """Return a factory; ``made`` are attributes by name, each made by a function of the module."""

    def fill(self):
        for name, make in made.items():
            setattr(self, name, make(self))

    return lambda: Net(way, fill)


def registered(name, value):
    return lambda self: self.register_buffer(name, torch.tensor(value))


DRAWN = {
    "a tensor": ("B", net(lambda self, h: torch.cos(h @ self.B), B=lambda _: torch.randn(8, 8))),
    "an array": ("B", net(
        lambda self, h: h * torch.from_numpy(self.B),
        B=lambda _: np.random.rand(8).astype("f4"),  # noqa: NPY002 – which is seeded
    )),
    "a number": ("scale", net(lambda self, h: torch.sin(self.scale * h), scale=lambda _: 3 * random.random())),
    "an order": ("perm", net(
        lambda self, h: h[:, self.perm] * torch.arange(8),
        perm=lambda _: torch.randperm(8).tolist(),
    )),
    "a layer's type": ("act", net(
        lambda self, h: self.act(h - 1),
        act=lambda _: random.choice([nn.ReLU, nn.Tanh, nn.GELU, nn.ELU])(),
    )),
    "a function": ("act", net(
        lambda self, h: self.act(h - 1),
        act=lambda _: random.choice([F.silu, torch.tanh, F.gelu, F.elu]),
    )),
    "a closure": ("act.scale", net(
        lambda self, h: self.act(h),
        act=lambda _: (lambda scale: lambda h: torch.sin(scale * h))(random.random()),
    )),
    "a partial": ("act.keywords", net(
        lambda self, h: self.act(h),
        act=lambda _: functools.partial(F.leaky_relu, negative_slope=random.random()),
    )),
    "an object's attribute": ("config.scale", net(
        lambda self, h: torch.sin(self.config.scale * h),
        config=lambda _: SimpleNamespace(scale=random.random()),
    )),
    "layers in a list": ("parts.0, a Linear in a plain list, is no part of the model", net(
        lambda self, h: self.parts[0](h), parts=lambda _: [nn.Linear(8, 8)],
    )),
}  # fmt: skip
"""What differs between seeds, and the name that it goes by."""


def count(self, h):
    self.k += 1
    return h * (1 + 0.1 * (self.k % 7))


def cool(self, h):
    if self.training:
        self.tau = max(0.1, 0.9 * self.tau)
    return torch.softmax(h / self.tau, 1)


def remember(self, h):
    h = h if self.h is None else h + 0.5 * self.h
    self.h = h.mean(0, keepdim=True).detach()
    return h


def centre(self, h):
    """Learns in training what only evaluation uses."""
    if self.training:
        self.mean = 0.9 * self.mean + 0.1 * h.mean(0).detach()
        return h
    return h - self.mean


def queue(self, h):
    """Uses what it gathers once it has gathered much, long after it was looked at."""
    self.old.append(h.mean().detach())
    return h + self.old[0] if len(self.old) == self.old.maxlen else h


def begin(self, h):
    """Sets a parameter from the first batch that it sees."""
    if not self.begun:
        self.shift.data = -h.mean(0).detach()
        self.begun = True
    return h + self.shift


def jitter(self, h):
    return h * float(self.noise.random()) if self.training else h


CARRIED = {
    "a counter": ("k", net(count, k=lambda _: 0)),
    "a temperature": ("tau", net(cool, tau=lambda _: 1.0)),
    "a hidden state": ("h", net(remember, h=lambda _: None)),
    "a mean for evaluation": ("mean", net(centre, mean=lambda _: torch.zeros(8))),
    "a queue": ("old", net(queue, old=lambda _: deque(maxlen=5))),
    "first data": ("begun", net(begin, begun=lambda _: False, shift=lambda _: nn.Parameter(torch.zeros(8)))),
    "a generator of its own": ("noise", net(jitter, noise=lambda _: np.random.default_rng(0))),
    "a count in a dict": ("seen", net(
        lambda self, h: [h, self.seen.update(n=self.seen["n"] + 1)][0],
        seen=lambda _: {"n": 0},
    )),
}  # fmt: skip
"""What a forward pass leaves for the next one, and the name that it goes by."""


class Sharing(Net):
    G = torch.Generator().manual_seed(1)
    calls = 0

    def noisy(self, h):
        return h + torch.randn(h.shape, generator=self.G) if self.training else h

    def counted(self, h):
        Sharing.calls += 1
        return h * (1 + Sharing.calls % 11)


class Around(Net):
    def forward(self, x):
        return super().forward(x) * (1 + drawn_around()) if self.training else super().forward(x)


def drawn_around():
    return float(NOISE.random())


class Wild(Net):
    def forward(self, x):
        return super().forward(x) * (1 + os.urandom(1)[0])


SHARED = {
    "a class's generator": ("Sharing.G", lambda: Sharing(Sharing.noisy)),
    "a class's counter": ("Sharing.calls", lambda: Sharing(Sharing.counted)),
    "a file's generator": ("NOISE", lambda: Around(lambda _, h: h)),
    "a generator given to all": ("noise", net(jitter, noise=lambda _: NOISE)),
    "the system's randomness": ("other outputs", lambda: Wild(lambda _, h: h)),
}
"""What copies share, and the name that it goes by."""

RANDOM = {
    "alternating layers": ("act", net(
        lambda self, h: self.act(h),
        act=lambda _: [nn.ReLU(), nn.Tanh()][next(COUNT) % 2],
    )),
    "a number from the system": ("scale", net(lambda self, h: self.scale * h, scale=lambda _: os.urandom(8)[0] + 1)),
    "a tensor from a file's generator": ("B", net(
        lambda self, h: h * self.B,
        B=lambda _: torch.rand(8, generator=FRESH),
    )),
}  # fmt: skip
"""What differs from one model to the next under one seed."""


def cached(self, h):
    if self.table is None or len(self.table) < h.shape[1]:
        self.table = torch.arange(h.shape[1]).float()
    return h * self.table


def by_length(self, h):
    if h.shape[1] not in self.masks:
        self.masks[h.shape[1]] = torch.ones(h.shape[1]).cumsum(0)
    return h * self.masks[h.shape[1]]


def shown(self, h):
    self.attention = torch.softmax(h, 1)
    self.size = h.shape[1]
    return h * self.attention


def buffered(self, h):
    if self.training:
        self.tau.mul_(0.9)
    return h / self.tau


FINE = {
    "a plain one": net(lambda _, h: h),
    "a lazily built table": net(cached, table=lambda _: None),
    "masks by length": net(by_length, masks=lambda _: {}),
    "masks of a class": net(by_length, masks=lambda _: MASKS),
    "what is shown of a pass": net(shown),
    "a name with a number": net(lambda _, h: h, name=lambda _: f"net-{next(COUNT)}", id=lambda _: uuid.uuid4()),
    "a temperature in a buffer": lambda: Net(buffered, registered("tau", 1.0)),
    "groups of parameters": net(lambda _, h: h, decayed=lambda self: [self.a.weight, self.b.weight]),
    "layers in two lists": net(
        lambda self, h: self.parts[0](h),
        c=lambda _: nn.Linear(8, 8), parts=lambda self: [self.c],
    ),
    "itself in a list": net(lambda _, h: h, around=lambda self: [self]),
    "old spectral norm": net(lambda self, h: self.c(h), c=lambda _: nn.utils.spectral_norm(nn.Linear(8, 8))),
    "spectral norm": net(
        lambda self, h: self.c(h),
        c=lambda _: nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)),
    ),
    "a recurrent layer": net(
        lambda self, h: self.c(h[:, None])[0][:, 0],
        c=lambda _: nn.GRU(8, 8, 2, batch_first=True, dropout=0.5),
    ),
    "norm and dropout": net(
        lambda self, h: self.d(self.n(h)),
        d=lambda _: nn.Dropout(0.5), n=lambda _: nn.BatchNorm1d(8),
    ),
    "tied weights": net(
        lambda self, h: self.c(h),
        c=lambda self: functools.partial(lambda a, h: h @ a.weight @ a.weight.T, self.a),
    ),
}  # fmt: skip
"""What makes no difference to any run."""

MASKS = {}
