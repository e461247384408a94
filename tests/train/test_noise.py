"""What torch's functions draw in a forward pass is a function of run, step and place, and distributed as theirs."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe
from thalweg.train import Member, train
from thalweg.train.drawn import drawn
from thalweg.train.dropout import KeyedDropout
from thalweg.train.noise import NOISE

SHARES = torch.linspace(0.1, 0.9, 5).expand(4000, 5)
ONES, ROWS = torch.ones(4000, 5), torch.linspace(-2, 2, 20_000).view(4000, 5)

CALLS = {
    "rand": lambda: torch.rand(4000, 5),
    "rand, a shape": lambda: torch.rand((4000, 5), dtype=torch.float64),
    "rand, by name": lambda: torch.rand(size=(4000, 5)),
    "rand, bfloat16": lambda: torch.rand(4000, 5, dtype=torch.bfloat16),
    "rand, of numpy's numbers": lambda: torch.rand(np.int64(4000), torch.tensor(5)),
    "rand_like": lambda: torch.rand_like(ONES),
    "randn": lambda: torch.randn(4000, 5),
    "randn_like": lambda: torch.randn_like(ONES, dtype=torch.float64),
    "randint": lambda: torch.randint(7, (4000, 5)),
    "randint, two bounds": lambda: torch.randint(-3, 7, size=(4000, 5), dtype=torch.int32),
    "randint, by name": lambda: torch.randint(high=5, size=(4000, 5)),
    "randint_like": lambda: torch.randint_like(ONES, 2, 9),
    "randperm": lambda: torch.randperm(20_000),
    "normal, numbers": lambda: torch.normal(2.0, 3.0, (4000, 5)),
    "normal, tensors": lambda: torch.normal(ROWS, SHARES),
    "normal, of a mean": lambda: torch.normal(ROWS),
    "normal, of a number and a tensor": lambda: torch.normal(1.0, SHARES),
    "bernoulli": lambda: torch.bernoulli(SHARES),
    "bernoulli, of a tensor's own": lambda: SHARES.bernoulli(),
    "bernoulli, of one share": lambda: torch.bernoulli(ROWS, 0.2),
    "bernoulli_": lambda: torch.empty(4000, 5).bernoulli_(0.3),
    "bernoulli_, of shares": lambda: torch.empty(4000, 5).bernoulli_(SHARES),
    "normal_": lambda: torch.empty(4000, 5).normal_(),
    "normal_, by name": lambda: torch.empty(4000, 5).normal_(std=2.0),
    "uniform_": lambda: torch.empty(4000, 5).uniform_(-1.0, 2.0),
    "uniform_, by name": lambda: torch.empty(4000, 5, dtype=torch.float64).uniform_(to=3.0),
    "exponential_": lambda: torch.empty(4000, 5).exponential_(2.0),
    "multinomial": lambda: torch.multinomial(SHARES, 2),
    "multinomial, of a tensor's own": lambda: SHARES.multinomial(1).squeeze(1),
    "multinomial, with replacement": lambda: torch.multinomial(SHARES, 3, replacement=True),
    "alpha dropout": lambda: F.alpha_dropout(ROWS, 0.3, training=True),
    "feature alpha dropout": lambda: F.feature_alpha_dropout(ROWS.view(4000, 5, 1), 0.4, training=True),
    "rrelu": lambda: F.rrelu(ROWS, 0.1, 0.4, training=True),
    "torch's rrelu": lambda: torch.rrelu(ROWS, training=True),
    "gumbel softmax": lambda: F.gumbel_softmax(ROWS, 0.7),
    "gumbel softmax, hard": lambda: F.gumbel_softmax(ROWS, hard=True),
    "torch's dropout": lambda: torch.dropout(ROWS, 0.2, True),
    "a normal distribution": lambda: torch.distributions.Normal(ROWS, SHARES).rsample(),
    "a Bernoulli distribution": lambda: torch.distributions.Bernoulli(SHARES).sample(),
    "a uniform distribution": lambda: torch.distributions.Uniform(ROWS, ROWS + 1).rsample(),
    "a Laplace distribution": lambda: torch.distributions.Laplace(ROWS, SHARES).rsample(),
    "a categorical distribution": lambda: torch.distributions.Categorical(SHARES).sample(),
    "a Gumbel distribution": lambda: torch.distributions.Gumbel(ROWS, SHARES).rsample(),
}  # fmt: skip


def under(key, call, times=1):
    with KeyedDropout(torch.tensor(key)):
        return [call() for _ in range(times)]


def test_each_function_has_a_case():
    asked = set()

    class Asking(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            asked.add(function)
            return function(*args, **(kwargs or {}))

    with Asking():
        for call in CALLS.values():
            call()
    assert asked >= NOISE.keys()


@pytest.mark.parametrize("name", CALLS)
def test_it_looks_as_torchs_own_and_leaves_the_generator_alone(name):
    call = CALLS[name]
    torch.manual_seed(3)
    theirs, state = call(), torch.get_rng_state()
    (ours,) = under(5, call)
    assert torch.equal(torch.get_rng_state(), state)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    a, b = ours.double().flatten(), theirs.double().flatten()
    if theirs.unique().numel() < 200:
        values = torch.cat([a, b]).unique()
        counts = [[(x == value).sum().item() for value in values] for x in (a, b)]
        assert len(values) == 1 or stats.chi2_contingency(counts).pvalue > 1e-4
    else:
        assert stats.ks_2samp(a, b).pvalue > 1e-4
    if ours.dim() == 2:  # the columns differ in their shares
        for x, y in zip(ours.double().T, theirs.double().T, strict=True):
            assert abs(x.mean() - y.mean()) <= 6 * (x.std() + y.std() + 1e-9) / len(x) ** 0.5


@pytest.mark.parametrize("name", CALLS)
def test_its_key_and_its_place_in_the_forward_pass_decide(name):
    call = CALLS[name]
    first, second = under(5, call, times=2)
    assert torch.equal(first, under(5, call)[0])
    assert not torch.equal(first, second)
    assert not torch.equal(first, under(6, call)[0])


def test_a_permutation_has_every_place_once_and_a_subset_none_twice():
    (order,), (pairs,) = under(1, CALLS["randperm"]), under(1, CALLS["multinomial"])
    assert order.sort().values.tolist() == list(range(20_000))
    assert (pairs[:, 0] != pairs[:, 1]).all()


def test_no_uniform_number_is_1_and_no_exponential_one_0_or_endless():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        (drawn,) = under(2, lambda dtype=dtype: torch.rand(300_000, dtype=dtype))
        assert drawn.min() >= 0
        assert drawn.max() < 1
        assert abs(drawn.double().mean() - 0.5) < 0.005
    (waits,) = under(2, lambda: torch.empty(300_000).exponential_())
    assert waits.min() > 0
    assert waits.isfinite().all()


def test_a_generator_of_ones_own_answers_itself():
    def call():
        return torch.randn(5, generator=torch.Generator().manual_seed(3))

    assert torch.equal(under(5, call)[0], call())
    place = torch.empty(5)
    with KeyedDropout(torch.tensor(5)):
        torch.manual_seed(4)
        torch.rand(5, out=place)
    torch.manual_seed(4)
    assert torch.equal(place, torch.rand(5))


@pytest.mark.parametrize("call", [
    lambda: torch.randn(300, dtype=torch.complex64),
    lambda: torch.randn_like(torch.empty(300, dtype=torch.complex64)),
    lambda: torch.empty(300, dtype=torch.complex64).normal_(),
])  # fmt: skip
def test_complex_numbers_are_torchs_own(call):
    torch.manual_seed(3)
    theirs = call()
    torch.manual_seed(3)
    assert torch.equal(under(5, call)[0], theirs)


def test_what_torch_refuses_is_refused():
    for call in (lambda: torch.rand(3, dtype=torch.int64), lambda: torch.ones(3, dtype=torch.int64).normal_()):
        with pytest.raises((RuntimeError, NotImplementedError)):
            under(5, call)


def test_what_is_not_training_is_left_as_it_is():
    with KeyedDropout(torch.tensor(5)):
        assert torch.equal(F.alpha_dropout(ROWS, 0.3, training=False), ROWS)
        assert torch.equal(F.rrelu(ROWS), F.leaky_relu(ROWS, (1 / 8 + 1 / 3) / 2))
        assert torch.equal(torch.dropout(ROWS, 0.3, False), ROWS)
        assert F.alpha_dropout(ROWS, 1.0, training=True).unique().tolist() == [0.0]


def test_channels_leave_whole():
    (found,) = under(5, lambda: F.feature_alpha_dropout(torch.ones(40, 3, 5, 5), 0.4, training=True))
    each = found.flatten(2)
    assert (each.amin(2) == each.amax(2)).all()
    assert found.unique().numel() == 2


def test_gradients_flow_through_what_is_drawn():
    scale = torch.ones(5, requires_grad=True)
    with KeyedDropout(torch.tensor(5)):
        sample = torch.distributions.Normal(0.0, scale).rsample()
    sample.sum().backward()
    torch.testing.assert_close(scale.grad, sample.detach())


class Drawing(nn.Module):
    """Stochastic depth, a latent code that is sampled, and noise, each as it is commonly written."""

    def __init__(self):
        super().__init__()
        self.first, self.code, self.head = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(8, 10)

    def forward(self, x):
        x = torch.relu(self.first(x + 0.1 * torch.randn_like(x) if self.training else x))
        if self.training:
            stays = 0.8 + torch.rand((x.shape[0], 1), dtype=x.dtype, device=x.device)
            x = x + x.div(0.8) * stays.floor_()
            noise = torch.empty([x.shape[0], 1], dtype=x.dtype, device=x.device)
            x = x * noise.bernoulli_(0.9).div_(0.9)
        mean, spread = self.code(x).chunk(2, 1)
        return self.head(torch.distributions.Normal(mean, spread.exp()).rsample() if self.training else mean)


@pytest.mark.parametrize("executor", ["vmapped", pytest.param("compiled", marks=pytest.mark.slow)])
def test_runs_in_company_draw_what_they_draw_alone(executor):
    task = small_digits(Drawing)
    assert drawn(task).noise
    assert not drawn(task).moves_generator
    members = [Member(Recipe(optim.adam(), epochs=2).resolved(), seed) for seed in range(4)]
    alone, together = train(task, members), train(task, members, executor)
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(
            torch.tensor(a.curve.train_loss), torch.tensor(b.curve.train_loss), rtol=1e-4, atol=1e-5, equal_nan=True
        )
    assert len({result.curve.train_loss[-1] for result in together}) == 4


def test_what_has_no_key_trains_alone():
    class Other(nn.Linear):
        def forward(self, x):
            return super().forward(x + torch.empty_like(x).cauchy_().clamp(-0.1, 0.1) if self.training else x)

    found = drawn(small_digits(lambda: Other(64, 10)))
    assert found.moves_generator
    assert not found.noise
