"""Laws of what goes around an optimizer: gradient techniques, averages and wrappers; a new one is covered at once."""

import ast
import inspect

import numpy as np
import pytest
import torch
from torch import nn

from small import small_digits
from thalweg import average, gradient, optim, wrapper
from thalweg.catalogue import KINDS
from thalweg.errors import InputError
from thalweg.notation import parse
from thalweg.optim import _vocabulary
from thalweg.optim._executors.rows import on_rows, on_shapes
from thalweg.recipe import Recipe
from thalweg.train import Member, train

TECHNIQUES = [technique for role in ("gradient", "average", "wrapper") for technique in KINDS[role].values()]
by_name = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)

QUICK = {"ema": {"decay": 0.9}, "ema_corrected": {"decay": 0.9}, "ema_warmup": {"decay": 0.9}, "swa": {"start": 0.5}}
"""Settings at which a short run shows what a technique does."""


def recipe(technique, **more):
    values = QUICK.get(technique.name, {})
    return Recipe(optim.adam(lr=0.01), **{technique.kind: technique(**values), "epochs": 4, **more}).resolved()


def tensors_of(technique):
    """Return how many tensors the formula takes."""
    parameters = inspect.signature(technique.formula).parameters.values()
    return sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def values_of(technique):
    values = technique.how(technique.hyperparameters)
    return {**values, "n": 3} if "n" in technique.given else values


@by_name
def test_its_formula_keeps_to_the_vocabulary(technique):
    words = {*_vocabulary.__all__, "unit_norm", "unit_mean"}
    names = {
        node.func.id
        for statement in technique.statements()
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    }
    assert names <= words


@by_name
def test_recipes_with_it_go_through_toml_and_notation(technique):
    one = Recipe(**{technique.kind: technique()})
    for whole in (one, one.resolved(), one.declared()):
        assert Recipe.from_toml(whole.toml()) == whole
    assert one.digest() != Recipe().digest()
    assert parse(technique.kind, technique.name) == getattr(one, technique.kind)
    value = getattr(one.resolved(), technique.kind)
    assert parse(technique.kind, repr(value)) == value


@by_name
def test_its_scope_is_honest(technique):
    """What is of scope ``element`` may be cut anywhere; the others give something else when they see less."""
    torch.manual_seed(0)
    tensors = [torch.randn(4, 6, dtype=torch.float64) for _ in range(tensors_of(technique))]
    values = values_of(technique)

    def call(*given):
        found = technique.formula(*given, **values)
        return found[0] if isinstance(found, tuple) else found

    whole = call(*tensors)
    flat = call(*(x.flatten() for x in tensors)).view(4, 6)
    halves = torch.cat([call(*(x[:2] for x in tensors)), call(*(x[2:] for x in tensors))])
    assert torch.equal(flat, whole) == (technique.scope in ("element", "model"))
    assert torch.equal(halves, whole) == (technique.scope in ("element", "tensor"))


@by_name
def test_a_row_does_not_depend_on_the_others(technique):
    """Alone, among three and among forty: the same bits; and those of Python floats, to within rounding."""
    torch.manual_seed(0)
    count = 40
    tensors = [torch.randn(count, 4 * 6 + 6) for _ in range(tensors_of(technique))]
    values = [
        {name: value if name == "n" else value * (1 - i / 100) for name, value in values_of(technique).items()}
        for i in range(count)
    ]

    def rows(some):
        mine, own = [x[some] for x in tensors], [values[i] for i in some]
        if technique.scope == "tensor":
            return on_shapes(technique, mine, own, [(4, 6), (6,)])
        return on_rows(technique, mine, own)[0]

    together = rows(list(range(count)))
    for i in range(count):
        assert torch.equal(rows([i])[0], together[i])
    assert torch.equal(rows([4, 0, 6])[0], together[4])
    for i in range(count) if technique.scope != "tensor" else ():
        alone = technique.formula(*(x[i] for x in tensors), **values[i])
        torch.testing.assert_close(together[i], alone[0] if isinstance(alone, tuple) else alone)


def test_powers_of_hyperparameters_stand_in_statements_of_their_own():
    """There they are computed as Python numbers: torch's differ in the last bit with their place in a tensor."""
    for technique in TECHNIQUES:
        given = {*technique.hyperparameters, *technique.given}
        for statement in technique.statements():
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            if any(isinstance(node, ast.Pow) for node in ast.walk(statement)):
                assert isinstance(statement, ast.Assign)
                assert names - {statement.targets[0].id} <= given


CLIPPED = gradient.centralise() >> gradient.clip_norm(0.5)
MIXED = {
    "nothing": {},
    "all at once": {"gradient": CLIPPED, "average": average.ema(0.8), "wrapper": wrapper.sam(0.1)},
    "slow and averaged": {"average": average.swa(start=0.4), "wrapper": wrapper.lookahead(k=3)},
    "another k": {"wrapper": wrapper.lookahead(k=7, alpha=0.8)},
    "another rho": {"wrapper": wrapper.sam(0.3)},
}


