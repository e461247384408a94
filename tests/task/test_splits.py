"""Train, valid and test: keyed, disjoint, covering, stratified; scaled by what train alone shows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny, x

from thalweg import InputError, split, standardize

SHARES = (0.6, 0.2, 0.2)


@given(n=st.integers(3, 200), seed=st.integers(0, 99), valid=st.floats(0.01, 0.49), test=st.floats(0.01, 0.49))
def test_parts_are_disjoint_and_cover_all_rows_and_none_is_empty(n, seed, valid, test):
    parts = split(n, (1 - valid - test, valid, test), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert all(len(part) and (np.diff(part) > 0).all() for part in parts)
    for part, share in zip(parts[1:], (valid, test), strict=True):
        assert abs(len(part) - share * n) <= 1


@given(sizes=st.lists(st.integers(3, 40), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_every_class_is_divided_by_the_same_shares(sizes, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 7 - 3, sizes))
    parts = split(len(classes), SHARES, seed, classes)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(classes)))
    for label, size in zip(np.unique(classes), sizes, strict=True):
        for part, share in zip(parts, SHARES, strict=True):
            assert (classes[part] == label).sum() >= 1
            assert abs((classes[part] == label).sum() - share * size) <= 1


def test_the_rows_are_a_function_of_the_seed_alone():
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = split(100, SHARES, 0)
    np.testing.assert_equal(split(100, SHARES, 0), first)
    assert split(100, SHARES, 1)[1].tolist() != first[1].tolist()
    assert split(5, SHARES, 0)[0].tolist() == [2, 3, 4], "as it has always been: studies depend on it"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, SHARES, 0), "there are 0 examples to split; train, valid and test need one each"),
        ((2, SHARES, 0), "there are 2 examples to split"),
        ((6, SHARES, 0, np.array([4, 4, 4, 4, 4, 9])), "class 9 has 1 example, and every class needs 3"),
        ((6, SHARES, 0, np.zeros(5)), r"one value a row, shape \(6,\), not \(5,\)"),
        *(
            ((9, shares, 0), "three shares above 0 that sum to 1")
            for shares in ((0.5, 0.5), (0.8, 0.2, 0.0), (0.6, 0.3, 0.2), (float("nan"), 0.2, 0.2), 0.6, "abc", None)
        ),
    ],
)
def test_what_cannot_be_split_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        split(*arguments)


def test_train_gets_mean_0_and_deviation_1_a_feature():
    (scaled,) = standardize(3 + 7 * x)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(4))


def test_images_are_scaled_a_channel():
    images = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4) ** 2
    (scaled,) = standardize(images)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3), correction=0), torch.ones(3))


def test_others_are_scaled_as_train_is_and_do_not_change_it():
    one = standardize(x[:30], x[30:])
    other = standardize(x[:30], 1000 + x[30:])
    assert torch.equal(one[0], other[0])
    torch.testing.assert_close(
        other[1] - one[1], (1000 / x[:30].std(0, correction=0)).expand(30, 4), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("shape", [(30, 1), (5000, 3), (500, 2, 7)])
@pytest.mark.parametrize("value", [0.0, 0.1, 123.456])
def test_a_feature_that_is_constant_in_train_becomes_0_whatever_rounding_leaves_of_its_deviation(shape, value):
    constant = torch.full(shape, value)
    for scaled in standardize(constant, constant + 1):
        assert (scaled == 0).all()


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_the_unit_does_not_matter(factor):
    torch.testing.assert_close(standardize(x * factor), standardize(x))


@pytest.mark.parametrize("unfit", [torch.arange(4), x.numpy(), [1.0, 2.0], x > 0])
def test_only_numbers_with_fractions_are_scaled(unfit):
    with pytest.raises(InputError, match="numbers with fractions"):
        standardize(unfit)
    with pytest.raises(InputError, match="numbers with fractions"):
        standardize(x, unfit)


def test_a_task_scales_by_its_training_examples_alone():
    plain, scaled = tiny(), tiny(standardize=True)
    expected = standardize(plain.train.inputs, plain.valid.inputs, plain.test.inputs)
    for part, inputs in zip((scaled.train, scaled.valid, scaled.test), expected, strict=True):
        assert torch.equal(part.inputs, inputs)
    train, far = (plain.train.inputs, plain.train.targets), (1e3 * plain.test.inputs, plain.test.targets)
    again = tiny(data=None, train=train, valid=far, test=far, standardize=True)
    assert torch.equal(again.train.inputs, scaled.train.inputs)


def test_a_task_splits_by_its_own_seed_and_shares():
    one, two, again = tiny(seed=0), tiny(seed=1), tiny(seed=0, splits=(0.5, 0.25, 0.25))
    assert not torch.equal(one.valid.inputs, two.valid.inputs)
    assert [len(part) for part in (again.train, again.valid, again.test)] == [30, 15, 15]
