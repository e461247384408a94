"""Laws that every optimizer of the catalogue keeps; a new one is covered the day it is added."""

import ast
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from small import small_digits
from thalweg import optim
from thalweg.catalogue import describe
from thalweg.errors import InputError
from thalweg.optim import _vocabulary, _vocabulary_whole
from thalweg.optim._batch import Batch
from thalweg.optim._executors import eager
from thalweg.optim._executors.population import PopulationStep
from thalweg.optim._stub import stub
from thalweg.recipe import Recipe
from thalweg.train import Member, train

OPTIMIZERS = list(optim.CATALOGUE.values())
CLASSES = [
    getattr(optim, name) for name in optim.__all__ if name[0].isupper() and name not in ("CATALOGUE", "Optimizer")
]
by_name = pytest.mark.parametrize("technique", OPTIMIZERS, ids=lambda technique: technique.name)

# Each of torch's optimizers that a formula covers: class, arguments, and the formula that they select.
TORCH = [
    ("SGD", {"lr": 0.1}, "sgd"),
    ("SGD", {"lr": 0.1, "weight_decay": 0.01}, "sgd"),
    ("SGD", {"lr": 0.05, "momentum": 0.9}, "momentum"),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}, "momentum"),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}, "nesterov"),
    ("SGD", {"lr": 0.1, "dampening": 0.5}, "sgd"),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.5}, "momentum_dampened"),
    ("Adagrad", {}, "adagrad"),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01}, "adagrad"),
    ("Adadelta", {}, "adadelta"),
    ("Adadelta", {"lr": 0.5, "rho": 0.95}, "adadelta"),
    ("RMSprop", {}, "rmsprop"),
    ("RMSprop", {"alpha": 0.9, "weight_decay": 0.01}, "rmsprop"),
    ("RMSprop", {"lr": 0.001, "momentum": 0.9}, "rmsprop_momentum"),
    ("RMSprop", {"centered": True}, "rmsprop_centered"),
    ("RMSprop", {"lr": 0.001, "momentum": 0.9, "centered": True}, "rmsprop_centered_momentum"),
    ("Adam", {}, "adam"),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}, "adam"),
    ("Adam", {"weight_decay": 0.1}, "adam_l2"),
    ("Adam", {"amsgrad": True}, "amsgrad"),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}, "amsgrad"),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, "adamw"),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1, "decoupled_weight_decay": True}, "amsgradw"),
    ("Adamax", {}, "adamax"),
    ("Adamax", {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}, "adamax"),
    ("AdamW", {}, "adamw"),
    ("AdamW", {"amsgrad": True}, "amsgradw"),
    ("AdamW", {"weight_decay": 0.3, "maximize": True}, "adamw"),
    ("NAdam", {}, "nadam"),
    ("NAdam", {"momentum_decay": 0.01, "weight_decay": 0.01}, "nadam"),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, "nadamw"),
    ("RAdam", {}, "radam"),
    ("RAdam", {"betas": (0.8, 0.7), "weight_decay": 0.1}, "radam"),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}, "radamw"),
    ("Adafactor", {}, "adafactor"),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-6, 1e-2), "d": 2.0, "weight_decay": 0.1}, "adafactor"),
    ("Muon", {}, "muon"),
    ("Muon", {"lr": 0.02, "momentum": 0.9, "adjust_lr_fn": "original", "ns_steps": 3}, "muon"),
    ("Muon", {"weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}, "muon_matched"),
]


@pytest.fixture
def float64():
    """torch keeps some of its scalars, such as NAdam's product, in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# What torch lacks is held against its paper, in tests/optim/test_papers.py.
TORCH_LACKS = {
    "adabelief", "adafactor_unfactored", "adam_uncorrected", "adan", "lamb", "lars", "lion", "prodigy",
    "schedule_free_adamw", "schedule_free_sgd", "soap", "yogi",
}  # fmt: skip


def _trained(make, *, bias=True, steps=100):
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7, bias=bias), nn.Tanh(), nn.Linear(7, 3, bias=bias))
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
    bias = name != "Muon"  # torch's refuses what is not a matrix
    ours, optimizer = _trained(lambda p: getattr(optim, name)(p, **arguments), bias=bias)
    theirs, _ = _trained(lambda p: getattr(torch.optim, name)(p, **arguments), bias=bias)
    assert (ours - theirs).abs().max() <= 1e-12
    assert optimizer.face.select(optimizer.param_groups[0], name)[0] is optim.CATALOGUE[formula]


def test_every_optimizer_is_compared_with_torch_or_torch_lacks_it():
    assert {formula for _, _, formula in TORCH}.isdisjoint(TORCH_LACKS)
    assert {formula for _, _, formula in TORCH} | TORCH_LACKS == set(optim.CATALOGUE)


def _begun(technique, tensors):
    start = [technique.start.get(name, 0.0) for name in technique.scalars]
    return [(p, eager.begin(technique, p, p.dtype), list(start)) for p in tensors]


def _stepped(technique, kept, gradients, t):
    return [
        (p, state, eager.update(technique, p, g, state, scalars, t=t, hyperparameters={}))
        for (p, state, scalars), g in zip(kept, gradients, strict=True)
    ]


@by_name
def test_its_scope_is_honest(technique):
    """Tensors may be flattened and joined where the scope is ``element``, to the last bit, and nowhere else.

    Where it is ``tensor``, they may not be flattened or not be joined; where it is ``model``, it matters which others
    there are.
    """
    torch.manual_seed(0)
    apart = [torch.randn(3, 4, dtype=torch.float64), 10 * torch.randn(5, 2, dtype=torch.float64)]
    joined = [torch.cat([p.flatten() for p in apart])]
    alone = [apart[0].clone()]
    sizes = {how: _begun(technique, mine) for how, mine in (("apart", apart), ("joined", joined), ("alone", alone))}
    for t in range(1, 21):
        gradients = [torch.randn_like(p) for p in apart]
        given = {"apart": gradients, "joined": [torch.cat([g.flatten() for g in gradients])], "alone": gradients[:1]}
        sizes = {how: _stepped(technique, kept, given[how], t) for how, kept in sizes.items()}
    assert torch.equal(alone[0], apart[0])
    same = torch.equal(torch.cat([p.flatten() for p in apart]), joined[0])
    assert same is (technique.scope == "element")


@by_name
def test_its_word_on_sparse_gradients_is_honest(technique):
    """``sparse`` says that a gradient of 0 leaves an element and all that is kept for it as they are."""
    torch.manual_seed(0)
    kept = _begun(technique, [torch.randn(3, 4, dtype=torch.float64)])
    for t in range(1, 4):
        kept = _stepped(technique, kept, [torch.randn(3, 4, dtype=torch.float64)], t)
    before = [x.clone() for p, state, _ in kept for x in (p, *state)]
    kept = _stepped(technique, kept, [torch.zeros(3, 4, dtype=torch.float64)], 4)
    after = [x for p, state, _ in kept for x in (p, *state)]
    assert all(map(torch.equal, before, after)) is technique.sparse


@pytest.mark.parametrize("name", ["schedule_free_sgd", "schedule_free_adamw"])
def test_what_a_schedule_free_method_evaluates_is_the_average_of_its_steps(name):
    """Σ α²z / Σ α² over all z so far, with rates α that warm up; and p lies between z and that average."""
    technique = optim.CATALOGUE[name]
    values = technique.hyperparameters
    beta = values.get("beta", values.get("beta1"))
    torch.manual_seed(0)
    p = torch.randn(1, 7, dtype=torch.float64)
    update = PopulationStep(technique, [values], p)
    points, rates = [], []
    for t in range(50):
        rates.append(min(1.0, (t + 1) / 10))
        update.step(torch.randn(1, 7, dtype=torch.float64), t + 1, np.array(rates[-1:]))
        z = update.state[technique.state.index("z")]
        points.append(z.clone())
        share = torch.tensor(rates, dtype=torch.float64) ** 2
        average = (share[:, None, None] * torch.stack(points)).sum(0) / share.sum()
        assert torch.allclose(update.weights(), average, rtol=0, atol=1e-12)
        assert torch.allclose(p, (1 - beta) * z + beta * average, rtol=0, atol=1e-12)


@by_name
def test_what_is_evaluated_is_what_is_trained_unless_the_formula_says_otherwise(technique):
    """And a class gives it for as long as one asks, and then trains on as if nobody had."""
    assert (technique.evaluate is not None) is technique.name.startswith("schedule_free")
    cls = next((c for c in CLASSES if c.face.plain is technique), None)
    if cls is None:  # an option of another class
        return
    torch.manual_seed(0)
    ends = []
    for looks in (False, True):
        p = nn.Parameter(torch.ones(3, 2))
        optimizer = cls([p], lr=0.1)
        for t in range(5):
            p.grad = torch.full_like(p, 1.0 + t)
            optimizer.step()
            trained = p.detach().clone()
            if looks:
                with optimizer.evaluation():
                    assert t == 0 or torch.equal(p, trained) is (technique.evaluate is None)
        ends.append(p.detach().clone())
    assert torch.equal(*ends)


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


@by_name
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_run_that_diverges_does_not_touch_its_neighbours(technique, poison):
    """Nor does it stop them: one row's gradients are not numbers from the first step, another's from the fifth."""
    torch.manual_seed(0)
    shapes, steps = [(3, 4), (5,)], 25
    start, gradients = torch.randn(3, 17), torch.randn(steps, 3, 17)
    gradients[:, 0], gradients[4:, 2] = poison, poison
    together, alone = start.clone(), start[1:2].clone()
    for p, rows in ((together, slice(0, 3)), (alone, slice(1, 2))):
        update = PopulationStep(technique, [technique.hyperparameters] * len(p), p, shapes)
        for t in range(steps):
            update.step(gradients[t, rows], t + 1, np.ones(len(p)))
    assert torch.equal(together[1], alone[0])


@by_name
def test_a_rate_of_0_moves_nothing(technique):
    """As a schedule's first step may have it; and the steps after it are steps."""
    torch.manual_seed(0)
    p = torch.randn(1, 17)
    start = p.clone()
    update = PopulationStep(technique, [technique.hyperparameters], p, [(3, 4), (5,)])
    for t in range(3):
        update.step(torch.randn(1, 17), t + 1, np.zeros(1))
        assert torch.allclose(p, start, rtol=0, atol=1e-6)
    for t in range(3, 6):
        update.step(torch.randn(1, 17), t + 1, np.ones(1))
    assert p.isfinite().all()
    assert not torch.equal(p, start)


EXECUTORS = ["fused", "eager"]


@pytest.mark.parametrize("technique", [o for o in OPTIMIZERS if o.scope == "element"], ids=lambda o: o.name)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_every_executor_takes_the_same_step(technique, dtype):
    """The kernel against the formula as it stands: within rounding of the square root, after ten steps."""
    torch.manual_seed(0)
    start, gradients = torch.randn(1003, dtype=dtype), torch.randn(10, 1003, dtype=dtype)
    ends = []
    for executor in EXECUTORS:
        p = start.clone()
        state = eager.begin(technique, p, torch.promote_types(dtype, torch.float32))
        kept = {"step": torch.tensor(0.0), **dict(zip(technique.state, state, strict=True))}
        kept |= {n: torch.tensor(technique.start.get(n, 0.0)) for n in technique.scalars}
        batch = Batch(technique, (), executor, [p], [kept], technique.state, technique.scalars)
        for g in gradients:
            batch.run(batch.gradients([p], [g]), technique.hyperparameters)
        ends.append(p.double())
    scale = ends[1].abs().max()
    assert (ends[0] - ends[1]).abs().max() <= 8 * torch.finfo(dtype).eps * scale


NETS = {
    # Before a batch norm, a bias has a gradient of exactly 0 but for rounding, and so has the weight of a pixel that
    # is the same in a whole batch; adafactor (ε = 1e-30) and lion would blow that up into steps. So there is no bias,
    # and what the batch norm sees are hidden units.
    "batch norm": lambda: nn.Sequential(
        nn.Linear(64, 16),
        nn.Tanh(),
        nn.Linear(16, 16, bias=False),
        nn.BatchNorm1d(16),
        nn.Tanh(),
        nn.Dropout(0.3),
        nn.Linear(16, 10),
    ),
    "layer norm": lambda: nn.Sequential(nn.Linear(64, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 10)),
}


@pytest.mark.parametrize("net", NETS)
def test_solo_and_vmapped_training_agree(net):
    """100 steps and more in float64, all optimizers in one population, against each by itself: 1e-10, relative.

    But for soap, whose basis in directions that no gradient has used yet is decided by rounding.
    """
    task = small_digits(NETS[net], dtype=torch.float64)
    techniques = [technique for technique in OPTIMIZERS if technique is not optim.soap]
    members = [Member(Recipe(o(), batch_size=32, epochs=17).resolved(), seed=3) for o in techniques]
    together = train(task, members, "vmapped", keep_weights=True)
    assert together[0].steps >= 100
    for member, one in zip(members, together, strict=True):
        (alone,) = train(task, [member], "one by one", keep_weights=True)
        # Weights and statistics; a count of batches would outweigh them.
        ours, theirs = (
            torch.cat([w.flatten() for w in r.weights.values() if w.is_floating_point()]) for r in (one, alone)
        )
        assert (ours - theirs).norm() <= 1e-10 * theirs.norm(), member.recipe.optimizer.name
        assert one.test == alone.test


def _undecayed(technique, lr):
    """Return the hyperparameters without the decay, which would pull away from the minimum."""
    given = {**technique.hyperparameters, "lr": lr}
    return {name: 0.0 if name == "weight_decay" else value for name, value in given.items()}


QUADRATIC = {
    "sgd": 0.05, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.5, "adadelta": 10.0, "rmsprop": 0.02, "lars": 10.0,
    "rmsprop_momentum": 0.005, "rmsprop_centered_momentum": 0.005, "radam": 0.1, "radamw": 0.1, "prodigy": 1.0,
    "schedule_free_adamw": 0.5, "muon_matched": 0.3,
}  # fmt: skip


@by_name
def test_it_descends_a_quadratic(technique):
    """From (3, −2) on x² + 10y², with its default rate raised to one that 500 steps suffice for."""
    curvature = torch.tensor([1.0, 10.0], dtype=torch.float64)
    p = torch.tensor([[3.0, -2.0]], dtype=torch.float64)
    update = PopulationStep(technique, [_undecayed(technique, QUADRATIC.get(technique.name, 0.05))], p, [(1, 2)])
    for t in range(500):
        update.step(2 * curvature * p, t + 1, np.array([1 - t / 500]))
    assert (curvature * update.weights().square()).sum() < 1e-2


ROSENBROCK = {
    "sgd": 0.5, "momentum": 1e-6, "nesterov": 1e-6, "momentum_dampened": 0.5, "adagrad": 0.3, "adadelta": 1.0,
    "rmsprop": 0.1, "rmsprop_momentum": 1e-3, "rmsprop_centered": 0.1, "rmsprop_centered_momentum": 1e-3,
    "adam_uncorrected": 1e-6, "adam": 1e-12, "adam_l2": 1e-12, "amsgrad": 1e-12, "yogi": 1e-12, "adamw": 1e-12,
    "amsgradw": 1e-12, "nadam": 0.05, "nadamw": 0.05, "radam": 0.5, "radamw": 0.5, "adabelief": 1e-12, "adan": 1e-6,
    "adamax": 0.01, "lion": 0.1, "lars": 0.3, "lamb": 1.0, "adafactor_unfactored": 0.2, "adafactor": 0.2,
    "muon": 0.05, "muon_matched": 0.1, "soap": 1e-4, "schedule_free_sgd": 0.01, "schedule_free_adamw": 0.02,
    "prodigy": 1e-6,
}  # fmt: skip
"""What 2000 steps at a constant rate reach from a value of 12.5. The minimum is 0; steps whose length does not fall
with the gradient cannot come close to it at such a rate, and go to and fro there, as last bits have it."""


@by_name
def test_it_descends_rosenbrocks_valley(technique):
    """From (−1.5, 2), a matrix of one row, at the best of six rates, 1e-4 to 10: the last steps' median."""
    rates = [10.0**power for power in range(-4, 2)]
    p = torch.tensor([[-1.5, 2.0]] * len(rates), dtype=torch.float64)
    update = PopulationStep(technique, [_undecayed(technique, rate) for rate in rates], p, [(1, 2)])
    values = torch.empty(100, len(rates), dtype=p.dtype)
    for t in range(2000):
        x, y = p.unbind(1)
        slope = torch.stack([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)], 1)
        update.step(slope, t + 1, np.ones(len(rates)))
        x, y = update.weights().unbind(1)
        values[t % len(values)] = (1 - x) ** 2 + 100 * (y - x * x) ** 2
    assert values.nan_to_num(torch.inf, torch.inf).median(0).values.min() < ROSENBROCK[technique.name]


