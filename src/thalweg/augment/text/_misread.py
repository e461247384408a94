"""Words as optical character recognition misreads them: what looks alike, also of two letters and more."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, chain, repeat
from math import inf
from operator import add
from typing import NamedTuple

from thalweg.augment.text._words import letters

__all__ = ["misread"]

_COUNTED = """
A a 11 4 1, B 8 5, C c 28 G 16, D I) 53 l) 40 O 26, E F 17 B 6, F P 37, G C 39 O 25 6 4
H II 55 tt 32 It 31 ll 29 Il 24 tl 24 tI 18 lt 17, I l 40 i 37 1 23 L 8 T 8 / 7, L l 21 I 12 t 11
M H 26 N 25 m 23, N H 17 M 14, O o 32 0 25 6 19 D 11 S 11 Q 10 C 10 G 9, P p 27 F 23 I' 11, Q O 1
R K 16 H 11, S s 28 $ 7 5 4 8 3, T I 8 7 1, U u 29, W w 36 VV 1, Z 2 1, a s 4 e 4 n 3 o 2 u 2 m 1
b l) 32 h 28 t) 17 1) 9 I) 5 6 1, c e 38 (: 16 o 7 (' 4 C 3 t 2 <: 2 (; 1
d (l 11 (t 4 cl 4 <l 3 a 3 (1 2 xl 2 tl 1 e 1 ti 1, e c 20 o 3 a 3 d 2 (; 2 6 2 s 1
f t 31 l 26 l' 9 i 6 F 4 t' 4 I 4 r 3, g q 8 s 5 9 2 E 2 6 2, h b 12 ll 8 tl 3 lf 3 li 2 il 2 lt 2 lr 1
i l 22 I 4 t 3 f 2 / 2 j 1 1 1, j J 56 i 24, k l< 2, l i 10 t 7 I 5 f 5 L 3 / 3 1 3 ! 2 J 2 r 1
m ln 31 nl 21 rn 17 in 16 nf 7 nt 7 n 5 tn 5 ni 5 nr 4 na 3 In 3 ra 3 a 2 ul 2 re 1 ru 1
n u 19 a 4 ll 4 h 3 m 2 ri 2 rt 1 o 1 rl 1 tl 1, o e 7 a 4 c 4 u 2 b 2 O 2 n 2 0 1 () 1
p l) 41 t) 31 i) 14 1) 10 I) 10 P 4 o 3 l> 3 ll 2 n 2 l} 2, q 9 1, r x 4 t 4 l 3 f 2 l' 2 z 1 m 1 i 1 i' 1 n 1
s e 5 a 4 S 3 8 2 n 1 5 1, t l 21 l; 8 f 4 r 3 L 3 i 2 c 1 i; 1 I 1, u n 35 tt 6 a 6 o 3 tl 3 ll 2 ti 2 U 2
v w 5, w W 7 u 7 vv 1, x z 25, y v 7, z s 29 2 1, IC K 104, VV W 1, ab M) 16, ai M 33, al M 54
an ml 11, ar m' 18 m 8, bu lm 61, cl d 82, el d 12, en (m 3, he lm 7, id kl 25, ii n 37 u 9
ij n 1 g 1, im hn 18, in m 11 hl 4, ki ld 73, la ht 21, lc k 223, le h; 8, li h 25, ll U 43 n 14
lm hn 256, lo h) 30, lu ht 35, mm nun 24, nd ml 9, ni m 26, nn rm 68, nt m 9, on (m 4 ml 2
pu lm 49, ra m 5, re m 3, ri n 20 d 9, rn m 274, ro m 10, rr n' 32 n 21, ti d 3 u 2, tl d 60
tn m 408, un tm 34 ml 17 lm 10, ur m' 22 m: 12, va wt 42 wf 24, ve w; 8, vv w 1
"""
"""What is read for one letter or two, and how often, of 1000 times that those stand in words that are misread once.

Counted in Hertel's collection of errors in the ACL anthology (Bast, Hertel & Mohamed 2021; github.com/hertelm/
ocr-postcorrection): 74 165 pairs of a word and what was read for it that differ in one place, of which we took what
20 different words or more have. Beside these stand pairs that it has seldom and that Tesseract's list of ambiguities
(github.com/tesseract-ocr/langdata, eng.unicharambigs) or digits like letters give, at their rate there, or at 1.
"""


class _Readings(NamedTuple):
    """What is read for some letters.

    Attributes:
        total: the sum of the rates.
        sums: up to each; the last is infinite, so that no rounding leads past it.
        read: instead of the letters.
    """

    total: int
    sums: list[float]
    read: tuple[str, ...]


def _readings() -> dict[str, _Readings]:
    found = {}
    for row in _COUNTED.replace("\n", ", ").strip(", ").split(", "):
        source, *pairs = row.split(" ")
        found[source] = _Readings(*_summed(map(int, pairs[1::2])), tuple(pairs[::2]))
    return found


def _summed(rates: Iterable[int]) -> tuple[int, list[float]]:
    """Return the sum of some rates, and those up to each but the last."""
    *sums, total = accumulate(rates)
    return total, [*sums, inf]


READINGS = _readings()
"""By what stands there."""

_rate = {source: known.total for source, known in READINGS.items()}.get
_NONE = repeat(0)


def misread(word: str, u: float, v: float) -> str | None:
    """Return a word of which one letter, or two neighbours, are read as something else, as often as that happens.

    None if nothing in it is known to be misread.

    >>> misread("modern", 0.0, 0.0), misread("modern", 0.99, 0.0), misread("日", 0.0, 0.0)
    ('lnodern', 'modem', None)
    """
    parts, pairs, sums, total = _rated(word) if len(word) <= _LONG else _rated.__wrapped__(word)
    if not total:
        return None
    at, count = bisect_right(sums, u * total), len(parts)
    source, at = (parts[at], at) if at < count else (pairs[at - count], at - count)
    start = at if count == len(word) else sum(map(len, parts[:at]))
    total, sums, read = READINGS[source]
    return word[:start] + read[bisect_right(sums, v * total)] + word[start + len(source) :]


_LONG = 32
"""Letters of the longest words that are remembered."""


@lru_cache(1 << 14)
def _rated(word: str) -> tuple[Sequence[str], list[str], list[float], int]:
    """Return a word's letters, its pairs of neighbours, the sums of the rates up to each, and their total.

    The sums go as far as they are below the total, so that no rounding leads to letters that are never misread.
    """
    parts: Sequence[str] = word if word.isascii() else letters(word)
    pairs = list(map(add, parts, parts[1:]))
    sums: list[float] = list(accumulate(map(_rate, chain(parts, pairs), _NONE)))
    total = int(sums[-1])
    del sums[bisect_left(sums, total) :]
    return parts, pairs, sums, total
