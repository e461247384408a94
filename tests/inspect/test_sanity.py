"""Mistakes that people make, planted one at a time: each is found by the check that is for it."""

import functools
import time

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from checked import found
from thalweg import inspect, optim
from thalweg.errors import InputError
from untouched import facts, same

CROSS_ENTROPY = F.cross_entropy


@functools.cache
def digits():
    x, y = load_digits(return_X_y=True)
    return torch.tensor((x.reshape(-1, 1, 8, 8) - 4.9) / 6.0, dtype=torch.float32), torch.tensor(y)


def mlp(*last):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), *last)


def task(model=mlp, data=None, **more):
    said = {"loss": CROSS_ENTROPY, "metric": tw.accuracy, "data": data or digits(), "name": "planted", **more}
    if "train" in said:
        del said["data"]
    return tw.Task(model=model, **said)


def table(x, y, width, outputs, **more):
    def model():
        return nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, outputs))

    return task(model, (torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y)), **more)


# -- data ----------------------------------------------------------------------------------------------


def shuffled_labels():
    x, y = digits()
    return task(data=(x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]))


def targets_one_row_down():
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = ((x - x.mean(0)) / x.std(0))[order], y[order]
    return table(x, np.roll(y, 1), 30, 2)


def test_rows_in_train():
    x, y = digits()
    return task(train=(x[:1000], y[:1000]), valid=(x[1000:1300], y[1000:1300]), test=(x[900:1200], y[900:1200]))


test_rows_in_train.__test__ = False


def oversampled_before_splitting():
    x, y = digits()
    return task(data=(torch.cat([x, x[:600]]), torch.cat([y, y[:600]])))


def noisy_copies():
    x, y = digits()
    near = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return task(data=(torch.cat([x, near]), torch.cat([y, y])))


def missing_as_a_number():
    x, y = load_breast_cancer(return_X_y=True)
    x[::50, 3] = -9999.0
    return table(x, y, 30, 2, standardize=True)


def leaked_target():
    x, y = load_breast_cancer(return_X_y=True)
    return table(np.column_stack([(x - x.mean(0)) / x.std(0), y]), y, 31, 2)


def leaked_target_with_noise():
    x, y = load_breast_cancer(return_X_y=True)
    noisy = y + np.random.default_rng(0).normal(0, 0.05, len(y))
    return table(np.column_stack([noisy, (x - x.mean(0)) / x.std(0)]), y, 31, 2)


def regression(extra=None, **more):
    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(0), ((y - y.mean()) / y.std()).astype(np.float32)
    x = x if extra is None else np.column_stack([x, extra(y)])
    model = lambda: nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))  # noqa: E731
    said = {"loss": F.mse_loss, "metric": tw.squared_error, **more}
    return task(said.pop("model", model), (x.astype(np.float32), said.pop("targets", y)), **said)


def leaked_quantity():
    return regression(lambda y: 3 * y - 2 + 0.001 * np.random.default_rng(0).normal(size=len(y)))


def constant_feature():
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    x[:, 7] = 1.0
    return table(x, y, 30, 2)


def pixels_to_255():
    x, y = load_digits(return_X_y=True)
    return task(data=((x * 16).astype(np.float32).reshape(-1, 1, 8, 8), y))


def raw_table():
    x, y = load_breast_cancer(return_X_y=True)
    return table(x, y, 30, 2)


def divided_twice():
    x, y = load_digits(return_X_y=True)
    return task(data=((x / 16 / 255).astype(np.float32).reshape(-1, 1, 8, 8), y))


def imbalance():
    x, y = digits()
    keep = (y == 0) | ((y == 1) & (torch.arange(len(y)) % 20 == 0))
    return task(data=(x[keep], y[keep]))


def splits_by_class():
    x, y = digits()
    order = y.argsort(stable=True)
    x, y = x[order], y[order]
    return task(train=(x[:1000], y[:1000]), valid=(x[1000:1400], y[1000:1400]), test=(x[1400:], y[1400:]))


def other_shares():
    x, y = digits()
    order = torch.cat([(y < 7).nonzero().flatten(), (y >= 7).nonzero().flatten()])
    order = torch.cat([order[:900], order[1400:1500], order[900:1400], order[1500:]])
    x, y = x[order], y[order]
    return task(train=(x[:1000], y[:1000]), valid=(x[1000:1400], y[1000:1400]), test=(x[1400:], y[1400:]))


def scaled_by_other_numbers():
    x, y = digits()
    return task(train=(x[:1000], y[:1000]), valid=(x[1000:1400], y[1000:1400]), test=(x[1400:] * 6 + 4.9, y[1400:]))


