"""Variances of signals and gradients layer by layer: measured as they are, predicted by formula."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from thalweg import activation, init
from thalweg.errors import InputError
from thalweg.inspect import variance
from thalweg.inspect._signals import _fans


def deep(kind, technique, width=512, layers=8, inputs=100):
    """A deep network whose widths are all the same."""
    torch.manual_seed(0)
    parts = [nn.Linear(inputs, width)]
    for _ in range(layers - 1):
        parts += [activation.CATALOGUE[kind]().module(), nn.Linear(width, width)]
    net = nn.Sequential(*parts)
    technique.apply(net, 0)
    return net


@pytest.mark.parametrize("kind", ["relu", "tanh", "gelu", "leaky_relu", "elu", "sigmoid", "silu"])
@pytest.mark.parametrize("technique", [init.he_normal(), init.glorot_uniform(gain=1.0), init.lecun()], ids=repr)
def test_predictions_are_what_is_measured(kind, technique):
    """In a wide network: to a fifth forward, to a third backward, over a gradient that shrinks by many orders."""
    found = variance(deep(kind, technique), torch.randn(256, 100))
    assert [row.layer for row in found.rows] == [str(i) for i in range(0, 16, 2)]
    assert not any(row.anew for row in found.rows)
    for row in found.rows:
        assert row.predicted == pytest.approx(row.seen, rel=0.2)
        assert row.gradient_predicted == pytest.approx(row.gradient_seen, rel=0.35)


def test_forward_it_is_fan_in_times_mean_squares():
    """Glorot & Bengio 2010, equation 5, and He et al. 2015, equation 7, with ReLU's half of the square."""
    net, x = deep("relu", init.small_random(0.03), layers=3), torch.randn(64, 100)
    rows = variance(net, x).rows
    squares = [net[i].weight.detach().double().square().mean().item() for i in (0, 2, 4)]
    first = 100 * squares[0] * x.double().square().mean().item()
    assert rows[0].predicted == pytest.approx(first)
    assert rows[1].predicted == pytest.approx(512 * squares[1] * first / 2)
    assert rows[2].predicted == pytest.approx(512 * squares[2] * rows[1].predicted / 2)
    assert [row.gradient_predicted for row in rows] == [
        pytest.approx(512 * squares[2] / 2 * 512 * squares[1] / 2), pytest.approx(512 * squares[2] / 2), 1.0,
    ]  # fmt: skip
    with torch.no_grad():
        nn.init.constant_(net[0].bias, 2.0)
    assert variance(net, x).rows[0].predicted == pytest.approx(first + 4)


def test_what_is_measured_is_the_model_itself():
    """Against hooks and autograd, by hand; the gradient by the outputs is normal with variance 1."""
    net, x = deep("tanh", init.lecun(), width=32, layers=3), torch.randn(40, 100)
    found = variance(net, x)
    s = [net[0](x)]
    for i in (2, 4):
        s.append(net[i](torch.tanh(s[-1])))
    for row, layer in zip(found.rows, s, strict=True):
        assert row.seen == pytest.approx(layer.double().var(correction=0).item(), rel=1e-5)
    torch.manual_seed(0)
    squares = []
    for _ in range(200):
        grads = torch.autograd.grad(s[-1], s[:2], torch.randn_like(s[-1]), retain_graph=True)
        squares.append([g.double().square().mean().item() for g in grads])
    means = torch.tensor(squares).mean(0)
    assert found.rows[0].gradient_seen == pytest.approx(means[0].item(), rel=0.3)
    assert found.rows[1].gradient_seen == pytest.approx(means[1].item(), rel=0.3)
    assert found.rows[2].gradient_seen == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 9), (4, 6)),
        (nn.Conv1d(2, 3, 5, padding=2), (4, 2, 7)),
        (nn.Conv2d(2, 4, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (3, 2, 8, 11)),
        (nn.Conv2d(4, 6, 3, groups=2), (3, 4, 5, 5)),
        (nn.Conv2d(2, 2, (4, 5), padding="same", dilation=2), (3, 2, 8, 9)),
        (nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1), (4, 2, 6)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), (2, 4, 3, 4)),
    ],
    ids=repr,
)
def test_fans_count_the_products_that_there_are(layer, shape):
    """With all weights 1: an output is the number of its inputs, and an input's gradient that of its outputs."""
    for p in layer.parameters():
        nn.init.constant_(p, float(p.dim() > 1))
    x = torch.ones(shape, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    fan_in, fan_out = _fans(layer, shape, tuple(y.shape))
    assert fan_in == pytest.approx(y.mean().item())
    assert fan_out == pytest.approx(x.grad.mean().item())


def test_convolutions_of_small_pictures_are_predicted_at_their_borders_too():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 128, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, stride=2),
    )  # fmt: skip
    init.he_normal().apply(net, 0)
    for row in variance(net, torch.randn(32, 3, 5, 5)).rows:
        assert row.predicted == pytest.approx(row.seen, rel=0.2)
        assert row.gradient_predicted == pytest.approx(row.gradient_seen, rel=0.35)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.4)

    def forward(self, x):
        return x + self.drop(self.down(F.relu(self.up(self.norm(x)))))


