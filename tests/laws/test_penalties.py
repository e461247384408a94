"""Laws of penalties: a new one is covered at once."""

import copy

import pytest
import torch
from torch import nn

from thalweg import optim, penalty
from thalweg.errors import InputError
from thalweg.optim._executors.rows import on_shapes
from thalweg.technique import LogUniform

TECHNIQUES = list(penalty.CATALOGUE.values())
NUMBERS = [technique for technique in TECHNIQUES if technique.place == "loss"]
CONSTRAINTS = [technique for technique in TECHNIQUES if technique.place == "after"]


def each(techniques):
    return pytest.mark.parametrize("technique", techniques, ids=lambda technique: technique.name)


def network():
    """Layers of every kind that has weights, a frozen one, tied ones, and what is no weight."""
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(2, 6, 3),
            "norm": nn.BatchNorm2d(6),
            "back": nn.ConvTranspose2d(6, 4, 2, groups=2),
            "words": nn.Embedding(5, 3),
            "frozen": nn.Linear(3, 3).requires_grad_(False),
            "layer norm": nn.LayerNorm([2, 3]),
            "head": nn.Linear(3, 5),
        }
    ).double()


@each(NUMBERS)
def test_a_models_penalty_is_the_sum_over_its_weights(technique):
    """And, since it is one over their numbers too, that of all weights joined; frozen ones and biases are out."""
    net, values = network(), technique.hyperparameters
    found = technique().of(net)
    chosen = [net["conv"].weight, net["back"].weight, net["words"].weight, net["head"].weight]
    joined = torch.cat([w.flatten() for w in chosen])
    assert found.shape == ()
    torch.testing.assert_close(found, technique.formula(joined, **values), rtol=1e-12, atol=0)
    assert found > 0


@each(NUMBERS)
def test_its_gradient_is_that_of_its_value(technique):
    net = network()
    w = net["head"].weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: technique.formula(w, **technique.hyperparameters), w)
    technique().of(net).backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None}
    assert touched == {"conv.weight", "back.weight", "words.weight", "head.weight"}


@each(NUMBERS)
def test_strength_is_a_factor_and_zero_is_nothing(technique):
    net = network()
    once, twice = technique(strength=0.125).of(net), technique(strength=0.25).of(net)
    torch.testing.assert_close(twice, 2 * once, rtol=1e-12, atol=0)
    assert technique(strength=0.0).of(net) == 0


@each(NUMBERS)
def test_no_penalty_at_zero_and_a_zero_gradient_there(technique):
    """l1 has a corner at 0; torch's gradient there is 0, and so a pruned weight stays where it is."""
    w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    found = technique.formula(w, **technique.hyperparameters)
    found.backward()
    assert found == 0
    assert w.grad.tolist() == [0.0] * 4


