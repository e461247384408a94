"""Every random number is a function of its key."""

import random
import subprocess
import sys

import numpy as np
import torch

from thalweg.key import Key


def test_a_path_gives_the_same_numbers_in_another_process():
    code = "from thalweg.key import Key; print((Key(3) / 'order' / 5).permutation(9).tolist())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str((Key(3) / "order" / 5).permutation(9).tolist())


def test_other_paths_give_other_numbers():
    keys = [Key(0), Key(1), Key(0) / "a", Key(0) / "b", Key(0) / 1, Key(0) / "1", Key(0) / "a" / "b", Key(0) / "ab"]
    assert len({key.integer(63) for key in keys}) == len(keys)


def test_numbers_do_not_change_between_versions():
    """Recorded studies depend on these; a change here must come with a new schema version."""
    assert (Key(0) / "order" / 1).permutation(6).tolist() == [0, 5, 4, 3, 1, 2]
    assert Key(0).integer() == 1399222647


def test_a_permutation_is_that_of_a_generator_that_is_made_for_it():
    keys = [Key(seed) / "order" / epoch for seed in range(5) for epoch in range(5)]
    for key, n in zip(keys, [0, 1, 2, 7, 1078] * 5, strict=True):
        other = keys[n % 5].permutation(n + 3)  # which leaves the generator amid its stream
        assert np.array_equal(key.permutation(n), key.generator().permutation(n))
        assert np.array_equal(other, keys[n % 5].permutation(n + 3))


def test_seeded_puts_the_global_generators_back():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = (torch.rand(1), np.random.rand(), random.random())
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    with Key(5).seeded():
        first = (torch.rand(1), np.random.rand(), random.random())
    with Key(5).seeded():
        assert (torch.rand(1), np.random.rand(), random.random()) == first
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
