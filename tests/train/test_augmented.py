"""What runs see of their training examples: each its own augmentation, whoever trains it, and evaluation none."""

import json
import random

import pytest
import torch
from pictures import MIXING, POLICIES, member, members, pictures, same, texts

from thalweg import augment, wrapper
from thalweg.train import Member, Population, footprint, train
from thalweg.train.augmented import Augmented, Augmenting
from thalweg.train.made import check_made
from thalweg.train.state import begin_all, packed, unpacked


@pytest.fixture(scope="module")
def task():
    return pictures()


def test_a_row_is_what_the_policy_makes_of_its_examples_by_hand(task):
    """Steps on levels see shares of the way from black to white, whatever the task has made of its pictures."""
    recipes = [m.recipe for m in members(POLICIES)]
    numbers = torch.stack([torch.randperm(180)[:7] for _ in recipes]).int()
    epochs = [3, 0, 1, 2, 5, 4]
    found = Augmenting(task, recipes, [9, 8, 7, 6, 5, 4]).batch(numbers, epochs).at(slice(None))
    low, high = task.train.inputs.min(), task.train.inputs.max()
    for row, policy in enumerate(POLICIES.values()):
        plain = task.train.inputs[numbers[row].long()]
        if policy is None:
            assert torch.equal(found.inputs[row], plain)
            continue
        levels = ((plain - low) / (high - low)).expand(-1, 3, -1, -1)
        by_hand = policy.batch(levels, numbers[row].numpy(), epoch=epochs[row], seed=9 - row)[:, :1]
        torch.testing.assert_close(found.inputs[row], by_hand * (high - low) + low)
        assert not torch.equal(found.inputs[row], plain)
        assert torch.equal(found.targets[row], task.train.targets[numbers[row].long()])


def test_what_only_moves_pixels_leaves_numbers_as_they_are(task):
    recipe = member(augment.flip(p=1.0)).recipe
    numbers = torch.arange(4)[None]
    found = Augmenting(task, [recipe], [0]).batch(numbers, [0]).at(0)
    assert torch.equal(found.inputs, task.train.inputs[:4].flip(-1))


def test_rows_are_the_same_however_they_are_asked_for(task):
    runs = [*members(POLICIES), member(augment.flip(), 77)]
    by = Augmenting(task, [m.recipe for m in runs], [m.seed for m in runs])
    numbers = torch.stack([torch.arange(i, i + 9) for i in [*range(7), 6, 6]])  # two rows of padding
    whole = by.batch(numbers, [1] * 7).at(slice(None))
    for asked in (
        [0, 1, 2, 3, 4, 5, 6],
        [slice(0, 4), slice(3, 7), slice(5, 7)],
        [slice(0, 4), slice(0, 2)],
        [torch.tensor([2, 4, 4]), torch.tensor([6, 1])],
    ):
        batch = by.batch(numbers, [1] * 7)
        for rows in asked:
            assert torch.equal(batch.at(rows).inputs, whole.inputs[rows])


def test_a_row_that_groups_of_models_share_is_augmented_once(monkeypatch, task):
    by = Augmenting(task, [member(augment.flip()).recipe] * 7, range(7))
    done, change = [], by.change
    monkeypatch.setattr(by, "change", lambda split, rows, *more: (done.extend(rows), change(split, rows, *more))[1])
    batch = by.batch(torch.arange(8).expand(8, -1), [0] * 7)  # the last row is padding
    for rows in (slice(0, 4), slice(3, 7), slice(6, 8)):
        batch.at(rows)
    assert sorted(row for row in done if row >= 0) == list(range(7))


def seen(monkeypatch, task, runs, executor, slots=0):
    """Return what each run saw at each of its steps, in the order of the steps."""
    found, change = {}, Augmenting.change

    def watched(self, split, rows, numbers, epochs):
        done = change(self, split, rows, numbers, epochs)
        for place, row in enumerate(rows):
            if row >= 0 and any(row in mine for mine in self.policies.values()):
                key = int(self.seeds[row]), int(epochs[row]), tuple(numbers[place].tolist())
                found[key] = done.inputs[place].clone(), done.targets[place].clone()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Augmenting, "change", watched)
        population = Population(task, executor, slots or len(runs), begin_all(task, runs))
        for _ in population.run():
            pass
    return found


@pytest.mark.parametrize("policies", [POLICIES, MIXING], ids=["plain", "mixing"])
def test_every_executor_and_population_sees_the_same_stream(monkeypatch, task, policies):
    runs = members(policies)
    together = seen(monkeypatch, task, runs, "vmapped")
    for other in (
        seen(monkeypatch, task, runs, "one by one"),
        seen(monkeypatch, task, [*runs[::-1], member(runs[0].recipe.augment, 50)], "vmapped"),
        {k: x for run in runs for k, x in seen(monkeypatch, task, [run], "one by one").items()},
    ):
        assert together.keys() <= other.keys()
        for key, (inputs, targets) in together.items():
            assert torch.equal(inputs, other[key][0])
            assert torch.equal(targets, other[key][1])
    augmented = sum(bool(run.recipe.augment.parts) for run in runs)
    assert len(together) == 10 * augmented  # of two epochs of five batches
    assert {epoch for _, epoch, _ in together} == {0, 1}


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
@pytest.mark.parametrize("policies", [POLICIES, MIXING], ids=["plain", "mixing"])
def test_a_run_does_not_notice_its_neighbours_or_how_they_pass(monkeypatch, task, executor, policies):
    runs = members(policies)
    whole = train(task, runs, executor, keep_weights=True)
    monkeypatch.setattr(footprint, "PASS", 1)  # models pass in groups of four
    others = [member(policies[name], seed=70 + i) for i, name in enumerate(policies)]
    shuffled = random.Random(0).sample([*runs, *others], len(runs) + len(others))
    beside = train(task, shuffled, executor, keep_weights=True)
    for run, result in zip(runs, whole, strict=True):
        same(result, beside[shuffled.index(run)])
        same(result, train(task, [run], executor, keep_weights=True)[0])


