"""Fixup, and the residual branches that it finds."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from thalweg import init
from thalweg.errors import InputError
from thalweg.init._branches import branches


class Block(nn.Module):
    """As in a residual network: a branch of two layers or more, and a projection where the width changes."""

    def __init__(self, inputs, outputs, depth=2, in_place=False):
        super().__init__()
        widths = [inputs, *[outputs] * depth]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.down = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None
        self.in_place = in_place

    def forward(self, x):
        y = x
        for i, conv in enumerate(self.convs):
            y = conv(y if i == 0 else F.relu(y))
        past = x if self.down is None else self.down(x)
        if self.in_place:
            y += past
            return F.relu(y)
        return F.relu(torch.add(y, past))


def residual(depth=2, blocks=3):
    rest = [Block(8, 8, depth, in_place=True) for _ in range(blocks - 1)]
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Block(4, 8, depth), *rest, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 10),
    )  # fmt: skip


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_branches_are_found_with_their_layers_and_their_ends(depth):
    """Of one layer beside a projection of one, it cannot be told which is the branch."""
    found = branches(residual(depth))
    blocks = (2, 3, 4) if depth > 1 else (3, 4)
    assert found.count == len(blocks)
    assert found.depths == {f"{i}.convs.{j}": depth for i in blocks for j in range(depth)}
    assert found.last == {*(f"{i}.convs.{depth - 1}" for i in blocks), "7"}


@pytest.mark.parametrize("depth", [2, 3])
def test_the_rules_of_the_paper(depth):
    """Last layers 0, the rest of a branch He's times L^(−1/(2m−2)), what is outside He's."""
    net = residual(depth)
    rows = {row.name: row for row in init.fixup().apply(net, 0).rows}
    plain = residual(depth)
    init.he_normal(gain=2**0.5).apply(plain, 0)
    for name, p in plain.named_parameters():
        mine = net.get_parameter(name)
        if name == "7.weight" or name.endswith(f"convs.{depth - 1}.weight"):
            assert not mine.any()
            assert rows[name].because == "last: 0"
        elif "convs" in name and "weight" in name:
            torch.testing.assert_close(mine, p * 3 ** (-1 / (2 * depth - 2)))
            assert rows[name].because == "in a branch"
        else:
            assert torch.equal(mine, p), name


def test_blocks_begin_as_what_goes_past_them():
    net = residual()
    init.fixup().apply(net, 0)
    x = torch.randn(4, 8, 5, 5).relu()
    torch.testing.assert_close(net[3](x), x)


class Written(nn.Module):
    """Transformer-like: norms first; a branch inside a branch; and what only looks like one."""

    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down, self.inner = (
            nn.LayerNorm(4), nn.Linear(4, 16), nn.Linear(16, 4), nn.Linear(16, 16),
        )  # fmt: skip
        self.left, self.right, self.shift = nn.Linear(4, 4), nn.Linear(4, 4), nn.Parameter(torch.zeros(4))

    def forward(self, x):
        x = self.left(x) + self.right(x)
        x = x + self.shift
        y = torch.tanh(self.up(self.norm(x)))
        y = y + self.inner(y)
        return x.add(self.down(y))


def test_only_what_went_past_a_layer_makes_a_branch():
    found = branches(Written())
    assert found.count == 2
    assert found.depths == {"inner": 1, "up": 2, "down": 2}
    assert found.last == {"inner", "down"}


class Opaque(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block(3, 3)

    def forward(self, x):
        return self.block(x) if x.sum() > 0 else x


def test_blocks_of_a_model_that_cannot_be_traced_are_found_too():
    found = branches(Opaque())
    assert (found.count, found.last) == (1, {"block.convs.1"})


@pytest.mark.parametrize(
    "net",
    [nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)), nn.TransformerEncoderLayer(8, 2)],
    ids=["mlp", "torch's"],
)
def test_a_model_without_any_is_refused_by_name(net):
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(InputError, match=f"fixup found no residual branches in {type(net).__name__}"):
        init.fixup().apply(net, 0)
    assert all(map(torch.equal, before, net.parameters()))


def test_a_deep_residual_network_without_norms_trains_with_fixup():
    """Fifty blocks: with He's values the loss begins beyond all bounds, with fixup's at log 10."""
    torch.manual_seed(0)
    x, y = torch.randn(16, 3, 4, 4), torch.randint(10, (16,))
    losses = {}
    for technique in (init.he_normal(), init.fixup()):
        net = residual(blocks=50)
        technique.apply(net, 0)
        losses[technique.name] = F.cross_entropy(net(x), y).item()
    assert losses["fixup"] == pytest.approx(torch.tensor(10.0).log().item(), rel=1e-5)
    assert losses["he_normal"] > 1e3
