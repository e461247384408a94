"""Laws of dropout: every technique of the catalogue, as a formula and as a module; a new one is covered at once."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional as F

from small import small_digits
from thalweg import Recipe, dropout, optim
from thalweg.errors import InputError
from thalweg.latex import latex
from thalweg.technique import Uniform
from thalweg.train import Member, train
from thalweg.train.counter import normals
from thalweg.train.dropout import KeyedDropout, mask

TECHNIQUES = list(dropout.CATALOGUE.values())
BETWEEN = [technique for technique in TECHNIQUES if not technique.layer]
by_name = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
between = pytest.mark.parametrize("technique", BETWEEN, ids=lambda technique: technique.name)

KEY = torch.tensor(-4_611_686_018_427_387_847)


def module_of(technique):
    """Return a small module of a technique, and inputs for it."""
    torch.manual_seed(0)
    if technique.name == "embedding":
        return technique(0.3).module(nn.Embedding(11, 5)), torch.randint(11, (7, 9))
    if technique.layer:
        return technique().module(nn.Linear(9, 5)), torch.randn(7, 9)
    return technique(0.3).module(), torch.randn(7, 5, 9)


def drawn(technique, shape, dtype=torch.float64, p=0.3):
    """Return what the first module to ask under ``KEY`` gets."""
    masks = KeyedDropout(KEY)
    key = masks.following()
    return mask(key, shape, p).to(dtype) if technique.draws == "keep" else normals(key, shape, dtype)


SHAPES = {"nothing": (7, 5, 9), "channels": (7, 5, 1), "steps": (7, 1, 9)}


@by_name
def test_its_space_is_within_its_limits(technique):
    assert technique.space
    for name, place in technique.space.items():
        if isinstance(place, Uniform):
            technique(**{name: place.low})
            technique(**{name: place.high})


def test_equations_call_the_rate_p():
    assert latex(dropout.dropout) == [r"y = x \, m \, \frac{1}{1 - p}"]


# -- formulas, against arithmetic of numpy's in float64 ----------------------------------------------------------


def reference(name, x, drawn, p):
    scaled = x * drawn / (1 - p)
    return {
        "dropout_scaled_at_test": x * drawn,
        "gaussian": x + x * drawn * math.sqrt(p / (1 - p)),
        "variational": x + np.sqrt(p * x**2 + 1e-8) * drawn,
        "sparse_variational": x + np.sqrt(x**2 + 1e-8) * drawn,
    }.get(name, scaled)


@by_name
def test_its_formula_is_the_one_of_its_source(technique):
    x = torch.randn(40, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = drawn(technique, x.shape)
    p = 0.3
    if technique.name == "variational":
        found = technique.formula(x, x * x, noise, alpha=p)
    elif technique.name == "sparse_variational":
        found = technique.formula(x, x * x, noise)
    else:
        found = technique.formula(x, noise, p=p)
    np.testing.assert_allclose(
        found.numpy(), reference(technique.name, x.numpy(), noise.numpy(), p), rtol=1e-12, atol=1e-14
    )


@between
def test_what_is_handed_on_has_the_mean_of_evaluation(technique):
    """Over masks; and the variance of ``gaussian`` is that of ``dropout``: x² p / (1 − p)."""
    p, count = 0.3, 40_000
    module = technique(p).module()
    x = torch.full((count, 1, 1), 2.0, dtype=torch.float64)
    with KeyedDropout(KEY):
        found = module(x)
    assert abs(found.mean() - module.eval()(x).mean()) < 5 * found.std() / count**0.5
    variance = 4 * p * (1 - p) if technique.evaluated else 4 * p / (1 - p)
    assert found.var().item() == pytest.approx(variance, rel=0.05)


@between
def test_its_module_computes_its_formula(technique):
    """With the mask or noise that a key gives, in float64 to the bit."""
    module, x = module_of(technique)
    x = x.double()
    with KeyedDropout(KEY):
        found = module(x)
    assert torch.equal(found, technique.formula(x, drawn(technique, SHAPES[technique.shares]), p=0.3))


def test_where_torch_has_it_the_numbers_are_torchs():
    x = torch.randn(6, 4, 3, 5)
    pairs = [(dropout.dropout, F.dropout), (dropout.mc, F.dropout), (dropout.spatial, F.dropout2d)]
    for technique, theirs in pairs:
        with KeyedDropout(KEY):
            found = technique(0.4).module()(x)
        with KeyedDropout(KEY):
            assert torch.equal(found, theirs(x, 0.4)), technique
    torch.manual_seed(5)
    found = dropout.dropout(0.4).module()(x)
    torch.manual_seed(5)
    assert torch.equal(found, F.dropout(x, 0.4)), "outside of thalweg's training torch's generator is used"


@by_name
def test_outside_of_training_under_a_key_torchs_generator_decides(technique):
    module, x = module_of(technique)
    torch.manual_seed(1)
    first, second = module(x), module(x)
    torch.manual_seed(1)
    assert torch.equal(module(x), first)
    assert not torch.equal(first, second)


@by_name
def test_under_a_key_no_generator_moves(technique):
    module, x = module_of(technique)
    before = torch.get_rng_state()
    with KeyedDropout(KEY) as masks:
        first, second = module(x), module(x)
    assert masks.layer == 2
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second), "each layer has its own"
    with KeyedDropout(KEY):
        assert torch.equal(module(x), first)


# -- modules, as any module ----------------------------------------------------------------------------


@by_name
def test_evaluation_draws_nothing(technique):
    module, x = module_of(technique)
    module.eval()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = module(x)
    assert torch.equal(found, module(x))
    assert torch.equal(torch.get_rng_state(), before)
    if not technique.layer:
        assert torch.equal(found, x * 0.7 if technique.evaluated else x)


@by_name
@pytest.mark.parametrize("buffers", [False, True])
def test_it_is_saved_copied_and_pickled_as_any_module(technique, buffers):
    if buffers and not hasattr(module_of(technique)[0], "as_buffers"):
        pytest.skip("it has no rate: what it has is learnt")
    module, x = module_of(technique)
    if buffers:
        module.as_buffers()
    again, _ = module_of(technique)
    with torch.no_grad():
        for p in again.parameters():
            p.zero_()
    again.load_state_dict(module.state_dict())
    assert not {"p", "hidden"} & module.state_dict().keys(), "torch's own dropout keeps no rate there"
    for other in (again, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        with KeyedDropout(KEY):
            found = module(x)
        with KeyedDropout(KEY):
            assert torch.equal(other(x), found)
        assert repr(other) == repr(module)


@by_name
@pytest.mark.parametrize("training", [False, True])
def test_it_exports(technique, training):
    module, x = module_of(technique)
    module.train(training)
    exported = torch.export.export(module, (x,)).module()
    if not training:
        assert torch.equal(exported(x), module(x))
    else:
        assert exported(x).shape == module(x).shape


@between
def test_a_rate_as_a_buffer_gives_the_same_bits_and_is_not_rounded_with_the_weights(technique):
    x = torch.randn(7, 5, 9)
    for dtype in (torch.float32, torch.float64):
        plain = technique(0.3).module()
        held = technique(0.3).module().as_buffers().to(torch.bfloat16).to(dtype)
        assert held.p.dtype == torch.float64
        assert held.p.item() == 0.3
        with KeyedDropout(KEY):
            found = plain(x.to(dtype))
        with KeyedDropout(KEY):
            also = held(x.to(dtype))
        assert also.dtype == dtype
        assert torch.equal(also, found)


@by_name
def test_gradients_are_those_of_differences(technique):
    module, x = module_of(technique)
    if technique.name == "embedding":
        weight = module.embedding.weight.detach().double().requires_grad_()
        inputs, call = (weight,), lambda w: functional_call(module, {"embedding.weight": w}, (x,))
    else:
        own = {name: p.detach().double().requires_grad_() for name, p in module.named_parameters()}
        inputs = (x.double().requires_grad_(), *own.values())

        def call(x, *weights):
            return functional_call(module, dict(zip(own, weights, strict=True)), (x,))

    def under_the_key(*inputs):
        with KeyedDropout(KEY):
            return call(*inputs)

    assert torch.autograd.gradcheck(under_the_key, inputs)


# -- many models at once -------------------------------------------------------------------------------


def stacked(technique, count):
    """Return a function of a run's own: (parameters, buffers, input, key) to its loss; and those of so many runs."""
    module, x = module_of(technique)
    rated = hasattr(module, "as_buffers")
    if rated:
        module.as_buffers()
    weights = {
        name: torch.stack([p.detach() * (1 + i / 9) for i in range(count)]) for name, p in module.named_parameters()
    }
    rates = {n: torch.linspace(0.0, 0.8, count, dtype=b.dtype) for n, b in module.named_buffers()}
    inputs = torch.stack([x.roll(i) for i in range(count)])
    keys = torch.arange(count) * 7919 - 5

    def loss(weights, rates, x, key):
        with KeyedDropout(key):
            y = functional_call(module, {**weights, **rates}, (x,))
        return (y * y).sum() if weights else (y * y).sum() + 0.0, y

    return loss, weights, rates, inputs, keys


