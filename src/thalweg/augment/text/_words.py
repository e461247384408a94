"""Words of a text, found without changing it: what lies between them is kept as it is."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np

__all__ = ["Word", "bounds", "bounds_of_each", "carried", "letters", "pattern", "starts_sentence", "words"]

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana and Han, which put no spaces between words: a letter is taken as a word."""


class Word(NamedTuple):
    """A word that is to be edited, and what stands before it.

    Attributes:
        text: the word as it stands.
        before: the word before it, or an empty string.
        tag: its part of speech as spaCy calls it, ``VERB``, or an empty string where nobody has looked.
        named: whether it has a capital that its sentence does not give it.
    """

    text: str
    before: str = ""
    tag: str = ""
    named: bool = False


@lru_cache(1)
def _marks() -> str:
    """Return what combines with the letter before it, as the inside of a character class."""
    ends: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, min(0xE01F0, sys.maxunicode))):
        if unicodedata.category(chr(code))[0] == "M":
            if ends and ends[-1][1] == code - 1:
                ends[-1][1] = code
            else:
                ends.append([code, code])
    return "".join(f"{chr(a)}-{chr(b)}" for a, b in ends)


@lru_cache(1)
def pattern() -> re.Pattern[str]:
    """Return the expression of words, and of what is none but has letters: all but mail addresses; see `_matched`."""
    marks = _marks()
    inside = rf"[^\W{_UNSPACED}]"
    run = rf"(?:[^\W\d_{_UNSPACED}][{marks}]*[\u200c\u200d]?)+"
    return re.compile(
        rf"(?P<web>(?:https?://|www\.)\S+)|[@#$](?:\w|[{marks}])+"
        rf"|(?P<word>{run}(?:['’‐-]{run})*)(?!{inside})"
        rf"|(?=[^\W\d_])(?P<unspaced>[{_UNSPACED}][{marks}]*)"
        rf"|(?:{inside}|[{marks}])+"
    )


def words(text: str) -> list[tuple[int, int]]:
    """Return where words are, as start and end.

    Letters with what combines with them, apostrophes and hyphens inside; numbers, version numbers, web and mail
    addresses, mentions and tags are none. Of scripts without spaces a letter is a word.

    >>> [("Don't  panic: v1.2.3 🙂")[a:b] for a, b in words("Don't  panic: v1.2.3 🙂")]
    ["Don't", 'panic']
    """
    found = bounds(text)
    return list(zip(found[::2], found[1::2], strict=True))


def bounds(text: str) -> list[int]:
    """Return where each word starts and ends, one after the other."""
    if not _is_plain(text):
        return [place for m in _matched(text) if m.lastgroup and m.lastgroup != "web" for place in m.span()]
    if _has_digits(text):
        return [place for m in _APART.finditer(text) for place in m.span()]
    return list(accumulate(map(len, _PLAIN.split(text))))[:-1]


def bounds_of_each(texts: Sequence[str]) -> list[list[int]]:
    """Return `bounds` of many texts; those that are plain and have no digits are gone through together."""
    plain = [i for i, text in enumerate(texts) if _is_plain(text) and not _has_digits(text)]
    if len(plain) < _FEW:
        return [bounds(text) for text in texts]
    chosen = [texts[i] for i in plain]
    kinds = _KINDS[np.frombuffer(f"\n{_END.join(chosen)}\n".encode("ascii"), np.uint8)]
    inside = kinds == 1
    inside[1:-1] |= (kinds[1:-1] == 2) & inside[:-2] & inside[2:]
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts = list(accumulate((len(text) + len(_END) for text in chosen), initial=0))
    ends = np.searchsorted(edges, starts).tolist()
    edges -= np.repeat(starts[:-1], np.diff(ends))
    places = edges.tolist()
    together = {i: places[a:b] for i, a, b in zip(plain, ends, ends[1:], strict=False)}
    return [together[i] if i in together else bounds(text) for i, text in enumerate(texts)]


def _is_plain(text: str) -> bool:
    """Return whether a text is ASCII without addresses, mentions and tags."""
    return text.isascii() and not any(mark in text for mark in _MARKS)


def _has_digits(text: str) -> bool:
    return any(digit in text for digit in "0123456789")


def _matched(text: str) -> Iterator[re.Match[str]]:
    """Yield what `pattern` finds outside mail addresses; one begins wherever nothing else has begun in its name.

    As a part of the expression, they would be looked for from each letter of a long word to its end.
    """
    here, found = pattern(), 0
    for mail in _MAIL.finditer(text):
        start = mail.start()
        while start > found and _OF_NAMES.match(text, start - 1):
            start -= 1
        while (m := here.search(text, found)) and (m.start() < start or (m.start() == start and m["web"])):
            yield m
            found = m.end()
            start = max(start, found)
        if start < mail.start():
            found = mail.end()
    yield from here.finditer(text, found)


_MAIL = re.compile(r"(?<=[\w.+-])@[\w-]+\.[\w.-]+")
_OF_NAMES = re.compile(r"[\w.+-]")

_MARKS = ("@", "#", "$", "_", "://", "www.")
_PLAIN = re.compile(r"([A-Za-z]++(?:['-][A-Za-z]++)*+)")
_APART = re.compile(r"(?<!\w)[A-Za-z]+(?:['-][A-Za-z]+)*(?!\w)")
"""What `pattern` finds where a text is plain, without digits or with them, in half the time."""

_KINDS = np.array([1 if chr(i).isalpha() else 2 * (chr(i) in "'-") for i in range(128)], np.uint8)
"""Of ASCII: letters are 1, what stands inside words between letters 2."""

_FEW, _END = 3, "\n"
"""From how many texts on they are gone through together, and what keeps them apart then."""


def letters(word: str) -> list[str]:
    """Return a word's letters, each with what combines with it.

    >>> letters("e\u0301a") == ["e\u0301", "a"]
    True
    """
    if word.isascii():
        return list(word)
    found: list[str] = []
    for character in word:
        if found and (unicodedata.category(character)[0] == "M" or character in "\u200c\u200d"):
            found[-1] += character
        else:
            found.append(character)
    return found


def carried(new: str, like: str) -> str:
    """Return a word in the casing of another.

    >>> carried("climbs", "JUMPS"), carried("small", "Little"), carried("London", "city")
    ('CLIMBS', 'Small', 'London')
    """
    if like.isupper() and len(like) > 1:
        return new.upper()
    if like[:1].isupper() and new[:1].islower():
        return new[:1].title() + new[1:]  # of a ligature, only its first letter
    return new


_SPACES = re.compile(r"[ \t\u00a0\u202f]*\Z")


def starts_sentence(text: str, start: int) -> bool:
    """Return whether only the text's beginning, or more than spaces after a word, lies before a place."""
    before = text[max(0, start - 8) : start].rstrip(" \t\u00a0\u202f")
    return not before or not (
        before[-1].isalnum() or before[-1] in ",;-'’" or unicodedata.category(before[-1])[0] == "M"
    )
