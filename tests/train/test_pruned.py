"""Pruned weights stay 0 in a population, whatever trains or averages them, in any company and after a kill."""

import numpy as np
import pytest
import torch
from torch import nn

from small import small_digits
from thalweg import average, gradient, optim, prune, stop, wrapper
from thalweg.errors import InputError
from thalweg.recipe import Recipe
from thalweg.train import EXECUTORS, Member, Population, begin, train
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.epochs import batches, order
from thalweg.train.made import check_made
from thalweg.train.pruned import copied, rewound
from thalweg.train.state import masks_in, packed, pruned, unpacked

by_executor = pytest.mark.parametrize(
    "executor", [pytest.param(name, marks=pytest.mark.slow) if name == "compiled" else name for name in EXECUTORS]
)

KEPT = prune.random(keep=0.3)
WAYS = [
    prune.magnitude(0.3),
    prune.random(0.3),
    prune.snip(0.3),
    prune.synflow(10, keep=0.3),
    prune.unit_magnitude(0.5),
]
AROUND = {
    "sam": {"wrapper": wrapper.sam(0.1)},
    "lookahead": {"wrapper": wrapper.lookahead()},
    "centralised": {"gradient": gradient.centralise() >> gradient.clip_norm(0.5)},
    **{name: {"average": each()} for name, each in average.CATALOGUE.items()},
    "sam and swa": {"wrapper": wrapper.sam(0.1), "average": average.swa(start=0.0)},
}


def net():
    return nn.Sequential(nn.Linear(64, 9), nn.ReLU(), nn.Dropout(0.2), nn.Linear(9, 10))


def member(name="", optimizer=None, seed=0, **roles):
    return Member(
        Recipe(optimizer or optim.adamw(lr=0.02), **{"epochs": 2, "prune": KEPT, **roles}).resolved(), seed, name
    )


@pytest.fixture(scope="module")
def task():
    return small_digits(net)


@pytest.fixture(scope="module")
def exact_task():
    return small_digits(net, dtype=torch.float64)


def same(one, other):
    assert np.array_equal(one.outcomes, other.outcomes)
    assert np.array_equal(one.curve.valid, other.curve.valid)
    assert all(torch.equal(x, other.weights[name]) for name, x in one.weights.items())


def check_held(task, one, result):
    masks = masks_in(begin(task, one))
    assert masks
    for name, mask in masks.items():
        assert not result.weights[name][~mask].any(), f"{one.identity}: {name}"
        assert result.weights[name][mask].any(), f"{one.identity}: {name}"


@by_executor
def test_they_stay_0_under_every_optimizer_and_all_that_goes_around_it(task, executor):
    members = [member(name, each(), i) for i, (name, each) in enumerate(optim.CATALOGUE.items())]
    members += [member(name, None, i, **roles) for i, (name, roles) in enumerate(AROUND.items())]
    for one, result in zip(members, train(task, members, executor, keep_weights=True), strict=True):
        if not result.reason:
            check_held(task, one, result)


def test_what_is_evaluated_is_pruned_too(task, monkeypatch):
    """Every time, at the weights that an average, a wrapper or a schedule-free optimizer has for it."""
    seen = []
    whole = EXECUTORS["vmapped"].outputs

    def outputs(self, inputs):
        seen.append(self.parameters.clone())
        return whole(self, inputs)

    monkeypatch.setattr(EXECUTORS["vmapped"], "outputs", outputs)
    members = [member(name, None, 0, **roles) for name, roles in AROUND.items()]
    members.append(member("schedule-free", optim.schedule_free_adamw()))
    train(task, members, "vmapped")
    gone = ~masks_in(begin(task, members[0]))["0.weight"].flatten()
    assert len(seen) >= 3
    assert all(not rows[: len(members), : len(gone)][:, gone].any() for rows in seen)