def rows(of, some):
    if isinstance(of, dict):
        return {name: x[some] for name, x in of.items()}
    return of[some]


@by_name
def test_a_run_gives_the_same_bits_in_any_company(technique):
    """Among three and among eleven, in any order, each at its own rate; odd sizes: vectors end amid runs."""
    loss, *all_runs = stacked(technique, 11)

    def outputs(some):
        mine = [rows(of, torch.tensor(some)) for of in all_runs]
        if all_runs[0]:
            gradients, (value, y) = vmap(grad_and_value(loss, has_aux=True))(*mine)
            return [*gradients.values(), value, y]
        return list(vmap(loss)(*mine))

    together = outputs(list(range(11)))
    for some in ([4, 0, 6], [10, 4, 4], [1, 2, 3, 4, 5]):
        for x, y in zip(outputs(some), together, strict=True):
            assert torch.equal(x, y[some])
    for i in (0, 4, 10):
        alone = [rows(of, i) for of in all_runs]
        found = loss(*alone)[1]
        torch.testing.assert_close(found, together[-1][i], rtol=1e-5, atol=1e-6)


@between
def test_stacked_and_alone_agree_to_the_bit(technique):
    """No product of matrices is in it, so what one run computes alone is what it computes in company."""
    loss, *all_runs = stacked(technique, 5)
    together = vmap(loss)(*all_runs)[1]
    for i in range(5):
        assert torch.equal(loss(*[rows(of, i) for of in all_runs])[1], together[i])


