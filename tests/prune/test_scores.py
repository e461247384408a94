"""Scores against independent arithmetic, and torch's own pruning."""

import copy
import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torchs

from thalweg import Key, prune
from thalweg.errors import InputError

# That a layer is lost whole is said, and shown by a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.* leaves nothing of")


def network(*widths, seed=0):
    torch.manual_seed(seed)
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def weights_of(net):
    return {name: p for name, p in net.named_parameters() if p.dim() > 1}


@pytest.mark.parametrize("keep", [0.8, 0.25, 0.03])
def test_magnitude_is_torchs(keep):
    ours, theirs = network(12, 30, 20, 4), network(12, 30, 20, 4)
    found = prune.magnitude().masks(ours, keep)
    parts = [(theirs[i], "weight") for i in (0, 2, 4)]
    total = sum(p.numel() for p in weights_of(ours).values())
    torchs.global_unstructured(parts, torchs.L1Unstructured, amount=total - round(keep * total))
    for i in (0, 2, 4):
        assert torch.equal(found[f"{i}.weight"], theirs[i].weight_mask.bool())
    by_layer = prune.magnitude().masks(ours, keep, scope="layer")
    for i in (0, 2, 4):
        alone = network(12, 30, 20, 4)[i]
        torchs.l1_unstructured(alone, "weight", amount=alone.weight.numel() - round(keep * alone.weight.numel()))
        assert torch.equal(by_layer[f"{i}.weight"], alone.weight_mask.bool())


def test_units_are_those_of_torchs_ln_structured():
    net = network(12, 30, 20, 4)
    found = prune.unit_magnitude().masks(net, 0.5, scope="layer")
    for i, units in ((0, 15), (2, 10)):
        alone = network(12, 30, 20, 4)[i]
        torchs.ln_structured(alone, "weight", amount=units, n=2, dim=0)
        rows = alone.weight_mask.bool().any(1)
        assert torch.equal(found[f"{i}.weight"].any(1), rows)
        assert torch.equal(found[f"{i + 2}.weight"].any(0), rows)  # nobody takes what is gone
    assert found["4.weight"].any(1).all()  # the output keeps its units


def test_snip_is_the_loss_slope_in_each_weights_share():
    """∂L/∂c at c = 1, where each weight is multiplied by its own c: by differences, in float64."""
    net = network(5, 6, 3).double()
    x, y = torch.randn(20, 5, dtype=torch.float64), torch.arange(20) % 3
    slopes = {}
    for name, p in weights_of(net).items():
        slopes[name] = torch.zeros_like(p)
        for place in range(p.numel()):
            ends = []
            for c in (1 + 1e-5, 1 - 1e-5):
                other = copy.deepcopy(net)
                other.get_parameter(name).data.view(-1)[place] *= c
                ends.append(F.cross_entropy(other(x), y).item())
            slopes[name].view(-1)[place] = abs(ends[0] - ends[1]) / 2e-5
    found = prune.snip().masks(net, 0.4, batch=(x, y), loss=F.cross_entropy)
    kept = torch.cat([slopes[name][mask] for name, mask in found.items()])
    gone = torch.cat([slopes[name][~mask] for name, mask in found.items()])
    assert kept.min() > gone.max() - 1e-9


def test_snip_takes_sparse_gradients():
    words, y, found = torch.arange(24).view(8, 3) % 9, torch.arange(8) % 3, []
    for sparse in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Embedding(9, 4, sparse=sparse), nn.Flatten(), nn.Linear(12, 3))
        found.append(prune.snip().masks(net, 0.4, batch=(words, y), loss=F.cross_entropy))
    assert all(torch.equal(mask, found[1][name]) for name, mask in found[0].items())


def test_snip_looks_without_dropout_and_with_the_batchs_statistics():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double()
    dropping = nn.Sequential(plain[0], plain[1], plain[2], nn.Dropout(0.9), plain[3])
    with torch.no_grad():  # statistics that a model in evaluation mode would go by
        plain[1].running_var.copy_(torch.tensor([1e-4, 1e-4, 1.0, 1e4, 1e4, 1.0], dtype=torch.float64))
    plain.train()
    x, y = 5 + torch.randn(20, 5, dtype=torch.float64), torch.arange(20) % 3
    one = prune.snip().masks(plain, 0.4, batch=(x, y), loss=F.cross_entropy)
    dropping.eval()
    other = prune.snip().masks(dropping, 0.4, batch=(x, y), loss=F.cross_entropy)
    assert torch.equal(one["0.weight"], other["0.weight"])
    assert torch.equal(one["3.weight"], other["4.weight"])


