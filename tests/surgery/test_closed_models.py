"""Models that torch closed, or computes weights of, are refused in a sentence that names the part and the cure."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import Key, activation, dropout, init, norm, prune, surgery
from thalweg.errors import InputError

X, T = torch.randn(6, 4), torch.tensor([0, 1, 0, 1, 0, 1])

pytestmark = pytest.mark.filterwarnings("ignore:.*(torch.jit|weight_norm)")


def net(first):
    return nn.Sequential(first, nn.ReLU(), nn.Linear(8, 2))


def used(model):
    model(X)
    return model


SCRIPTED = r"{} is a torch.jit.ScriptModule.*give the module that it was made of"
MODELS = {
    "scripted": (lambda: torch.jit.script(net(nn.Linear(4, 8))), SCRIPTED.format("the model")),
    "scripted layer": (lambda: net(torch.jit.script(nn.Linear(4, 8))), SCRIPTED.format("0")),
    "weight norm": (
        lambda: net(nn.utils.weight_norm(nn.Linear(4, 8))),
        "0.weight is computed before each pass.*take torch.nn.utils.parametrizations.weight_norm",
    ),
    "spectral norm": (
        lambda: used(net(nn.utils.spectral_norm(nn.Linear(4, 8)))),
        "0.weight is computed before each pass.*take torch.nn.utils.parametrizations.spectral_norm",
    ),
    "torch's pruning": (
        lambda: net(nn.utils.prune.l1_unstructured(nn.Linear(4, 8), "weight", 0.5)),
        "0.weight is computed before each pass.*call torch.nn.utils.prune.remove first",
    ),
}
PARTS = [{"norm": norm.layer()}, {"activation": activation.silu()}, {"dropout": dropout.dropout()}]


@pytest.mark.parametrize(("make", "message"), MODELS.values(), ids=MODELS)
def test_surgery_and_pruning_name_the_part(make, message):
    for part in PARTS:
        with pytest.raises(InputError, match=f"^{next(iter(part))}: {message}"):
            surgery.operate(make(), X, **part)
    for technique in prune.CATALOGUE.values():
        with pytest.raises(InputError, match=f"^{technique.name}: {message}"):
            technique().masks(make(), 0.5, batch=(X, T), loss=F.cross_entropy, key=Key(0))
    for hold in (prune.held, prune.smaller):
        with pytest.raises(InputError, match=message):
            hold(make(), {"2.weight": torch.ones(2, 8, dtype=torch.bool)})


def test_other_layers_are_filled_beside_a_scripted_one():
    for way in (init.he_normal(), init.lsuv(), init.glorot_uniform()):
        model = net(torch.jit.script(nn.Linear(4, 8)))
        before = model[2].weight.clone()
        way.apply(model, Key(0), X)
        assert not torch.equal(model[2].weight, before)


def test_a_model_that_keeps_what_it_computed_is_refused_too():
    class Keeping(nn.Sequential):
        def forward(self, x):
            self.kept = super().forward(x)
            return self.kept

    model = used(Keeping(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    with pytest.raises(InputError, match=r"norm: Keeping cannot be copied: Only Tensors created"):
        surgery.operate(model, X, norm=norm.layer())
