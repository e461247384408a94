"""What a recipe does to the model and its loss is in its script, layer by layer, and trains to the same weights."""

import pytest
import torch

import thalweg as tw
from exported import assert_same_weights
from thalweg import activation, dropout, init, loss, norm, penalty, prune, stop
from thalweg.recipe import CATALOGUES
from thalweg.study.script import text
from thalweg.study.script.export import _keyed
from thalweg.study.script.shape import functions
from thalweg.study.script.sources import source
from thalweg.train.made import model_of

NET = """
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
import thalweg as tw


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2)
        self.act = nn.ReLU()
        self.inner = nn.Linear(64, 16)
        self.out = nn.Linear(16, 10)

    def forward(self, x):
        x = self.act(self.up(F.max_pool2d(F.relu(self.conv(x.view(-1, 1, 8, 8))), 4)))
        return self.out(self.act(self.inner(x.flatten(1))))


class Pictures(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 8, 3), nn.ReLU(inplace=True))
        self.out = nn.Linear(8, 10)

    def forward(self, x):
        return self.out(self.body(x.view(-1, 1, 8, 8)).mean((2, 3)))


class Places(nn.Module):
    def __init__(self):
        super().__init__()
        self.each = nn.Linear(8, 6)
        self.out = nn.Linear(6, 10)

    def forward(self, x):
        return self.out(torch.relu(self.each(x.view(-1, 8, 8))).mean(1))


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(17, 8, padding_idx=0)
        self.rnn = nn.LSTM(8, 12, batch_first=True)
        self.out = nn.Linear(12, 10)

    def forward(self, x):
        return self.out(self.rnn(self.embedding(x.long()))[0][:, -1])


class Frozen(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(),
                         nn.Linear(12, 10))
        for layer in (self[0], self[1]):
            layer.requires_grad_(False)


inputs, targets = load_digits(return_X_y=True)
net = tw.Task(model=Net, data=(inputs[:300] / 16, targets[:300]), loss=F.cross_entropy, metric=tw.accuracy,
              dtype=torch.float64)
places = tw.Task(model=Places, data=(inputs[:99] / 16, targets[:99]), loss=F.cross_entropy, metric=tw.accuracy)
frozen = tw.Task(model=Frozen, data=(inputs[:99] / 16, targets[:99]), loss=F.cross_entropy, metric=tw.accuracy)
pictures = tw.Task(model=Pictures, data=(inputs[:99] / 16, targets[:99]), loss=F.cross_entropy, metric=tw.accuracy)
reader = tw.Task(model=Reader, data=(inputs[:200, ::4], targets[:200]), loss=F.cross_entropy, metric=tw.accuracy,
                 dtype=torch.float64)
"""

NETS = {
    "activation": {"activation": activation.leaky_relu(0.2)},
    "all": {
        "activation": activation.gelu(), "norm": norm.batch(), "dropout": dropout.gaussian(0.2),
        "init": init.he_normal(), "penalty": penalty.elastic_net(1e-3), "loss": loss.hinge(),
        "stop": stop.patience(2),
    },
    "others": {
        "norm": norm.rms(), "dropout": dropout.dropout_scaled_at_test(0.3), "init": init.sparse(),
        "penalty": penalty.max_norm(0.7), "loss": loss.trimmed(0.1), "average": tw.average.ema(0.8),
        "stop": stop.patience(1), "freeze": "conv.*",
    },
    "looked at": {
        "dropout": dropout.dropout(0.2), "init": init.lsuv(), "loss": loss.cross_entropy(smoothing=0.1),
        "penalty": penalty.l1(1e-3), "wrapper": tw.wrapper.sam(0.05), "stop": stop.never(),
    },
    "pruned": {
        "prune": prune.snip(keep=0.3), "init": init.he_normal(), "wrapper": tw.wrapper.sam(0.05),
        "gradient": tw.gradient.clip_norm(0.5), "average": tw.average.ema(0.9),
    },
    "pruned, evaluated elsewhere": {"prune": prune.random(keep=0.5), "optimizer": tw.optim.schedule_free_sgd(lr=0.1)},
    "group": {"norm": norm.group(2), "activation": activation.softplus(), "accumulate": 2},
}  # fmt: skip
READERS = {
    "words": {"dropout": dropout.embedding(0.2), "init": init.orthogonal()},
    "steps": {"dropout": dropout.rnn(0.25), "init": init.glorot_uniform(), "penalty": penalty.l2(1e-3)},
}


@pytest.mark.parametrize(("name", "some"), [("net", NETS), ("reader", READERS)])
def test_the_script_trains_to_the_studys_weights(name, some, tmp_path):
    """In float64, to 1e-8; with what there is of each role, hidden in modules and in functions, shared and frozen.

    By momentum, which does not divide by the size of a gradient that is rounding, as a bias's before a norm is.
    """
    recipes = {
        key: tw.Recipe(**{"optimizer": tw.optim.momentum(lr=0.05), "epochs": 4, **roles})
        for key, roles in some.items()
    }
    assert_same_weights(load(name, tmp_path), recipes, tmp_path)


def load(name, folder):
    (folder / "nets.py").write_text(NET)
    return tw.load_task(f"{folder}/nets.py:{name}")


EVERY = [
    *(("net", "activation", name) for name in activation.CATALOGUE),
    *(("net", "norm", name) for name in norm.CATALOGUE if name not in ("removed", "instance", "group")),
    ("places", "norm", "batch"),
    ("frozen", "norm", "layer"),
    ("frozen", "norm", "batch"),
    *(("pictures", "norm", name) for name in ("instance", "rms", "group")),
    *(("net", "dropout", name) for name in ("dropout", "dropout_scaled_at_test", "gaussian", "spatial", "mc")),
    *(("reader", "dropout", name) for name in ("rnn", "embedding")),
    *(("reader", "init", name) for name in init.CATALOGUE if name not in ("fixup", "dirac", "identity")),
    *(("net", "init", name) for name in ("dirac", "identity", "lsuv", "he_uniform")),
]


@pytest.mark.parametrize(("name", "role", "technique"), EVERY)
def test_every_techniques_model_in_a_script_is_the_studys(name, role, technique, tmp_path):
    """Its first weights and what it computes, to the bit; those of dropout in evaluation."""
    task = load(name, tmp_path)
    values = {"groups": 2} if technique == "group" else {}
    recipe = tw.Recipe(**{role: CATALOGUES[role][technique](**values)}).resolved()
    asked = "class Key: ..." if role != "init" else source(tw.Key)
    script = "\n".join([
        text.IMPORTS, "class InputError(ValueError): ...", "SEED = 3", asked,
        *_keyed(), *functions(task, recipe, 3),
    ])  # fmt: skip
    scope = {}
    exec(script, scope)
    ours, inputs = model_of(task, recipe, 3).eval(), task.train.inputs
    model = task.model(3)
    if role == "init":
        scope["fill"](model, inputs[:256])
    else:
        model = scope["shaped"](model).to(task.dtype)
    assert model.state_dict().keys() == ours.state_dict().keys()
    assert all(torch.equal(x, ours.state_dict()[key]) for key, x in model.state_dict().items())
    assert torch.equal(model.eval()(inputs), ours(inputs))
    trained = [{key for key, p in one.named_parameters() if p.requires_grad} for one in (model, ours)]
    assert trained[0] == trained[1]
    assert (len(trained[0]) < len(dict(ours.named_parameters()))) == (name == "frozen")