def targets_in_thousands():
    _, y = load_diabetes(return_X_y=True)
    return regression(targets=(1000 * y).astype(np.float32))


# -- outputs and loss ------------------------------------------------------------------------------------


def huge_last_layer():
    model = mlp()
    with torch.no_grad():
        model[3].weight.mul_(50)
    return model


class Mixed(nn.Module):
    """Takes the mean of the batch away."""

    def forward(self, x):
        return x - x.mean(0)


class InTraining(nn.Module):
    """The same in training alone."""

    def forward(self, x):
        return x - x.mean(0) if self.training else x


class Permuted(nn.Module):
    """Channels first, and then a reshape that takes them for examples."""

    def __init__(self):
        super().__init__()
        self.convolution, self.out = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(512, 10)

    def forward(self, x):
        return self.out(self.convolution(x).permute(1, 0, 2, 3).reshape(len(x), -1))


class Lstm(nn.Module):
    """Rows of pixels as a sequence, and batch_first forgotten."""

    def __init__(self, batch_first=False):
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 32, batch_first=batch_first), nn.Linear(32, 10)

    def forward(self, x):
        return self.out(self.lstm(x.squeeze(1))[0][:, -1])


class Doubled(torch.autograd.Function):
    """x², whose backward forgets the 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x


class Square(nn.Module):
    def forward(self, x):
        return Doubled.apply(x)


class Unused(nn.Module):
    """A layer that is made and forgotten; or its result detached."""

    def __init__(self, detached=False):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        self.detached = detached

    def forward(self, x):
        x = self.first(x.flatten(1)).relu()
        if self.detached:
            x = x + self.second(x).detach()
        return self.out(x)


class Listed(nn.Module):
    """A layer in a plain list, which no optimizer sees."""

    def __init__(self):
        super().__init__()
        self.first, self.hidden, self.out = nn.Linear(64, 32), [nn.Linear(32, 32)], nn.Linear(32, 10)

    def forward(self, x):
        return self.out(self.hidden[0](self.first(x.flatten(1)).relu()).relu())


class Partly(nn.Module):
    """A gate whose gradient is cut."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = self.first(x.flatten(1))
        return self.out(x.relu() * x.sigmoid().detach())


def constant():
    model = mlp()
    for p in model.parameters():
        nn.init.constant_(p, 0.01)
    return model


def dead():
    model = mlp()
    nn.init.constant_(model[1].bias, -10.0)
    return model


def saturated():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight.mul_(50)
    return model


def zeros():
    model = mlp()
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


def deep_sigmoids():
    parts = [layer for _ in range(12) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
    return nn.Sequential(nn.Flatten(), *parts, nn.Linear(64, 10))


class Always(nn.Module):
    """Dropout that is left on in evaluation."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        return self.net(F.dropout(x, 0.2))


class Stuck(nn.Module):
    """A train() of its own that forgets the parts."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
        self.net.eval()

    def train(self, mode=True):
        self.training = mode
        return self

    def forward(self, x):
        return self.net(x)


class TrainingNorm(nn.Module):
    """Batch norm that is in training for ever."""

    def __init__(self):
        super().__init__()
        self.net, self.norm, self.out = nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, x):
        norm = self.norm
        x = F.batch_norm(self.net(x.flatten(1)), norm.running_mean, norm.running_var, training=True)
        return self.out(x.relu())


class Seeing(nn.Module):
    """A language model without a mask."""

    def __init__(self, causal=False):
        super().__init__()
        self.words, self.out, self.causal = nn.Embedding(32, 16), nn.Linear(16, 32), causal

    def forward(self, x):
        x = self.words(x)
        return self.out(x + F.scaled_dot_product_attention(x, x, x, is_causal=self.causal))


def next_word(model):
    x = torch.randint(0, 32, (200, 17), generator=torch.Generator().manual_seed(0))
    x[:, 1::2] = x[:, :-1:2]
    return tw.Task(
        model=model, data=(x[:, :-1], x[:, 1:]), loss=lambda o, y: F.cross_entropy(o.flatten(0, 1), y.flatten()),
        metric=tw.Metric("loss", lambda o, y: F.cross_entropy(o.transpose(1, 2), y, reduction="none").mean(1), False),
    )  # fmt: skip


class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 300

    def __getitem__(self, i):
        time.sleep(0.004)
        x, y = digits()
        return x[i], y[i]


def binary(model, **more):
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    metric = tw.Metric("accuracy", lambda o, t: ((o > 0) == (t > 0)).float(), True)
    loss = F.binary_cross_entropy_with_logits
    return task(model, (x, y.astype(np.float32)), **{"loss": loss, "metric": metric, **more})


