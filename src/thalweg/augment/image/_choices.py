"""The words of policies that draw their steps by sample: what is to choose from, and how strong it can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from thalweg.augment._affine import affine
from thalweg.augment._brightness import brightness
from thalweg.augment._contrast import contrast
from thalweg.augment._equalise import equalise
from thalweg.augment._posterise import posterise
from thalweg.augment._saturation import saturation
from thalweg.augment._sharpen import sharpen
from thalweg.augment._solarise import solarise
from thalweg.augment._technique import AugmentTechnique

__all__ = ["COUNT", "Chosen", "Mixture", "mixture", "part_of_affine", "picked"]


class Chosen(NamedTuple):
    """A step that was chosen: its technique, hyperparameters, and what stands for its random numbers."""

    technique: AugmentTechnique
    values: dict[str, Any]
    drawn: list[float]


class Mixture(NamedTuple):
    """Pictures to be added up: the share of the picture as it is, and those after some steps, with theirs."""

    share: float
    chains: list[tuple[float, list[Chosen]]]


def part_of_affine(place: int, **limits: float) -> Callable[[float], Chosen]:
    """Return what makes a map of a strength from -1 to 1, by one of the random numbers of `affine`."""
    values = {"shift": 0.0, "scale": 0.0, "rotate": 0.0, "shear": 0.0, "border": "constant", **limits}

    def of(strength: float) -> Chosen:
        return Chosen(affine, values, [(1 + strength) / 2 if i == place else 0.5 for i in range(7)])

    return of


_SHEAR = math.degrees(math.atan(0.3))
_OPERATIONS: tuple[Callable[[float], Chosen | None], ...] = (
    lambda _: None,
    lambda _: Chosen(equalise, {}, []),
    lambda s: Chosen(solarise, {"threshold": 1 - abs(s)}, []),
    lambda s: Chosen(posterise, {"bits": 8 - round(4 * abs(s))}, []),
    lambda s: Chosen(saturation, {"limit": 0.9}, [(1 + s) / 2]),
    lambda s: Chosen(contrast, {"limit": 0.9}, [(1 + s) / 2]),
    lambda s: Chosen(brightness, {"limit": 0.45}, [(1 + s) / 2]),
    lambda s: Chosen(sharpen, {"limit": 0.9}, [abs(s)]),
    part_of_affine(0, shear=_SHEAR),
    part_of_affine(1, shear=_SHEAR),
    part_of_affine(4, rotate=30.0),
    part_of_affine(5, shift=0.3),
    part_of_affine(6, shift=0.3),
)
COUNT = len(_OPERATIONS)
"""How many there are to choose from."""


def picked(us: Sequence[float], strength: float | None = None) -> list[Chosen]:
    """Return a step for each number: one of all, each as likely, and its direction.

    Args:
        us: numbers from 0 up to 1.
        strength: from 0 to 1, of all; where none is given, each has one of its own.
    """
    found = []
    for u in us:
        at = int(u * COUNT)
        signed = 2 * (u * COUNT - at) - 1
        one = _OPERATIONS[at](signed if strength is None else math.copysign(strength, signed))
        found += [] if one is None else [one]
    return found


def mixture(
    share: float, weights: Sequence[float], depths: Sequence[float], us: Sequence[float], most: float
) -> Mixture:
    """Return a mixture of chains of one to three steps, weighted at random, each no stronger than ``most``."""
    parts = [-math.log(1 - weight) for weight in weights]
    chains = []
    for i, (part, depth) in enumerate(zip(parts, depths, strict=True)):
        mine = us[3 * i : 3 * i + 1 + int(3 * depth)]
        steps = [step for u in mine for step in picked([_weakened(u, most)])]
        chains.append(((1 - share) * part / (sum(parts) or 1.0), steps))
    return Mixture(share + (1 - share) * (not sum(parts)), chains)


def _weakened(u: float, most: float) -> float:
    """Return the number that stands for the same operation, its strength times ``most``."""
    at = int(u * COUNT)
    return (at + 0.5 + (u * COUNT - at - 0.5) * most) / COUNT
