"""Laws of initialisations: a new one is covered at once."""

import copy
import math

import pytest
import torch
from scipy import stats
from torch import nn

from thalweg import activation, init
from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.technique import Choice, LogUniform

TECHNIQUES = list(init.CATALOGUE.values())
by_name = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)


class Residual(nn.Module):
    """A block whose two convolutions are added to what went past them."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


def network():
    """Convolutions, linear layers, norms and a residual block, whose forward can be read."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), Residual(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 10),
    )  # fmt: skip


def batch():
    return torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def filled(technique, model=None, key=0, **values):
    model = network() if model is None else model
    return model, technique(**values).apply(model, key, batch=batch())


SECOND_MOMENTS = {
    "zeros": lambda fan_in, fan_out, gain: 0.0,
    "small_random": lambda fan_in, fan_out, gain: 0.01**2,
    "truncated_normal": lambda fan_in, fan_out, gain: stats.truncnorm(-2, 2, scale=0.02).var(),
    "lecun": lambda fan_in, fan_out, gain: 1 / fan_in,
    "glorot_uniform": lambda fan_in, fan_out, gain: gain**2 * 2 / (fan_in + fan_out),
    "glorot_normal": lambda fan_in, fan_out, gain: gain**2 * 2 / (fan_in + fan_out),
    "he_uniform": lambda fan_in, fan_out, gain: gain**2 / fan_in,
    "he_normal": lambda fan_in, fan_out, gain: gain**2 / fan_in,
    "orthogonal": lambda fan_in, fan_out, gain: gain**2 / max(fan_in, fan_out),
    "sparse": lambda fan_in, fan_out, gain: 0.01**2 * 0.1,
    "dirac": lambda fan_in, fan_out, gain: 1 / max(fan_in, fan_out),
    "identity": lambda fan_in, fan_out, gain: 1 / max(fan_in, fan_out),
    "lsuv": lambda fan_in, fan_out, gain: 1 / max(fan_in, fan_out),
    "fixup": lambda fan_in, fan_out, gain: 2 / fan_in,
}
"""Of the weights of a layer of so many inputs and outputs, with the technique's defaults."""


@by_name
def test_a_range_fills_nothing(technique):
    for name in technique.hyperparameters:
        with pytest.raises(InputError, match=f"{name} of {technique.name} is a range to search"):
            technique(**{name: Choice((2, 3)) if name == "passes" else LogUniform(0.1, 0.2)}).apply(network(), 0)


@by_name
def test_its_second_moment_is_the_formulas(technique):
    """Of 400 × 300 weights drawn by hand, to five deviations of a mean of so many squares."""
    fan_in, fan_out = 300, 400
    shape = (fan_out, fan_in) if technique.name != "dirac" else (fan_out, fan_in, 1)
    values = technique().draw(shape, key=0)
    assert values.dtype == torch.float64
    assert values.shape == shape
    expected = SECOND_MOMENTS[technique.name](fan_in, fan_out, technique.usual)
    count = (values != 0).sum().item() if technique.name == "sparse" else values.numel()
    assert values.square().mean().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / count))
    if technique.noise:
        assert abs(values.mean().item()) < 5 * math.sqrt(expected / values.numel())


@by_name
def test_a_models_weights_have_the_second_moment_that_the_table_says(technique):
    """Of every weight that is filled, by its own fans and the gain of what follows it."""
    fans = {
        "0.weight": (27, 144), "3.first.weight": (144, 144), "3.second.weight": (144, 144), "7.weight": (16, 32),
        "9.weight": (32, 10),
    }  # fmt: skip
    gains = {"0.weight": 2**0.5, "3.first.weight": 2**0.5, "7.weight": 5 / 3, "9.weight": 1.0}
    model, found = filled(technique)
    weights = dict(model.named_parameters())
    exact = ("lsuv", "fixup", "orthogonal", "dirac", "identity")
    assert {row.name for row in found.rows} | {sentence.partition(":")[0] for sentence in found.left} == set(fans)
    for row in found.rows:
        measured = weights[row.name].double().square().mean().item()
        assert row.deviation == pytest.approx(measured**0.5)
        assert row.shape == tuple(weights[row.name].shape)
        if "gain" in technique.hyperparameters:
            assert row.gain == pytest.approx(gains.get(row.name, technique.usual))
        if technique.name not in exact:
            expected = SECOND_MOMENTS[technique.name](*fans[row.name], row.gain)
            spread = 5 * math.sqrt(30 / weights[row.name].numel())
            assert measured == pytest.approx(expected, rel=spread), row.name


