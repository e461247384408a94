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


def parametrized():
    return net(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 8)))


def test_parametrized_layers_are_named_where_nothing_else_can_be_done():
    message = "^norm: nothing can be done; 0: its weight is parametrized, and such a Linear gets nothing around it"
    with pytest.raises(InputError, match=message):
        surgery.operate(parametrized(), X, norm=norm.layer())
    nn.utils.parametrizations.weight_norm((model := parametrized())[2])
    for part, place in ((dropout.dropout(), 2), (dropout.variational(), 0)):
        with pytest.raises(InputError, match=f"^dropout: nothing can be done; {place}: its weight is parametrized"):
            surgery.operate(model, X, dropout=part)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"norm": "layer"}, r"norm takes a norm such as norm.layer\(\), not 'layer'"),
        ({"norm": activation.relu()}, r"norm takes a norm such as norm.layer\(\), not relu"),
        ({"activation": norm.layer}, r"activation takes an activation such as activation.relu\(\), not "),
        ({"dropout": 0.5}, r"dropout takes a dropout such as dropout.dropout\(\), not 0.5"),
        ({"dropout": 0.0}, r"dropout takes a dropout such as dropout.dropout\(\), not 0.0"),
    ],
)
def test_what_is_no_ingredient_of_the_role_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        surgery.operate(net(nn.Linear(4, 8)), X, **given)


def test_a_technique_stands_for_itself_with_its_own_hyperparameters():
    made = surgery.operate(net(nn.Linear(4, 8)), X, norm=norm.layer).model
    assert isinstance(made[0].behind, nn.LayerNorm)


def test_again_asks_for_a_model_of_the_same_kind_with_shapes():
    def lazy():
        return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2))

    model = lazy()
    operation = surgery.operate(model, X, norm=norm.layer())
    assert isinstance(model[0], nn.LazyLinear), "the original is untouched"
    with pytest.raises(InputError, match=r"^norm: 0 has no shape yet; pass a batch through the model first$"):
        operation.again(lazy())
    model(X)
    assert isinstance(operation.again(model)[0].behind, nn.LayerNorm)
    with pytest.raises(InputError, match=r"^norm: Linear has no 0, which the model has that was looked at"):
        operation.again(nn.Linear(4, 8))


def test_inputs_that_the_model_does_not_take_are_refused():
    with pytest.raises(InputError, match=r"^norm: Sequential does not take these inputs: mat1 and mat2"):
        surgery.operate(net(nn.Linear(4, 8)), X[:, :3], norm=norm.layer())
