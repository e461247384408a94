"""Which words of a text a step may choose, how many, and the random numbers by which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from thalweg.augment._draws import place_key, uniform_arrays, uniforms
from thalweg.augment._program import Step
from thalweg.augment.text._edits import Draft
from thalweg.augment.text._stops import stop_words
from thalweg.augment.text.sources import _spacy

__all__ = ["Turn", "plainly", "step_key", "turns"]

_TRIES = 1 << 20
"""How far apart the places of one try and of the next are."""

_FEW, _TOGETHER = 3, 256
"""From how many texts on, and for how many at most, random numbers are drawn together."""


step_key = lru_cache(1 << 16)(place_key)


class Turn(NamedTuple):
    """A step's turn at a text.

    Attributes:
        draft: the text.
        eligible: words, gaps, or sentences, that it may choose.
        wanted: how many it is to edit.
        key: the step's key, the epoch and the sample.
        numbers: the first random numbers: whether it happens, then those of each choice.
        draws: how many numbers a choice takes beside the one that makes it.
        tags: parts of speech of the words, where they are known.
    """

    draft: Draft
    eligible: Sequence[int]
    wanted: int
    key: tuple[int, int, int]
    numbers: list[float]
    draws: int
    tags: list[str]

    def choices(self) -> Iterator[tuple[int, list[float]]]:
        """Yield what is eligible in a random order, each with the random numbers of its formula."""
        eligible, numbers, width, count = self.eligible, self.numbers, 1 + self.draws, len(self.eligible)
        moved: dict[int, int] = {}
        at, known = 1, len(numbers) - width
        for t in range(count):
            if at > known:
                numbers = uniform_arrays(*self.key, 1 + count * width).tolist()
                known = len(numbers) - width
            i = t + int(numbers[at] * (count - t))
            yield eligible[moved.get(i, i)], numbers[at + 1 : at + width]
            moved[i] = moved.get(t, t)
            at += width


def turns(
    step: Step,
    drafts: list[Draft],
    keys: list[tuple[int, int, int]],
    attempt: int,
    *,
    of: Callable[[Draft], Sequence[int]] | None = None,
) -> Iterator[Turn]:
    """Yield the turns of those texts to which something happens.

    Args:
        step: whose turns.
        drafts, keys: the texts, and (seed, epoch, sample) of each.
        attempt: how often they were rejected.
        of: what it may choose of a text, such as `Draft.gaps`; words where nothing is given.
    """
    place = step.place + _TRIES * attempt
    tagger = step.values.get("tagger", "")
    tagged = _spacy.tags(tagger, drafts) if tagger else [[]] * len(drafts)
    given = list(
        zip(drafts, ((step_key(seed, place), epoch, sample) for seed, epoch, sample in keys), tagged, strict=True)
    )
    for start in range(0, len(given), _TOGETHER):
        yield from _turns_of(step, given[start : start + _TOGETHER], of)


def _turns_of(
    step: Step,
    given: list[tuple[Draft, tuple[int, int, int], list[str]]],
    of: Callable[[Draft], Sequence[int]] | None,
) -> Iterator[Turn]:
    """Yield turns whose first random numbers are drawn together: they cost little then."""
    share, least, most = (step.values[name] for name in ("share", "at_least", "at_most"))
    stop, draws = stop_words(step.values.get("stop", "")), step.technique.draws
    asked = []
    for draft, key, tags in given:
        if step.p < 1 and uniforms(*key, 1)[0] >= step.p:
            continue
        eligible = of(draft) if of else draft.free()
        if stop and not of:
            lower = str.lower if draft.original.isascii() else plainly
            touched = draft.touched
            small = enumerate(map(lower, draft.words))
            eligible = [i for i, word in small if word not in stop and i not in touched]
        wanted = min(most, max(least, int(share * len(eligible) + 0.5)), len(eligible))
        if wanted:
            asked.append((draft, eligible, wanted, key, tags))
    if len(asked) < _FEW:
        for draft, eligible, wanted, key, tags in asked:
            numbers = uniforms(*key, 1 + (wanted + wanted // 3) * (1 + draws))
            yield Turn(draft, eligible, wanted, key, numbers, draws, tags)
        return
    seeds = np.array([[number % (1 << 64) for number in key] for *_, key, _ in asked], np.uint64)
    tries = max(min(len(eligible), 2 * wanted + 4) for _, eligible, wanted, *_ in asked)
    each = uniform_arrays(seeds[:, 0], seeds[:, 1], seeds[:, 2], 1 + tries * (1 + draws)).tolist()
    for (draft, eligible, wanted, key, tags), numbers in zip(asked, each, strict=True):
        yield Turn(draft, eligible, wanted, key, numbers, draws, tags)


def plainly(word: str) -> str:
    """Return a word in small letters, with a typewriter's apostrophe."""
    word = word.lower()
    return word if word.isascii() else word.replace("’", "'")
