"""A run that is written down, read again and gone on with, in whatever company, is the run that was never stopped."""

import numpy as np
import pytest
import torch
from torch import nn

from small import small_digits
from thalweg import average, gradient, optim, schedule, wrapper
from thalweg.recipe import Recipe
from thalweg.train import Member, Population, begin
from thalweg.train.checkpoint import Checkpoints
from thalweg.train.state import packed, unpacked

EPOCHS, STEPS = 3, 3
"""Of every run here: 180 examples in batches of 64 or fewer."""

both = pytest.mark.parametrize("executor", ["one by one", "vmapped"])


class Stopped(Exception):  # noqa: N818 – it is no error
    """The process was killed here."""


def member(name, optimizer=None, seed=0, **roles):
    return Member(Recipe(optimizer or optim.sgd(lr=0.1), **{"epochs": EPOCHS, **roles}).resolved(), seed, name)


def beginning(task, members):
    return [begin(task, one) for one in members]


def results(task, executor, states, slots=0, more=lambda _: ()):
    """Return what runs come to, by their names."""
    population = Population(task, executor, slots or len(states), states, keep_weights=True)
    return {one.identity: result for one, result in population.run(more=more)}


def stopped(task, executor, states, after, checkpoints, slots=0):
    """Return runs as they lie on the disk after so many steps more, and what those that ended until then came to."""
    population = Population(task, executor, slots or len(states), states, keep_weights=True)
    count = 0

    def step(population):
        nonlocal count
        count += 1
        if count == after:
            checkpoints.save("lane", *packed(population.snapshot()))
            raise Stopped

    with pytest.raises(Stopped):
        list(population.run(on_step=step))
    return unpacked(*checkpoints.load("lane"))


def same(one, other, name=""):
    assert one.reason == other.reason, name
    for key, weight in one.weights.items():
        assert torch.equal(weight, other.weights[key]) or one.reason, f"{name}: {key}"
    assert np.array_equal(one.outcomes, other.outcomes), name
    for column in ("epoch", "step", "train_loss", "valid"):
        mine, its = getattr(one.curve, column), getattr(other.curve, column)
        assert np.array_equal(mine, its, equal_nan=column in ("train_loss", "valid")), f"{name}: {column}"
    ends = [np.array([x.train, x.valid, x.test, x.steps]) for x in (one, other)]
    assert np.array_equal(*ends, equal_nan=True), name


def net():
    return nn.Sequential(nn.Linear(64, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 10))


@pytest.fixture(scope="module")
def task():
    found = small_digits(net)
    assert -(-len(found.train) // 64) == STEPS
    return found


OPTIMIZERS = [member(name, optimizer(), i) for i, (name, optimizer) in enumerate(optim.CATALOGUE.items())]
FALLS = schedule.warmup(2) >> schedule.plateau(patience=0, factor=0.5, threshold=0.5)
AROUND = [
    member("plateau", schedule=FALLS),
    member("plateau, cosine", optim.adam(), 1, schedule=schedule.plateau(steps=5, patience=0) >> schedule.cosine()),
    *(member(name, optim.adam(lr=0.01), 2, average=make()) for name, make in average.CATALOGUE.items()),
    *(member(f"{name}, sgd", average=make()) for name, make in average.CATALOGUE.items()),
    member("average of schedule-free", optim.schedule_free_sgd(), 3, average=average.ema()),
    member("lookahead", optim.adam(), 4, wrapper=wrapper.lookahead(k=2)),
    member("lookahead, plateau, average", wrapper=wrapper.lookahead(k=2), schedule=FALLS, average=average.ema()),
    *(member(name, optim.momentum(), 6, gradient=make()) for name, make in gradient.CATALOGUE.items()),
    member("a chain", optim.muon(), 7, gradient=gradient.centralise() >> gradient.clip_norm(0.1)),
    member("diverges", optim.sgd(lr=3e38), 8),
    member("shorter", optim.adam(), 9, epochs=1),
    member("longer", optim.adam(), 10, epochs=EPOCHS + 1),
]
SAM = [
    member("sam", optim.momentum(), 1, wrapper=wrapper.sam()),
    member("sam, plateau, average", seed=2, wrapper=wrapper.sam(), schedule=FALLS, average=average.ema_corrected()),
    member("sam, clipped", optim.adam(), 3, wrapper=wrapper.sam(rho=0.2), gradient=gradient.clip_norm(0.5)),
]
PARTS = {"optimizers": OPTIMIZERS, "what is around": AROUND, "sam": SAM}


@pytest.fixture(scope="module")
def whole(task):
    """What runs come to that nobody stops."""
    kept = {}

    def found(part, executor):
        if (part, executor) not in kept:
            kept[part, executor] = results(task, executor, beginning(task, PARTS[part]))
        return kept[part, executor]

    return found


@both
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "stops", [(2,), (STEPS,), (STEPS + 1, 1), (2 * STEPS, 1)], ids=["inside", "at the end", "twice", "and after it"]
)
def test_runs_go_on_to_the_same_bits(task, whole, part, executor, stops, tmp_path):
    expected = whole(part, executor)
    members = [one for one in PARTS[part] if one.identity not in ("diverges", "shorter") or sum(stops) <= STEPS]
    states, checkpoints = beginning(task, members), Checkpoints(tmp_path)
    for after in stops:
        states = stopped(task, executor, states, after, checkpoints)
    assert {state.step for state in states} == {sum(stops)}
    for name, result in results(task, executor, states).items():
        same(result, expected[name], name)