class Net(nn.Module):
    """Digits as a sequence of rows, with one layer of every kind."""

    def __init__(self):
        super().__init__()
        self.first = dropout.variational().module(nn.Linear(8, 9))
        self.rows = dropout.rnn(0.1).module().as_buffers()
        self.channels = dropout.spatial(0.1).module().as_buffers()
        self.recurrent = dropout.RecurrentDropout(nn.GRU(9, 7, batch_first=True), 0.2, 0.1).as_buffers()
        self.noise = dropout.gaussian(0.2).module().as_buffers()
        self.second = dropout.sparse_variational().module(nn.Linear(7, 11))
        self.units = dropout.dropout(0.1).module()
        self.scaled = dropout.dropout_scaled_at_test(0.1).module()
        self.mc = dropout.mc(0.1).module().as_buffers()
        self.out = nn.Linear(11, 10)

    def forward(self, x):
        x = self.channels(self.rows(torch.tanh(self.first(x.view(-1, 8, 8)))))
        x = torch.relu(self.second(self.noise(self.recurrent(x)[0][:, -1])))
        return self.out(self.mc(self.scaled(self.units(x))))


class Flat(nn.Sequential):
    """What compiles quickly: masks of units and channels, and both kinds of noise."""

    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (4, 16)), dropout.spatial(0.1).module().as_buffers(), nn.Flatten(),
            dropout.sparse_variational().module(nn.Linear(64, 13)), nn.ReLU(),
            dropout.gaussian(0.2).module().as_buffers(), dropout.dropout(0.1).module().as_buffers(),
            nn.Dropout(0.1), nn.Linear(13, 10),
        )  # fmt: skip