def members():
    recipes = [recipe(technique) for technique in TECHNIQUES]
    recipes += [Recipe(optim.adam(lr=0.01), epochs=4, **roles).resolved() for roles in MIXED.values()]
    recipes.append(Recipe(optim.schedule_free_sgd(lr=0.5), epochs=4).resolved())
    recipes.append(Recipe(optim.schedule_free_adamw(lr=0.01), wrapper=wrapper.sam(), epochs=4).resolved())
    return [Member(one, 3) for one in recipes]


def same(one, other):
    return (
        all(torch.equal(weight, other.weights[name]) for name, weight in one.weights.items())
        and np.array_equal(one.curve.valid, other.curve.valid)
        and np.array_equal(one.outcomes, other.outcomes)
    )


def test_in_company_and_alone_in_a_population_of_three_the_bits_are_the_same():
    """Whoever the neighbours are; a run that is left over after a kill is trained alone, filled up to three."""
    task = small_digits(
        lambda: nn.Sequential(nn.Linear(64, 16), nn.LayerNorm(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))
    )
    together = train(task, members(), "vmapped", keep_weights=True)
    reversed_ = train(task, members()[::-1], "vmapped", keep_weights=True)[::-1]
    for member, one, other in zip(members(), together, reversed_, strict=True):
        alone = train(task, [member] * 3, "vmapped", keep_weights=True)[0]
        assert same(one, alone), member.recipe
        assert same(one, other), member.recipe


def test_vmapped_and_one_by_one_agree():
    """In float64, with batch norm and dropout: 1e-10, relative."""
    task = small_digits(
        lambda: nn.Sequential(
            nn.Linear(64, 12, bias=False), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.3),
            nn.Linear(12, 12, bias=False), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 10),
        ),
        dtype=torch.float64,
    )  # fmt: skip
    together = train(task, members(), "vmapped", keep_weights=True)
    alone = train(task, members(), "one by one", keep_weights=True)
    for member, one, other in zip(members(), together, alone, strict=True):
        for name, weight in one.weights.items():
            difference = (weight - other.weights[name]).double().norm()
            assert difference <= 1e-10 * other.weights[name].double().norm().clamp(min=1), (member.recipe, name)
        assert one.test == other.test
        assert one.state_bytes == other.state_bytes


def test_all_learn_digits(linear_task):
    runs = [Member(recipe(technique, epochs=20), 0) for technique in TECHNIQUES]
    for run, result in zip(runs, train(linear_task, runs, "vmapped"), strict=True):
        assert result.test > 0.8, run.recipe


@pytest.mark.parametrize(
    ("role", "text", "message"),
    [
        ("wrapper", "sam(rho=-0.1)", "rho of sam takes a number from 0 up, not -0.1"),
        ("wrapper", "lookahead(k=0)", "k of lookahead takes a whole number from 1 up, not 0"),
        ("wrapper", "lookahead(k=2.5)", "k of lookahead takes a whole number, not 2.5"),
        ("wrapper", "lookahead(alpha=0)", "alpha of lookahead takes a number above 0 up to 1, not 0"),
        ("wrapper", "lookahead(1, 0.5, 2)", "lookahead takes at most 2 hyperparameters, not 3"),
        ("wrapper", "lookahead(5, k=5)", "lookahead got k twice"),
        ("average", "ema(decay=1.0)", "decay of ema takes a number from 0 up to, but not, 1, not 1.0"),
        ("average", "ema(-0.1)", "decay of ema takes a number from 0 up to, but not, 1, not -0.1"),
        ("average", "swa(start=1.5)", "start of swa takes a number from 0 up to, but not, 1, not 1.5"),
        ("average", "swa(every=0)", "every of swa takes a whole number from 1 up, not 0"),
        ("gradient", "clip_norm(0)", "threshold of clip_norm takes a number above 0, not 0"),
        ("gradient", "clip_value(LogUniform(0, 1))", "a logarithmic range needs"),
        ("gradient", "clip_nrm(1)", 'unknown gradient "clip_nrm"; did you mean "clip_norm"?'),
        ("gradient", "none >> clip_nrm", 'unknown gradient "clip_nrm"'),
        ("average", "sam", "unknown average"),
    ],
)
def test_what_cannot_be_gets_one_sentence(role, text, message):
    with pytest.raises(InputError) as error:
        parse(role, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_role_refuses_other_kinds():
    for role, value in {"gradient": average.ema(), "average": gradient.clip_norm(), "wrapper": optim.adam()}.items():
        with pytest.raises(InputError, match=rf"{role} takes .* such as {role}\."):
            Recipe(**{role: value})
    with pytest.raises(InputError, match="adam is not a gradient technique"):
        gradient.Gradient((optim.adam(),))