@pytest.mark.parametrize("part", PARTS)
def test_runs_go_on_in_other_company(task, whole, part, tmp_path):
    """Each third of them in a population of its own size, beside runs that were written down at another time."""
    expected = whole(part, "vmapped")
    states = beginning(task, PARTS[part])
    for i in range(2):
        (tmp_path / str(i)).mkdir()
    halves = [
        stopped(task, "vmapped", half, 2, Checkpoints(tmp_path / str(i)), slots=len(half) + i)
        for i, half in enumerate((states[::2], states[1::2]))
    ]
    mixed = [*halves[1], *halves[0]]
    found = {}
    for i in range(3):
        found |= results(task, "vmapped", mixed[i::3], slots=len(mixed) + 5 * i)
    assert found.keys() == expected.keys()
    for name, result in found.items():
        same(result, expected[name], name)


def test_a_finished_epoch_that_is_not_yet_judged_is_judged_once(task):
    """Written down after an epoch's last step, and before its validation."""
    ends = []
    population = Population(task, "one by one", 1, beginning(task, [member("a run")]))
    for _ in population.run(on_step=lambda p: ends.extend(p.snapshot()) if p.cut == STEPS else None):
        pass
    assert [state.step for state in ends] == [STEPS, 2 * STEPS, 3 * STEPS]
    last = {name: x.clone() for name, x in ends[-1].tensors.items()}
    assert ends[-1].facts["sum"] > 0
    assert last.keys() == ends[0].tensors.keys()


class Attentive(nn.Module):
    """Embeds pixels' levels, and lets them attend to each other."""

    def __init__(self):
        super().__init__()
        self.levels = nn.Linear(1, 8)
        self.places = nn.Embedding(64, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.out = nn.Linear(8, 10)

    def forward(self, x):
        x = self.levels(x.unsqueeze(-1)) + self.places(torch.arange(64, device=x.device))
        return self.out(self.block(x[:, ::8]).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 6, num_layers=2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        return self.head(self.lstm(x.view(-1, 8, 8))[0][:, -1])


def image(*layers):
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *layers)


NETS = {
    "plain": lambda: nn.Sequential(nn.Linear(64, 17), nn.Tanh(), nn.Linear(17, 10)),
    "layer norm": lambda: nn.Sequential(nn.Linear(64, 9), nn.LayerNorm(9), nn.GELU(), nn.Linear(9, 10)),
    "group norm": lambda: image(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)),
    "batch norm": net,
    "convolution": lambda: image(
        nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(80, 10)
    ),
    "attention": Attentive,
    "recurrent": Recurrent,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_compiled_it_does_not_matter_either_and_comes_to_what_runs_come_to_one_by_one(name):
    # No optimizer that divides by the gradient: of a bias before a norm that is rounding and nothing else.
    task, runs = small_digits(NETS[name]), [member(f"run {i}", optim.sgd(lr=0.1), i) for i in range(8)]
    whole = results(task, "compiled", beginning(task, runs))
    for few in (runs[:1], runs[5:7], runs[1:5]):
        for identity, result in results(task, "compiled", beginning(task, few), slots=8).items():
            same(result, whole[identity], f"{name}: {identity} among {len(few)}")
    for identity, result in results(task, "compiled", beginning(task, runs[2:6])).items():
        same(result, whole[identity], f"{name}: {identity} by code for 4")
    for identity, alone in results(task, "one by one", beginning(task, runs[:2])).items():
        for key, weight in alone.weights.items():
            torch.testing.assert_close(whole[identity].weights[key], weight, rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(whole[identity].curve.train_loss, alone.curve.train_loss, rtol=1e-3)


@both
@pytest.mark.parametrize("name", NETS)
def test_membership_does_not_matter(name, executor):
    """Alone, among few and many, beside runs that end sooner or diverge, and entering when others leave."""
    task = small_digits(NETS[name])
    me = [member("adam", optim.adam(lr=0.01), 5), member("swa", seed=6, average=average.ema(), schedule=FALLS)]
    others = [member(f"other {i}", optim.sgd(lr=0.1), 10 + i, epochs=1 + i % 3) for i in range(30)]
    others[2] = member("wild", optim.sgd(lr=3e38), 40)
    expected = results(task, executor, beginning(task, me[:1]))
    expected |= results(task, executor, beginning(task, me[1:]))
    sizes = (1, 7, 30) if executor == "vmapped" else (1, 3)
    found = [results(task, executor, beginning(task, [*others[:n], *me])) for n in sizes]
    waiting = [*me, *others[8:12]]

    def more(free):
        entering, waiting[:] = waiting[:free], waiting[free:]
        return beginning(task, entering)

    found.append(results(task, executor, beginning(task, others[:8]), slots=9, more=more))
    assert not waiting
    assert found[-1]["wild"].reason
    for one in found:
        for mine in me:
            same(one[mine.identity], expected[mine.identity], f"{name}: {mine.identity}")
