"""Layer-sequential unit variance."""

import copy

import pytest
import torch
from torch import nn

from thalweg import init
from thalweg.errors import InputError


class Net(nn.Module):
    """Layers that are not called in the order in which they stand, a branch, a norm and dropout."""

    def __init__(self):
        super().__init__()
        self.last, self.norm, self.drop = nn.Linear(12, 4), nn.BatchNorm2d(8), nn.Dropout(0.5)
        self.side, self.first, self.unused = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(3, 8, 3), nn.Linear(3, 3)
        self.middle = nn.Linear(8, 12)

    def forward(self, x):
        x = torch.sigmoid(self.norm(self.first(x)))
        x = (x + torch.tanh(self.side(x))).mean((2, 3))
        return self.last(self.drop(torch.relu(self.middle(x))))


def inputs(seed=0):
    return 3 + 5 * torch.randn(32, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def variances(net, x):
    """Return the variance of what each layer puts out in evaluation, by name."""
    found, names = (
        {},
        {layer: name for name, layer in net.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)},
    )

    def note(layer, inputs, output):
        found[names[layer]] = output.var(correction=0).item()

    hooks = [layer.register_forward_hook(note) for layer in names]
    net.eval()(x)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("tolerance", [0.1, 0.001])
def test_every_layer_puts_out_variance_1_for_the_batch(tolerance):
    net = Net().train()
    found = init.lsuv(tolerance=tolerance).apply(net, 0, batch=inputs())
    assert net.training
    measured = variances(net, inputs())
    assert set(measured) == {"first", "side", "middle", "last"}
    assert all(abs(value - 1) < tolerance for value in measured.values())
    assert found.left == ("unused.weight: the batch's forward pass does not call it; it is not rescaled",)


def test_rows_stay_orthogonal():
    net = Net()
    init.lsuv().apply(net, 0, batch=inputs())
    for layer in (net.first, net.side, net.middle, net.last):
        matrix = layer.weight.detach().double().flatten(1)
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        torch.testing.assert_close(gram, gram[0, 0] * torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-5)


def test_a_layer_that_is_called_several_times_counts_all_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            return self.layer(torch.relu(self.layer(x)))

    net, seen, x = Twice(), [], torch.randn(50, 6)
    init.lsuv(tolerance=0.01, passes=20).apply(net, 0, batch=x)
    net.layer.register_forward_hook(lambda module, inputs, output: seen.append(output.flatten()))
    net(x)
    assert torch.cat(seen).var(correction=0).item() == pytest.approx(1, abs=0.01)


def test_inputs_may_be_several():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x, y):
            return self.layer(x * y)

    x, y = torch.randn(9, 4), torch.randn(9, 4)
    nets = [Two(), Two()]
    init.lsuv().apply(nets[0], 0, batch=(x, y))
    init.lsuv().apply(nets[1], 0, batch={"y": y, "x": x})
    assert torch.equal(nets[0].layer.weight, nets[1].layer.weight)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(8, 3, 6, 6), "lsuv: first puts out numbers of variance 0, which no scale brings to 1"),
        (torch.full((8, 3, 6, 6), float("nan")), "lsuv: first puts out numbers of variance nan"),
        (torch.zeros(8, 2, 6, 6), "Net cannot take the batch: "),
    ],
)
def test_what_cannot_be_rescaled_is_refused_and_nothing_is_changed(batch, message):
    net = Net()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match=message) as error:
        init.lsuv().apply(net, 0, batch=batch)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())