def flow_by_hand(weights):
    """Return the scores of Tanaka et al. 2020, from R = 1ᵀ |W_L| … |W_1| 1, with no autograd."""
    scores = []
    for i, w in enumerate(weights):
        behind = torch.ones(weights[0].shape[1], dtype=torch.float64)
        for before in weights[:i]:
            behind = before.abs() @ behind
        ahead = torch.ones(weights[-1].shape[0], dtype=torch.float64)
        for after in reversed(weights[i + 1 :]):
            ahead = ahead @ after.abs()
        scores.append(ahead[:, None] * w.abs() * behind[None, :])
    return scores


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU])
@pytest.mark.parametrize("rounds", [1, 7])
def test_synflow_is_the_papers_whatever_the_activation(rounds, activation):
    net = network(8, 20, 15, 4)
    net[1], net[3] = activation(), activation()
    weights = [w.detach().double() for w in weights_of(net).values()]
    total = sum(w.numel() for w in weights)
    masks = [torch.ones_like(w) for w in weights]
    for i in range(1, rounds + 1):
        scores = torch.cat([s.flatten() for s in flow_by_hand([w * m for w, m in zip(weights, masks, strict=True)])])
        least = scores.sort(descending=True).values[round(0.05 ** (i / rounds) * total) - 1]
        masks = [s.double() for s in (scores >= least).split([w.numel() for w in weights])]
        masks = [m.view_as(w) for m, w in zip(masks, weights, strict=True)]
    found = prune.synflow(rounds).masks(net, 0.05, batch=torch.zeros(2, 8))
    for mask, expected in zip(found.values(), masks, strict=True):
        assert torch.equal(mask, expected.bool())


def test_synflow_asks_for_no_data():
    net = network(8, 20, 15, 4)
    one = prune.synflow(5).masks(net, 0.1, batch=torch.randn(3, 8))
    other = prune.synflow(5).masks(net, 0.1, batch=(torch.zeros(100, 8), None))
    assert all(torch.equal(mask, other[name]) for name, mask in one.items())


def test_synflow_keeps_every_layer_where_magnitude_and_snip_lose_one():
    """Layer collapse: Tanaka et al. 2020, section 4."""
    net = network(30, 100, 100, 100, 100, 5)
    with torch.no_grad():
        net[4].weight.mul_(0.1)
    x, y = torch.randn(50, 30), torch.arange(50) % 5
    kept = {
        how.name: min(int(m.sum()) for m in how.masks(net, 0.003, batch=(x, y), loss=F.cross_entropy).values())
        for how in (prune.magnitude(), prune.snip(), prune.synflow())
    }
    assert kept["synflow"] > 0
    assert kept["magnitude"] == kept["snip"] == 0


