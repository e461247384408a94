"""Surgery on modules that know nothing of it: what is found, what is left, and what the result is good for."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import activation, norm, surgery
from thalweg.errors import InputError


class Gated(nn.Module):
    """A residual block that calls its activations as functions, with a gate."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        y = self.conv2(F.relu(self.bn1(self.conv1(x))))
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        return F.relu(y + x)


class Odd(nn.Module):
    """Blocks, a shared activation, a frozen layer, a buffer, odd names, an output brought into a range."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.blocks = nn.ModuleDict({"a b": Gated(4), "ü": Gated(4)})
        act = nn.ELU()
        self.head = nn.Sequential(nn.Linear(4, 16), act, nn.Dropout(0.1), nn.Linear(16, 8), act)
        self.out = nn.Linear(8, 3)
        self.head[0].weight.requires_grad_(False)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        x = self.stem(x).relu()
        for block in self.blocks.values():
            x = block(x)
        return torch.tanh(self.out(self.head(x.mean((2, 3)) * self.scale)))


X = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def of(operation):
    return {(change.where, change.after) for change in operation.changes}


def test_activations_are_found_as_modules_and_as_functions_and_gates_stay():
    net = Odd()
    found = surgery.operate(net, X, activation=activation.softplus())
    assert of(found) == {
        ("", "softplus"), ("blocks.a b", "softplus"), ("blocks.ü", "softplus"), ("head.1", "softplus"),
    }  # fmt: skip
    assert found.left == (
        "sigmoid in blocks.a b: it is a gate",
        "sigmoid in blocks.ü: it is a gate",
        "tanh in the model: the model returns it",
    )
    assert found.model.head[1] is found.model.head[4], "what was shared is shared"

    def by_hand(x):
        m, soft = net.eval(), F.softplus
        x = soft(m.stem(x))
        for b in m.blocks.values():
            y = b.conv2(soft(b.bn1(b.conv1(x))))
            x = soft(y * torch.sigmoid(b.gate(y.mean((2, 3), keepdim=True))) + x)
        h = soft(m.head[3](soft(m.head[0](x.mean((2, 3)) * m.scale))))
        return torch.tanh(m.out(h))

    torch.testing.assert_close(found.model.eval()(X), by_hand(X))


def test_norms_are_replaced_and_put_where_a_layer_leads_to_an_activation():
    found = surgery.operate(Odd(), X, norm=norm.group(groups=2))
    assert of(found) == {
        ("stem", "group"), ("blocks.a b.bn1", "group"), ("blocks.ü.bn1", "group"), ("head.0", "group"),
        ("head.3", "group"),
    }  # fmt: skip
    net = found.model
    assert isinstance(net.blocks["ü"].bn1, nn.GroupNorm)
    x = net.stem(X)
    torch.testing.assert_close(x, F.group_norm(F.conv2d(X, net.stem.weight, net.stem.bias), 2))
    assert not isinstance(net.out, type(net.stem)), "nothing behind what is returned"


def test_norms_are_taken_out():
    found = surgery.operate(Odd(), X, norm=norm.removed())
    assert of(found) == {("blocks.a b.bn1", "nothing"), ("blocks.ü.bn1", "nothing")}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in found.model.modules())


def test_names_weights_and_the_original_stay():
    net = Odd()
    before = {name: x.clone() for name, x in net.state_dict().items()}
    text = repr(net)
    found = surgery.operate(net, X, activation=activation.gelu(), norm=norm.layer())
    assert repr(net) == text
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    after = found.model.state_dict()
    kept = {name for name in before if ".bn1." not in name}
    assert all(torch.equal(after[name], before[name]) for name in kept)
    frozen = {name for name, p in found.model.named_parameters() if not p.requires_grad}
    assert frozen == {"head.0.weight"}
    assert isinstance(found.model, Odd)
    assert isinstance(found.model.stem, nn.Conv2d)


class Half(nn.Module):
    """A frozen body, with a norm that has no weights of its own and activations of both kinds, and a head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), nn.ReLU(), nn.Linear(6, 6))
        self.body.requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))

    def forward(self, x):
        return self.head(F.relu(self.body(x)))


