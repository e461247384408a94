"""Nothing wrong is found where nothing is wrong: the built-in tasks, and modules of many kinds."""

import math

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg import inspect
from thalweg.task import builtin_tasks


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(model, **more):
    x, y = load_digits(return_X_y=True)
    data = (torch.tensor((x.reshape(-1, 1, 8, 8) - 4.9) / 6.0, dtype=torch.float32), torch.tensor(y))
    return tw.Task(**{"model": model, "data": data, "loss": F.cross_entropy, "metric": tw.accuracy, **more})


def mlp(*last):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), *last)


def words(model):
    """Return the next of 16 words, of which every second is the one before it."""
    x = torch.randint(0, 32, (240, 17), generator=torch.Generator().manual_seed(0))
    x[:, 1::2] = x[:, :-1:2]
    return tw.Task(
        model=model, data=(x[:, :-1], x[:, 1:]), loss=lambda o, y: F.cross_entropy(o.flatten(0, 1), y.flatten()),
        metric=tw.Metric("loss", lambda o, y: F.cross_entropy(o.transpose(1, 2), y, reduction="none").mean(1), False),
    )  # fmt: skip


class Residual(nn.Module):
    """A block with batch norm and a shortcut; its last norm begins at 0, as ResNets' often do, or not."""

    def __init__(self, zero=False):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.first, self.norm1 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.norm2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.relu, self.out = nn.ReLU(inplace=True), nn.Linear(16, 10)
        if zero:
            nn.init.zeros_(self.norm2.weight)

    def forward(self, x):
        x = self.relu(self.norm(self.stem(x)))
        x = self.relu(x + self.norm2(self.second(self.relu(self.norm1(self.first(x))))))
        return self.out(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Squeezed(nn.Module):
    """Channels weighted by their means: units that hardly differ between examples."""

    def __init__(self):
        super().__init__()
        self.convolution, self.out = nn.Conv2d(1, 32, 3, padding=1), nn.Linear(32, 10)
        self.down, self.up = nn.Linear(32, 8), nn.Linear(8, 32)

    def forward(self, x):
        x = F.relu(self.convolution(x))
        weights = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return self.out((x * weights[:, :, None, None]).mean((2, 3)))


class Rows(nn.Module):
    """A transformer over the rows of a picture, with dropout."""

    def __init__(self):
        super().__init__()
        self.enter, self.first = nn.Linear(8, 32), nn.Parameter(torch.zeros(1, 1, 32))
        self.places = nn.Parameter(0.02 * torch.randn(1, 9, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.blocks, self.out = nn.TransformerEncoder(layer, 2), nn.Linear(32, 10)

    def forward(self, x):
        x = torch.cat([self.first.expand(len(x), -1, -1), self.enter(x.squeeze(1))], 1)
        return self.out(self.blocks(x + self.places)[:, 0])


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.out = nn.GRU(8, 16, 2, batch_first=True, dropout=0.2, bidirectional=True), nn.Linear(32, 10)

    def forward(self, x):
        return self.out(self.gru(x.squeeze(1))[0].mean(1))


class Tied(nn.Module):
    """A language model whose first and last weights are the same."""

    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(32, 32), nn.Linear(32, 32, bias=False)
        nn.init.normal_(self.words.weight, 0, 0.02)
        self.out.weight = self.words.weight
        self.block = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(32)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=self.words.weight.dtype)
        return self.out(self.norm(self.block(self.words(x), src_mask=mask, is_causal=True)))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm, self.out = nn.Embedding(32, 16), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 32)

    def forward(self, x):
        return self.out(self.lstm(self.words(x))[0])


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.numbers, self.kinds, self.out = nn.Linear(10, 16), nn.Embedding(5, 16), nn.Linear(16, 3)

    def forward(self, x, kind):
        return self.out(torch.tanh(self.numbers(x) + self.kinds(kind)))


def two(as_dict=False):
    x, kind = numbers(400, 10), torch.randint(0, 5, (400,), generator=torch.Generator().manual_seed(1))
    y = (x[:, 0] + x[:, 1] > 0).long() + (kind > 2).long()
    inputs = {"x": x, "kind": kind} if as_dict else (x, kind)
    return tw.Task(model=Two, data=(inputs, y), loss=F.cross_entropy, metric=tw.accuracy)


class Frozen(nn.Module):
    """A head on a body that is not trained, whose norm stays in evaluation."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten())
        self.body.requires_grad_(False)
        self.head = nn.Linear(32 * 36, 10)

    def train(self, mode=True):
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x):
        return self.head(self.body(x))


class LowRank(nn.Module):
    """An update of low rank, whose one factor begins at 0."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(64, 10).requires_grad_(False)
        self.a, self.b = nn.Parameter(0.1 * torch.randn(4, 64)), nn.Parameter(torch.zeros(10, 4))

    def forward(self, x):
        x = x.flatten(1)
        return self.base(x) + x @ self.a.T @ self.b.T


class Normalising(nn.Module):
    """Takes raw inputs, and normalises them itself."""

    def __init__(self):
        super().__init__()
        self.norm, self.rest = nn.BatchNorm1d(64), mlp()

    def forward(self, x):
        return self.rest(self.norm(x.flatten(1)))


class Binary(nn.Module):
    """Weights of −1 and 1, through which the gradient passes straight."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        w = self.first.weight
        binary = w + (w.sign() * w.abs().mean() - w).detach()
        return self.out(F.relu(F.linear(x.flatten(1), binary, self.first.bias)))


class Depth(nn.Module):
    """Blocks that are left out at random in training."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(64, 32), nn.Linear(32, 10)
        self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))

    def forward(self, x):
        x = self.first(x.flatten(1)).relu()
        for block in self.blocks:
            if not self.training or torch.rand(()) > 0.3:
                x = x + block(x).relu()
        return self.out(x)


