"""What torch's functions draw in a forward pass is a function of run, step and place, and distributed as theirs."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from small import small_digits
from thalweg import optim
from thalweg.recipe import Recipe
from thalweg.train import Member, train
from thalweg.train.drawn import drawn
from thalweg.train.dropout import KeyedDropout
from thalweg.train.executors import EXECUTORS
from thalweg.train.noise import NOISE
from thalweg.train.state import beginnings

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
    "log_normal_": lambda: torch.empty(4000, 5).log_normal_(0.5, 0.4),
    "cauchy_": lambda: torch.empty(4000, 5).cauchy_(1.0, 0.1).clamp(-1, 3),
    "an initialisation, normal": lambda: nn.init.normal_(torch.empty(4000, 5), 1.0, 2.0),
    "an initialisation, uniform": lambda: nn.init.uniform_(torch.empty(4000, 5), b=3.0),
    "an initialisation of a parameter": lambda: nn.init.normal_(nn.Parameter(torch.empty(4000, 5)), std=2.0).detach(),
    "rand, numpy's sizes": lambda: torch.rand(np.int64(4000), np.int64(5)),
    "randn, one of numpy's sizes": lambda: torch.randn(np.int64(4000)),
    "randn, a size in a tensor": lambda: torch.randn(torch.tensor(4000)),
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
    "a normal distribution": lambda: torch.distributions.Normal(ROWS, SHARES, validate_args=True).rsample(),
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


def test_no_gradient_flows_through_what_torch_lets_none_through():
    mean, spread = torch.ones(5, requires_grad=True), torch.ones(5, requires_grad=True)
    with KeyedDropout(torch.tensor(5)):
        (torch.normal(mean, spread) + mean.clone().normal_() + 2 * mean).sum().backward()
    assert mean.grad.tolist() == [2.0] * 5
    assert spread.grad is None


WRONG = {
    "a rate above 1": lambda: F.dropout(ONES, 1.5),
    "a rate below 0, of channels": lambda: F.dropout2d(ROWS.view(10, 4, -1, 5), -0.5),
    "a rate above 1, of alpha dropout": lambda: F.alpha_dropout(ONES, 2.0, training=True),
    "whole numbers for uniform ones": lambda: torch.rand(3, dtype=torch.int64),
    "whole numbers for normal ones": lambda: torch.randn_like(torch.ones(3, dtype=torch.int64)),
    "whole numbers to fill": lambda: torch.ones(3, dtype=torch.int64).normal_(),
    "no size": lambda: torch.rand(),
    "a size that is no whole number": lambda: torch.rand(2.0),
    "nothing between the bounds": lambda: torch.randint(5, 5, (3,)),
    "bounds that are swapped": lambda: torch.empty(3).uniform_(1.0, 0.0),
    "a spread below 0": lambda: torch.normal(0.0, -1.0, (3,)),
    "a spread below 0, written": lambda: torch.empty(3).normal_(0.0, -1.0),
    "a rate of waiting below 0": lambda: torch.empty(3).exponential_(-1.0),
    "a probability of 2": lambda: torch.empty(3).bernoulli_(2.0),
    "probabilities of whole numbers": lambda: torch.bernoulli(torch.ones(3, dtype=torch.int64)),
    "more than there are": lambda: torch.multinomial(torch.ones(3), 4),
    "three axes of probabilities": lambda: torch.multinomial(torch.ones(2, 2, 2), 1),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_torch_refuses_is_refused_in_its_words(name):
    kinds = RuntimeError, TypeError, ValueError
    with pytest.raises(kinds) as theirs:
        WRONG[name]()
    with pytest.raises(kinds) as ours:
        under(5, WRONG[name])
    assert str(ours.value) == str(theirs.value)


def test_complex_noise_is_torchs_own():
    torch.manual_seed(3)
    theirs = torch.randn(5, dtype=torch.complex64)
    torch.manual_seed(3)
    assert torch.equal(under(5, lambda: torch.randn(5, dtype=torch.complex64))[0], theirs)


def test_who_seeds_the_generator_in_a_pass_gets_what_torch_draws_from_there():
    def call():
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return torch.rand(3), F.dropout(torch.ones(20))

    torch.manual_seed(3)
    (ours, thinned), (again, _) = under(5, call, times=2)
    assert torch.equal(ours, call()[0])
    assert torch.equal(again, ours)
    assert torch.equal(thinned, call()[1])
    assert not torch.equal(under(5, lambda: torch.rand(3))[0], ours)


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
            return super().forward(x + 0.1 * torch.empty_like(x).geometric_(0.5) if self.training else x)

    found = drawn(small_digits(lambda: Other(64, 10)))
    assert found.moves_generator
    assert not found.noise


class Judged(nn.Linear):
    """Draws by numbers of its own, which are as they have to be, or not."""

    def __init__(self, draw):
        super().__init__(64, 10)
        self.draw = draw

    def forward(self, x):
        y = super().forward(x)
        return y + 0 * self.draw(y.detach()) if self.training else y


BADLY = {
    "a spread": lambda y: torch.distributions.Normal(0.0, y).sample(),
    "a spread, without a distribution": lambda y: torch.normal(y, y),
    "a probability": lambda y: torch.bernoulli(9 * y),
    "a probability, written": lambda y: torch.empty(10).bernoulli_(9 * y[0]),
    "weights of a choice": lambda y: torch.multinomial(y, 1),
    "a choice of nothing": lambda y: torch.multinomial(y * 0, 1),
}


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
@pytest.mark.parametrize("name", BADLY)
def test_a_run_that_draws_by_numbers_that_cannot_be_has_diverged(name, executor):
    members = [Member(Recipe(optim.adam(), epochs=1).resolved(), seed) for seed in range(2)]
    for result in train(small_digits(lambda: Judged(BADLY[name])), members, executor):
        assert "finite" in result.reason
    fine = small_digits(lambda: Judged(lambda y: BADLY[name](y.softmax(1) / 9) if "nothing" not in name else y))
    assert not any(result.reason for result in train(fine, members, executor))


class Shaken(torch.autograd.Function):
    """Shake-Shake, as its authors' successors write it: other shares on the way back."""

    @staticmethod
    def forward(ctx, one, other):
        share = torch.rand(len(one), 1)
        return share * one + (1 - share) * other

    @staticmethod
    def backward(ctx, gradient):
        share = torch.rand(len(gradient), 1)
        return share * gradient, (1 - share) * gradient


