"""Random numbers of augmentation: each a function of seed, epoch, sample, and place in the policy; nothing else.

A counter hash (splitmix64; Steele, Lea & Flood 2014), so that no generator has a state, and the numbers of any sample
can be had without those of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.key import Key

__all__ = ["fields", "place_key", "uniform_arrays", "uniforms"]

_GOLDEN, _FIRST, _SECOND, _ALL = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, (1 << 64) - 1
_UNIT = 2.0**-53


def place_key(seed: int, place: int) -> int:
    """Return the key of a step of a policy, counted from 0, in a run with this seed; below 2⁶³."""
    return (Key(seed) / "augment" / place).integer(63)


def uniforms(key: int, epoch: int, sample: int, count: int) -> list[float]:
    """Return so many numbers from 0 up to, but not, 1.

    >>> uniforms(7, 0, 3, 2) == uniforms(7, 0, 3, 5)[:2]
    True
    """
    z = _mixed(_mixed(key + (epoch + 1) * _GOLDEN) + (sample + 1) * _GOLDEN)
    found = []
    for _ in range(count):  # `_mixed`, written out: texts take dozens of numbers
        z = (z + _GOLDEN) & _ALL
        y = ((z ^ (z >> 30)) * _FIRST) & _ALL
        y = ((y ^ (y >> 27)) * _SECOND) & _ALL
        found.append(((y ^ (y >> 31)) >> 11) * _UNIT)
    return found


def _mixed(z: int) -> int:
    """Return splitmix64's finaliser: every bit depends on every bit of ``z``."""
    z &= _ALL
    z = ((z ^ (z >> 30)) * _FIRST) & _ALL
    z = ((z ^ (z >> 27)) * _SECOND) & _ALL
    return z ^ (z >> 31)


def uniform_arrays(keys: Any, epochs: Any, samples: Any, count: int) -> np.ndarray:
    """Return `uniforms` of many samples at once, float64, ``(…, count)``.

    Args:
        keys, epochs, samples: whole numbers whose shapes broadcast to ``(…,)``.
        count: numbers a sample.
    """
    golden = np.uint64(_GOLDEN)
    with np.errstate(over="ignore"):  # arithmetic modulo 2⁶⁴ is what is meant
        keys, epochs, samples = (np.asarray(x).astype(np.uint64) for x in (keys, epochs, samples))
        mine = _mixed_arrays(keys + (epochs + np.uint64(1)) * golden)
        mine = _mixed_arrays(mine + (samples + np.uint64(1)) * golden)
        numbers = np.arange(1, count + 1, dtype=np.uint64) * golden
        found: np.ndarray = (_mixed_arrays(mine[..., None] + numbers) >> np.uint64(11)).astype(np.float64) * _UNIT
    return found


def fields(keys: Any, epochs: Any, samples: Any, count: int) -> np.ndarray:
    """Return so many numbers between 0 and 1 for each sample, of 16 bits, float32, ``(…, count)``.

    One for every level of a picture; they come after `uniform_arrays`' of the same key.
    """
    golden = np.uint64(_GOLDEN)
    with np.errstate(over="ignore"):
        keys, epochs, samples = (np.asarray(x).astype(np.uint64) for x in (keys, epochs, samples))
        mine = _mixed_arrays(keys + (epochs + np.uint64(1)) * golden)
        mine = _mixed_arrays(mine + (samples + np.uint64(1)) * golden)
        numbers = np.arange(1 << 32, (1 << 32) + -(-count // 4), dtype=np.uint64) * golden
        bits = _mixed_arrays(mine[..., None] + numbers).astype("<u8", copy=False).view("<u2")[..., :count]
    return (bits.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-16)


def _mixed_arrays(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    found: np.ndarray = z ^ (z >> np.uint64(31))
    return found