class Attending(nn.Module):
    """Texts of many lengths, padded."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 32, padding_idx=0)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True, dropout=0.1)
        self.out = nn.Linear(32, 3)

    def forward(self, x):
        h, there = self.words(x), (x > 0).to(self.out.weight.dtype)[..., None]
        h, _ = self.attention(h, h, h, key_padding_mask=x == 0)
        return self.out((h * there).sum(1) / there.sum(1))


def texts():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(1, 50, (400, 12), generator=generator)
    x[torch.arange(12) >= torch.randint(4, 13, (400, 1), generator=generator)] = 0
    share = ((x < 25) & (x > 0)).sum(1) / (x > 0).sum(1)
    y = (share > 0.4).long() + (share > 0.6).long()
    return tw.Task(model=Attending, data=(x, y), loss=F.cross_entropy, metric=tw.accuracy, padding=0)


class Waves(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Conv1d(3, 16, 5, padding=2), nn.BatchNorm1d(16), nn.Conv1d(16, 16, 5)
        self.out = nn.Linear(16, 2)

    def forward(self, x):
        return self.out(F.relu(self.second(F.relu(self.norm(self.first(x))))).mean(-1))


def waves():
    y = torch.arange(400) % 2
    time = torch.arange(32) / 32
    x = torch.sin(2 * math.pi * (3 + 2 * y)[:, None, None] * time + numbers(400, 3, 1)) + 0.3 * numbers(400, 3, 32)
    return tw.Task(model=Waves, data=(x, y), loss=F.cross_entropy, metric=tw.accuracy)


class Coding(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(64, 16), nn.Linear(16, 64)

    def forward(self, x):
        return self.up(F.gelu(self.down(x.flatten(1)))).view(x.shape)


def coding():
    x = torch.tensor(load_digits().images[:, None] / 6 - 0.8, dtype=torch.float32)
    return tw.Task(model=Coding, data=(x, x), loss=F.mse_loss, metric=tw.squared_error)


def quantities(outputs, *, loss=F.mse_loss):
    x = numbers(400, 10)
    y = (x @ numbers(10, outputs, seed=1)).tanh() + 0.1 * numbers(400, outputs, seed=2)
    model = lambda: nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, outputs))  # noqa: E731
    return tw.Task(model=model, data=(x, y), loss=loss, metric=tw.squared_error)


def yes_or_no(*last, loss=F.binary_cross_entropy_with_logits):
    x, y = load_breast_cancer(return_X_y=True)
    metric = tw.Metric("accuracy", lambda o, t: ((o > (0.5 if last else 0.0)) == (t > 0)).float(), True)
    model = lambda: nn.Sequential(nn.Linear(30, 1), *last, nn.Flatten(0))  # noqa: E731
    return tw.Task(
        model=model, data=(x.astype("float32"), y.astype("float32")), loss=loss, metric=metric, standardize=True
    )


def line():
    x = numbers(400, 1)
    return tw.Task(model=lambda: nn.Linear(1, 1), data=(x, 3 * x + 1), loss=F.mse_loss, metric=tw.squared_error)


def pixels():
    x = torch.tensor(load_digits().images[:, None] / 6 - 0.8, dtype=torch.float32)
    y = (x[:, 0] > 0).long() + (x[:, 0] > 1).long()
    metric = tw.Metric("accuracy", lambda o, t: (o.argmax(1) == t).float().mean((1, 2)), True)
    model = lambda: nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))  # noqa: E731
    return tw.Task(model=model, data=(x, y), loss=F.cross_entropy, metric=metric)


def grouped():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 32, 3), nn.InstanceNorm2d(32, affine=True),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def parametrised():
    return nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(64, 64)), nn.LeakyReLU(),
        nn.utils.parametrizations.weight_norm(nn.Linear(64, 10)),
    )  # fmt: skip


def deep():
    parts = [layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *parts, nn.Linear(64, 10))


HEALTHY = {
    "residual": lambda: pictures(Residual),
    "residual that begins at 0": lambda: pictures(lambda: Residual(zero=True)),
    "squeezed": lambda: pictures(Squeezed),
    "transformer": lambda: pictures(Rows),
    "recurrent": lambda: pictures(Recurrent),
    "tied": lambda: words(Tied),
    "lstm": lambda: words(Lstm),
    "two inputs": two,
    "inputs by name": lambda: two(as_dict=True),
    "frozen": lambda: pictures(Frozen),
    "low rank": lambda: pictures(LowRank),
    "depth": lambda: pictures(Depth),
    "texts": texts,
    "waves": waves,
    "coding": coding,
    "quantities": lambda: quantities(2),
    "huber": lambda: quantities(1, loss=nn.HuberLoss()),
    "scores": yes_or_no,
    "probabilities": lambda: yes_or_no(nn.Sigmoid(), loss=F.binary_cross_entropy),
    "log-probabilities": lambda: pictures(lambda: mlp(nn.LogSoftmax(1)), loss=F.nll_loss),
    "smoothed labels": lambda: pictures(lambda: mlp(nn.Dropout(0.1)), loss=nn.CrossEntropyLoss(label_smoothing=0.1)),
    "margins": lambda: pictures(mlp, loss=nn.MultiMarginLoss()),
    "line": line,
    "pixels": pixels,
    "groups": lambda: pictures(grouped),
    "parametrised": lambda: pictures(parametrised),
    "deep": lambda: pictures(deep),
    "float64": lambda: pictures(mlp, dtype=torch.float64),
}
SOME = ("residual that begins at 0", "tied", "lstm", "two inputs", "frozen", "low rank", "quantities", "scores")
"""Those that are looked at each time; the others are slow together."""


def unsound(found):
    return [x for x in found.findings if x.level in ("note", "wrong") or "could not be made" in x.what]


@pytest.mark.parametrize("name", SOME)
def test_a_healthy_task_is_let_through(name):
    assert unsound(inspect.check(HEALTHY[name]())) == []


def test_sparse_gradients_are_trained_by():
    def model():
        return nn.Sequential(nn.Embedding(50, 8, sparse=True, padding_idx=0), nn.Flatten(), nn.Linear(96, 3))

    x, y = texts().train.inputs, texts().train.targets
    found = inspect.check(tw.Task(model=model, data=(x, y), loss=F.cross_entropy, metric=tw.accuracy)).findings
    assert not [one for one in found if "could not be made" in one.what]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in HEALTHY if name not in SOME])
def test_another_healthy_task_is_let_through(name):
    assert unsound(inspect.check(HEALTHY[name]())) == []


@pytest.mark.parametrize("name", ["digits", "wine", "diabetes"])
def test_a_built_in_task_is_let_through(name):
    assert unsound(inspect.check(tw.load_task(name))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in builtin_tasks() if name not in ("digits", "wine", "diabetes")])
def test_another_built_in_task_is_let_through(name):
    assert unsound(inspect.check(tw.load_task(name))) == []


@pytest.mark.slow
def test_raw_inputs_are_no_mistake_where_the_model_normalises_them():
    x, y = load_digits(return_X_y=True)
    task = pictures(Normalising, data=((16 * x + 128).astype("float32").reshape(-1, 1, 8, 8), y))
    assert unsound(inspect.check(task)) == []


def test_a_gradient_that_passes_straight_through_is_a_note():
    found = inspect.check(pictures(Binary))
    assert [(x.level, x.check) for x in unsound(found)] == [("note", "gradient check")]


def test_what_cannot_be_looked_at_is_skipped_and_says_why():
    found = inspect.check(words(Lstm))
    skipped = {x.check: x.what for x in found.findings if x.level == "skipped"}
    assert skipped == {
        "class codes": "targets are not one class an example",
        "leakage": "targets are neither one class nor a few quantities an example",
        "splits": "inputs are whole numbers, whose size says nothing",
    }
    x = numbers(30, 4)
    few = tw.Task(
        model=lambda: nn.Linear(4, 2), data=(x, (x[:, 0] > 0).long()), loss=F.cross_entropy, metric=tw.accuracy
    )
    assert "50 examples in train and 20 in valid" in inspect.check(few)["signal"].what