@pytest.mark.parametrize("roles", AROUND.values(), ids=AROUND)
def test_the_optimizer_sees_no_gradient_of_what_is_pruned(task, roles):
    """Centralising makes one of nothing, and so does another technique that looks at more than one weight."""
    one = member("", optim.adam_l2(), **roles)
    gone = torch.cat([~masks_in(begin(task, one))["0.weight"].flatten(), torch.zeros(9).bool()])
    population = Population(task, "one by one", 1, [begin(task, one)])

    def look(population):
        (state,) = population.snapshot()
        for i in range(2):
            assert not state.tensors[f"optimizer/{i}"][: len(gone)][gone].any()
            assert state.tensors[f"optimizer/{i}"][: len(gone)][~gone].any()

    list(population.run(on_step=look))


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.name)
def test_the_masks_are_of_the_runs_own_seed_and_first_examples(task, how):
    one, again, other = (begin(task, member(seed=seed, prune=how)) for seed in (0, 0, 1))
    mine, its = masks_in(one), masks_in(other)
    assert all(torch.equal(mask, masks_in(again)[name]) for name, mask in mine.items())
    assert any(not torch.equal(mask, its[name]) for name, mask in mine.items())
    assert list(mine) == ["0.weight", "3.weight"]
    if not how.technique.units:
        assert sum(int(mask.sum()) for mask in mine.values()) == round(0.3 * (576 + 90))


@by_executor
def test_neighbours_are_left_alone_and_a_pruned_run_is_the_same_in_any_company(task, executor):
    mixed = [
        member(seed=0),
        member(seed=1, prune=None),
        member(seed=2, prune=prune.snip(0.1)),
        member(seed=3, prune=None),
    ]
    results = train(task, mixed, executor, keep_weights=True)
    for i, one in enumerate(mixed):
        same(train(task, [one], executor, keep_weights=True)[0], results[i])
    assert all(bool(results[1].weights[name].all()) for name in ("0.weight", "3.weight"))