def members():
    return [Member(Recipe(optim.adam(lr=lr), epochs=2).resolved(), seed) for lr, seed in [(0.01, 0), (0.003, 1)] * 2]


def test_populations_train_as_runs_by_themselves():
    """In company the bits are the same; one by one, in float64, they agree to 1e-10."""
    task = small_digits(Net)
    together = train(task, members(), "vmapped", keep_weights=True)
    alone = train(task, [members()[1]] * 3, "vmapped", keep_weights=True)[0]
    assert all(torch.equal(weight, alone.weights[name]) for name, weight in together[1].weights.items())
    task = small_digits(Net, dtype=torch.float64)
    together = train(task, members(), "vmapped", keep_weights=True)
    apart = train(task, members(), "one by one", keep_weights=True)
    for one, other in zip(together, apart, strict=True):
        for name, weight in one.weights.items():
            torch.testing.assert_close(weight, other.weights[name], rtol=1e-8, atol=1e-10)
        assert one.test == other.test


@pytest.mark.slow
def test_compiled_steps_draw_the_same():
    """Masks to the bit and noise to rounding: so the weights agree to within what compiling changes anyway."""
    task = small_digits(Flat, dtype=torch.float64)
    together = train(task, members(), "vmapped", keep_weights=True)
    compiled = train(task, members(), "compiled", keep_weights=True)
    for one, other in zip(together, compiled, strict=True):
        for name, weight in one.weights.items():
            torch.testing.assert_close(weight, other.weights[name], rtol=1e-6, atol=1e-8)


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, -0.1, 1.5, float("nan")])
def test_a_rate_outside_is_refused_by_name(p):
    calls = [
        *((technique.name, lambda t=technique: t(p)) for technique in TECHNIQUES if "p" in technique.hyperparameters),
        ("hidden of rnn", lambda: dropout.RecurrentDropout(nn.GRU(2, 2), 0.1, p)),
        ("p of embedding", lambda: dropout.EmbeddingDropout(nn.Embedding(2, 2), p)),
        ("p of gaussian", lambda: dropout.Thinning(dropout.gaussian, p)),
    ]
    for name, call in calls:
        with pytest.raises(InputError, match=r"takes a number from 0 up to, but not, 1, not") as error:
            call()
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dropout.gaussian(Uniform(0.1, 0.2)).module(), "p of gaussian is a range to search"),
        (lambda: dropout.embedding().module(), "embedding needs an nn.Embedding"),
        (lambda: dropout.variational().module(), "variational needs an nn.Linear or nn.Conv2d"),
        (lambda: dropout.variational().module(nn.ReLU()), "variational takes an nn.Linear or nn.Conv2d, not ReLU"),
        (lambda: dropout.variational(1.0), "alpha of variational takes a number above 0 up to, but not, 1"),
        (lambda: dropout.gaussian().module(nn.Linear(2, 2)), "gaussian stands between layers"),
        (lambda: dropout.rnn().module(nn.RNN(2, 2)), "rnn dropout takes an nn.LSTM or nn.GRU, not RNN"),
        (lambda: dropout.embedding().module(nn.Linear(2, 2)), "takes an nn.Embedding, not Linear"),
        (lambda: dropout.spatial().module()(torch.ones(3, 4)), r"spatial drops channels of (N, channels, …), not"),
        (lambda: dropout.rnn().module().eval()(torch.ones(3, 4)), "rnn drops features of (N, steps, features), not"),
        (lambda: dropout.Thinning(dropout.embedding, 0.1), "Thinning takes a dropout that stands between layers"),
        (lambda: dropout.gaussian(0.1, 0.2), "gaussian takes at most 1 hyperparameters"),
        (lambda: dropout.gaussian(rate=0.1), 'unknown hyperparameter of gaussian "rate"'),
    ],
)
def test_what_cannot_be_gets_one_sentence(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