def test_branches_add_up_and_norms_begin_anew():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 256), *(Block(256) for _ in range(6)), nn.BatchNorm1d(256), nn.Linear(256, 8))
    init.he_normal().apply(net, 0)
    found = variance(net, torch.randn(256, 64))
    assert len(found.rows) == 14
    for row in found.rows:
        assert row.predicted == pytest.approx(row.seen, rel=0.2), row
        assert row.gradient_predicted == pytest.approx(row.gradient_seen, rel=0.35), row
    grown = [row.gradient_seen for row in found.rows if row.layer.endswith("up")]
    assert grown[0] > grown[-1], "gradients add up going backward"
    net.eval()
    for _ in range(2):
        again = variance(net, torch.randn(256, 64))
    assert all(row.predicted == pytest.approx(row.seen, rel=0.25) for row in again.rows)


def test_where_no_formula_says_it_goes_on_from_what_was_measured():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(64 * 16, 10),
    )  # fmt: skip
    init.he_normal().apply(net, 0)
    found = variance(net, torch.randn(64, 3, 8, 8))
    assert [row.anew for row in found.rows] == [False, True, False]
    for row in found.rows:
        assert row.predicted == pytest.approx(row.seen, rel=0.3)
    assert str(found).count("*") == 2
    assert str(found).splitlines()[-1].startswith("*: predicted from what was measured just before it")


class Depends(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(100, 300), nn.Linear(300, 300)

    def forward(self, x):
        return self.second(self.first(x).relu()) if x.sum() > -1e9 else x


def test_a_model_that_cannot_be_traced_is_predicted_layer_by_layer():
    torch.manual_seed(0)
    net = Depends()
    for model, names in ((net, ["first", "second"]), (nn.Sequential(net, nn.Tanh()), ["0.first", "0.second"])):
        found = variance(model, torch.randn(128, 100))
        assert [row.layer for row in found.rows] == names
        assert all(row.predicted == pytest.approx(row.seen, rel=0.3) for row in found.rows)
        assert all(row.gradient_predicted is None and row.gradient_seen > 0 for row in found.rows)


def test_a_layer_that_is_called_twice_has_two_rows():
    layer = nn.Linear(64, 64)
    found = variance(nn.Sequential(layer, nn.ReLU(), layer), torch.randn(9, 64))
    assert [row.layer for row in found.rows] == ["0", "0"]
    assert {point["call"] for point in found._points("")} == {"0", "0, call 2"}


def test_vanishing_signals_and_gradients_are_seen():
    """The pitfalls: small numbers die going forward, sigmoids going backward, and he keeps ReLU's signals."""
    x = torch.randn(64, 100)
    small = variance(deep("relu", init.small_random()), x).rows
    assert small[-1].seen < 1e-8 * small[0].seen
    sigmoid = variance(deep("sigmoid", init.lecun()), x).rows
    assert sigmoid[0].gradient_seen < 1e-6
    he = variance(deep("relu", init.he_normal()), x).rows
    assert 0.3 < he[-1].seen / he[0].seen < 3
    zeros = variance(deep("relu", init.zeros()), x)
    assert [row.seen for row in zeros.rows] == [0.0] * 8
    assert [row.predicted for row in zeros.rows] == [0.0] * 8
    assert not list(zeros._points(""))


def test_nothing_of_the_model_is_changed_and_the_seed_says_all():
    net = nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.Dropout(), nn.ReLU(), nn.Linear(30, 3)).train()
    net[0].requires_grad_(False)
    before, state, x = copy.deepcopy(net.state_dict()), torch.get_rng_state(), torch.randn(8, 20)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one = variance(net, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert not net[0].weight.requires_grad
    assert all(p.grad is None for p in net.parameters())
    torch.manual_seed(6)
    assert str(variance(net, x)) == str(one)
    assert str(variance(net, x, seed=1)) != str(one)


def test_inputs_and_outputs_may_be_several():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(50, 50), nn.Linear(50, 50)

        def forward(self, x, y, scale=1.0):
            return {"sum": self.a(x) + self.b(y), "b": (self.b(y) * scale,)}

    net, x, y = Two(), torch.randn(9, 50), torch.randn(9, 50)
    found = variance(net, (x, y))
    assert [row.layer for row in found.rows] == ["a", "b", "b"]
    assert str(variance(net, {"y": y, "x": x})) == str(found)


def test_it_is_a_table_and_a_picture(tmp_path):
    found = variance(deep("relu", init.he_normal(), width=32, layers=3), torch.randn(9, 100))
    lines = str(found).splitlines()
    assert len(lines) == 4
    assert lines[0].split() == ["layer", "fan", "in", "fan", "out", "Var(s)", "predicted", "Var(g)", "predicted"]
    assert len({len(line) for line in lines}) == 1
    points = [list(found._points(what)) for what in ("", "gradient_")]
    assert [len(p) for p in points] == [6, 6]
    for name in ("a.svg", "a.png", "a.html"):
        found.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    assert "points: measured" in (tmp_path / "a.svg").read_text()
    with pytest.raises(InputError, match=r'a chart is saved as \.svg, \.png or \.html, not "a\.pdf"'):
        found.save(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="cannot be written: No such file"):
        found.save(tmp_path / "missing" / "a.svg")


@pytest.mark.parametrize(
    ("model", "batch", "message"),
    [
        ([nn.Linear(2, 2)], torch.ones(1, 2), "variance takes an nn.Module, not list"),
        (nn.Sequential(nn.ReLU()), torch.ones(1, 2), "Sequential calls no linear or convolution layer of torch's"),
        (nn.Sequential(nn.Linear(3, 2)), torch.ones(1, 2), "Sequential cannot take the inputs: "),
        (Depends(), torch.ones(1, 2), "Depends cannot take the inputs: "),
    ],
)
def test_what_cannot_be_measured_gets_one_sentence(model, batch, message):
    with pytest.raises(InputError, match=message) as error:
        variance(model, batch)
    assert "\n" not in str(error.value)
