"""Which weights of a model are filled, and with what each, whatever modules it is made of."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from thalweg import init
from thalweg.errors import InputError


def filled(model, technique=None, key=0):
    found = (technique or init.lecun()).apply(model, key)
    return {row.name: row for row in found.rows}, found.left


def mean_square(p):
    return p.detach().double().square().mean().item()


def about(value, p):
    return pytest.approx(value, rel=5 * math.sqrt(2 / p.numel()))


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Linear(30, 50), 30, 50),
        (nn.Bilinear(10, 6, 30), 60, 30),
        (nn.Conv1d(8, 24, 5), 40, 120),
        (nn.Conv2d(8, 24, (3, 5), stride=2, dilation=2), 120, 360),
        (nn.Conv2d(16, 32, 3, groups=4), 36, 72),
        (nn.Conv2d(64, 64, 5, groups=64), 25, 25),
        (nn.Conv3d(4, 12, 3), 108, 324),
        (nn.ConvTranspose2d(16, 32, 4, stride=2), 64, 512),
        (nn.ConvTranspose1d(12, 18, 3, groups=3), 12, 18),
        (nn.Embedding(500, 20), 1, 20),
        (nn.EmbeddingBag(500, 20), 1, 20),
    ],
    ids=repr,
)
def test_fans_count_what_an_output_sums_over(layer, fan_in, fan_out):
    net = nn.ModuleDict({"layer": layer})
    for technique, expected in [(init.lecun(), 1 / fan_in), (init.glorot_uniform(gain=1.0), 2 / (fan_in + fan_out))]:
        rows, _ = filled(net, technique)
        assert list(rows) == ["layer.weight"]
        assert mean_square(layer.weight) == about(expected, layer.weight)


def test_a_strided_transposed_convolution_puts_out_what_comes_in():
    """Away from its edges: an output sums over a window's share of inputs."""
    layer = nn.ConvTranspose2d(32, 32, 4, stride=2)
    filled(layer)
    y = layer(torch.randn(16, 32, 12, 12))[:, :, 4:-4, 4:-4]
    assert y.square().mean().item() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("make", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4), (nn.RNNCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)]
)
def test_each_gate_of_a_recurrent_layer_is_a_matrix(make, gates):
    layer = make(12, 20)
    rows, left = filled(layer, init.orthogonal())
    assert not left
    assert {row.because for row in rows.values()} == {"recurrent", "hidden"}
    for name in rows:
        for gate in layer.get_parameter(name).detach().double().chunk(gates):
            gram = gate @ gate.T if gate.shape[0] <= gate.shape[1] else gate.T @ gate
            torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), rtol=0, atol=1e-6)
    assert all((p == 0).all() for name, p in layer.named_parameters() if "bias" in name)
    filled(layer)
    for name in rows:
        p = layer.get_parameter(name)
        assert mean_square(p) == about(1 / p.shape[1], p)


def test_identity_goes_from_state_to_state():
    layer = nn.LSTM(5, 6, num_layers=2, bidirectional=True)
    before = copy.deepcopy(layer.state_dict())
    rows, left = filled(layer, init.identity())
    assert set(rows) == {f"weight_hh_l{i}{way}" for i in range(2) for way in ("", "_reverse")}
    assert all(torch.equal(gate, torch.eye(6)) for gate in layer.weight_hh_l1.chunk(4))
    assert "weight_ih_l0: identity is for linear or hidden weights" in left
    assert torch.equal(layer.weight_ih_l0, before["weight_ih_l0"])


def test_attention():
    layer = nn.MultiheadAttention(24, 4, kdim=12, add_bias_kv=True)
    before = copy.deepcopy(layer.state_dict())
    rows, left = filled(layer)
    assert {name: mean_square(layer.get_parameter(name)) for name in rows} == {
        "q_proj_weight": about(1 / 24, layer.q_proj_weight),
        "k_proj_weight": about(1 / 12, layer.k_proj_weight),
        "v_proj_weight": about(1 / 24, layer.v_proj_weight),
        "out_proj.weight": about(1 / 24, layer.out_proj.weight),
    }
    assert left == tuple(f"bias_{x}: a parameter of MultiheadAttention's own" for x in "kv")
    assert torch.equal(layer.bias_k, before["bias_k"])
    assert not layer.in_proj_bias.any()
    joined = nn.MultiheadAttention(24, 4)
    filled(joined, init.orthogonal())
    for part in joined.in_proj_weight.detach().double().chunk(3):
        torch.testing.assert_close(part @ part.T, torch.eye(24, dtype=torch.float64), rtol=0, atol=1e-6)


def test_a_transformer_is_filled_whole():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 2, enable_nested_tensor=False)
    rows, left = filled(model, init.truncated_normal())
    assert set(rows) == {name for name, p in model.named_parameters() if "weight" in name and "norm" not in name}
    assert not left


def test_groups_are_matrices_of_their_own():
    for layer in (nn.Conv2d(8, 16, 1, groups=4), nn.ConvTranspose2d(16, 8, 1, groups=4)):
        filled(layer, init.orthogonal())
        for part in layer.weight.detach().double().flatten(1).chunk(4):
            gram = part.T @ part if part.shape[0] >= part.shape[1] else part @ part.T
            torch.testing.assert_close(gram, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-6)
    layer = nn.Conv1d(6, 9, 3, groups=3)
    filled(layer, init.dirac())
    assert torch.equal(layer.weight, nn.init.dirac_(torch.empty(9, 2, 3), groups=3))


