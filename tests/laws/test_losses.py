"""Laws of losses: a new one is covered at once."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from thalweg import loss
from thalweg.errors import InputError
from thalweg.loss import kind_of
from thalweg.technique import LogUniform

TECHNIQUES = list(loss.CATALOGUE.values())
PAIRS = [(technique, kind) for technique in TECHNIQUES for kind in technique.targets]
each = pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: technique.name)
each_kind = pytest.mark.parametrize(
    ("technique", "kind"), PAIRS, ids=[f"{technique.name}-{kind}" for technique, kind in PAIRS]
)


def batch(kind, n=12, more=(), dtype=torch.float64, seed=0):
    """Return an output and targets that are a few errors apart, some of them large."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "classes":
        output = 3 * torch.randn(n, 5, *more, generator=generator, dtype=dtype)
        return output, torch.randint(5, (n, *more), generator=generator)
    output = 2 * torch.randn(n, *(more or (2,)), generator=generator, dtype=dtype)
    return output, torch.randn(output.shape, generator=generator, dtype=dtype)


def by_hand(name, kind, output, targets, values):
    """Return the loss in loops over plain numbers, independently of torch's and our own words."""
    losses = []
    for row, target in zip(output.tolist(), targets.tolist(), strict=True):
        if kind == "classes":
            largest = max(row)
            log_total = largest + math.log(sum(math.exp(x - largest) for x in row))
            plain = log_total - row[target]
            margins = [max(0.0, x - row[target] + 1) for j, x in enumerate(row) if j != target]
            smoothing = values.get("smoothing", 0.0)
            every = sum(log_total - x for x in row) / len(row)
            losses.append({"hinge": sum(margins)}.get(name, (1 - smoothing) * plain + smoothing * every))
        else:
            errors = [abs(x - y) for x, y in zip(row, target, strict=True)]
            delta = values.get("delta", math.inf)
            bends = [e * e / 2 if e <= delta else delta * (e - delta / 2) for e in errors]
            found = {"absolute_error": errors, "huber": bends}.get(name, [e * e for e in errors])
            losses.append(sum(found) / len(found))
    if name == "trimmed":
        losses = sorted(losses)[: len(losses) - round(values["share"] * len(losses))]
    return sum(losses) / len(losses)


def some_values(technique):
    """Hyperparameters other than the defaults, at which the formula shows what they do."""
    known = {"smoothing": 0.15, "delta": 0.7, "share": 0.3}
    return {name: known[name] for name in technique.hyperparameters}


@each
def test_it_says_which_targets_it_is_for(technique):
    assert technique.targets
    assert set(technique.targets) <= {"classes", "numbers"}


@each_kind
@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_it_is_its_formula_by_hand(technique, kind, n):
    for seed in range(4):
        output, targets = batch(kind, n, seed=seed)
        for values in (technique.hyperparameters, some_values(technique)):
            found = technique(**values)(output, targets)
            expected = by_hand(technique.name, kind, output, targets, values)
            assert found.shape == ()
            torch.testing.assert_close(found.item(), expected, rtol=1e-12, atol=1e-12)


@each_kind
def test_its_gradient_is_that_of_its_value(technique, kind):
    output, targets = batch(kind, 6)
    values = some_values(technique)
    call = technique(**values)
    assert torch.autograd.gradcheck(lambda output: call(output, targets), output.requires_grad_())


