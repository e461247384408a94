"""Smaller models: of the same outputs, with fewer units, in models of many forms."""

import copy
import io
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import Key, optim, prune
from thalweg.errors import InputError

# That a layer is lost whole is said, and shown by a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.* leaves nothing of")


class Functional(nn.Module):
    """As people write them: functions in forward, a view with the batch's size, convolutions that pad."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 24, 3)
        self.conv3 = nn.Conv2d(24, 20, 3, padding="same", padding_mode="circular", bias=False)
        self.bn3 = nn.BatchNorm2d(20)
        self.fc1 = nn.Linear(20 * 9, 40)
        self.fc2 = nn.Linear(40, 5, bias=False)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        x = self.conv3(x)
        x = self.bn3(x).sigmoid()
        x = x.view(x.size(0), -1)
        x = self.fc1(x)
        x = x * torch.sigmoid(x)
        return self.fc2(F.dropout(x, 0.5, self.training))


def layered(*layers):
    return lambda: nn.Sequential(*[make() for make in layers])


def conv(*a, **k):
    return lambda: nn.Conv2d(*a, **k)


def lin(*a, **k):
    return lambda: nn.Linear(*a, **k)


MODELS = {
    "mlp": (layered(lin(12, 30), nn.ReLU, lin(30, 20), nn.Tanh, nn.Dropout, lin(20, 4)), (12,)),
    "mlp, norms": (
        layered(lin(12, 30, bias=False), lambda: nn.BatchNorm1d(30), nn.GELU, lin(30, 20), lambda: nn.BatchNorm1d(20),
                lambda: nn.PReLU(init=0.3), lin(20, 4, bias=False)), (12,),
    ),
    "sequences": (layered(lin(12, 30), nn.SiLU, lin(30, 20), nn.Softplus, lin(20, 4)), (7, 12)),
    "cnn": (
        layered(conv(3, 16, 3), nn.ReLU, lambda: nn.MaxPool2d(2), conv(16, 12, 2), nn.ELU, nn.Flatten, lin(48, 10),
                nn.ReLU, lin(10, 4)), (3, 8, 8),
    ),
    "cnn, global pooling": (
        layered(conv(3, 16, 3, padding=1), lambda: nn.BatchNorm2d(16), nn.ReLU, conv(16, 12, 3), nn.Sigmoid,
                lambda: nn.AdaptiveAvgPool2d(1), nn.Flatten, lin(12, 4)), (3, 8, 8),
    ),
    "cnn, border averaged": (
        layered(conv(3, 16, 3), nn.Sigmoid, lambda: nn.AvgPool2d(2, padding=1), conv(16, 12, 2), nn.ReLU, nn.Flatten,
                lin(108, 4)), (3, 8, 8),
    ),
    "sound": (
        layered(lambda: nn.Conv1d(3, 16, 3), nn.ReLU, lambda: nn.Conv1d(16, 8, 3, stride=2), nn.ReLU, nn.Flatten,
                lin(24, 4)), (3, 9),
    ),
    "functional": (Functional, (3, 8, 8)),
}  # fmt: skip


def trained(make, shape):
    """Return a model in float64 whose batch norms and biases are not those of the beginning."""
    torch.manual_seed(0)
    net = make().double()
    for name, p in net.named_parameters():
        if p.dim() == 1:
            nn.init.normal_(p, mean=1.0 if "bn" in name else 0.0, std=0.5)
    for _ in range(3):
        net(2 * torch.randn(16, *shape, dtype=torch.float64))
    return net.eval()


def masked(net, masks):
    other = copy.deepcopy(net)
    prune.held(other, masks).remove()
    return other


def size(net):
    return sum(p.numel() for p in net.parameters())


HOW = [prune.unit_magnitude(), prune.magnitude(), prune.random()]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("how", HOW, ids=lambda how: how.name)
@pytest.mark.parametrize("keep", [0.5, 0.1, 0.02])
def test_the_outputs_are_those_of_the_masked_model(name, how, keep):
    make, shape = MODELS[name]
    net = trained(make, shape)
    masks = how.masks(net, keep, key=Key(0))
    before = copy.deepcopy(net.state_dict())
    found = prune.smaller(net, masks)
    x = 2 * torch.randn(9, *shape, dtype=torch.float64)
    torch.testing.assert_close(found.model(x), masked(net, masks)(x), rtol=1e-11, atol=1e-12)
    assert size(found.model) <= size(net)
    assert all(torch.equal(value, before[n]) for n, value in net.state_dict().items())
    if how.name == "unit_magnitude":
        assert not found.left
        assert size(found.model) < (keep + 0.25) * size(net)


@pytest.mark.parametrize("name", MODELS)
def test_with_whole_units_gone_it_trains_as_the_masked_model_does(name):
    """Nothing is put into biases where nobody takes a unit, so that batch norms see the same in training."""
    make, shape = MODELS[name]
    net = trained(make, shape)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    masks = prune.unit_magnitude().masks(net, 0.4)
    found = prune.smaller(net, masks)
    whole = copy.deepcopy(net)
    prune.held(whole, masks)
    prune.held(found.model, found.masks)
    small = found.model
    for m in (whole, small):
        m.train(name != "functional")  # which asks for dropout by itself
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9) for m in (whole, small)]
    for step in range(5):
        x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        for m, optimizer in zip((whole, small), optimizers, strict=True):
            optimizer.zero_grad()
            m(x).square().mean().backward()
            optimizer.step()
    x = torch.randn(8, *shape, dtype=torch.float64)
    torch.testing.assert_close(small.eval()(x), whole.eval()(x), rtol=1e-9, atol=1e-10)


def test_what_units_give_to_nobody_takes_others_along():
    """A unit whose only taker is gone is gone too, and so is one that takes from nobody but such."""
    net = nn.Sequential(
        nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 1)
    )
    masks = {
        "0.weight": torch.ones(3, 2, dtype=torch.bool),
        "2.weight": torch.tensor([[True, True, False], [False, False, True]]),
        "4.weight": torch.tensor([[True, False]]),
    }
    found = prune.smaller(net, masks)
    assert found.units == {"0": (3, 2), "2": (2, 1)}
    masks["4.weight"] = torch.tensor([[True, True]])
    masks["0.weight"][2] = False
    assert prune.smaller(net, masks).units == {"0": (3, 2), "2": (2, 1)}


def test_a_constant_unit_is_in_the_biases_of_its_takers():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 3, bias=False)).double()
    masks = {"0.weight": torch.tensor([[True, True], [False, False]])}
    found = prune.smaller(net, masks)
    assert found.units == {"0": (2, 1)}
    expected = net[2].weight[:, 1] * net[0].bias[1].sigmoid()
    torch.testing.assert_close(found.model[2].bias, expected)
    x = torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(found.model(x), masked(net, masks)(x))


def test_where_zeros_are_padded_a_constant_unit_stays_and_is_named():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 2, 3, padding=1)).double()
    masks = {"0.weight": torch.ones(4, 1, 3, 3, dtype=torch.bool)}
    masks["0.weight"][1:3] = False
    found = prune.smaller(net, masks)
    assert found.units == {}
    assert found.left == {"0": "2 of its units are constants that zero padding would cut at the border"}
    net[1] = nn.ReLU()
    with torch.no_grad():
        net[0].bias[1], net[0].bias[2] = -1.0, 1.0
    found = prune.smaller(net, masks)
    assert found.units == {"0": (4, 3)}  # the one that ReLU makes 0 can go
    assert found.left == {"0": "1 of its units are constants that zero padding would cut at the border"}
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(found.model(x), masked(net, masks)(x))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 10), nn.Linear(10, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(x + self.b(torch.relu(self.a(x))))


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 6, 3), nn.Linear(6 * 16, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).view(-1, 96))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 10), nn.Linear(10, 3)

    def forward(self, x):
        return self.b(self.a(x)) if x.sum() > 0 else self.b(-self.a(x))


class Reading(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 10), nn.Linear(10, 3)

    def forward(self, x):
        return self.b(self.a(x)) + self.a.weight.square().sum()


class Attended(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 10), nn.LayerNorm(10), nn.Linear(10, 3)

    def forward(self, x):
        return self.b(self.norm(self.a(x)))


class Joined(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(8, 3)

    def forward(self, x):
        return self.c(torch.cat([self.a(x), self.b(x)], 1))


class Depthwise(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(24, 3))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(self.a(torch.relu(self.a(x))))


CANNOT = [
    (Residual, (6,), "b", "they meet others in add"),
    (Fixed, (1, 6, 6), "conv", "they go into view"),
    (
        Branching,
        (6,),
        "a",
        "the forward of Branching cannot be followed: symbolically traced variables cannot be used",
    ),
    (Reading, (6,), "a", "its parameters are read by themselves"),
    (Attended, (6,), "a", r"they go into norm \(LayerNorm\)"),
    (Joined, (6,), "a", "they go into cat"),
    (Depthwise, (1, 6, 6), "0", "they go into 1, and it is a convolution in groups"),
    (Twice, (6,), "a", "it is called more than once"),
    (lambda: nn.Sequential(nn.Linear(6, 3)), (6,), "0", "they are the model's output"),
]


@pytest.mark.parametrize(("make", "shape", "layer", "why"), CANNOT, ids=[why for *_, why in CANNOT])
def test_what_cannot_be_told_is_left_and_named(make, shape, layer, why):
    """Though its units take nothing; and the model is as before where it was masked."""
    torch.manual_seed(0)
    net = make().double()
    masks = {f"{layer}.weight": torch.ones_like(net.get_submodule(layer).weight, dtype=torch.bool)}
    masks[f"{layer}.weight"][:2] = False
    found = prune.smaller(net, masks)
    assert re.search(f"2 of its units take nothing, but {why}", found.left[layer])
    assert re.search(f"{layer}: stays as it is; 2 of its units", str(found))
    assert layer not in found.units
    x = torch.randn(4, *shape, dtype=torch.float64)
    torch.testing.assert_close(found.model(x), masked(net, masks)(x))


def test_a_residual_networks_inner_layer_can_go():
    torch.manual_seed(0)
    net = Residual().double()
    masks = prune.unit_magnitude().masks(net, 0.3)
    found = prune.smaller(net, masks)
    assert found.units == {"a": (10, 3)}
    x = torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(found.model(x), masked(net, masks)(x))


def test_units_that_cannot_be_told_are_not_pruned():
    """Where there are none that can, by name."""
    with pytest.raises(
        InputError, match=r"unit_magnitude can take no units out of Joined; the units of a\.weight: they"
    ):
        prune.unit_magnitude().masks(Joined(), 0.5)
    with pytest.raises(InputError, match="its weights are in no linear layer and no convolution"):
        prune.unit_magnitude().masks(nn.LSTM(3, 4), 0.5)


def test_it_is_a_module_like_any():
    """Saved, loaded, copied, exported, and trained on with what is left of its masks."""
    make, shape = MODELS["cnn"]
    net = trained(make, shape)
    masks = prune.unit_magnitude().masks(net, 0.3, scope="layer")
    found = prune.smaller(net, masks)
    x = torch.randn(4, *shape, dtype=torch.float64)
    small = found.model
    file = io.BytesIO()
    torch.save(small, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    again = copy.deepcopy(small)
    again.load_state_dict(loaded.state_dict())
    assert torch.equal(again(x), small(x))
    torch.testing.assert_close(torch.export.export(small, (x,)).module()(x), small(x))
    assert {name: mask.shape for name, mask in found.masks.items()} == {
        name: small.get_parameter(name).shape for name in masks
    }
    assert isinstance(small[0], nn.Conv2d)
    assert (small[0].out_channels, small[3].in_channels) == (5, 5)
    with prune.held(small, found.masks):
        optimizer = optim.Adam(small.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            small(x).square().mean().backward()
            optimizer.step()


def test_frozen_parameters_modes_and_held_models():
    make, shape = MODELS["mlp, norms"]
    net = trained(make, shape).train()
    net[3].requires_grad_(False)
    net[1].eval()
    masks = prune.magnitude().masks(net, 0.05)
    prune.held(net, masks)
    found = prune.smaller(net, masks)
    assert [m.training for m in found.model.modules()] == [m.training for m in net.modules()]
    assert not found.model[3].weight.requires_grad
    assert found.model[0].weight.requires_grad
    x = torch.randn(4, *shape, dtype=torch.float64)
    torch.testing.assert_close(found.model.eval()(x), net.eval()(x))


def test_a_layer_keeps_a_unit_at_least():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    nothing = {"0.weight": torch.zeros(4, 3, dtype=torch.bool), "2.weight": torch.zeros(2, 4, dtype=torch.bool)}
    found = prune.smaller(net, nothing)
    assert found.units == {"0": (4, 1)}
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(found.model(x), masked(net, nothing)(x))
    constant = {"0.weight": torch.zeros(4, 3, dtype=torch.bool)}
    found = prune.smaller(net, constant)
    assert found.units == {"0": (4, 1)}
    torch.testing.assert_close(found.model(x), masked(net, constant)(x))
    assert str(prune.smaller(net, {})) == "nothing to take out: every unit is of use"


def test_masks_that_do_not_fit_are_refused():
    net = nn.Linear(3, 4)
    with pytest.raises(InputError, match=r"the mask of weight for smaller has the shape \(3, 4\), not \(4, 3\)"):
        prune.smaller(net, {"weight": torch.ones(3, 4, dtype=torch.bool)})