class Behind(nn.Module):
    """Draws on the way back, or where two examples do not see it."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.second, self.kind = nn.Linear(64, 16), nn.Linear(16, 10), kind
        if kind == "a hook":
            self.first.weight.register_hook(lambda gradient: gradient + 0.1 * torch.randn_like(gradient))

    def forward(self, x):
        if self.kind == "many examples" and self.training and len(x) > 20:
            x = x + np.random.standard_normal()  # noqa: NPY002
        hidden = self.first(x)
        if self.kind == "Shake-Shake":
            hidden = Shaken.apply(hidden, hidden.relu())
        if self.kind == "checkpoints":
            return checkpoint(lambda y: self.second(F.dropout(y, 0.5, self.training)), hidden, use_reentrant=False)
        return self.second(hidden)


@pytest.mark.parametrize("kind", ["a hook", "Shake-Shake", "checkpoints", "many examples", "the loss"])
def test_what_is_drawn_behind_a_probes_back_follows_from_the_runs_seed(kind):
    def loss(output, targets):
        return F.cross_entropy(output * (np.random.uniform() if kind == "the loss" else 1), targets)  # noqa: NPY002

    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        task = small_digits(lambda: Behind(kind), loss=loss, dtype=torch.float64)
        member = Member(Recipe(optim.adam(), epochs=2).resolved(), 3)
        found.append(train(task, [member])[0].curve.train_loss[1:])
    assert found[0].tolist() == found[1].tolist()
    with pytest.raises(RuntimeError, match=r"draws|hook|Function|checkpoint"):
        train(task, [member] * 3, "vmapped")


def test_a_checkpoint_computes_again_what_it_has_computed():
    class Twice(nn.Module):
        def __init__(self, again):
            super().__init__()
            self.first, self.second, self.again = nn.Linear(64, 16), nn.Linear(16, 10), again

        def forward(self, x):
            if self.again:
                return checkpoint(self.inside, self.first(x), use_reentrant=False)
            hidden = self.first(x)
            if hidden.requires_grad:  # draws on the way back, after all else, so that nothing has a key here either
                hidden.register_hook(lambda gradient: gradient + 0 * torch.rand(1))
            return self.inside(hidden)

        def inside(self, x):
            return self.second(F.dropout(x, 0.5, self.training))

    member = Member(Recipe(optim.adam(), epochs=2).resolved(), 3)
    one, other = (train(small_digits(lambda again=again: Twice(again)), [member])[0] for again in (True, False))
    assert one.curve.train_loss[1:].tolist() == other.curve.train_loss[1:].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("draw", [torch.randn_like, F.dropout])
def test_compiled_models_draw_in_evaluation_what_others_draw(draw):
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 16), Always(draw), nn.Linear(16, 10)))
    states = beginnings(task, 4, Recipe(optim.adam()).resolved())
    alone, compiled = (
        EXECUTORS[name](task, states, 4).outputs(task.test.inputs) for name in ("one by one", "compiled")
    )
    for one, other in zip(alone, compiled, strict=True):
        torch.testing.assert_close(one, other)


class Always(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, x):
        return x + self.draw(x)