@each_kind
def test_under_vmap_it_is_what_it_is_alone(technique, kind):
    """With hyperparameters of each run's own, as tensors; gradients too."""
    batches = [batch(kind, 8, dtype=torch.float32, seed=seed) for seed in range(5)]
    outputs, targets = (torch.stack(parts) for parts in zip(*batches, strict=True))
    values = [{n: x * (0.5 + i / 10) for n, x in some_values(technique).items()} for i in range(5)]
    columns = {n: torch.tensor([own[n] for own in values], dtype=torch.float64) for n in technique.hyperparameters}

    def both(output, targets, own):
        call = lambda output: technique.formula(output, targets, **own)  # noqa: E731
        return call(output), grad(call)(output)

    found, slopes = vmap(both)(outputs, targets, columns)
    for i, (output, own_targets) in enumerate(batches):
        alone = output.clone().requires_grad_()
        value = technique(**values[i])(alone, own_targets)
        value.backward()
        torch.testing.assert_close(found[i], value, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(slopes[i], alone.grad, rtol=1e-6, atol=1e-7)
        assert torch.equal(
            vmap(both)(*(x[i : i + 1] for x in (outputs, targets)), {n: c[i : i + 1] for n, c in columns.items()})[1][
                0
            ],
            slopes[i],
        )


@each_kind
def test_a_stacked_models_step_with_it_can_be_traced(technique, kind):
    """As executors trace it: gradients of stacked models through vmap, called with other numbers than at tracing."""
    net = nn.Linear(4, 5 if kind == "classes" else 2)
    call = technique(**some_values(technique))

    def step(weights, x, targets):
        def one(weights, x, targets):
            return call(functional_call(net, weights, (x,)), targets)

        return vmap(grad(one))(weights, x, targets)

    def arguments(seed):
        generator = torch.Generator().manual_seed(seed)
        weights = {n: torch.randn(3, *p.shape, generator=generator) for n, p in net.named_parameters()}
        targets = torch.stack([batch(kind, 8, dtype=torch.float32, seed=10 * seed + i)[1] for i in range(3)])
        return weights, torch.randn(3, 8, 4, generator=generator), targets

    traced = make_fx(step)(*arguments(1))
    torch.testing.assert_close(traced(*arguments(2)), step(*arguments(2)), rtol=0, atol=0)


@each_kind
def test_the_order_of_examples_is_nothing_to_it(technique, kind):
    output, targets = batch(kind, 12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    call = technique(**some_values(technique))
    torch.testing.assert_close(call(output[order], targets[order]), call(output, targets), rtol=1e-13, atol=0)


@each_kind
def test_targets_with_more_axes_are_as_many_examples(technique, kind):
    """Of a picture's or a sequence's places each counts alike; ``trimmed`` leaves out whole examples."""
    output, targets = batch(kind, 6, more=(3, 2))
    call = technique() if technique.name != "trimmed" else technique(share=0.0)
    flat = output.movedim(1, -1).reshape(36, 5) if kind == "classes" else output.reshape(36, 1)
    torch.testing.assert_close(call(output, targets), call(flat, targets.flatten()), rtol=1e-12, atol=0)


@pytest.mark.parametrize("technique", [t for t in TECHNIQUES if "classes" in t.targets], ids=lambda t: t.name)
def test_places_without_a_class_are_left_out(technique):
    """As in torch: padding is −100."""
    output, targets = batch("classes", 6, more=(3,))
    call = technique() if technique.name != "trimmed" else technique(share=0.0)
    masked = targets.clone()
    masked[:, 2] = -100
    output[:, :, 2] = 1e6  # whatever the model says there
    torch.testing.assert_close(call(output, masked), call(output[:, :, :2], targets[:, :2]), rtol=1e-12, atol=0)


@each_kind
def test_a_loss_that_is_not_finite_shows(technique, kind):
    """A run that diverges must not look well because its worst examples are discarded."""
    output, targets = batch(kind, 12)
    output[3] = float("nan")
    assert technique(**some_values(technique))(output, targets).isnan()


@each
def test_which_tasks_it_fits_is_said_by_name(technique):
    for kind in ("classes", "numbers"):
        _, targets = batch(kind)
        assert kind_of(targets) == kind
        if kind in technique.targets:
            technique().check(targets, "mine")
            continue
        with pytest.raises(InputError) as error:
            technique().check(targets, "mine")
        said = str(error.value)
        assert (
            f"the loss {technique.name} takes {technique.targets[0]}, and the targets of task mine are {kind}" in said
        )
        assert all((other.name in said.partition(";")[2]) == (kind in other.targets) for other in TECHNIQUES)
        assert "\n" not in said


@each_kind
def test_shapes_that_do_not_fit_get_one_sentence(technique, kind):
    """Numbers ``(N, 1)`` for targets ``(N,)`` would be broadcast to N × N, and train to the mean of all."""
    output, targets = batch(kind, 6)
    with pytest.raises(InputError) as error:
        technique()(output[:5], targets)
    assert str(error.value).startswith(f"{technique.name} takes ")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=f"{technique.name} takes a tensor as output, not tuple"):
        technique()((output,), targets)
    if kind == "numbers":
        one = technique(**some_values(technique))
        column, flat = output[:, :1], targets[:, 0]
        assert one(column, flat) == one(column[:, 0], flat) == one(column, flat[:, None])


@pytest.mark.parametrize("technique", [t for t in TECHNIQUES if t.hyperparameters], ids=lambda t: t.name)
def test_a_range_is_no_value(technique):
    first = next(iter(technique.hyperparameters))
    with pytest.raises(InputError, match=f"{first} of {technique.name} is a range to search; give it a value"):
        technique(LogUniform(0.1, 0.2))(*batch(technique.targets[0]))


@each_kind
def test_short_types_are_computed_in_float32(technique, kind):
    output, targets = batch(kind, 64, dtype=torch.float32)
    short = output.bfloat16()
    found = technique()(short, targets)
    assert found.dtype == torch.float32
    assert found == technique()(short.float(), targets)
