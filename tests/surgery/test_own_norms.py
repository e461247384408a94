"""Norms that a model has already: written by hand, over other axes, or at a place that is passed several times."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg import norm, surgery
from thalweg.errors import InputError

X = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0))


class OwnLayerNorm(nn.Module):
    """As in nanoGPT."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class OwnBatchNorm(nn.Module):
    """Of channels, and shorter than torch's."""

    def forward(self, x):
        return F.batch_norm(x, None, None, training=True)


class Scaled(nn.Module):
    """A norm, and more than a norm."""

    def forward(self, x):
        return 2 * F.layer_norm(x, x.shape[-1:])


class ChannelsFirst(nn.LayerNorm):
    """As in torchvision's ConvNeXt."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.fc = OwnLayerNorm(8), nn.Linear(8, 8)

    def forward(self, x):
        return x + F.relu(self.fc(self.norm(x)))


class Net(nn.Module):
    """Blocks with norms written by hand, and a head that calls one as a function."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.more, self.head = Scaled(), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(F.layer_norm(self.more(self.blocks(x)), (8,)))


def of(operation):
    return {(change.where, change.before, change.after) for change in operation.changes}


LEFT = ("F.layer_norm in more: Scaled calls it itself", "F.layer_norm in the model: Net calls it itself")


def test_a_module_that_is_a_norm_and_nothing_else_is_replaced_and_taken_out():
    net = Net()
    found = surgery.operate(net, X, norm=norm.rms())
    norms = {(f"blocks.{i}.norm", "OwnLayerNorm", "rms") for i in (0, 1)}
    assert of(found) == norms | {("blocks.0.fc", "", "rms"), ("blocks.1.fc", "", "rms")}
    assert found.left == LEFT
    block = found.model.blocks[0]
    assert isinstance(block.norm, nn.RMSNorm)
    assert block.norm.normalized_shape == (8,)
    x = F.rms_norm(X, (8,))
    torch.testing.assert_close(
        block(X), X + F.relu(F.rms_norm(F.linear(x, net.blocks[0].fc.weight, net.blocks[0].fc.bias), (8,)))
    )
    found = surgery.operate(net, X, norm=norm.removed())
    assert {change.where for change in found.changes} == {"blocks.0.norm", "blocks.1.norm"}
    assert found.left == LEFT
    torch.testing.assert_close(found.model.blocks[0](X), X + F.relu(net.blocks[0].fc(X)))


def test_one_of_channels_gets_the_features_of_channels():
    net = nn.Sequential(nn.Conv1d(3, 4, 3), OwnBatchNorm(), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2))
    found = surgery.operate(net, X, norm=norm.group(groups=2))
    assert of(found) == {("1", "OwnBatchNorm", "group")}
    assert found.model[1].num_channels == 4


@pytest.mark.parametrize("own", [ChannelsFirst(4), nn.LayerNorm((4, 6))], ids=["turned", "whole examples"])
def test_a_layer_norm_over_other_axes_than_the_last_is_replaced_by_one_of_channels(own):
    net = nn.Sequential(nn.Conv1d(3, 4, 3), own, nn.ReLU(), nn.Flatten(), nn.Linear(24, 2))
    made = surgery.operate(net, X, norm=norm.group(groups=2)).model
    assert isinstance(made[1], nn.GroupNorm)
    assert made[1].num_channels == 4


def test_where_nothing_can_be_done_all_that_stands_in_the_way_is_named():
    net = nn.Sequential(nn.Linear(8, 6), Scaled(), nn.Linear(6, 2))
    with pytest.raises(InputError, match=r"^norm: nothing can be done; F.layer_norm in 1: Scaled calls it itself"):
        surgery.operate(net, X[:, 0], norm=norm.removed())


class Thrice(nn.Module):
    def __init__(self, own):
        super().__init__()
        self.layer, self.norm, self.out = nn.Linear(8, 8), own, nn.Linear(8, 2)

    def forward(self, x):
        for _ in range(3):
            x = torch.relu(self.norm(self.layer(x)))
        return self.out(x)


@pytest.mark.parametrize("own", [nn.LayerNorm(8), OwnLayerNorm(8), nn.Identity()], ids=["torch's", "own", "none"])
@pytest.mark.parametrize("kind", [norm.batch(), norm.batch_cumulative()], ids=str)
def test_statistics_of_several_calls_are_not_mixed(own, kind):
    where = "layer" if isinstance(own, nn.Identity) else "norm"
    with pytest.raises(
        InputError, match=f"{where} is called 3 times in a forward pass, and one batch norm would mix"
    ):
        surgery.operate(Thrice(own), X[:, 0], norm=kind)


def test_norms_without_statistics_may_be_called_several_times_and_so_may_what_was_batch_norm():
    for kind in (norm.batch_untracked(), norm.layer(), norm.rms()):
        assert surgery.operate(Thrice(nn.LayerNorm(8)), X[:, 0], norm=kind).changes[0].where == "norm"
    found = surgery.operate(Thrice(nn.BatchNorm1d(8)), X[:, 0], norm=norm.batch_cumulative())
    assert found.model.norm.momentum is None


class WrittenRMSNorm(nn.Module):
    """As in Llama."""

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def test_norms_that_are_written_out_stay_and_are_named():
    net = nn.Sequential(WrittenRMSNorm(), nn.Linear(8, 6), nn.ReLU(), WrittenRMSNorm(), nn.Linear(6, 2))
    left = "0 and 1 more: WrittenRMSNorm calls no norm of torch's, and stays"
    found = surgery.operate(net, X[:, 0], norm=norm.layer())
    assert of(found) == {("1", "", "layer")}
    assert found.left == (left,)
    with pytest.raises(InputError, match=f"^norm: nothing can be done; {left}$"):
        surgery.operate(net, X[:, 0], norm=norm.removed())
    nn.utils.parametrizations.weight_norm(net[4])
    assert surgery.operate(net, X[:, 0], norm=norm.layer()).left == (left,)


@pytest.mark.parametrize(("x", "kind"), [(X[:, None], norm.rms()), (X, norm.batch()), (X[:, 0], norm.layer())])
def test_what_surgery_put_behind_a_layer_is_replaced_and_taken_out_as_one(x, kind):
    """Norms of channels' mean squares and of places are modules of this library, with torch's inside them."""
    first = nn.Conv2d(1, 4, 3) if x.dim() == 4 else nn.Linear(8, 4)
    net = nn.Sequential(first, nn.ReLU(), nn.Linear(first(x).shape[-1], 2))
    once = surgery.operate(net, x, norm=kind).model
    again = surgery.operate(once, x, norm=norm.batch_untracked())
    assert [(c.where, c.before, c.after) for c in again.changes] == [
        ("0", type(once[0].behind).__name__, "batch_untracked")
    ]
    assert again.left == ()
    expected = surgery.operate(net, x, norm=norm.batch_untracked()).model
    assert torch.equal(again.model(x), expected(x))
    out = surgery.operate(once, x, norm=norm.removed())
    assert [(c.where, c.after) for c in out.changes] == [("0.behind", "nothing")]
    assert torch.equal(out.model(x), net(x))
    once.forward = lambda x: x  # so that nothing is called
    with pytest.raises(
        InputError, match=r"^norm: nothing can be done; norm behind 0: this forward pass did not call"
    ):
        surgery.operate(once, x, norm=norm.layer())