DIGITS = {
    "sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "momentum_dampened": 0.1, "adagrad": 0.05, "lion": 1e-3,
    "rmsprop_momentum": 1e-3, "rmsprop_centered_momentum": 1e-3, "lars": 10.0, "schedule_free_sgd": 0.1,
    "adafactor": 0.1, "adafactor_unfactored": 0.1,
}  # fmt: skip


@by_name
def test_it_learns_digits(technique, linear_task):
    lr = DIGITS.get(technique.name, max(0.01, technique.hyperparameters["lr"]))
    (result,) = train(linear_task, [Member(Recipe(technique(lr=lr), epochs=20).resolved(), 0)])
    assert result.test > 0.8


@by_name
def test_it_says_what_is_its_own(technique):
    assert "lr" in technique.space
    page = describe("optimizer")
    mine = page[page.index(f"\n{technique.name}: ") :].partition("\n\n")[0]
    assert ("fewer than two axes: " in mine) is (technique.vectors is not None)
    assert ("evaluated at (p - " in mine) is (technique.evaluate is not None)


@by_name
def test_its_formula_keeps_to_the_vocabulary(technique):
    """Arithmetic and a closed list of words, so that every executor can carry it out; ``.T`` is the transpose."""
    allowed = {*_vocabulary.__all__} | ({*_vocabulary_whole.__all__, "T"} if technique.scope != "element" else set())
    assert set(technique.formula.__code__.co_names) <= allowed


