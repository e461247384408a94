"""The words of learned policies: a table of pairs of operations, and what each is here at each of ten magnitudes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from thalweg.augment._auto_contrast import auto_contrast
from thalweg.augment._brightness import brightness
from thalweg.augment._contrast import contrast
from thalweg.augment._equalise import equalise
from thalweg.augment._invert import invert
from thalweg.augment._posterise import posterise
from thalweg.augment._saturation import saturation
from thalweg.augment._sharpen import sharpen
from thalweg.augment._solarise import solarise
from thalweg.augment.image._choices import Chosen, part_of_affine

__all__ = ["Pair", "learned"]

Pair = tuple[tuple[str, float, int], tuple[str, float, int]]
"""Two operations, one after the other: of each its name, how likely it is, and its magnitude, 0 to 9."""

_SHIFT = 150 / 331
"""Of the picture's side: 150 pixels of the 331 that pictures had where ImageNet's policy was learned."""


def _sheared(place: int) -> Callable[[float], Chosen]:
    def of(share: float) -> Chosen:
        degrees = math.degrees(math.atan(0.3 * abs(share)))
        return part_of_affine(place, shear=degrees)(math.copysign(1.0, share))

    return of


_OPERATIONS: dict[str, Callable[[float], Chosen]] = {
    "shear_x": _sheared(0),
    "shear_y": _sheared(1),
    "translate_x": part_of_affine(5, shift=_SHIFT),
    "translate_y": part_of_affine(6, shift=_SHIFT),
    "rotate": part_of_affine(4, rotate=30.0),
    "auto_contrast": lambda _: Chosen(auto_contrast, {}, []),
    "equalise": lambda _: Chosen(equalise, {}, []),
    "invert": lambda _: Chosen(invert, {}, []),
    "solarise": lambda share: Chosen(solarise, {"threshold": (1 - share) * 256 / 255}, []),
    "posterise": lambda share: Chosen(posterise, {"bits": 8 - round(4 * share)}, []),
    "contrast": lambda share: Chosen(contrast, {"limit": 0.9}, [share]),
    "saturation": lambda share: Chosen(saturation, {"limit": 0.9}, [share]),
    "brightness": lambda share: Chosen(brightness, {"limit": 0.45}, [share]),
    "sharpen": lambda share: Chosen(sharpen, {"limit": 0.9}, [2 * share - 1]),
}
"""From a share of the range in table 6, 0 to 1, or of a map -1 to 1, to a step.

The factors of contrast, colour and sharpness go from 0.1 to 1.9; those of brightness move mid-grey as far as adding
does here.
"""

_EITHER_WAY = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


def learned(table: Sequence[Pair], which: float, happens: Sequence[float], ways: Sequence[float]) -> list[Chosen]:
    """Return the steps of one pair of a table, each pair as likely.

    Args:
        table: of pairs.
        which: a number from 0 up to 1, which chooses the pair.
        happens: for each of its operations a number, below whose chance it must lie for the operation to happen.
        ways: for each a number; below a half, maps go the other way.
    """
    found = []
    for (name, chance, magnitude), u, way in zip(table[int(which * len(table))], happens, ways, strict=True):
        share = magnitude / 9
        if u < chance:
            found.append(_OPERATIONS[name](-share if name in _EITHER_WAY and way < 0.5 else share))
    return found
