"""Laws that every optimizer of the catalogue keeps; a new one is covered the day it is added."""

import copy
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from small import small_digits
from thalweg import optim
from thalweg.catalogue import describe
from thalweg.errors import InputError
from thalweg.latex import latex
from thalweg.optim._batch import Batch
from thalweg.optim._executors import eager
from thalweg.optim._executors.population import PopulationStep
from thalweg.optim._stub import stub
from thalweg.recipe import Recipe
from thalweg.train import Member, train

OPTIMIZERS = list(optim.CATALOGUE.values())
by_name = pytest.mark.parametrize("technique", OPTIMIZERS, ids=lambda technique: technique.name)

# Each of torch's optimizers that a formula covers: class, arguments, and the formula that they select.
TORCH = [
    ("SGD", {"lr": 0.1}, "sgd"),
    ("SGD", {"lr": 0.1, "weight_decay": 0.01}, "sgd"),
    ("SGD", {"lr": 0.05, "momentum": 0.9}, "momentum"),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}, "momentum"),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}, "nesterov"),
    ("Adagrad", {}, "adagrad"),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01}, "adagrad"),
    ("Adadelta", {}, "adadelta"),
    ("Adadelta", {"lr": 0.5, "rho": 0.95}, "adadelta"),
    ("RMSprop", {}, "rmsprop"),
    ("RMSprop", {"alpha": 0.9, "weight_decay": 0.01}, "rmsprop"),
    ("Adam", {}, "adam"),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}, "adam"),
    ("Adam", {"weight_decay": 0.1}, "adam_l2"),
    ("Adam", {"amsgrad": True}, "amsgrad"),
    ("AdamW", {}, "adamw"),
    ("AdamW", {"weight_decay": 0.3, "maximize": True}, "adamw"),
    ("NAdam", {}, "nadam"),
    ("NAdam", {"momentum_decay": 0.01, "weight_decay": 0.01}, "nadam"),
]


