"""What formulas on texts are written in: choosing among what there is, by a random number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

__all__ = ["Ring", "first_with", "pick", "pick_by_chance"]

T = TypeVar("T")


class Ring(list[T]):
    """Options that are asked for something over and over: how far on from each there is anything is remembered."""

    def __init__(self, options: Iterable[T]) -> None:
        super().__init__(options)
        self.empty: dict[int, int] = {}


def pick(options: Sequence[T], u: float) -> T | None:
    """Return one of some options, each as likely; None if there is none.

    >>> pick(["a", "b"], 0.7), pick([], 0.7)
    ('b', None)
    """
    return options[int(u * len(options))] if options else None


def pick_by_chance(options: Sequence[tuple[T, float]], u: float) -> T | None:
    """Return one of some options with their chances, which need not add up to 1; None if there is none.

    >>> pick_by_chance([("a", 3.0), ("b", 1.0)], 0.7), pick_by_chance([("a", 3.0), ("b", 1.0)], 0.8)
    ('a', 'b')
    """
    left = u * sum(chance for _, chance in options)
    for option, chance in options:
        left -= chance
        if left < 0:
            return option
    return options[-1][0] if options else None


def first_with(options: Sequence[T], u: float, found: Callable[[T], Sequence[Any]]) -> Sequence[Any]:
    """Return what is found for one of some options, or for the next of them for which something is found.

    >>> first_with(["a", "b", "c"], 0.4, lambda option: [option.upper()] if option != "b" else [])
    ['C']
    """
    count = len(options)
    empty = options.empty if isinstance(options, Ring) else {}
    at, seen = int(u * count), 0
    passed: list[tuple[int, int]] = []
    what: Sequence[Any] = []
    while seen < count:
        on = empty.get(at, 0)
        if not on:
            what = found(options[at])
            if what:
                break
            on = 1
        passed.append((at, seen))
        seen += on
        at = (at + on) % count
    for place, before in passed:
        empty[place] = min(seen, count) - before if what else count
    return what
