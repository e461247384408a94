"""Sentences of a text, as spans of it."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

__all__ = ["Sentence", "sentences"]


class Sentence(NamedTuple):
    """A sentence with a word in it.

    Attributes:
        start, end: where it is, without the spaces around it.
        first, last: its words are those from ``first`` up to, but not, ``last``.
    """

    start: int
    end: int
    first: int
    last: int


_CLOSED = "[\"'”’»)\\]}]*+"
_END = re.compile(rf"(?<![.!?…])[.!?…]++{_CLOSED}(?=\s)|[。！？]+[」』”’]*+|[؟।॥]+{_CLOSED}|[\r\n\v\f\u2028\u2029]+")
_NEXT = re.compile(r"[ \t\u00a0]*(\S?)")
_ABBREVIATIONS = """
mr mrs ms dr prof st mt jr sr vs etc cf al fig eq no vol pp ed eds e.g i.e a.m p.m u.s approx dept est inc ltd co jan
feb mar apr jun jul aug sep sept oct nov dec z.b d.h bzw usw m mme
"""
_SHORT = frozenset(_ABBREVIATIONS.split())
"""What a full stop follows without the end of a sentence."""


def sentences(text: str, starts: list[int]) -> list[Sentence]:
    r"""Return the sentences of a text that have words; where a line ends, a sentence does.

    Args:
        text: the text.
        starts: where its words start, in order.

    >>> text = 'Dr. Who came at 3.15 p.m. today. "Why?" Nobody\nknew.'
    >>> [text[s.start : s.end] for s in sentences(text, [0, 4, 8, 25, 34, 40, 47])]
    ['Dr. Who came at 3.15 p.m. today.', '"Why?"', 'Nobody', 'knew.']
    """
    found, start = [], 0
    for mark in (*_END.finditer(text), None):
        if mark is not None and _goes_on(text, mark, start):
            continue
        end = len(text) if mark is None else mark.end()
        piece = text[start:end]
        here, there = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        first, last = bisect_left(starts, here), bisect_left(starts, there)
        if first < last:
            found.append(Sentence(here, there, first, last))
        start = end
    return found


def _goes_on(text: str, mark: re.Match[str], start: int) -> bool:
    """Return whether a sentence goes on after a mark: small letters follow, or it ends an abbreviation."""
    if mark.group()[0] not in ".!?…":
        return False
    if (following := _NEXT.match(text, mark.end())) and following[1].islower():
        return True
    if mark.group() != ".":
        return False
    before = text[max(start, mark.start() - 12) : mark.start()].split()[-1:]
    word = before[0].lstrip("\"'“‘«([{") if before else ""
    if word.isdecimal():  # the number of a line of a list
        return not text[start : mark.start() - len(word)].strip()
    return word.lower() in _SHORT or (len(word) == 1 and word.isupper() and word != "I")
