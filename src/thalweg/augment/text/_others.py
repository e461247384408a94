"""Which words a word can change places with, counted in order while words are taken; a choice takes log² n steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import overload

__all__ = ["Others"]


class _Counts:
    """How many of the first of some places are free (Fenwick 1994); all are at first."""

    def __init__(self, size: int) -> None:
        self.free = size
        self._sums = [i & -i for i in range(size + 1)]

    def take(self, at: int) -> None:
        """Take a free place."""
        self.free -= 1
        at += 1
        while at < len(self._sums):
            self._sums[at] -= 1
            at += at & -at

    def before(self, at: int) -> int:
        """Return how many of the first ``at`` places are free."""
        found = 0
        while at:
            found += self._sums[at]
            at &= at - 1
        return found


class Others:
    """Places in order, each with a name, of which some are taken while it is in use.

    >>> others = Others([2, 5, 7, 9], ["a", "b", "a", "c"])
    >>> list(others.but("a")), list(others.but("b"))
    ([5, 9], [2, 7, 9])
    >>> others.take(9)
    >>> list(others.but("a"))
    [5]
    """

    def __init__(self, places: Sequence[int], names: Sequence[str]) -> None:
        self.places = places
        self._number = {place: i for i, place in enumerate(places)}
        self._names = names
        self._same: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            self._same.setdefault(name, []).append(i)
        self._all = _Counts(len(places))
        self._of = {name: _Counts(len(members)) for name, members in self._same.items()}

    def take(self, place: int) -> None:
        """Take a place, which has to be free."""
        number = self._number[place]
        name = self._names[number]
        self._all.take(number)
        self._of[name].take(bisect_right(self._same[name], number) - 1)

    def but(self, name: str) -> _But:
        """Return the free places of other names."""
        return _But(self, name)

    def count(self, name: str) -> int:
        """Return how many there are of those."""
        return self._all.free - (self._of[name].free if name in self._of else 0)

    def nth(self, name: str, n: int) -> int:
        """Return the n-th of those, counted from 0."""
        members, own = self._same.get(name, []), self._of.get(name)
        low, high = 0, len(self.places) - 1
        while low < high:
            middle = (low + high) // 2
            found = self._all.before(middle + 1)
            if own is not None:
                found -= own.before(bisect_right(members, middle))
            if found > n:
                high = middle
            else:
                low = middle + 1
        return self.places[low]


class _But(Sequence[int]):
    def __init__(self, others: Others, name: str) -> None:
        self.others, self.name = others, name

    def __len__(self) -> int:
        return self.others.count(self.name)

    @overload
    def __getitem__(self, n: int) -> int: ...
    @overload
    def __getitem__(self, n: slice) -> Sequence[int]: ...
    def __getitem__(self, n: int | slice) -> int | Sequence[int]:
        if isinstance(n, slice):
            return [self[i] for i in range(*n.indices(len(self)))]
        if not 0 <= n < len(self):
            raise IndexError(n)
        return self.others.nth(self.name, n)