@by_name
def test_biases_are_0_and_norms_stay(technique):
    model = network()
    before = copy.deepcopy(model.state_dict())
    for p in model.parameters():
        nn.init.normal_(p)
    drawn = copy.deepcopy(model.state_dict())
    _, found = filled(technique, model)
    layers = {row.name.removesuffix(".weight") for row in found.rows}
    for name, value in model.state_dict().items():
        layer, _, last = name.rpartition(".")
        if last == "bias" and layer in layers:
            assert (value == 0).all(), name
        elif layer not in layers:
            assert torch.equal(value, before[name] if "running" in name or "num" in name else drawn[name]), name


@by_name
def test_a_weight_depends_on_its_key_and_its_name_alone(technique):
    """Whatever stands beside it, whatever it was before, and whatever the global generators are."""
    one, _ = filled(technique, key=Key(3))
    torch.manual_seed(99)
    model = network()
    for layer in (model[0], model[3].first, model[3].second, model[7], model[9]):
        nn.init.uniform_(layer.weight)
        nn.init.uniform_(layer.bias)
    again, found = filled(technique, model, key=3)
    for row in found.rows:
        assert torch.equal(one.get_parameter(row.name), again.get_parameter(row.name))
    other, _ = filled(technique, key=4)
    if technique.noise:
        assert not torch.equal(one[7].weight, other[7].weight), "the seed counts"
    if technique.noise and technique.name not in ("fixup", "lsuv"):
        alone = nn.Sequential(*(nn.Identity() for _ in range(7)), nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 5))
        technique().apply(alone, 3)
        assert torch.equal(alone[7].weight, one[7].weight)
        elsewhere = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 5))
        technique().apply(elsewhere, 3)
        assert not torch.equal(elsewhere[0].weight, one[7].weight), "the name counts"


@by_name
def test_it_moves_no_generator_and_no_mode(technique):
    model = network().train()
    model[1].eval()
    state = torch.get_rng_state()
    filled(technique, model)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not model[1].training
    assert not model[1].running_mean.any()
    assert all(p.requires_grad and p.is_leaf and p.grad is None for p in model.parameters())


@by_name
def test_it_fills_in_the_type_of_the_weights(technique):
    model, _ = filled(technique)
    if technique.rescaled is None:
        wide, _ = filled(technique, network().double())
        for value, other in zip(model.state_dict().values(), wide.state_dict().values(), strict=True):
            assert torch.equal(value, other.to(value.dtype))


@by_name
def test_a_given_gain_holds_for_all(technique):
    if "gain" not in technique.hyperparameters:
        pytest.skip("it has no gain")
    one, _ = filled(technique, gain=1.0)
    three, found = filled(technique, gain=3.0)
    for row in found.rows:
        assert (row.gain, row.because) == (3.0, "given")
        torch.testing.assert_close(three.get_parameter(row.name), 3 * one.get_parameter(row.name))


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7), (4, 3, 2, 2), (40, 3, 2)], ids=str)
def test_orthogonal_weights_are_orthonormal(shape):
    matrix = init.orthogonal(gain=2.0).draw(shape, key=0).flatten(1) / 2
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-13)