@by_name
def test_a_formula_branches_on_numbers_alone(technique):
    """Not on what differs from element to element, where ``where`` chooses."""
    tensors = {"p", "g", *technique.state}
    for statement in technique.statements():
        for node in ast.walk(statement):
            if isinstance(node, ast.IfExp):
                asked = {name.id for name in ast.walk(node.test) if isinstance(name, ast.Name)}
                assert asked.isdisjoint(tensors)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_state_survives_saving_and_copying(cls):
    """20 steps, saved, loaded into another, 20 more: the weights of 40 steps; and the same for a deep copy."""
    torch.manual_seed(0)
    starts = [torch.randn(2, 3), torch.randn(4)]
    gradients = [[torch.randn_like(p) for p in starts] for _ in range(40)]

    def run(params, optimizer, some):
        for each in some:
            for p, g in zip(params, each, strict=True):
                p.grad = g.clone()
            optimizer.step()

    whole = [nn.Parameter(p.clone()) for p in starts]
    run(whole, cls(whole), gradients)
    half = [nn.Parameter(p.clone()) for p in starts]
    first = cls(half)
    run(half, first, gradients[:20])
    other = [nn.Parameter(p.detach().clone()) for p in half]
    second = cls(other)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(other, second, gradients[20:])
    assert all(map(torch.equal, other, whole))

    copied_parameters, copied = copy.deepcopy((half, first))
    run(copied_parameters, copied, gradients[20:])
    assert all(map(torch.equal, copied_parameters, whole))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("lr", [-1.0, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_is_refused(cls, lr):
    with pytest.raises(InputError, match=r"lr of .* takes a number from 0 up"):
        cls([nn.Parameter(torch.ones(2))], lr=lr)


def test_the_stub_says_what_the_declarations_say():
    path = Path(optim.__file__).with_name("__init__.pyi")
    assert path.read_text() == stub(), "run python -m thalweg.optim._stub"
