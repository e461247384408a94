"""Words written otherwise: slips of the finger and of the pen. Letters stay with what combines with them."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from thalweg.augment.text._picks import pick
from thalweg.augment.text._words import letters

__all__ = ["cased", "misspelt", "mistyped", "strayed"]

_ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))
"""The rows of an English keyboard and how far each is moved to the right, in keys."""


def _neighbours() -> dict[str, str]:
    """Return the letters that touch each letter's key."""
    places = {letter: (x + shift, y) for y, (row, shift) in enumerate(_ROWS) for x, letter in enumerate(row)}
    return {
        letter: "".join(
            other for other, (a, b) in places.items() if other != letter and abs(b - y) <= 1 and abs(a - x) <= 1.05
        )
        for letter, (x, y) in places.items()
    }


_SMALL = _neighbours()
NEIGHBOURS = _SMALL | {letter.upper(): others.upper() for letter, others in _SMALL.items()}


def mistyped(word: str, u: float, v: float) -> str | None:
    """Return a word of which one letter is a neighbour on the keyboard; None if no letter is on it.

    >>> mistyped("Quick", 0.0, 0.0)
    'Wuick'
    """
    i = int(u * len(word))
    if word[i] not in NEIGHBOURS:
        i = pick([i for i, letter in enumerate(word) if letter in NEIGHBOURS], u) or 0
    near = NEIGHBOURS.get(word[i])
    return word[:i] + near[int(v * len(near))] + word[i + 1 :] if near else None


def misspelt(word: str, u: float, v: float) -> str | None:
    """Return a word with two neighbouring letters exchanged, or one left out, or one doubled; None below 3 letters.

    The first letter stays.

    >>> misspelt("quick", 0.0, 0.0), misspelt("quick", 0.5, 0.0), misspelt("quick", 0.9, 0.0)
    ('qiuck', 'qick', 'quuick')
    """
    if not word.isascii():
        return _misspelt_of(letters(word), u, v)
    count = len(word)
    if count < 3:
        return None
    if 3 * u < 1:
        i = 1 + int(v * (count - 2))
        if word[i] == word[i + 1]:
            i = _apart(word, v)
        return f"{word[:i]}{word[i + 1]}{word[i]}{word[i + 2 :]}" if i else None
    i = 1 + int(v * (count - 1))
    return word[:i] + word[i + 1 :] if 3 * u < 2 else word[: i + 1] + word[i:]


def _misspelt_of(parts: list[str], u: float, v: float) -> str | None:
    """Return the same of letters with what combines with them."""
    count = len(parts)
    if count < 3:
        return None
    if 3 * u < 1:
        i = 1 + int(v * (count - 2))
        i = _apart(parts, v) if parts[i] == parts[i + 1] else i
        return "".join([*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]]) if i else None
    i = 1 + int(v * (count - 1))
    return "".join(parts[:i] + parts[i + 1 :] if 3 * u < 2 else parts[: i + 1] + parts[i:])


def _apart(parts: Sequence[str], v: float) -> int:
    """Return a place, not the first, of a letter that differs from the next; 0 if there is none."""
    return pick([i for i in range(1, len(parts) - 1) if parts[i] != parts[i + 1]], v) or 0


def strayed(word: str, u: float, v: float, w: float) -> str | None:
    """Return a word of which one letter became another of the alphabet, or with one put in before a letter.

    In the casing of the letter that stands there; None if none of its letters is from a to z.

    >>> strayed("Quick", 0.0, 0.0, 0.0), strayed("Quick", 0.9, 0.0, 0.0), strayed("quick", 0.9, 0.99, 0.99)
    ('Auick', 'AQuick', 'quiczk')
    """
    parts = letters(word)
    i = pick([i for i, part in enumerate(parts) if part.isascii() and part.isalpha()], v)
    if i is None:
        return None
    others = [letter for letter in ascii_lowercase if 2 * u >= 1 or letter != parts[i].lower()]
    new = others[int(w * len(others))]
    parts[i] = (new.upper() if parts[i].isupper() else new) + (parts[i] if 2 * u >= 1 else "")
    return "".join(parts)


def cased(word: str, u: float) -> str | None:
    """Return a word in capitals, in small letters, or with a capital first, whichever it is not.

    >>> cased("quick", 0.0), cased("quick", 0.9), cased("كلمة", 0.5)
    ('QUICK', 'Quick', None)
    """
    forms = dict.fromkeys([word.upper(), word.lower(), word[:1].title() + word[1:].lower()])
    return pick([form for form in forms if form != word and form.lower() == word.lower()], u)