def test_what_is_put_into_a_frozen_part_is_frozen_with_it():
    """A norm behind a layer, and one in the place of one that had no weights; what is behind others is trained."""
    found = surgery.operate(Half(), torch.randn(8, 4), norm=norm.layer(), activation=activation.gelu())
    again = found.again(Half())
    for model in (found.model, again):
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert {"head.0.behind.weight", "head.0.weight"} < trained
        assert not any(name.startswith("body.") for name in trained)
        assert {"body.1.weight", "body.3.behind.weight"} < model.state_dict().keys()


def test_the_result_saves_loads_copies_and_exports(tmp_path):
    net = surgery.operate(Odd(), X, activation=activation.silu(), norm=norm.batch()).model
    net(X)  # running statistics move
    net.eval()
    expected = net(X)
    again = surgery.operate(Odd(), X, activation=activation.silu(), norm=norm.batch()).model
    torch.save(net.state_dict(), tmp_path / "net.pt")
    again.load_state_dict(torch.load(tmp_path / "net.pt"))
    for other in (again.eval(), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.testing.assert_close(other(X), expected, rtol=0, atol=0)
    program = torch.export.export(net, (X,))
    torch.testing.assert_close(program.module()(X), expected)
    loss = net.train()(X).square().sum()
    loss.backward()
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


def test_what_was_done_is_a_table():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    found = surgery.operate(net, torch.zeros(2, 4), activation=activation.tanh(), norm=norm.rms())
    assert str(found).splitlines() == [
        "module  before  after", "1       ReLU()  tanh", "0               rms",
    ]  # fmt: skip


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.out(torch.relu(self.layer(torch.relu(self.layer(x)))))


class Mine(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("net", "asked", "message"),
    [
        (nn.Linear(4, 2), {"activation": activation.relu()}, "the model calls no activation"),
        (
            nn.Sequential(nn.Linear(4, 2), nn.Tanh()),
            {"activation": activation.relu()},
            "done; tanh in 1: the model ret",
        ),
        (nn.Linear(4, 2), {"norm": norm.layer()}, "no linear or convolution layer that leads to an activation"),
        (nn.Linear(4, 2), {"norm": norm.removed()}, "the model has no norm to take out"),
        (Tied(), {"norm": norm.batch()}, "layer is called 2 times in a forward pass, and one batch norm would mix"),
        (
            nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)),
            {"norm": norm.group(groups=4)},
            "0: group.* does not",
        ),
        (nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 2)), {"norm": norm.layer()}, "0: .*one "),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(net, asked, message):
    width = next(iter(net.parameters())).shape[1]
    with pytest.raises(InputError, match=message):
        surgery.operate(net, torch.zeros(3, width), **asked)


def test_a_layer_called_twice_takes_a_norm_of_each_call():
    net = surgery.operate(Tied(), torch.zeros(3, 6), norm=norm.layer()).model
    assert isinstance(net.layer.behind, nn.LayerNorm)


def test_layers_of_ones_own_are_left_and_named():
    net = nn.Sequential(Mine(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    found = surgery.operate(net, torch.zeros(3, 4), norm=norm.layer())
    assert found.left == ("0: Mine is a layer of its own kind",)
    assert of(found) == {("2", "layer")}


def test_torchs_transformer_gets_other_activations_or_is_refused():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(InputError, match="is torch's TransformerEncoderLayer, which calls"):
        surgery.operate(layer, torch.randn(2, 5, 8), activation=activation.silu())
    found = surgery.operate(layer, torch.randn(2, 5, 8), norm=norm.rms())
    assert isinstance(found.model.norm1, nn.RMSNorm)


@pytest.mark.parametrize("kind", [norm.batch(), norm.group(2), norm.layer(), norm.rms()])
def test_a_norm_behind_a_linear_layer_at_each_place_of_a_sequence_takes_its_features(kind):
    """Also where a sequence is as long as there are features, so that the wrong axis would pass."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 4))
    made = surgery.operate(net, torch.randn(6, 4, 3), norm=kind).model.train()
    for place, features in (("0", 4), ("2", 4)):
        part = made.get_submodule(place)
        part = part.behind if place == "0" else part
        with torch.no_grad():
            x = torch.randn(6, 4, features) * 3 + 1
            expected = kind.module(features)(x.reshape(-1, features)).view(x.shape)
            assert torch.allclose(part(x), expected, atol=1e-6)
