"""Windows that overlap are found across splits, and what independent examples have in common is not taken for it."""

import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from checked import found
from thalweg.inspect._checks import windows
from thalweg.inspect._checks.subject import Subject


def task(x, **more):
    data = (x, [i % 2 for i in range(len(x))])
    more = {"model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(np.size(x[0]), 2)), **more}
    return tw.Task(data=data, loss=F.cross_entropy, metric=tw.accuracy, **more)


def series(draws, n, channels=1):
    noise = draws.normal(size=(n, channels))
    return np.sin(np.arange(n)[:, None] / 4) + 0.1 * np.cumsum(draws.normal(size=(n, channels)), 0) + 0.3 * noise


def cut(values, length=24, stride=1):
    return np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[::stride].astype("float32")


SERIES = {
    "one": lambda draws: cut(series(draws, 1000)[:, 0]),
    "half": lambda draws: cut(series(draws, 8000)[:, 0], stride=12),
    "rounded": lambda draws: cut(series(draws, 1000)[:, 0].round(1)),
    "noise": lambda draws: cut(draws.normal(size=1000)),
    "channels last": lambda draws: cut(series(draws, 1000, 3), stride=4).transpose(0, 2, 1).copy(),
    "channels first": lambda draws: cut(series(draws, 1000, 3), stride=4),
    "tiles": lambda draws: np.lib.stride_tricks.sliding_window_view(draws.random((96, 96)), (12, 12))[::4, ::4]
    .reshape(-1, 1, 12, 12).astype("float32"),
}  # fmt: skip


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", SERIES)
def test_windows_of_one_series_dealt_to_the_splits_are_found(kind, scaled):
    """Also where each place of a window was given mean 0 and deviation 1 by itself, so that no values are equal."""
    x = SERIES[kind](np.random.default_rng(0))
    seen = found(task(x, standardize=scaled), "overlaps")
    assert (seen.level, "of test's examples begin as one of train ends" in seen.what) == ("wrong", True), seen
    assert "series into train, valid and test first" in seen.remedy


@pytest.mark.parametrize("ends", [[], [2]])
def test_so_are_texts_that_overlap_whatever_opens_and_closes_them(ends):
    draws = np.random.default_rng(0)
    words = [f"w{i}" for i in np.minimum(draws.zipf(1.3, 4000), 900)]

    def encode(texts):
        return [[*ends, *(3 + int(word[1:]) for word in text.split()), *ends] for text in texts]

    def texts(stride):
        more = {"model": lambda: nn.EmbeddingBag(910, 2, padding_idx=0), "encode": encode, "padding": 0}
        return task([" ".join(words[i : i + 24 + i % 5]) for i in range(0, 4000, stride)], **more)

    assert found(texts(12), "overlaps").level == "wrong"
    assert found(texts(29), "overlaps").level == "fine"


def test_a_series_cut_first_is_let_through():
    x = torch.from_numpy(cut(series(np.random.default_rng(0), 3000)[:, 0]))
    y = torch.arange(len(x)) % 2
    parts = {"train": slice(0, 1800), "valid": slice(1800, 2400), "test": slice(2400, None)}
    made = tw.Task(model=lambda: nn.Linear(24, 2), loss=F.cross_entropy, metric=tw.accuracy,
                   **{word: (x[rows], y[rows]) for word, rows in parts.items()})  # fmt: skip
    assert found(made, "overlaps").level == "fine"


INDEPENDENT = {
    "normal": lambda d, n, t: d.normal(size=(n, t)),
    "rounded": lambda d, n, t: d.normal(size=(n, t)).round(),
    "bits": lambda d, n, t: d.random((n, t)) < 0.3,
    "walk": lambda d, n, t: np.cumsum(d.integers(-1, 2, (n, t)), 1),
    "words": lambda d, n, t: np.minimum(d.zipf(1.5, (n, t)), 500),
    "sine": lambda d, n, t: d.normal(size=(n, 1)) * np.sin(0.3 * np.arange(t) + 6.3 * d.random((n, 1))),
    "line": lambda d, n, t: d.integers(0, 50, (n, 1)) + d.integers(0, 5, (n, 1)) * np.arange(t),
    "constant": lambda d, n, t: np.repeat(d.normal(size=(n, 1)), t, 1),
    "idle at last": lambda d, n, t: d.normal(size=(n, t)) * (np.arange(t) < t * d.random((n, 1))),
    "one hot": lambda d, n, t: np.eye(t)[d.integers(0, t, n)],
}


def test_independent_examples_are_never_taken_for_windows():
    """In 200 draws: numbers, few and many values, and families whose members lie close together."""
    alarms = []
    for draw in range(200):
        kind = list(INDEPENDENT)[draw % len(INDEPENDENT)]
        draws = np.random.default_rng([draw, 1])
        n, t = (60, 8) if draw % 3 == 0 else (240, 16)
        subject = Subject.__new__(Subject)
        subject.task = task(INDEPENDENT[kind](draws, n, t).astype("float32"), standardize=draw % 2 == 0)
        seen = windows.overlaps(subject)
        alarms += [(kind, draw, seen.what)] * (seen.level != "fine")
    assert alarms == []


def test_20000_windows_take_less_than_a_second():
    draws = np.random.default_rng(0)
    subject = Subject.__new__(Subject)
    for x in (draws.normal(size=(20_000, 24)), cut(series(draws, 20_023)[:, 0])):
        subject.task = task(torch.from_numpy(x).float())
        started = time.process_time()
        windows.overlaps(subject)
        assert (time.process_time() - started) / torch.get_num_threads() < 1