def rows_and_values(technique, net, count, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    size = sum(p.numel() for p in net.parameters() if p.requires_grad)
    rows = torch.randn(count, size, generator=generator, dtype=dtype)
    values = [{n: x * (0.3 + i / count) for n, x in technique.hyperparameters.items()} for i in range(count)]
    return rows, values


def on_rows(technique, *given):
    return (penalty.gradients if technique.place == "loss" else penalty.constrained)(technique, *given)


@each(TECHNIQUES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_rows_it_is_what_it_is_on_models(technique, dtype):
    net = network().to(dtype)
    places = penalty.places(net)
    rows, values = rows_and_values(technique, net, 5, dtype)
    found = on_rows(technique, rows, values, places)
    assert found.shape == rows.shape
    assert found.dtype == rows.dtype
    for row, own, ours in zip(rows, values, found, strict=True):
        alone = copy.deepcopy(net)
        trained = [p for p in alone.parameters() if p.requires_grad]
        nn.utils.vector_to_parameters(row, trained)
        if technique.place == "loss":
            technique(**own).of(alone).backward()
            theirs = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
        else:
            technique(**own).apply(alone)
            theirs = trained
        theirs = torch.cat([p.detach().flatten() for p in theirs])
        torch.testing.assert_close(ours, theirs, rtol=4 * torch.finfo(dtype).eps, atol=0)


@each(TECHNIQUES)
def test_a_row_does_not_depend_on_the_others(technique):
    """Alone, in another order, and among forty: the same bits."""
    net = network()
    places = penalty.places(net)
    rows, values = rows_and_values(technique, net, 40)
    together = on_rows(technique, rows, values, places)
    for i in range(40):
        assert torch.equal(on_rows(technique, rows[i : i + 1], [values[i]], places)[0], together[i])
    some = [31, 4, 0]
    assert torch.equal(on_rows(technique, rows[some], [values[i] for i in some], places), together[some])


@each(TECHNIQUES)
def test_a_broken_row_stays_alone(technique):
    net = network()
    places = penalty.places(net)
    rows, values = rows_and_values(technique, net, 3)
    whole = on_rows(technique, rows, values, places)
    rows[1] = float("nan")
    assert torch.equal(on_rows(technique, rows, values, places)[[0, 2]], whole[[0, 2]])


@each(TECHNIQUES)
def test_what_is_no_weight_is_left(technique):
    net = network()
    places = penalty.places(net)
    rows, values = rows_and_values(technique, net, 3)
    other = torch.ones(rows.shape[1], dtype=torch.bool)
    for place in places:
        other[place.columns] = False
    found = on_rows(technique, rows, values, places)
    kept = torch.zeros_like(rows) if technique.place == "loss" else rows
    assert other.sum() == 6 + 6 + 6 + 4 + 6 + 6 + 5  # biases and norms
    assert torch.equal(found[:, other], kept[:, other])


@each(NUMBERS)
def test_weights_are_those_that_optimizers_decay(technique):
    net = network()
    decayed = {id(p) for p in optim.groups(net)[0]["params"]}
    names = {place.name for place in penalty.places(net)}
    assert {id(p) for name, p in net.named_parameters() if name in names} == decayed


@each(CONSTRAINTS)
def test_a_constraint_once_kept_changes_nothing_more(technique):
    """And what keeps to it from the beginning keeps its bits."""
    net = network()
    technique(0.5).apply(net)
    once = copy.deepcopy(net.state_dict())
    technique(1.0).apply(net)
    assert all(torch.equal(value, once[name]) for name, value in net.state_dict().items())
    technique(0.5).apply(net)
    torch.testing.assert_close(net.state_dict(), once, rtol=1e-14, atol=0)


BARE = "it has no trained weights beside biases and norms"
WRONG = {
    "none": (lambda net: net[1], None, f"NAME found nothing in BatchNorm1d: {BARE}"),
    "frozen": (lambda net: net.requires_grad_(False), None, f"NAME found nothing in Sequential: {BARE}"),
    "name": (lambda net: net, "0.wieght", 'of Sequential for NAME "0.wieght"; did you mean "0.weight"?'),
    "class": (lambda net: net.parameters(), None, "NAME takes a model, a torch.nn.Module, not generator"),
    "lazy": (lambda net: nn.Sequential(nn.LazyLinear(2)), None, "NAME: 0.weight has no shape yet; pass a batch"),
}


@each(TECHNIQUES)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_gets_one_sentence(technique, wrong):
    make, names, message = WRONG[wrong]
    given = make(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    call = technique().of if technique.place == "loss" else technique().apply
    with pytest.raises(InputError) as error:
        call(given, names)
    assert message.replace("NAME", technique.name) in str(error.value)
    assert "\n" not in str(error.value)


@each(TECHNIQUES)
def test_a_range_is_no_value(technique):
    first = next(iter(technique.hyperparameters))
    given = technique(LogUniform(0.1, 1.0))
    call = given.of if technique.place == "loss" else given.apply
    with pytest.raises(InputError, match=f"{first} of {technique.name} is a range to search; give it a value"):
        call(nn.Linear(2, 2))


@each(CONSTRAINTS)
def test_its_scope_is_a_whole_layer(technique):
    """What it does to one layer, it does whatever the others are."""
    net = network()
    places = penalty.places(net)
    rows, values = rows_and_values(technique, net, 3)
    values = [{"limit": 0.4}] * 3
    whole = penalty.constrained(technique, rows, values, places)
    (head,) = (place for place in places if place.name == "head.weight")
    one = on_shapes(technique, [rows[:, head.columns]], values, [head.shape])
    assert torch.equal(whole[:, head.columns], one)
    assert not torch.equal(one, rows[:, head.columns])
