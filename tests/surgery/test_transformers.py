"""Torch's transformers have a way of their own in evaluation; what surgery puts into them is there all the same."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from thalweg import activation, dropout, norm, surgery
from thalweg.errors import InputError

X = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0))
PADDED = torch.arange(5) >= torch.tensor([5, 4, 3, 5])[:, None]


def layer(**values):
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **values)


class Masked(nn.Module):
    """An encoder that knows which places are padding, and a head that looks at the first."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(layer(), 2, norm=nn.LayerNorm(8))
        self.hidden, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.encoder(x, src_key_padding_mask=PADDED.to(x.device))[:, 0]
        return self.head(torch.relu(self.hidden(x)))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.hidden, self.norm, self.head = nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x):
        x, _ = self.attention(x, x, x, need_weights=False)
        return self.head(torch.relu(self.norm(self.hidden(x))))


MODELS = {
    "layer": layer, "layer with a module": lambda: layer(activation=nn.ReLU()),
    "norm first": lambda: layer(norm_first=True, activation=nn.GELU()), "masked encoder": Masked,
    "attention": Attending,
    "encoder": lambda: nn.Sequential(nn.TransformerEncoder(layer(activation=nn.ReLU()), 2), nn.Linear(8, 3)),
}  # fmt: skip
PARTS = {f"norm {name}": {"norm": part()} for name, part in norm.CATALOGUE.items()}
PARTS |= {f"dropout {name}": {"dropout": part()} for name, part in dropout.CATALOGUE.items()}
PARTS |= {f"activation {name}": {"activation": part()} for name, part in activation.CATALOGUE.items()}
PARTS["all"] = {"norm": norm.layer(), "activation": activation.silu(), "dropout": dropout.dropout()}


def moved(model):
    """Return a model in evaluation, its parameters away from where a norm and its absence are much the same."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.3)
    return model.eval()


def tried(make, parts):
    """Return what surgery makes of a model, or why it does not."""
    try:
        return surgery.operate(make(), X, **parts).model, ""
    except InputError as error:
        return None, str(error)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_what_is_put_into_a_transformer_is_there_with_and_without_gradients(make):
    done = 0
    for name, parts in PARTS.items():
        operated, why = tried(make, parts)
        assert "no attribute" not in why, name
        if operated is None:
            continue
        done += 1
        net = moved(operated)
        torch.manual_seed(2)
        expected = net(X).detach()
        with torch.no_grad():
            torch.manual_seed(2)
            torch.testing.assert_close(net(X), expected, rtol=1e-4, atol=1e-5, msg=name)
    assert done >= len(norm.CATALOGUE) - 2


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_it_stays_so_in_copies_and_programs_and_stacks():
    operation = surgery.operate(layer(), X, norm=norm.batch())
    net = moved(operation.model)
    expected = net(X).detach()
    again = operation.again(layer()).eval()
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        for other in (
            again,
            copy.deepcopy(net),
            pickle.loads(pickle.dumps(net)),
            torch.export.export(net, (X,)).module(),
        ):
            torch.testing.assert_close(other(X), expected)
        params, buffers = stack_module_state([net, net])
        both = vmap(lambda p, b: functional_call(net, (p, b), (X,)))(params, buffers)
        torch.testing.assert_close(both[1], expected, rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for p in net.parameters())
    net(X).square().sum().backward()
    assert net.linear1.behind.norm.weight.grad.abs().sum() > 0


def test_a_transformer_in_which_nothing_is_changed_keeps_its_own_way():
    net = nn.Sequential(nn.TransformerEncoder(layer(), 2), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    made = surgery.operate(net, X, dropout=dropout.dropout()).model
    assert made[0].layers[0].activation_relu_or_gelu == 1
    assert made[0].use_nested_tensor
