"""Edits of a text: spans of the string as it was given, so that all between them stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from thalweg.augment.text._sentences import Sentence, sentences
from thalweg.augment.text._words import bounds as bounds_of
from thalweg.errors import InputError

__all__ = ["Draft", "Edit", "Edited", "Protection", "protected"]

Protection = str | re.Pattern[str] | Iterable[Any]


class Edit(NamedTuple):
    """One change.

    Attributes:
        start, end: what it replaces, in the string as it was given; the same for what is put in.
        before, after: what stood there, and what stands there now.
        step: its place in the policy, counted from 0.
        name: of that step.
    """

    start: int
    end: int
    before: str
    after: str
    step: int
    name: str


@dataclass(frozen=True)
class Edited:
    """A text after augmentation, and how it came about.

    Attributes:
        original: as it was given.
        text: as it is now.
        log: the edits, from the first character to the last.
        entities: those that were given, where they are now.
        rejected: how many tries were too unlike the original.
    """

    original: str
    text: str
    log: tuple[Edit, ...] = ()
    entities: tuple[tuple[Any, ...], ...] = ()
    rejected: int = 0

    def moved(self, spans: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """Return where spans of the original are now; what follows start and end in them is kept.

        A span of which a part was replaced spans the whole replacement; one that was taken out is empty.

        >>> edit = Edit(4, 9, "quick", "easy", 0, "vectors")
        >>> Edited("The quick fox", "The easy fox", (edit,)).moved([(10, 13, "ANIMAL")])
        [(9, 12, 'ANIMAL')]
        """
        found = []
        for start, end, *more in spans:
            now_start = start + sum(_growth(e) for e in self.log if e.end <= start)
            now_end = end + sum(_growth(e) for e in self.log if e.end < end or (e.start < e.end <= end))
            for e in self.log:
                if e.start < start < e.end:  # it begins inside a replacement
                    now_start -= start - e.start
                if e.start < end < e.end:
                    now_end += _growth(e) + e.end - end
            found.append((now_start, max(now_start, now_end), *more))
        return found

    def spans(self) -> list[tuple[int, int]]:
        """Return where each edit of the log stands in the text as it is now."""
        found, moved = [], 0
        for edit in self.log:
            found.append((edit.start + moved, edit.start + moved + len(edit.after)))
            moved += _growth(edit)
        return found


def _growth(edit: Edit) -> int:
    return len(edit.after) - (edit.end - edit.start)


class Draft:
    """A text while the steps of a policy go over it.

    Attributes:
        original: as it was given.
        bounds: where each of its words starts and ends, one after the other.
        count: how many words it has.
        touched: which words a step has edited, or something protects.
        edits: so far.
    """

    __slots__ = (
        "_capitals", "_closed", "_edited", "_filled", "_sentences", "_words",
        "bounds", "count", "edits", "original", "touched",
    )  # fmt: skip

    def __init__(
        self, original: str, closed: Sequence[tuple[int, int]] = (), bounds: list[int] | None = None
    ) -> None:
        self.original = original
        self.bounds = bounds_of(original) if bounds is None else bounds
        self.count = len(self.bounds) // 2
        self.edits: list[Edit] = []
        self.touched: set[int] = set()
        self._closed = closed
        self._edited: dict[int, tuple[int, int]] = {}
        self._filled: set[int] = set()
        self._words: list[str] | None = None
        self._capitals: bool | None = None
        self._sentences: list[Sentence] | None = None
        if closed:
            self.touched = {
                i for i, (a, b) in enumerate(self.spans) if any(start < b and a < end for start, end in closed)
            }

    @property
    def words(self) -> list[str]:
        """Its words as they were."""
        if self._words is None:
            text, bounds = self.original, self.bounds
            self._words = [text[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)]
        return self._words

    def word(self, i: int) -> str:
        """Return one of them."""
        return self.original[self.bounds[2 * i] : self.bounds[2 * i + 1]]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where its words are."""
        return list(zip(self.bounds[::2], self.bounds[1::2], strict=True))

    @property
    def in_capitals(self) -> bool:
        """Whether most of its words begin with one."""
        if self._capitals is None:
            self._capitals = sum(word[0].isupper() for word in self.words) * 2 > len(self.words)
        return self._capitals

    @property
    def sentences(self) -> list[Sentence]:
        """Its sentences as they were."""
        if self._sentences is None:
            self._sentences = sentences(self.original, self.bounds[::2])
        return self._sentences

    def free(self) -> Sequence[int]:
        """Return which words no step has touched, and nothing protects."""
        numbers = range(self.count)
        return [i for i in numbers if i not in self.touched] if self.touched else numbers

    def free_sentences(self) -> list[int]:
        """Return which sentences no step has touched, and nothing in them is protected."""
        return [
            i
            for i, (start, end, first, last) in enumerate(self.sentences)
            if self.touched.isdisjoint(range(first, last))
            and self._filled.isdisjoint(range(first, last))
            and not any(a < end and start < b for a, b in self._closed)
        ]

    def gaps(self) -> list[int]:
        """Return before which words something can be put in: those with no more than spaces before them."""
        text, closed = self.original, self._closed
        return [
            i
            for i, ((_, a), (b, _)) in enumerate(pairwise(self.spans), 1)
            if i not in self._filled
            and text[a:b].strip(" \t\u00a0") == ""
            and not (closed and any(start < b < end for start, end in closed))
        ]

    def replace(self, i: int, new: str, step: int, name: str) -> None:
        """Put another word in the place of word i."""
        self.touched.add(i)
        self._edited[i] = start, end = self.bounds[2 * i], self.bounds[2 * i + 1]
        self.edits.append(Edit(start, end, self.original[start:end], new, step, name))

    def rewrite(self, sentence: Sentence, new: str, step: int, name: str) -> None:
        """Put something else in the place of a sentence, of which no other step touches anything then."""
        start, end, first, last = sentence
        self.touched.update(range(first, last))
        self._filled.update(range(first, last))
        self._edited.update(dict.fromkeys(range(first, last), (start, end)))
        self.edits.append(Edit(start, end, self.original[start:end], new, step, name))

    def insert(self, i: int, new: str, step: int, name: str) -> None:
        """Put a word before word i, which no other step may do then."""
        self._filled.add(i)
        before, start = self.bounds[2 * i - 1 : 2 * i + 1]
        self.edits.append(Edit(start, start, "", new + " " * (before < start), step, name))

    def delete(self, i: int, step: int, name: str) -> None:
        """Take out word i with the spaces that follow it, or else those before it."""
        self.touched.add(i)
        text, (start, end) = self.original, self.bounds[2 * i : 2 * i + 2]
        last = start if i in self._filled else self._edited.get(i - 1, (0, 0))[1]
        following = self._edited.get(i + 1, (len(text), 0))[0]
        if start == 0 or text[start - 1].isspace():
            while end < following and text[end] in " \t\u00a0":
                end += 1
        if end == self.bounds[2 * i + 1]:
            while start > last and text[start - 1] in " \t\u00a0":
                start -= 1
        self._edited[i] = start, end
        self.edits.append(Edit(start, end, text[start:end], "", step, name))

    def done(self, more: Sequence[Edit] = ()) -> tuple[str, tuple[Edit, ...]]:
        """Return the text with all edits, and the edits in their order."""
        if not (self.edits or more):
            return self.original, ()
        edits = sorted([*self.edits, *more], key=itemgetter(0, 1))
        pieces, last = [], 0
        for edit in edits:
            pieces += [self.original[last : edit.start], edit.after]
            last = edit.end
        pieces.append(self.original[last:])
        return "".join(pieces), tuple(edits)


def protected(text: str, what: Protection | None, where: str = "the text") -> list[tuple[int, int]]:
    """Return the spans of a text that are not to be touched.

    Args:
        text: the text.
        what: words or phrases, expressions, and spans (start, end), or one of them.
        where: what the text is called in messages.

    Raises:
        InputError: a span that is not in the text.

    >>> protected("New York is new", ["New York", (12, 15)])
    [(0, 8), (12, 15)]
    """
    if what is None:
        return []
    found: list[tuple[int, int]] = []
    for item in [what] if isinstance(what, str | re.Pattern) else what:
        if isinstance(item, str):
            item = re.compile(rf"(?<!\w){re.escape(item)}(?!\w)")
        if isinstance(item, re.Pattern):
            found += [m.span() for m in item.finditer(text) if m.group()]
            continue
        try:
            start, end = int(item[0]), int(item[1])
        except (TypeError, ValueError, IndexError, KeyError):
            raise InputError(
                f"{item!r} is nothing that {where} can be protected by: words, an expression, or (start, end)"
            ) from None
        if not 0 <= start <= end <= len(text):
            raise InputError(f"the span ({start}, {end}) lies outside {where}, which has {len(text)} characters")
        found.append((start, end))
    return found