def test_orthogonal_weights_are_uniform_among_all():
    """Without the signs of R's diagonal the first entry would always be below 0; uniform ones have mean 0."""
    first = torch.stack([init.orthogonal().draw((2, 2), key=seed) for seed in range(2000)])
    assert abs(first.mean(0)).max() < 5 / math.sqrt(2 * 2000)
    torch.testing.assert_close(
        first.square().mean(0), torch.full((2, 2), 0.5, dtype=torch.float64), rtol=0, atol=0.04
    )
    angle = torch.atan2(first[:, 1, 0], first[:, 0, 0]).numpy()
    assert stats.kstest(angle, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("technique", "distribution"),
    [
        (init.he_normal(gain=10**0.5), stats.norm()),
        (init.glorot_uniform(gain=1.0), stats.uniform(-math.sqrt(6 / 60), 2 * math.sqrt(6 / 60))),
        (init.he_uniform(gain=1.0), stats.uniform(-math.sqrt(3 / 10), 2 * math.sqrt(3 / 10))),
        (init.truncated_normal(std=0.5, cut=1.5), stats.truncnorm(-1.5, 1.5, scale=0.5)),
        (init.small_random(std=0.3), stats.norm(scale=0.3)),
    ],
    ids=["he_normal", "glorot_uniform", "he_uniform", "truncated_normal", "small_random"],
)
def test_its_distribution_is_the_one_that_it_names(technique, distribution):
    values = technique.draw((50, 10, 1, 4, 5), key=0, fan_in=10, fan_out=50)
    assert stats.kstest(values.flatten().numpy(), distribution.cdf).pvalue > 1e-3


def test_fans_and_constants_are_torchs():
    """The deviation that torch's functions give the same shapes, to the hundredth that 100,000 numbers show."""
    w = torch.empty(200, 50, 3, 4)
    torch.manual_seed(0)
    for mine, torchs in [
        (init.glorot_normal(gain=1.5), lambda: nn.init.xavier_normal_(w, 1.5)),
        (init.glorot_uniform(gain=1.5), lambda: nn.init.xavier_uniform_(w, 1.5)),
        (init.he_normal(), lambda: nn.init.kaiming_normal_(w)),
        (init.he_uniform(gain=activation.relu().gain()), lambda: nn.init.kaiming_uniform_(w, nonlinearity="relu")),
        (init.lecun(), lambda: nn.init.kaiming_normal_(w, nonlinearity="linear")),
        (init.truncated_normal(), lambda: nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04)),
        (init.orthogonal(gain=2.0), lambda: nn.init.orthogonal_(w, 2.0)),
    ]:
        assert mine.draw(w.shape, 0).square().mean().sqrt() == pytest.approx(torchs().std().item(), rel=0.01), mine


def test_sparse_zeros_as_many_of_each_input_as_torch():
    mine = init.sparse(sparsity=0.37).draw((50, 30), key=0)
    torchs = nn.init.sparse_(torch.empty(50, 30), 0.37)
    assert torch.equal((mine == 0).sum(0), (torchs == 0).sum(0))
    assert len({tuple(row.tolist()) for row in mine == 0}) > 40, "each input's own"


@pytest.mark.parametrize("shape", [(6, 4, 3), (4, 6, 3, 5), (4, 4, 1, 1, 3)], ids=str)
def test_dirac_is_torchs(shape):
    assert torch.equal(init.dirac().draw(shape, 0).float(), nn.init.dirac_(torch.empty(shape)))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)], ids=str)
def test_identity_is_torchs(shape):
    assert torch.equal(init.identity().draw(shape, 0).float(), nn.init.eye_(torch.empty(shape)))


def test_with_zeros_no_gradient_breaks_the_symmetry():
    """The pitfall: after any number of steps all units of a layer are the same; with small numbers they are not."""
    x, y = torch.randn(64, 5), torch.randint(3, (64,))
    spread = {}
    for technique in (init.zeros, init.small_random):
        net = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3))
        technique().apply(net, 0)
        optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
        gradients = []
        for _ in range(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            gradients.append(net[0].weight.grad.norm().item())
            optimizer.step()
        spread[technique.name] = max(net[i].weight.std(0).max().item() for i in (0, 2))
        if technique is init.zeros:
            assert gradients[:2] == [0.0, 0.0], "behind layers of zeros there is none"
            assert net[4].weight.std(1).max() < 1e-6
    assert spread["zeros"] < 1e-6
    assert spread["small_random"] > 1e-3
