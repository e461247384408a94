"""Classes that a split calls otherwise than train does are found, and noise and shifts are not taken for it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from checked import found
from thalweg.inspect._checks import codes
from thalweg.inspect._checks.subject import Subject
from thalweg.task import Split

CODES = {
    "permuted": lambda count: np.random.default_rng(5).permutation(count),
    "counted from 1": lambda count: (np.arange(count) + 1) % count,
    "two": lambda count: np.r_[1, 0, 2:count],
}


@pytest.mark.parametrize("word", ["valid", "test"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ["wine", "digits"])
def test_a_split_that_calls_its_classes_otherwise_is_found(name, code, word):
    task = tw.load_task(name)
    assert found(task, "class codes").level == "fine"
    map_ = torch.from_numpy(CODES[code](int(task.train.targets.max()) + 1))
    assert not torch.equal(map_, map_.sort().values)
    part = getattr(task, word)
    setattr(task, word, Split(part.inputs, map_[part.targets]))
    seen = found(task, "class codes")
    assert (seen.level, seen.what.startswith(f"{word} calls classes otherwise")) == ("wrong", True), seen
    assert "by one list" in seen.remedy
    if code == "two":
        assert "0 for what train calls 1" in seen.what
        assert "1 for what train calls 0" in seen.what


def drawn(draws, n, classes, apart, shift, noise):
    """Return a task of classes apart from each other, whose valid and test lie a little elsewhere."""
    centres, shares = apart * draws.normal(size=(classes, 6)), draws.dirichlet(np.full(classes, 3.0))
    parts = {}
    for word in ("train", "valid", "test"):
        y = draws.choice(classes, n if word == "train" else n // 3, p=shares)
        x = centres[y] + draws.normal(size=(len(y), 6)) + (word != "train") * shift * draws.normal(size=6)
        y = np.where(draws.random(len(y)) < noise, draws.integers(0, classes, len(y)), y)
        parts[word] = torch.from_numpy(x).float(), torch.from_numpy(y)
    return tw.Task(model=lambda: nn.Linear(6, classes), loss=F.cross_entropy, metric=tw.accuracy, **parts)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_what_is_merely_hard_noisy_or_elsewhere_is_never_taken_for_it(count):
    alarms = []
    for draw in range(count):
        draws = np.random.default_rng(draw)
        chosen = [
            draws.choice(some) for some in ((60, 200), (2, 3, 6), (0.0, 0.3, 1.0, 3.0), (0.0, 0.5, 1.0), (0, 0.2))
        ]
        subject = Subject.__new__(Subject)
        subject.task = drawn(draws, *chosen)
        seen = codes.codes(subject)
        alarms += [(draw, chosen, seen.what)] * (seen.level == "wrong")
    assert alarms == []