def test_synflow_takes_batch_norms_as_factors_and_biases_as_nothing():
    """As the model with each batch norm folded into the layer before it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Tanh(), nn.Flatten(), nn.Linear(80, 3))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([0.1, -2.0, 1.0, 3.0, 0.5]))
        net[1].running_var.copy_(torch.tensor([4.0, 0.1, 1.0, 2.0, 1.0]))
        net[1].running_mean.fill_(7.0)
        net[1].bias.fill_(-3.0)
    folded = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.Flatten(), nn.Linear(80, 3))
    factor = net[1].weight / (net[1].running_var + net[1].eps).sqrt()
    folded[0].weight.data = (net[0].weight * factor.view(-1, 1, 1, 1)).data
    folded[2].load_state_dict(net[4].state_dict())
    batch = torch.zeros(1, 2, 4, 4)
    one = prune.synflow(10).masks(net, 0.1, batch=batch)
    other = prune.synflow(10).masks(folded, 0.1, batch=batch)
    assert torch.equal(one["0.weight"], other["0.weight"])
    assert torch.equal(one["4.weight"], other["2.weight"])


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = nn.ModuleDict({"fc": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})

    def forward(self, x):
        return self.inside["norm"](self.inside["fc"](x))


class Gates(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(F.softmax(self.fc(x), 1))


@pytest.mark.parametrize(
    ("net", "batch", "message"),
    [
        (Gates(), torch.zeros(2, 4), r"and what enters head \(Linear\) is not linear"),
        (Attends(), torch.zeros(2, 4), r"inside\.norm \(LayerNorm\) is not linear"),
        (nn.Sequential(nn.Linear(4, 3), nn.Softmax(1), nn.Linear(3, 2)), torch.zeros(2, 4), r"1 \(Softmax\) is not"),
        (nn.LSTM(4, 3), torch.zeros(2, 5, 4), r"the model \(LSTM\) is not linear"),
        (nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2)), torch.zeros(2, 4, dtype=torch.long), "ones in place of"),
        (
            nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)), torch.zeros(2, 4),
            "1 keeps no statistics",
        ),
    ],
)  # fmt: skip
def test_synflow_refuses_by_name_what_is_not_linear(net, batch, message):
    with pytest.raises(InputError, match=f"synflow .*{message}"):
        prune.synflow().masks(net, 0.5, batch=batch)


def test_random_masks_are_as_likely_everywhere():
    net = network(40, 50, 4)
    often = sum(prune.random().masks(net, 0.3, key=Key(seed))["0.weight"].double() for seed in range(200)) / 200
    spread = (0.3 * 0.7 / 200) ** 0.5
    assert (often - 0.3).abs().max() < 5 * spread
    assert abs(often.std().item() - spread) < 0.1 * spread


def test_layers_of_one_shape_have_lots_of_their_own():
    net = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20))
    found = prune.random().masks(net, 0.3, key=Key(0), scope="layer")
    assert not torch.equal(found["0.weight"], found["1.weight"])
    one = torch.arange(400).view(20, 20) < 100
    control = prune.shuffled({"0.weight": one, "1.weight": one}, Key(0))
    assert not torch.equal(control["0.weight"], control["1.weight"])


def test_magnitude_of_a_model_with_many_inputs_and_odd_names():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("a-b", nn.Linear(3, 4))
            self.add_module("weight", nn.Linear(3, 4, bias=False))
            self.register_parameter("w[0]", nn.Parameter(torch.ones(4, 2)))
            self.register_buffer("stored", torch.ones(9, 9))

        def forward(self, x, y):
            return (getattr(self, "a-b")(x) + self.weight(y)) @ getattr(self, "w[0]")

    net = Two()
    batch = ((torch.randn(6, 3), torch.randn(6, 3)), torch.arange(6) % 2)
    for how in (prune.magnitude(), prune.snip(), prune.synflow(3)):
        found = how.masks(net, 0.5, batch=batch, loss=F.cross_entropy)
        assert list(found) == ["w[0]", "a-b.weight", "weight.weight"]
        assert sum(int(mask.sum()) for mask in found.values()) == 16
    assert list(prune.magnitude().masks(net, 0.5, names="w[0]")) == ["w[0]"]
    as_words = ({"x": batch[0][0], "y": batch[0][1]}, batch[1])
    one, other = (prune.snip().masks(net, 0.5, batch=b, loss=F.cross_entropy) for b in (batch, as_words))
    assert all(torch.equal(mask, other[name]) for name, mask in one.items())


def test_bfloat16_and_channels_last_are_no_matter():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(32, 2)).to(memory_format=torch.channels_last)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(32, 2))
    plain.load_state_dict(net.state_dict())
    one, other = (prune.magnitude().masks(m, 0.3) for m in (net, plain))
    assert all(torch.equal(mask, other[name]) for name, mask in one.items())
    short = prune.magnitude().masks(net.bfloat16(), 0.3)
    assert sum(int(mask.sum()) for mask in short.values()) == round(0.3 * (216 + 64))


class Tokens(nn.Module):
    """A class token and embeddings of places beside layers, as a vision transformer has them."""

    def __init__(self, **not_weights):
        super().__init__()
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.full((1, 6, 8), 0.01))
        self.places = nn.Parameter(torch.zeros(6, 8))
        self.embed, self.attend = nn.Linear(4, 8), nn.MultiheadAttention(8, 2, add_bias_kv=True)
        self.kernel, self.out = nn.Parameter(torch.ones(8, 8)), nn.Linear(8, 1)
        self.__dict__ |= not_weights


def test_what_is_added_to_each_example_is_no_weight():
    names = {"places", "kernel", "embed.weight", "attend.in_proj_weight", "attend.out_proj.weight", "out.weight"}
    assert set(prune.magnitude().masks(Tokens(), 0.5)) == names
    assert set(prune.magnitude().masks(Tokens(not_weights=("places",)), 0.5)) == names - {"places"}


def test_tied_weights_are_left_out_by_the_model_itself():
    net = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3), "c": nn.Linear(3, 3)})
    net["b"].weight = net["a"].weight
    net["a"].not_weights = ("weight",)
    assert set(prune.magnitude().masks(net, 0.5)) == {"c.weight"}


def test_a_layer_that_is_lost_whole_is_named_once():
    net = network(4, 5, 6)
    with torch.no_grad():
        net[0].weight.mul_(1e-3)
    with pytest.warns(UserWarning, match="^magnitude leaves nothing of 0.weight: what comes out there is the same"):
        masks = prune.magnitude().masks(net, 0.2)
    with warnings.catch_warnings(action="error"):
        prune.magnitude().masks(net, 0.5, among=masks)
        prune.magnitude().masks(net, 0.2, scope="layer")
