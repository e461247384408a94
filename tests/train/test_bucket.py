"""Batches of texts of about one length: the same examples, less padding, and the same run in any company."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from texts import LONGEST, WORDS, Last, Mean, Packed, Tagger, task_of_tags, task_of_texts
from thalweg import InputError, Key, optim, wrapper
from thalweg.inspect import range_test
from thalweg.loss import squared_error
from thalweg.recipe import Recipe
from thalweg.task.outside import outside
from thalweg.train import Member, train
from thalweg.train import step as steps
from thalweg.train.bucket import bucketed, reads_padding, trimmed
from thalweg.train.epochs import batches, order
from thalweg.train.passes import check_passes
from thalweg.train.population import Population
from thalweg.train.state import begin, packed, unpacked


def member(seed=0, **roles):
    plain = {"optimizer": optim.adam(lr=0.01), "epochs": 2, "batch_size": 10, "bucket": "length"}
    return Member(Recipe(**{**plain, **roles}).resolved(), seed)


def run(task, seed=0, **roles):
    return train(task, [member(seed, **roles)], keep_weights=True)[0]


def same(one, other):
    assert np.array_equal(one.outcomes, other.outcomes)
    assert np.array_equal(one.curve.train_loss, other.curve.train_loss, equal_nan=True)
    assert all(torch.equal(x, other.weights[name]) for name, x in one.weights.items())


# -- the order -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 7), st.integers(1, 5), st.integers(0, 9))
def test_an_epoch_has_the_same_batches_but_for_who_is_in_them(lengths, size, stretch, seed):
    n, long = len(lengths), np.array(lengths)
    before = Key(seed).permutation(n)
    after = bucketed(before, long, size, Key(seed) / "batches", stretch)
    assert sorted(after) == list(range(n))
    whole = n - n % size
    assert after[whole:].tolist() == before[whole:].tolist(), "the last, smaller batch, and one left out, stay"
    made = {tuple(after[i : i + size]) for i in range(0, whole, size)}
    for start in range(0, whole, stretch * size):
        part = before[start : min(start + stretch * size, whole)]
        by_length = part[np.argsort(long[part], kind="stable")]
        assert {tuple(by_length[i : i + size]) for i in range(0, len(part), size)} <= made


def test_batches_come_in_a_random_order_of_their_own_in_each_epoch():
    task = task_of_texts()
    ends = [cut.stop - 1 for cut in batches(len(task.train), 10)][:-1]
    seen, longest = set(), set()
    for epoch in range(4):
        long = task.lengths[torch.from_numpy(order(task, member(), epoch))]
        seen.add(tuple(long[ends].tolist()))
        longest.add(int(long[ends].argmax()))
        assert sorted(long[ends]) != long[ends].tolist()
        spread = [int(long[end] - long[end - 9]) for end in ends]
        assert np.median(spread) <= 2
    assert len(seen) == 4
    assert len(longest) > 1


def test_without_it_the_order_is_the_plain_one():
    task = task_of_texts()
    plain = (Key(3) / "order" / 2).permutation(len(task.train))
    assert order(task, member(3, bucket="none"), 2).tolist() == plain.tolist()
    assert order(task, member(3, bucket="none"), 2).tolist() != order(task, member(3), 2).tolist()


# -- what is cut ---------------------------------------------------------------------------------------


def test_whatever_runs_along_is_cut_to_the_longest_in_the_batch():
    ids = torch.tensor([[5, 0, 6, 9, 9], [7, 9, 9, 9, 9]])
    inputs = {
        "ids": ids,
        "mask": ids != 9,
        "scores": torch.rand(2, 5, 3),
        "all": torch.rand(2, 4),
        "one": torch.ones(2),
    }
    found, targets = trimmed(inputs, torch.rand(2, 5, 2), {"ids": 9, "mask": 0, "scores": 0, "all": 0, "one": 0})
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        "ids": (2, 3), "mask": (2, 3), "scores": (2, 3, 3), "all": (2, 4), "one": (2,),
    }  # fmt: skip
    assert targets.shape == (2, 3, 2)
    assert all(x.is_contiguous() for x in (*found.values(), targets))
    assert torch.equal(found["scores"], inputs["scores"][:, :3])
    assert trimmed((ids, ids), torch.arange(2), {0: 9})[0][1] is ids, "what is not named is no sequence"
    assert trimmed(ids, torch.rand(2, 4), 9)[1].shape == (2, 4)


@pytest.mark.parametrize("make", [task_of_texts, task_of_tags, lambda **more: task_of_texts(Packed, **more)])
@pytest.mark.parametrize("roles", [{}, {"accumulate": 3, "wrapper": wrapper.sam(0.1)}], ids=["plain", "in parts"])
def test_nothing_but_padding_is_cut(make, roles, monkeypatch):
    """What is computed of whole batches of the same examples is the same."""
    task = make(dtype=torch.float64)
    cut = run(task, **roles)
    monkeypatch.setattr(steps, "trimmed", lambda inputs, targets, padding: (inputs, targets))
    for name, x in run(task, **roles).weights.items():
        torch.testing.assert_close(cut.weights[name], x, rtol=1e-6, atol=1e-9)


def test_training_sees_less_than_half_of_the_padding_and_evaluation_sees_all():
    seen = {True: [], False: []}

    class Seeing(Mean):
        def forward(self, x):
            seen[self.training].append(tuple(x.shape))
            return super().forward(x)

    task, places = task_of_texts(Seeing), {}
    assert not steps.drawn(task).moves_generator  # which passes once to see, as does the next
    assert not outside(task).carried
    for bucket in ("none", "length"):
        seen[True].clear()
        run(task, bucket=bucket)
        places[bucket] = sum(count * length for count, length in seen[True])
        assert sum(count for count, _ in seen[True]) == 2 * len(task.train)
        assert {length for _, length in seen[False]} == {LONGEST}
    own = 2 * int(task.lengths.sum())
    assert places["none"] == 2 * len(task.train) * LONGEST
    assert places["length"] - own < 0.2 * (places["none"] - own)


@pytest.mark.parametrize("make", [task_of_texts, task_of_tags])
def test_each_part_of_a_batch_is_cut_to_its_own_longest(make):
    seen = []

    def model():
        module = make().factory()
        module.register_forward_pre_hook(lambda _, given: seen.append(given[0]) if module.training else None)
        return module

    whole = make()
    task = tw.Task(
        model=model, loss=whole.loss, metric=whole.metric, padding=0, train=(whole.train.inputs, whole.train.targets),
        valid=(whole.valid.inputs, whole.valid.targets), test=(whole.test.inputs, whole.test.targets),
    )  # fmt: skip
    assert steps.drawn(task).masks == (make == task_of_texts)  # which passes once to see, as does the next
    assert not outside(task).carried
    places = []
    for accumulate in (1, 5):
        seen.clear()
        run(task, accumulate=accumulate)
        assert all((x[:, -1] != 0).any() for x in seen)
        places.append(sum(x.numel() for x in seen))
    assert places[1] < places[0]


def test_a_model_is_tried_on_the_shortest_part_that_can_come_up():
    class Wide(Mean):
        def forward(self, x):
            if x.shape[1] < 4:
                raise ValueError("too short for a kernel of 4")
            return super().forward(x)

    task = task_of_texts(Wide)
    order = task.lengths.sort().values
    short = int((order < 4).sum())
    assert short >= 1
    size = 10 * short
    fits = member(batch_size=size).recipe
    assert len(task.train) % size == 0 or len(task.train) % size > short, "else the last batch may be of short ones"
    check_passes(task, fits)
    with pytest.raises(InputError, match=r"cannot take a batch cut to its longest example, of length [123] and"):
        check_passes(task, replace(fits, accumulate=10))


# -- the run -------------------------------------------------------------------------------------------


def test_a_run_has_the_same_bits_alone_and_in_company():
    task = task_of_texts()
    company = train(task, [member(seed) for seed in range(3)], keep_weights=True)
    for seed, result in enumerate(company):
        same(run(task, seed), result)


@pytest.mark.parametrize("roles", [{"accumulate": 3}, {"precision": "bf16"}, {"wrapper": wrapper.sam(0.1)}])
def test_it_goes_with_its_siblings(roles):
    task = task_of_texts()
    kept, again = (run(task, recompute=how, **roles) for how in ("none", "blocks"))
    same(kept, again)
    assert kept.reason == ""
    assert kept.curve.train_loss[-1] < kept.curve.train_loss[1]


def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped():
    task, found = task_of_texts(), []

    def keep(population):
        if population.cut == 4 and population.snapshot()[0].step > 10 and not found:
            tensors, facts = packed(population.snapshot())
            found.extend(unpacked({name: x.clone() for name, x in tensors.items()}, json.loads(json.dumps(facts))))

    def ends(states):
        population = Population(task, "one by one", 1, states, keep_weights=True)
        return next(result for _, result in population.run(on_step=keep))

    whole = ends([begin(task, member())])
    assert [state.step for state in found] == [14]
    same(whole, ends(found))


def test_a_last_batch_of_one_is_left_out_whoever_it_is():
    task = task_of_texts()
    assert len(task.train) % 5 == 1
    assert run(task, batch_size=5).steps == run(task, batch_size=5, bucket="none").steps == 2 * (len(task.train) // 5)


def test_the_range_test_sees_the_batches_of_the_run():
    task = task_of_texts(Packed)
    swept = range_test(task, member().recipe, steps=12)
    first = task.train.at(torch.from_numpy(order(task, member(), 0)[:10]))
    with torch.no_grad():
        expected = task.loss(task.model(0)(first.inputs), first.targets)
    assert swept.start == pytest.approx(float(expected), rel=1e-5)


def test_vmap_says_why_not():
    with pytest.raises(RuntimeError, match="vmap cannot take batches of different lengths together"):
        train(task_of_texts(), [member(seed) for seed in range(3)], "vmapped")


# -- what is refused, and what is said -----------------------------------------------------------------


class Placed(Mean):
    """Learned positions of a fixed length; by broadcasting it takes texts of one word too."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.zeros(LONGEST, 1))

    def forward(self, x):
        return super().forward(x) + (self.words(x) * self.places).mean(1)[:, :2]