def adam(lr):
    return tw.Recipe(optimizer=optim.adam(lr=lr))


PLANTED = [
    # what is planted, by what it is found, how badly, and a word of the finding
    (shuffled_labels, "signal", "wrong", "no relation"),
    (targets_one_row_down, "signal", "wrong", "no relation"),
    (test_rows_in_train, "duplicates", "wrong", "100 of 300 in test"),
    (oversampled_before_splitting, "duplicates", "wrong", "copies"),
    (noisy_copies, "duplicates", "wrong", "but for small changes"),
    (missing_as_a_number, "inputs", "note", "feature 3 is -"),
    (leaked_target, "leakage", "wrong", "input 30"),
    (leaked_target_with_noise, "leakage", "wrong", "input 0"),
    (leaked_quantity, "leakage", "wrong", "input 10"),
    (constant_feature, "inputs", "note", "feature 7"),
    (pixels_to_255, "inputs", "wrong", "not normalised"),
    (raw_table, "inputs", "wrong", "not normalised"),
    (divided_twice, "inputs", "wrong", "too small"),
    (imbalance, "targets", "note", "class 1 is rare"),
    (splits_by_class, "targets", "wrong", "train has no example of class"),
    (other_shares, "targets", "wrong", "other shares"),
    (scaled_by_other_numbers, "splits", "wrong", "test lie elsewhere"),
    (targets_in_thousands, "targets", "wrong", "far from what a model gives"),
    (lambda: task(huge_last_layer), "loss at start", "wrong", "ln 10"),
    (lambda: task(lambda: mlp(nn.Softmax(1))), "outputs", "wrong", "probabilities"),
    (lambda: task(lambda: mlp(nn.Sigmoid())), "outputs", "wrong", "between 0 and 1"),
    (lambda: task(lambda: mlp(nn.ReLU())), "outputs", "wrong", "never below 0"),
    (lambda: task(loss=F.nll_loss), "outputs", "wrong", "log-probabilities"),
    (lambda: task(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 100))), "outputs", "wrong", "90 stand for no"),
    (
        lambda: binary(lambda: nn.Sequential(nn.Linear(30, 1), nn.Sigmoid(), nn.Flatten(0))),
        "outputs", "wrong", "between 0 and 1",
    ),
    (
        lambda: regression(model=lambda: nn.Sequential(nn.Linear(10, 1), nn.ReLU(), nn.Flatten(0))),
        "outputs", "wrong", "at or above 0",
    ),
    (lambda: task(loss=nn.CrossEntropyLoss(reduction="sum")), "loss", "wrong", "a sum"),
    (lambda: task(loss=lambda o, y: o.square().mean()), "loss", "wrong", "whichever target"),
    (lambda: task(lambda: mlp(Square())), "gradient check", "wrong", "not the loss's slope"),
    (lambda: task(lambda: mlp(Mixed())), "batch independence", "wrong", "others of its batch"),
    (lambda: task(lambda: mlp(nn.Softmax(0))), "batch independence", "wrong", "others of its batch"),
    (lambda: task(lambda: mlp(InTraining())), "batch independence", "note", "in training"),
    (lambda: task(Permuted), "batch independence", "wrong", "others of its batch"),
    (lambda: task(Lstm), "batch independence", "wrong", "others of its batch"),
    (lambda: next_word(Seeing), "causality", "wrong", "later places"),
    (lambda: task(dead), "units", "wrong", "64 of the 64 units"),
    (lambda: task(dead), "inputs used", "wrong", "the same for every example"),
    (lambda: task(saturated), "units", "wrong", "at its bounds"),
    (lambda: task(constant), "units", "wrong", "all units of 1, 3 have the same weights"),
    (lambda: task(Listed), "no gradient", "wrong", "does not list, of shape 32×32, 32"),
    (lambda: task(Partly), "gradient check", "note", "detaches"),
    (lambda: task(zeros), "no gradient", "wrong", "exactly 0"),
    (lambda: task(zeros), "overfit a batch", "wrong", "went from"),
    (lambda: task(deep_sigmoids), "updates", "wrong", "as large in"),
    (lambda: task(Unused), "no gradient", "wrong", "second.weight, second.bias are never used"),
    (lambda: task(lambda: Unused(detached=True)), "no gradient", "wrong", "depends on second.weight"),
    (lambda: task(Always), "modes", "wrong", "still drawn at random"),
    (lambda: task(Stuck), "modes", "wrong", "train() does not reach net.2"),
    (lambda: task(TrainingNorm), "modes", "wrong", "writes norm.running_mean"),
    (lambda: task(lambda: mlp(nn.Dropout(0.1)).eval()), "modes", "note", "comes in evaluation mode"),
    (
        lambda: task(metric=tw.Metric("accuracy", tw.accuracy.outcomes, higher_is_better=False)),
        "overfit a batch", "wrong", "lower counts as better",
    ),
    (lambda: task(data=Slow()), "loader", "note", "the data set took"),
]  # fmt: skip