def test_a_run_is_what_held_makes_of_it_in_anyones_loop(exact_task):
    """Clipping too: only the gradients of the weights that stay count in their norm."""
    task = small_digits(lambda: nn.Sequential(nn.Linear(64, 9), nn.Tanh(), nn.Linear(9, 10)), dtype=torch.float64)
    clip = gradient.clip_norm(0.2)
    one = member(gradient=clip, prune=prune.snip(0.2))
    (result,) = train(task, [one], keep_weights=True)
    module = task.model(0)
    masks = masks_in(begin(task, one))
    optimizer = optim.AdamW(module.parameters(), lr=0.02, weight_decay=dict(one.recipe.optimizer)["weight_decay"])
    with prune.held(module, masks):
        for epoch in range(2):
            for cut in batches(len(task.train), 64):
                batch = task.train.at(torch.from_numpy(order(task, one, epoch)[cut]))
                optimizer.zero_grad()
                task.loss(module(batch.inputs), batch.targets).backward()
                clip.apply(module.parameters())
                optimizer.step()
    for name, w in module.state_dict().items():
        torch.testing.assert_close(result.weights[name], w, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
def test_a_run_goes_on_from_the_disk_to_the_same_bits(task, executor, tmp_path):
    members = [member(how.name, seed=i, prune=how) for i, how in enumerate(WAYS)]
    members += [member(name, seed=i, **roles) for i, (name, roles) in enumerate(AROUND.items())]
    whole = dict(zip([m.identity for m in members], train(task, members, executor, keep_weights=True), strict=True))
    population = Population(task, executor, len(members), [begin(task, one) for one in members], keep_weights=True)
    kept = Checkpoints(tmp_path)

    class Stopped(Exception):  # noqa: N818 – it is no error
        pass

    def step(population):
        if population.cut == 2:
            kept.save("lane", *packed(population.snapshot()))
            raise Stopped

    with pytest.raises(Stopped):
        list(population.run(on_step=step))
    again = Population(task, executor, len(members), unpacked(*kept.load("lane")), keep_weights=True)
    for one, result in again.run():
        same(result, whole[one.identity])
        check_held(task, one, result)


def test_masks_need_no_recipe(task):
    """Those of a state are held, wherever they come from."""
    one = member("0", prune=None)
    masks = {"0.weight": torch.rand(9, 64, generator=torch.Generator().manual_seed(0)) < 0.5}
    state = pruned(begin(task, one), masks)
    ((_, result),) = Population(task, "one by one", 1, [state], keep_weights=True).run()
    assert not result.weights["0.weight"][~masks["0.weight"]].any()
    assert result.weights["3.weight"].all()


NAMES, SHAPES = ["0.weight", "0.bias", "3.weight", "3.bias"], [(9, 64), (9,), (10, 9), (10,)]


def early(task, one, step):
    """Return a run as it is after so many steps of 3 an epoch."""
    population = Population(task, "one by one", 1, [begin(task, one)])
    found = []

    def note(population):
        (state,) = population.snapshot()
        if state.step == step:
            found.append(copied(state))

    list(population.run(on_step=note))
    return found[0]


@pytest.mark.parametrize("optimizer", [optim.adamw(), optim.lamb(), optim.muon(), optim.adafactor(), optim.prodigy()])
def test_a_rewound_run_goes_on_from_there(task, optimizer):
    """With masks that take nothing away it is the run that was never stopped; with others it is pruned in all."""
    one = member("0", optimizer, prune=None, epochs=4, average=average.ema(), wrapper=wrapper.lookahead())
    (whole,) = train(task, [one], keep_weights=True)
    state = early(task, one, 4)
    everything = {"0.weight": torch.ones(9, 64, dtype=torch.bool)}
    ((_, again),) = Population(
        task, "one by one", 1, [rewound(state, everything, NAMES, SHAPES)], keep_weights=True
    ).run()
    assert all(torch.equal(x, whole.weights[name]) for name, x in again.weights.items())
    assert np.isnan(again.curve.valid[:2]).all()
    assert np.array_equal(again.curve.valid[2:], whole.curve.valid[2:])
    masks = prune.magnitude().masks(task.model(0), keep=0.2)
    found = rewound(state, masks, NAMES, SHAPES)
    gone = torch.cat(
        [~masks[n].flatten() if n in masks else torch.zeros(s[0]).bool() for n, s in zip(NAMES, SHAPES, strict=True)]
    )
    for name, x in found.tensors.items():
        if x.shape == gone.shape:
            assert not x[gone].any(), name
            assert x[~gone].any() or optimizer.name == "prodigy", name
    assert not found.tensors["model/0.weight"][~masks["0.weight"]].any()
    ((_, result),) = Population(task, "one by one", 1, [found], keep_weights=True).run()
    for name, mask in masks.items():
        assert not result.weights[name][~mask].any()


def test_rewinding_forgets_the_best_epoch_and_begins_to_wait_anew(task):
    one = member("0", prune=None, epochs=6, stop=stop.patience(2))
    state = early(task, one, 7)
    assert any(name.startswith("best/") for name in state.tensors)
    assert state.facts["stop"][2] == 2
    found = rewound(state, {"0.weight": torch.ones(9, 64, dtype=torch.bool)}, NAMES, SHAPES)
    assert not any(name.startswith("best/") for name in found.tensors)
    assert "stop" not in found.facts
    assert "stop" in state.facts, "the early state is used again"


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(64, 10), nn.Linear(64, 10)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.one(x) + self.two(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Tied, "snip prunes no tied weights, and one.weight is two.weight too"),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (64,)), nn.BatchNorm1d(64)),
            "snip found nothing in Sequential: it has no trained weights",
        ),
    ],
)
def test_what_cannot_be_pruned_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        check_made(small_digits(model), member(prune=prune.snip()).recipe)
