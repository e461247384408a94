"""A mistake is said in one sentence before a study begins, and nothing that trains is taken for one."""

import re

import pytest
import torch
from tiny import Helped, both_heads, classes, linear, numbers, quantity, tiny, words, x
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import InputError
from thalweg.task import check


class Of(nn.Module):
    """Layers, and a forward pass of a test's choice."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.layers, self.way = nn.ModuleDict(layers), forward

    def forward(self, *args, **named):
        return self.way(self.layers, *args, **named)


def layers(*parts):
    return lambda: nn.Sequential(*(part() for part in parts))


def tagger():
    return Of(lambda m, x: m["a"](x[..., None]), a=nn.Linear(1, 5))


def tagged(output, targets):
    return F.cross_entropy(output.transpose(1, 2), targets)


def metric(outcomes, **more):
    return tw.Metric("mine", outcomes, True, **more)


def zeroed(model):
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


three = torch.arange(60) % 3
base = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).requires_grad_(False)
one_layer = nn.Linear(4, 2)
generator = torch.Generator()


class Sparse(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)
        self.register_buffer("mix", torch.eye(4).to_sparse())

    def forward(self, x):
        return super().forward(torch.sparse.mm(self.mix, x.T).T)


class Counting(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        self.seen += len(x)
        return super().forward(x)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(5, 8), nn.Linear(8, 5, bias=False)
        self.out.weight = self.words.weight

    def forward(self, x):
        return self.out(self.words(x)).transpose(1, 2)


def recurrent(make):
    return lambda: Of(
        lambda m, x: m["out"](m["body"](x[:, :, None])[0][:, -1]),
        body=make(1, 6, batch_first=True),
        out=nn.Linear(6, 2),
    )


def attention(m, x):
    x = x[:, :, None] * torch.ones(8)
    return m["out"](m["body"](x, x, x)[0].mean(1))


binary = {"metric": metric(lambda o, y: (o.flatten() > 0) == (y > 0.5))}
images = {"data": (x.view(60, 1, 2, 2), classes)}
soft = F.one_hot(three, 3).float() * 0.8 + 0.2 / 3

HEALTHY = {
    "a linear model": tiny(),
    "float64": tiny(dtype=torch.float64),
    # models
    "batch norm": tiny(model=layers(lambda: nn.BatchNorm1d(4), linear)),
    "batch norm of images": tiny(
        model=layers(lambda: nn.Conv2d(1, 4, 2), lambda: nn.BatchNorm2d(4), nn.Flatten, linear), **images
    ),
    "group norm": tiny(model=layers(lambda: nn.GroupNorm(2, 4), linear)),
    "dropout": tiny(model=layers(nn.Dropout, linear)),
    "dropout of everything": tiny(model=layers(linear, lambda: nn.Dropout(1.0))),
    "LSTM": tiny(model=recurrent(nn.LSTM)),
    "GRU": tiny(model=recurrent(nn.GRU)),
    "attention": tiny(
        model=lambda: Of(attention, body=nn.MultiheadAttention(8, 2, 0.1, batch_first=True), out=nn.Linear(8, 2))
    ),
    "weight norm": tiny(model=lambda: nn.utils.parametrizations.weight_norm(linear())),
    "spectral norm": tiny(model=lambda: nn.utils.parametrizations.spectral_norm(linear())),
    "orthogonal weights": tiny(model=lambda: nn.utils.parametrizations.orthogonal(linear())),
    "a sparse buffer": tiny(model=Sparse),
    "a buffer that counts": tiny(model=Counting),
    "a frozen body made anew": tiny(model=layers(lambda: nn.Linear(4, 4).requires_grad_(False), linear)),
    "a frozen body shared": tiny(model=layers(lambda: base[0], linear)),
    "a layer without use": tiny(model=lambda: Of(lambda m, x: m["a"](x), a=linear(), b=linear())),
    "zeros at the start": tiny(model=lambda: zeroed(linear())),
    "in place, after the first layer": tiny(
        model=layers(linear, lambda: nn.ReLU(inplace=True), lambda: nn.Linear(2, 2))
    ),
    "noise in the forward pass": tiny(model=lambda: Of(lambda m, x: m["a"](x + torch.randn_like(x)), a=linear())),
    "embedding, sparse gradients": tiny(
        model=layers(lambda: nn.Embedding(5, 3, sparse=True), nn.Flatten, lambda: nn.Linear(12, 2)),
        data=(words, classes),
    ),
    "a bag of words": tiny(
        model=layers(lambda: nn.EmbeddingBag(5, 3), lambda: nn.Linear(3, 2)), data=(words, classes)
    ),
    "more outputs than classes": tiny(model=lambda: nn.Linear(4, 7)),
    # inputs and outputs
    "a dict of inputs": tiny(
        model=lambda: Of(lambda m, a, b: m["a"](a) + m["b"](b).mean(1), a=linear(), b=nn.Embedding(5, 2)),
        data=({"a": x, "b": words}, classes),
    ),
    "a tuple of inputs": tiny(model=lambda: nn.Bilinear(4, 4, 2), data=((x, x), classes)),
    "a mask as input": tiny(
        model=lambda: Of(lambda m, a, b: m["a"](a.masked_fill(b, 0)), a=linear()), data=((x, x > 1), classes)
    ),
    "a tuple of outputs": tiny(
        model=lambda: Of(lambda m, x: (m["a"](x), x), a=linear()),
        loss=lambda o, y: F.cross_entropy(o[0], y),
        metric=metric(lambda o, y: (o[0].argmax(1) == y).float()),
    ),
    "a second head in training": tiny(model=Helped, loss=both_heads),
    "an autoencoder": tiny(model=lambda: nn.Linear(4, 4), data=(x, x), loss=F.mse_loss, metric=tw.squared_error),
    "a class at every place": tiny(
        model=Tied, data=(words, words), metric=metric(lambda o, y: (o.argmax(1) == y).float().mean(1))
    ),
    # losses
    "Huber": quantity(model=lambda: Of(lambda m, x: m["a"](x).squeeze(-1), a=nn.Linear(4, 1)), loss=nn.HuberLoss()),
    "targets take the output's axis": quantity(loss=lambda o, y: F.mse_loss(o, y[:, None])),
    "targets all the same": quantity(data=(x, torch.full((60,), 2.0)), loss=lambda o, y: F.mse_loss(o, y[:, None])),
    "the output loses its axis": quantity(loss=lambda o, y: F.mse_loss(o.squeeze(-1), y)),
    "large targets": quantity(data=(x, 1e6 + 10 * numbers), loss=lambda o, y: F.mse_loss(o[:, 0], y)),
    "counts": quantity(data=(x, 40 + 5 * three.float()), loss=lambda o, y: F.poisson_nll_loss(o, y[:, None])),
    "binary cross entropy": quantity(
        data=(x, classes.float()), loss=lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y), **binary
    ),
    "binary cross entropy, classes": quantity(
        data=(x, classes), loss=lambda o, y: F.binary_cross_entropy_with_logits(o, y[:, None].float()), **binary
    ),
    "binary cross entropy, a sigmoid": quantity(
        model=layers(lambda: nn.Linear(4, 1), nn.Sigmoid),
        data=(x, classes.float()),
        loss=lambda o, y: nn.BCELoss()(o, y[:, None]),
        **binary,
    ),
    "binary cross entropy, yes and no": quantity(
        data=(x, classes > 0), loss=lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y.float()), **binary
    ),
    "a hinge": quantity(
        data=(x, classes.float()), loss=lambda o, y: F.relu(1 - o[:, 0] * (2 * y - 1)).mean(), **binary
    ),
    "smoothed and weighted": tiny(loss=nn.CrossEntropyLoss(torch.tensor([1.0, 3.0]), label_smoothing=0.1)),
    "soft targets": tiny(
        model=lambda: nn.Linear(4, 3),
        data=(x, soft),
        metric=metric(lambda o, y: (o.argmax(1) == y.argmax(1)).float()),
    ),
    "some targets ignored": tiny(data=(x, torch.where(three > 0, classes, -100))),
    "ranks, an output less than classes": tiny(
        data=(x, three),
        loss=lambda o, y: F.binary_cross_entropy_with_logits(o, (y[:, None] > torch.arange(2)).float()),
        metric=metric(lambda o, y: ((o > 0).sum(1) == y).float()),
    ),
    "mean and variance of whole numbers": tiny(
        data=(x, three),
        loss=lambda o, y: F.gaussian_nll_loss(o[:, 0], y.float(), o[:, 1].exp()),
        metric=metric(lambda o, y: (o[:, 0] - y) ** 2),
    ),
    "a correlation": quantity(loss=lambda o, y: 1 - torch.corrcoef(torch.stack([o[:, 0], y]))[0, 1]),
    "writes into inputs": tiny(model=layers(lambda: nn.ReLU(inplace=True), linear)),
    "turns its inputs": tiny(
        model=lambda: Of(lambda m, a: m["a"](a.unsqueeze_(1)[:, 0]), a=linear()), data=({"a": x}, classes)
    ),
    # metrics
    "a metric of one value": tiny(metric=metric(lambda o, y: (o.argmax(1) == y).float().mean())),
    "a metric of yes and no": tiny(metric=metric(lambda o, y: o.argmax(1) == y)),
    "a metric by example": tiny(metric=metric(lambda o, y: o.argmax(1) == y, by_example=True)),
    "a metric of one value, undefined": tiny(metric=metric(lambda o, y: torch.tensor(float("nan")))),
}


@pytest.mark.parametrize("task", HEALTHY.values(), ids=HEALTHY)
def test_what_trains_passes_and_is_left_as_it_was(task):
    state = torch.get_rng_state()
    kept = [task.train.targets.clone(), task.valid.targets.clone()]
    check(task)
    assert torch.equal(torch.get_rng_state(), state)
    assert [torch.equal(*pair) for pair in zip(kept, (task.train.targets, task.valid.targets), strict=True)] == [
        True,
        True,
    ]


def test_a_few_examples_are_enough():
    part = (x[:2], torch.tensor([0, 1]))
    check(tiny(data=None, train=part, valid=part, test=part))


class Loud(nn.Linear):
    def forward(self, x):
        raise RuntimeError("first\nsecond")


class Frozen(nn.Linear):
    def train(self, mode=True):
        super().train(mode)


def own_weights():
    model = linear()
    nn.init.normal_(model.weight, generator=generator)
    return model


def written(o, y):
    y += 1
    return (o.argmax(1) == y).float()


unlike = r"would compare unlike shapes: the output has shape (8, 1), float32, the targets shape (8,), float32; bring"
ten = torch.arange(60) % 10

SICK = {
    # models
    "no weights": (tiny(model=nn.Flatten), "has no trainable parameters; there is nothing to train"),
    "all frozen": (tiny(model=lambda: linear().requires_grad_(False)), "has no trainable parameters"),
    "lazy": (
        tiny(model=lambda: nn.LazyLinear(2)),
        "has a lazy layer, whose weight has no shape yet; give the layer its",
    ),
    "the same module again": (
        tiny(model=lambda: one_layer),
        "shares its weights with the next one made; make them anew",
    ),
    "the same layer again": (
        tiny(model=layers(lambda: nn.Linear(4, 4), lambda: one_layer)),
        "shares its weights with",
    ),
    "the same norm again": (tiny(model=layers(lambda: base, linear)), "shares what its forward pass writes, such as"),
    "its own generator": (
        tiny(model=own_weights),
        "begins with other weights each time, under one seed; draw them from",
    ),
    "another device": (
        tiny(model=lambda: nn.Linear(4, 2, device="meta")),
        "has its weight on meta, and the data are on the",
    ),
    "train() returns nothing": (
        tiny(model=lambda: Frozen(4, 2)),
        "has a train() of its own that does not return the",
    ),
    "wrong width": (
        tiny(model=lambda: nn.Linear(5, 2)),
        "cannot take its inputs (shape (8, 4), float32): RuntimeError: mat1",
    ),
    "wrong type": (tiny(data=(words, classes)), "cannot take its inputs (shape (8, 4), int64): RuntimeError"),
    "wrong keywords": (tiny(data=({"a": x}, classes)), "cannot take its inputs (shape (8, 4), float32): TypeError"),
    "raises": (tiny(model=lambda: Loud(4, 2)), "cannot take its inputs (shape (8, 4), float32): RuntimeError: first"),
    "one layer of another type": (
        tiny(model=lambda: Of(lambda m, x: m["b"](m["a"](x).double()), a=nn.Linear(4, 4), b=linear().double())),
        "model float32, and layers.b.weight was made as float64: leave conversions out, or give the task dtype=",
    ),
    "a layer of small numbers": (
        tiny(model=lambda: Of(lambda m, x: m["a"](x.bfloat16()).float(), a=linear().bfloat16())),
        "float32, and layers.a.weight was made as bfloat16: leave conversions out",
    ),
    "no axis of examples": (
        tiny(model=lambda: Of(lambda m, x: m["a"](x).mean(0), a=linear())),
        "has shape (2,), float32 for 8 examples; its first axis must count the examples",
    ),
    # losses
    "too few classes": (
        tiny(data=(x, ten)),
        "targets are classes 0 to 9, and a model with 2 outputs knows 0 to 1; give it 10",
    ),
    "one class too few, seldom": (
        tiny(model=lambda: nn.Linear(4, 9), data=(x, torch.where(torch.arange(60) % 20 == 9, 9, ten % 9))),
        "cannot take all targets: targets are classes 0 to 9, and a model with 9 outputs knows 0 to 8; give it 10",
    ),
    "classes from 1": (
        tiny(data=(x, classes + 1)),
        "targets are classes 1 to 2, and a model with 2 outputs knows 0 to 1; count classes",
    ),
    "classes below 0": (
        tiny(data=(x, 2 * classes - 1)),
        "targets are classes -1 to 1, .* knows 0 to 1; count classes from 0",
    ),
    "one output, two classes": (
        tiny(model=lambda: nn.Linear(4, 1)),
        "a model with 1 output knows class 0; give it 2 outputs",
    ),
    "quantities as classes": (
        tiny(data=(x, numbers)),
        "cannot take the model's output: the output has shape (8, 2), float32, the",
    ),
    "a tuple of outputs": (
        tiny(model=lambda: Of(lambda m, x: (m["a"](x), x), a=linear())),
        "the output has the type tuple",
    ),
    "not a mean": (
        tiny(loss=nn.CrossEntropyLoss(reduction="none")),
        "has shape (8,), float32, and must be one number, a tensor of",
    ),
    "not a tensor": (
        tiny(loss=lambda o, y: F.cross_entropy(o, y).item()),
        "has the type float, and must be one number",
    ),
    "NaN": (
        tiny(loss=lambda o, y: F.cross_entropy(o, y) * float("nan")),
        "is nan before the first step; look at the range of",
    ),
    "infinite": (
        tiny(loss=lambda o, y: F.cross_entropy(o, y) * float("inf")),
        "is inf before the first step; look at the range of the inputs (standardize=True helps)",
    ),
    "raises in the loss": (
        tiny(loss=lambda o, y: o.nothing),
        "cannot take the model's output: the output has shape (8, 2), .* (Attr",
    ),
    "no gradient": (
        tiny(loss=lambda o, y: F.cross_entropy(o.detach(), y)),
        "has no gradient; something between model and loss leaves the",
    ),
    "another's gradient": (
        tiny(loss=lambda o, y: nn.Parameter(torch.ones(()))),
        "does not depend on the model's parameters; compute it from",
    ),
    "infinite gradient": (
        tiny(loss=lambda o, y: (o - o.detach()).abs().sqrt().sum()),
        "has a gradient with NaN or infinity in weight before",
    ),
    # metrics
    "raises in the metric": (
        tiny(metric=metric(lambda o, y: o.nothing)),
        "the metric mine cannot take the model's output (shape (12, 2)",
    ),
    "accuracy of one output": (
        tiny(model=lambda: nn.Linear(4, 1), loss=lambda o, y: F.binary_cross_entropy_with_logits(o[:, 0], y.float())),
        "the metric accuracy cannot take the model's output (shape (12, 1), .* (shape (12,), int64): accuracy",
    ),
    "accuracy of a class at each place": (
        tiny(model=tagger, data=(x, words), loss=tagged),
        "for a class at each place, give a Metric of your own, such as lambda output, y: (output.argmax(-1) == y)",
    ),
    "a number a class": (
        tiny(metric=metric(lambda o, y: o.mean(0))),
        "the metric mine has shape (2,), float32 for 12 examples; it must be a tensor with one value an example,",
    ),
    "a float": (
        tiny(metric=metric(lambda o, y: 0.5)),
        "the metric mine has the type float for 12 examples; it must be a tensor",
    ),
    "all pairs": (tiny(metric=metric(lambda o, y: o[:, :1] - y)), "has shape (12, 12), float32 for 12 examples"),
    "NaN of an example": (
        tiny(metric=metric(lambda o, y: torch.where(torch.arange(len(y)) == 5, float("nan"), 0.0))),
        "the metric mine of example 5 of valid is nan before the first step; a run with such an outcome",
    ),
    "ranks that are not an example's own": (
        tiny(metric=metric(lambda o, y: o[:, 0].argsort().argsort().float(), by_example=True)),
        "the metric mine says by_example=True, but what it gives an example depends on which others it sees",
    ),
    "one value that is no example's own": (
        tiny(metric=metric(lambda o, y: (o.argmax(1) == y).float().mean(), by_example=True)),
        "the metric mine says by_example=True, but what it gives",
    ),
    "writes into targets": (
        tiny(metric=metric(written)),
        "the metric mine writes into its targets; have it work on a copy",
    ),
}


@pytest.mark.parametrize(("task", "message"), SICK.values(), ids=SICK)
def test_a_mistake_is_named_with_its_remedy(task, message):
    kept = task.valid.targets.clone()
    with pytest.raises(InputError, match=re.escape(message).replace(r"\.\*", ".*")) as caught:
        check(task)
    assert "\n" not in str(caught.value)
    assert torch.equal(task.valid.targets, kept)


@pytest.mark.parametrize(
    "loss",
    [F.mse_loss, nn.L1Loss(), F.huber_loss, lambda o, y: ((o - y) ** 2).mean(), lambda o, y: (o - y).abs().sum()],
    ids=["mse", "l1", "huber", "mine", "a sum"],
)
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("offset", [0, 1e5])
def test_an_output_with_an_axis_more_than_the_targets_is_not_paired_with_all_of_them(loss, zeros, offset):
    model = (lambda: zeroed(nn.Linear(4, 1))) if zeros else (lambda: nn.Linear(4, 1))
    with pytest.raises(InputError, match=re.escape(unlike)):
        check(quantity(model=model, data=(x, numbers + offset), loss=loss))