@pytest.mark.parametrize(("planted", "name", "level", "words"), PLANTED)
def test_a_planted_mistake_is_found(planted, name, level, words):
    seen = found(planted(), name)
    assert (seen.level, words in seen.what) == (level, True), seen
    assert seen.remedy[-1] in ".?"


@pytest.mark.parametrize(
    ("lr", "name", "level"),
    [
        (3.0, "learning rate", "wrong"),
        (3.0, "updates", "wrong"),
        (1e-9, "learning rate", "wrong"),
        (1e-9, "updates", "wrong"),
    ],
)
def test_a_learning_rate_out_of_its_band_is_found(lr, name, level):
    assert found(task(), name, adam(lr)).level == level


# -- the whole -----------------------------------------------------------------------------------------


def test_no_mistake_hides_from_the_whole_and_it_is_one_table():
    found = inspect.check(task(lambda: mlp(nn.Softmax(1))))
    assert {"outputs", "overfit a batch"} <= {x.check for x in found.wrong}
    assert [x.check for x in found.findings] == list(inspect.CHECKS)
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("planted: 1,079 train, 359 valid, 359 test; adam(lr=0.001")
    assert any(line.startswith("wrong    outputs             outputs are probabilities") for line in lines)
    assert any(line.startswith(" " * 29 + "→ Take the softmax out of the model") for line in lines)
    assert "checks found something wrong: outputs, overfit a batch" in " ".join(lines[-2:])


def test_nothing_is_changed():
    made = []

    def model():
        made.append(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, 10))
        )
        return made[-1]

    some = task(model)
    one = some.model(0)
    known = torch.random.get_rng_state()
    before, threads = facts(one), torch.get_num_threads()
    data = [x.clone() for part in (some.train, some.valid, some.test) for x in (part.inputs, part.targets)]
    first = inspect.check(some)
    assert same(before, facts(one))
    assert torch.equal(known, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    assert same(data, [x for part in (some.train, some.valid, some.test) for x in (part.inputs, part.targets)])
    timed = {"loader"}
    again = inspect.check(some)
    assert [x for x in first.findings if x.check not in timed] == [x for x in again.findings if x.check not in timed]


def test_a_check_of_ones_own_is_an_entry_and_one_that_fails_is_skipped(monkeypatch):
    from thalweg.inspect._checks.finding import note

    monkeypatch.setitem(inspect.CHECKS, "mine", lambda subject: note(f"{len(subject.task.train)} examples", "More."))
    monkeypatch.setitem(inspect.CHECKS, "broken", lambda subject: 1 / 0)
    for name in list(inspect.CHECKS)[:-2]:
        monkeypatch.delitem(inspect.CHECKS, name)
    found = inspect.check(task())
    assert [(x.level, x.check, x.what) for x in found.findings] == [
        ("note", "mine", "1079 examples"),
        ("skipped", "broken", "it could not be made: ZeroDivisionError: division by zero"),
    ]
    assert found.sentence == "Nothing is wrong; look at mine. 0 checks are fine, 1 could not be made."


def test_the_recipe_counts():
    """Its loss, its initial weights and its batch size are what is checked."""
    recipe = tw.Recipe(init=tw.init.zeros(), batch_size=100, loss=tw.loss.hinge())
    found = inspect.check(task(), recipe)
    assert found.recipe.endswith("batches of 100")
    assert found["no gradient"].level == "wrong"
    assert "ln 10" not in found["loss at start"].what


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.check("digits"), "check takes a Task, not str"),
        (lambda: inspect.check(task(), optim.adam()), "check takes a Recipe, not Ingredient"),
        (lambda: inspect.check(task(nn.Flatten)), "has no trainable parameters; there is nothing to train"),
        (lambda: inspect.check(task(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9)))), "give it 10 outputs"),
        (lambda: task(data=(digits()[0] / 0, digits()[1])), "is NaN or infinite"),
        (lambda: inspect.check(task(), tw.Recipe(freeze="nothing.*")), 'is called "nothing.*"'),
    ],
)
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