@pytest.mark.parametrize("executor", ["one by one", "vmapped"])
@pytest.mark.parametrize("policies", [POLICIES, MIXING], ids=["plain", "mixing"])
def test_runs_that_are_written_down_after_any_step_go_on_as_if_nothing_had_been(task, executor, policies):
    runs = members(policies)
    whole = train(task, runs, executor, keep_weights=True)
    kept = []

    def keep(population):
        tensors, facts = packed(population.snapshot())
        kept.append(({name: x.clone() for name, x in tensors.items()}, json.loads(json.dumps(facts))))

    runs = [Member(run.recipe, run.seed, str(i)) for i, run in enumerate(runs)]
    for _ in Population(task, executor, len(runs), begin_all(task, runs)).run(on_step=keep):
        pass
    for tensors, facts in kept[2::4]:
        again = Population(task, executor, len(runs), unpacked(tensors, facts), keep_weights=True)
        for one, result in again.run():
            same(result, whole[int(one.identity)])


def test_sams_second_gradient_is_of_the_same_batch(monkeypatch, task):
    runs = [member(augment.ssr(), 0, wrapper=wrapper.sam()), member(augment.ssr(), 1), member(None, 2)]
    asked, at = [], Augmented.at

    def watched(self, rows):
        found = at(self, rows)
        asked.append((self.numbers, rows, found.inputs.clone()))
        return found

    monkeypatch.setattr(Augmented, "at", watched)
    train(
        task, [member(one.recipe.augment, one.seed, wrapper=one.recipe.wrapper, epochs=1) for one in runs], "vmapped"
    )
    firsts = [x for x in asked if isinstance(x[1], slice)]
    seconds = [x for x in asked if isinstance(x[1], torch.Tensor)]
    assert len(firsts) == len(seconds) == 5
    for (_, _, first), (_, rows, second) in zip(firsts, seconds, strict=True):
        assert torch.equal(first[rows], second)


def test_nothing_that_is_judged_is_augmented(task):
    """Neither the splits at the end nor the metric by epoch; and the loss by epoch is that of what was seen."""
    (result,) = train(task, [member(augment.brightness(limit=1.0, p=1.0))], keep_weights=True)
    module = task.model(0)
    module.load_state_dict(result.weights)
    with torch.no_grad():
        for split, metric in ((task.test, result.test), (task.valid, result.valid), (task.train, result.train)):
            outcomes = task.metric.outcomes(module.eval()(split.inputs), split.targets)
            assert float(outcomes.double().mean()) == pytest.approx(metric, abs=1e-6)
    (plain,) = train(task, [member(None)])
    assert result.curve.train_loss[1] != plain.curve.train_loss[1]


def test_pictures_without_an_axis_of_channels_and_of_float64():
    plain = {"dtype": torch.float64, "standardize": False}  # from 0 to 16
    flat, layered = pictures(8, 8, **plain), pictures(**plain)
    policy = augment.flip() >> augment.contrast() >> augment.saturation()
    one, other = (train(task, [member(policy)], keep_weights=True)[0] for task in (flat, layered))
    same(one, other)


def test_the_order_of_examples_and_the_first_weights_do_not_depend_on_the_policy(task):
    plain, other = (train(task, [member(policy, 3)])[0] for policy in (None, augment.ssr()))
    assert plain.curve.valid[0] == other.curve.valid[0]


def test_texts_are_edited_before_they_become_numbers():
    task, policy = texts(), augment.random_swap(share=0.5) >> augment.random_deletion(share=0.3)
    recipes = [member(None).recipe, member(policy).recipe, member(policy).recipe]
    numbers = torch.stack([torch.arange(30)] * 3).int()
    found = Augmenting(task, recipes, [1, 2, 3]).batch(numbers, [4, 5, 6]).at(slice(None))
    assert torch.equal(found.inputs[0], task.train.inputs[:30])
    for row in (1, 2):
        edited = [policy.text(task.texts[i], sample=i, epoch=4 + row, seed=1 + row) for i in range(30)]
        assert torch.equal(found.inputs[row], task.encoded(edited))
        assert not torch.equal(found.inputs[row], found.inputs[0])


@pytest.mark.parametrize("roles", [{}, {"bucket": "length"}], ids=["plain", "bucket"])
def test_runs_on_texts_do_not_notice_their_neighbours(roles):
    task = texts()
    runs = [member(augment.random_deletion(share=0.3), 1, **roles), member(augment.typo(), 2, **roles)]
    for run in runs:
        check_made(task, run.recipe)
    executor = "one by one" if roles else "vmapped"
    for run, result in zip(runs, train(task, runs, executor, keep_weights=True), strict=True):
        same(result, train(task, [run], executor, keep_weights=True)[0])