@pytest.fixture
def float64():
    """torch keeps some of its scalars, such as NAdam's product, in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _trained(make, steps=100):
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    inputs, targets = torch.randn(32, 5, generator=generator), torch.randn(32, 3, generator=generator)
    optimizer = make(net.parameters())
    for step in range(steps):
        batch = slice(8 * (step % 4), 8 * (step % 4) + 8)
        optimizer.zero_grad()
        (net(inputs[batch]) - targets[batch]).square().mean().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in net.parameters()]), optimizer


@pytest.mark.parametrize(("name", "arguments", "formula"), TORCH)
def test_torch_has_the_same_trajectory(float64, name, arguments, formula):
    ours, optimizer = _trained(lambda p: getattr(optim, name)(p, **arguments))
    theirs, _ = _trained(lambda p: getattr(torch.optim, name)(p, **arguments))
    assert (ours - theirs).abs().max() <= 1e-12
    assert optimizer.face.select(optimizer.param_groups[0], name)[0] is optim.CATALOGUE[formula]


def test_every_optimizer_is_compared_with_torch_or_torch_lacks_it():
    assert {formula for _, _, formula in TORCH} | {"adam_uncorrected", "yogi"} == set(optim.CATALOGUE)


@by_name
def test_a_population_steps_each_run_as_if_alone(technique):
    """Rows of one matrix with their own hyperparameters, against each row by itself; bit for bit."""
    rng = np.random.default_rng(0)
    rows, shapes, steps = 5, [(3, 4), (5,)], 20
    values = [
        {n: v * rng.uniform(0.5, 1.0) if isinstance(v, float) else v for n, v in technique.hyperparameters.items()}
        for _ in range(rows)
    ]
    multipliers = rng.uniform(0.1, 1.0, (steps, rows))
    torch.manual_seed(0)
    together, gradients = torch.randn(rows, 17), torch.randn(steps, rows, 17)
    start = together.clone()
    update = PopulationStep(technique, values, together, shapes)
    for t in range(steps):
        update.step(gradients[t], t + 1, multipliers[t])
    for row in range(rows):
        alone = start[row : row + 1].clone()
        update = PopulationStep(technique, [values[row]], alone, shapes)
        for t in range(steps):
            update.step(gradients[t, row : row + 1], t + 1, multipliers[t, row : row + 1])
        assert torch.equal(alone[0], together[row])


EXECUTORS = ["fused", "eager"]


@by_name
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_every_executor_takes_the_same_step(technique, dtype):
    """The kernel against the formula as it stands: within rounding of the square root, after ten steps."""
    if technique.scope != "element":
        pytest.skip("has one executor")
    torch.manual_seed(0)
    start, gradients = torch.randn(1003, dtype=dtype), torch.randn(10, 1003, dtype=dtype)
    ends = []
    for executor in EXECUTORS:
        p, state = start.clone(), None
        kept = {}
        batch = None
        for t in range(10):
            if batch is None:
                wide = torch.promote_types(dtype, torch.float32)
                state = eager.begin(technique, p, wide)
                kept = {"step": torch.tensor(0.0), **dict(zip(technique.state, state, strict=True))}
                kept |= {n: torch.tensor(technique.start.get(n, 0.0)) for n in technique.scalars}
                batch = Batch(technique, (), executor, [p], [kept], technique.state, technique.scalars)
            batch.run([gradients[t]], technique.hyperparameters)
        ends.append(p.double())
    scale = ends[1].abs().max()
    assert (ends[0] - ends[1]).abs().max() <= 8 * torch.finfo(dtype).eps * scale


NETS = {
    # A bias before a batch norm has a gradient of exactly 0 but for rounding, which adagrad (ε = 1e-10) would blow
    # up into steps; as everyone does, it is left out.
    "batch norm": lambda: nn.Sequential(
        nn.Linear(64, 16, bias=False), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 10)
    ),
    "layer norm": lambda: nn.Sequential(nn.Linear(64, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 10)),
}


@pytest.mark.parametrize("net", NETS)
def test_solo_and_vmapped_training_agree(net):
    """100 steps and more in float64, all optimizers in one population, against each by itself: 1e-10, relative."""
    task = small_digits(NETS[net], dtype=torch.float64)
    members = [Member(Recipe(o(), batch_size=32, epochs=17).resolved(), seed=3) for o in OPTIMIZERS]
    together = train(task, members, "vmapped", keep_weights=True)
    assert together[0].steps >= 100
    for member, one in zip(members, together, strict=True):
        (alone,) = train(task, [member], "one by one", keep_weights=True)
        ours, theirs = (torch.cat([w.double().flatten() for w in r.weights.values()]) for r in (one, alone))
        assert (ours - theirs).norm() <= 1e-10 * theirs.norm(), member.recipe.optimizer.name
        assert one.test == alone.test


@by_name
def test_it_descends_a_quadratic(technique):
    """From (3, −2) on x² + 10y², with its default rate raised to one that 500 steps suffice for."""
    curvature = torch.tensor([1.0, 10.0], dtype=torch.float64)
    rates = {"sgd": 0.05, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.5, "adadelta": 10.0, "rmsprop": 0.02}
    values = {**technique.hyperparameters, "lr": rates.get(technique.name, 0.05)}
    p = torch.tensor([[3.0, -2.0]], dtype=torch.float64)
    update = PopulationStep(technique, [values], p)
    for t in range(500):
        update.step(2 * curvature * p, t + 1, np.array([1 - t / 500]))
    assert (curvature * p.square()).sum() < 1e-2


@by_name
def test_it_learns_digits(technique, linear_task):
    lr = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.05}.get(
        technique.name, max(0.01, technique.hyperparameters["lr"])
    )
    (result,) = train(linear_task, [Member(Recipe(technique(lr=lr), epochs=20).resolved(), 0)])
    assert result.test > 0.8


@by_name
def test_it_says_what_it_is(technique):
    assert technique.source
    assert technique.summary.endswith((".", ":", "other."))
    assert "Source:" in inspect.getdoc(technique.formula)
    assert set(technique.space) <= set(technique.hyperparameters)
    assert "lr" in technique.space
    for name, place in technique.space.items():
        default = technique.hyperparameters[name]
        assert place.low <= default <= place.high, f"the default of {name} lies outside its space"
    assert set(technique.generalises) <= set(optim.CATALOGUE)
    page = describe("optimizer")
    assert f"{technique.name}: " in page
    assert technique.source in page
    assert all(equation in page for equation in technique.equations)
    assert len(latex(technique)) == len(technique.statements())


@by_name
def test_its_formula_keeps_to_the_vocabulary(technique):
    """Arithmetic and four words; so that every executor can carry it out."""
    names = set(technique.formula.__code__.co_names)
    assert names <= {"sqrt", "sign", "maximum", "where"}


CLASSES = [
    getattr(optim, name) for name in optim.__all__ if name[0].isupper() and name not in ("CATALOGUE", "Optimizer")
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_state_survives_saving_and_copying(cls):
    """20 steps, saved, loaded into another, 20 more: the weights of 40 steps; and the same for a deep copy."""
    torch.manual_seed(0)
    start, gradients = torch.randn(6), torch.randn(40, 6)

    def run(p, optimizer, some):
        for g in some:
            p.grad = g.clone()
            optimizer.step()

    whole = nn.Parameter(start.clone())
    run(whole, cls([whole]), gradients)
    half = nn.Parameter(start.clone())
    first = cls([half])
    run(half, first, gradients[:20])
    other = nn.Parameter(half.detach().clone())
    second = cls([other])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(other, second, gradients[20:])
    assert torch.equal(other, whole)

    copied_parameter, copied = copy.deepcopy((half, first))
    run(copied_parameter, copied, gradients[20:])
    assert torch.equal(copied_parameter, whole)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("lr", [-1.0, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_is_refused(cls, lr):
    with pytest.raises(InputError, match=r"lr of .* takes a number from 0 up"):
        cls([nn.Parameter(torch.ones(2))], lr=lr)


def test_the_stub_says_what_the_declarations_say():
    path = Path(optim.__file__).with_name("__init__.pyi")
    assert path.read_text() == stub(), "run python -m thalweg.optim._stub"
