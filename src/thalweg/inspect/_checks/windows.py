"""What test knows of train: windows cut from one series, each of which shares a run of values with the next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from thalweg.inspect._checks.finding import Finding, fine, note, wrong
from thalweg.inspect._checks.subject import Subject
from thalweg.key import Key
from thalweg.task.padding import fill_of, items
from thalweg.task.reading import WORDS

__all__ = ["overlaps"]

NUMBERS = 4_000_000
"""In how many of train's numbers runs are looked for, at most."""

ROWS = 500
"""In how many examples of valid and of test, at most."""

OFTENER = 8
"""So many times as often as at the same places are runs of windows shared at others."""

Bits = np.ndarray


def overlaps(subject: Subject) -> Finding:
    """Examples of valid and test that begin as one of train ends, or end as it begins."""
    task = subject.task
    best, looked = dict.fromkeys(WORDS[1:], 0.0), False
    for name, train in items(task.train.inputs).items():
        others = [items(getattr(task, word).inputs)[name] for word in WORDS[1:]]
        for sought in _views(train, others, fill_of(task.padding, name)):
            looked = True
            for word, share in zip(WORDS[1:], sought.shares(), strict=True):
                best[word] = max(best[word], share)
    said = " and ".join(f"{share:.0%} of {word}'s" for word, share in best.items() if share >= 0.1)
    if not said:
        return fine("no example of valid or test goes on where one of train ends" if looked else "inputs are no runs")
    what = f"{said} examples begin as one of train ends, or end as it begins, as overlapping windows of one series do"
    return (wrong if max(best.values()) > 0.3 else note)(
        what,
        "Cut the series into train, valid and test first, leave out a window's length between them, and cut windows "
        "after that; or split by series.",
    )