def test_dirac_convolutions_hand_on_what_they_get():
    for layer in (
        nn.Conv2d(5, 5, 3, padding=1),
        nn.ConvTranspose2d(5, 5, 3, padding=1),
        nn.Conv1d(5, 5, 7, padding=3),
    ):
        filled(layer, init.dirac())
        x = torch.randn(2, 5, *[9] * (layer.weight.dim() - 2))
        assert torch.equal(layer(x), x)


def test_an_embeddings_padding_stays_0():
    layer = nn.Embedding(10, 4, padding_idx=3)
    filled(layer)
    assert not layer.weight[3].any()
    assert layer.weight[2].any()


class Tied(nn.Module):
    """A language model whose last layer is its embedding."""

    def __init__(self):
        super().__init__()
        self.words, self.last = nn.Embedding(400, 30, padding_idx=0), nn.Linear(30, 400)
        self.last.weight = self.words.weight

    def forward(self, x):
        return self.last(self.words(x))


def test_a_tied_weight_is_filled_once_as_the_layer_that_sums():
    model = Tied()
    rows, left = filled(model)
    assert list(rows) == ["words.weight"]
    assert left == ("last.weight: it is words.weight, and has its values",)
    assert model.last.weight is model.words.weight
    assert mean_square(model.words.weight[1:]) == about(1 / 30, model.words.weight)
    assert not model.words.weight[0].any()


def test_a_shared_module_is_filled_once():
    layer = nn.Linear(4, 4)
    rows, left = filled(nn.Sequential(layer, nn.ReLU(), layer))
    assert (list(rows), left) == (["0.weight"], ())


def test_frozen_weights_stay():
    net = nn.Sequential(nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4))
    before = net[0].weight.clone()
    rows, left = filled(net)
    assert list(rows) == ["1.weight"]
    assert left == ("0.weight: it is frozen", "0.bias: it is frozen")
    assert torch.equal(net[0].weight, before)


class Odd(nn.Module):
    """Parameters and buffers under names of its own."""

    def __init__(self):
        super().__init__()
        self.add_module("bias", nn.Linear(4, 4))
        self.add_module("norm weight", nn.LayerNorm(4))
        self.weight = nn.Parameter(torch.full((4,), 7.0))
        self.register_buffer("running_mean", torch.full((4,), 7.0))

    def forward(self, x):
        return getattr(self, "norm weight")(self.bias(x)) * self.weight + self.running_mean


def test_what_is_no_weight_of_torchs_layers_is_left_and_named():
    model = Odd()
    rows, left = filled(model)
    assert list(rows) == ["bias.weight"]
    assert left == ("weight: a parameter of Odd's own",)
    assert (model.weight == 7).all()
    assert (model.running_mean == 7).all()
    assert not model.bias.bias.any()


def test_computed_weights_are_left_and_named():
    net = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4))
    rows, left = filled(net)
    assert list(rows) == ["1.weight"]
    assert all("a parameter of ParametrizationList's own" in sentence for sentence in left if "original" in sentence)
    assert len([sentence for sentence in left if "0.parametrizations.weight.original" in sentence]) == 2


def test_it_says_what_it_did():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU(), nn.Flatten(), nn.Linear(16, 2))
    text = str(init.glorot_normal().apply(net, 0))
    assert text.splitlines()[0].split() == ["weight", "shape", "deviation", "gain"]
    assert "of PReLU" in text.splitlines()[1]
    assert text.splitlines()[-1] == "left: 1.weight: a parameter of PReLU's own"
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(
    ("apply", "sentence"),
    [
        (
            lambda: init.he_normal().apply(nn.ReLU(), 0),
            "he_normal: ReLU has no linear, convolution, embedding, recurrent",
        ),
        (
            lambda: init.dirac().apply(nn.Linear(2, 2), 0),
            "dirac: Linear has no convolution weights that it could fill",
        ),
        (lambda: init.identity().apply(nn.Conv1d(2, 2, 1), 0), "identity: Conv1d has no linear or hidden weights"),
        (lambda: init.he_normal().apply(nn.LazyLinear(3), 0), "weight has no shape yet; call the model once before"),
        (lambda: init.he_normal().apply([nn.Linear(2, 2)], 0), "he_normal is applied to an nn.Module, not to list"),
        (lambda: init.he_normal().apply(nn.Linear(2, 2), "a"), "key takes a thalweg.Key or a whole number, not 'a'"),
        (
            lambda: init.he_normal().draw((3,), 0),
            "a weight has outputs and inputs, two axes at least, not the shape (3,)",
        ),
        (lambda: init.he_normal(gain=0), "gain of he_normal takes a number above 0, not 0"),
        (lambda: init.sparse(sparsity=1.0), "sparsity of sparse takes a number from 0 up to, but not, 1, not 1.0"),
        (lambda: init.lsuv().apply(nn.Linear(2, 2), 0), "lsuv needs a batch of inputs to see what layers put out"),
        (
            lambda: init.fixup().apply(nn.Sequential(nn.Linear(2, 2)), 0),
            "fixup found no residual branches in Sequential",
        ),
    ],
)
def test_what_cannot_be_filled_gets_one_sentence(apply, sentence):
    with pytest.raises(InputError) as error:
        apply()
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