class Wide(Mean):
    """A convolution that is wider than the shortest texts."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv1d(8, 2, 5)

    def forward(self, x):
        return self.wide(self.words(x).transpose(1, 2)).mean(2)


class Filled(Tagger):
    """Puts out a score for every place there could be."""

    def forward(self, x):
        return super().forward(F.pad(x, (0, LONGEST - x.shape[1])))


class Lumped(Mean):
    """Divides a batch into texts by their full length."""

    def forward(self, x):
        return super().forward(x.flatten()[: x.numel() // 8 * 8].reshape(-1, 8))[: max(1, len(x) // 2)]


CUT = "a batch cut to its longest example, of length {} and not 40"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (task_of_texts(padding=None, data=([[1, 2]] * 60, [0, 1] * 30)), "the task texts does not say which of its"),
        (task_of_texts(Placed), "bucket: the model of task texts cannot take " + CUT.format(39) + ": RuntimeError: "),
        (task_of_texts(Wide), "bucket: the model of task texts cannot take " + CUT.format(1) + ": RuntimeError: "),
        (
            task_of_tags(Filled),
            "bucket: the loss of task tags cannot take what the model makes of " + CUT.format(1) + ": ValueError: ",
        ),
        (
            task_of_texts(Lumped, loss=lambda output, _: output.square().mean()),
            "bucket: the loss of task texts cannot take what the model makes of ",
        ),
    ],
    ids=["no padding", "positions", "a wide kernel", "the loss", "the count"],
)
def test_a_task_that_cannot_take_shorter_batches_is_refused_in_a_sentence(task, message):
    with pytest.raises(InputError) as error:
        check_passes(task, Recipe(batch_size=4, bucket="length"))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    check_passes(task, Recipe(batch_size=4))


def test_the_loss_that_is_tried_is_that_of_the_recipe():
    recipe = Recipe(batch_size=4, bucket="length", loss=squared_error())
    with pytest.raises(InputError, match="bucket: the loss of task texts cannot take what the model makes of"):
        check_passes(task_of_texts(), recipe)


def test_the_shortest_batch_is_that_of_the_recipe():
    """Three of the shortest texts have one word; a kernel of two is refused only where all of a batch can be so."""

    class Two(Wide):
        def __init__(self):
            super().__init__()
            self.wide = nn.Conv1d(8, 2, 2)

    words = [[1]] * 30 + [[2, 3]] * 30 + [[1, 2, 3]] * 4
    task = task_of_texts(Two, data=None, **dict.fromkeys(("train", "valid", "test"), (words, [0, 1] * 32)))
    with pytest.raises(InputError, match="of length 1 and not 3"):
        check_passes(task, Recipe(batch_size=tw.Choice((32, 30)), bucket="length"))
    check_passes(task, Recipe(batch_size=32, bucket="length"))


class Kept(Mean):
    """Needs a graph in training."""

    def forward(self, x):
        h = super().forward(x)
        if self.training:
            h.retain_grad()
        return h


@pytest.mark.parametrize("task", [task_of_texts(), task_of_texts(Packed), task_of_texts(Kept), task_of_tags()])
def test_a_model_that_takes_them_is_not_refused(task):
    check_passes(task, Recipe(bucket="length"))
    assert reads_padding(task) == ""


def test_a_model_that_reads_padding_is_told_of():
    said = reads_padding(task_of_texts(Last))
    assert said.startswith(
        "bucket: the model's outputs change with the padding after a text, of which evaluation sees"
    )


def test_all_texts_of_one_length_are_nothing_to_refuse():
    same_length = torch.randint(1, WORDS, (60, LONGEST), generator=torch.Generator().manual_seed(0))
    check_passes(task_of_texts(Placed, data=(same_length, [0, 1] * 30)), Recipe(bucket="length"))