def _views(train: Tensor, others: list[Tensor], fill: int | None) -> Iterator[_Runs]:
    """Yield an input's runs along each of its axes: those of equal values, then those of nearly equal columns."""
    whole = [train, *others]
    most = max(2, NUMBERS // max(1, train[0].numel())), ROWS, ROWS
    some = [x[_some(len(x), count)] for x, count in zip(whole, most, strict=True)]
    for axis in range(1, train.dim()):
        length = train.shape[axis]
        if length < 3 or length > NUMBERS // 100:
            continue
        parts = [x.movedim(axis, 1).reshape(len(x), length, -1) for x in some]
        yield _Equal(_coded(parts[0]), [_coded(x) for x in parts[1:]], _ends(parts, fill if axis == 1 else None))
        if train.is_floating_point() and train.dim() < 4 and length <= 512:
            deviation, mean = torch.std_mean(
                torch.cat(whole).movedim(axis, 1).reshape(-1, length, parts[0].shape[2]), 0
            )
            scaled = [((x - mean) / torch.where(deviation > 0, deviation, 1.0)).numpy() for x in parts]
            yield _Alike(scaled[0], scaled[1:], sum(map(len, whole)))


def _some(count: int, most: int) -> Tensor:
    """Return which examples are looked at, drawn by key: order may say something."""
    drawn = (Key(0) / "windows").permutation(count)[:most]
    return torch.from_numpy(np.sort(drawn))


class _Runs:
    """Looks for runs that a few examples share with those of train, at the end of one and the beginning of the other.

    Attributes:
        few: how many examples there are of valid, and of test.
        length: of the longest example.
    """

    few: list[int]
    length: int

    def shared(self, run: int, ends: tuple[bool, bool]) -> np.ndarray | None:
        """Return which examples share a run of this length with train: at their end or beginning, and at train's.

        None where it cannot be told, or would take long.
        """
        raise NotImplementedError

    def shares(self) -> list[float]:
        """Return the shares of valid and of test that go on where an example of train ends, or the other way round.

        What independent examples have in common, they have at the same places as well.
        """
        found = np.zeros(sum(self.few), bool)
        for run in range(self.length - 1, max(2, -(-self.length // 4)) - 1, -1):
            for ends in ((True, False), (False, True)):
                rows = self.shared(run, ends)
                if rows is None or rows.sum() <= OFTENER:
                    continue
                same = [self.shared(run, (end, end)) for end in ends]
                if all(x is not None and rows.sum() > OFTENER * (1 + x.sum()) for x in same):
                    found |= rows
            if found.mean() > 0.95:
                break
        return [float(part.mean()) for part in np.split(found, [self.few[0]])]


class _Equal(_Runs):
    """Runs of equal values, by hashes of what comes before each place: that of a run is their difference."""

    FACTOR = np.uint64(0x9E3779B97F4A7C15)

    def __init__(self, train: Bits, others: list[Bits], ends: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self.few, self.length = [len(x) for x in others], train.shape[1]
        self.powers = np.concatenate([[np.uint64(1)], np.full(self.length, self.FACTOR)]).cumprod(dtype=np.uint64)
        self.hashes = [self._running(x) for x in (np.concatenate(others), train)]
        spans = tuple(np.concatenate(side) for side in zip(*ends[1:], strict=True)), ends[0]
        self.starts, self.stops = zip(*spans, strict=True)

    def _running(self, coded: Bits) -> Bits:
        before = np.zeros((len(coded), self.length + 1), np.uint64)
        np.cumsum(coded * self.powers[: self.length], 1, out=before[:, 1:])
        return before

    def shared(self, run: int, ends: tuple[bool, bool]) -> np.ndarray:
        """Return which examples share a run of equal values with train."""
        hashes: list[Bits] = []
        rows: list[np.ndarray] = []
        for before, starts, stops, end in zip(self.hashes, self.starts, self.stops, ends, strict=True):
            some = np.flatnonzero(stops - starts >= run + (not rows))  # more than the run, or it is a copy
            begins = (stops - run if end else starts)[some]
            hashes.append((before[some, begins + run] - before[some, begins]) * self.powers[self.length - begins])
            rows.append(some)
        found = np.zeros(sum(self.few), bool)
        found[rows[0][np.isin(hashes[0], hashes[1])]] = True
        return found


class _Alike(_Runs):
    """Runs of numbers that are nearly equal: each column was given mean 0 and deviation 1 by itself.

    Columns of windows hold the same series but for its ends, so that this moves their values hardly apart.

    Args:
        train, others: some of the rows, scaled by all: ``(rows, places, numbers)``.
        whole: how many rows there are in all.
    """

    def __init__(self, train: np.ndarray, others: list[np.ndarray], whole: int) -> None:
        self.few, self.length = [len(x) for x in others], train.shape[1]
        self.train, self.others = train, np.concatenate(others)
        self.near = min(0.05, 4 * self.length / whole)
        self.orders: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def shared(self, run: int, ends: tuple[bool, bool]) -> np.ndarray | None:
        """Return which examples share a run of nearly equal numbers with train; None where many are nearly equal."""
        mine, theirs = ((self.length - run) * end for end in ends)
        if theirs not in self.orders:
            order = np.argsort(self.train[:, theirs, 0])
            self.orders[theirs] = order, self.train[order, theirs, 0]
        order, known = self.orders[theirs]
        low, high = (np.searchsorted(known, self.others[:, mine, 0] + sign * self.near) for sign in (-1, 1))
        count = high - low
        if count.sum() > len(count) * (100 + 0.02 * len(known)):
            return None  # values so few are looked for by `_Equal`
        rows = np.repeat(np.arange(len(count)), count)
        places = order[np.arange(len(rows)) + np.repeat(low - count.cumsum() + count, count)]
        for size in (min(4, run), run):  # few are left after some
            one, other = self.others[rows, mine : mine + size], self.train[places, theirs : theirs + size]
            near = (np.abs(one - other) <= self.near).all((1, 2))
            rows, places = rows[near], places[near]
        found: np.ndarray = np.bincount(rows, minlength=len(count)) > 0
        return found


def _coded(x: Tensor) -> Bits:
    """Return a number for what stands at each place of each example, the same wherever that is the same."""
    numbers = (x + 0.0 if x.is_floating_point() else x).contiguous().numpy()
    size = numbers.dtype.itemsize
    bits = numbers.view(f"u{size}").astype(np.uint64) if size <= 8 else numbers.real.view(np.uint64)[..., ::2]
    mixed = bits * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(29)
    odd = (Key(0) / "codes").generator().integers(0, 2**63, mixed.shape[2], np.uint64) * np.uint64(2) + np.uint64(1)
    found: Bits = (mixed * odd).sum(2, dtype=np.uint64)
    return found


def _ends(parts: list[Tensor], fill: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return where each example begins and ends, padding and what stands at the ends of all left out."""
    length = parts[0].shape[1]
    if fill is None or parts[0].shape[2] != 1:
        return [(np.zeros(len(x), np.int64), np.full(len(x), length)) for x in parts]
    values = [x[:, :, 0].numpy() for x in parts]
    there = [x != fill for x in values]
    starts = [np.where(t.any(1), t.argmax(1), 0) for t in there]
    stops = [np.where(t.any(1), length - t[:, ::-1].argmax(1), 0) for t in there]
    for ends, step in ((starts, 1), (stops, -1)):
        at = np.concatenate(
            [x[np.arange(len(x)), np.clip(e - (step < 0), 0, length - 1)] for x, e in zip(values, ends, strict=True)]
        )
        if (at == at[0]).all():  # such as a token that opens, or closes, every text
            for e in ends:
                e += step
    return list(zip(starts, stops, strict=True))
