"""Where a hyperparameter is searched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from thalweg.errors import InputError

__all__ = ["Choice", "Distribution", "LogUniform", "Uniform"]


@dataclass(frozen=True)
class Uniform:
    """A range to search evenly, ``low`` to ``high``.

    >>> Uniform(0.0, 2.0).at(0.25)
    0.5
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise InputError(f"a range needs low < high, both finite, not {self.low} and {self.high}")

    def at(self, u: float) -> float:
        """Return the value below which a share ``u`` in [0, 1] of the range lies."""
        return self.low + u * (self.high - self.low)


@dataclass(frozen=True)
class LogUniform:
    """A range to search evenly in the logarithm, ``low`` to ``high``, both above 0.

    >>> round(LogUniform(1e-4, 1e-2).at(0.5), 6)
    0.001
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise InputError(f"a logarithmic range needs 0 < low < high, not {self.low} and {self.high}")

    def at(self, u: float) -> float:
        """Return the value below which a share ``u`` in [0, 1] of the range lies."""
        value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """A few values to search among, each as likely.

    >>> Choice((32, 64)).at(0.9)
    64
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(tuple(v) if isinstance(v, list) else v for v in self.values))
        if not self.values:
            raise InputError("a choice needs at least one value")

    def at(self, u: float) -> Any:
        """Return the value at a share ``u`` in [0, 1] of the list."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]


Distribution = Uniform | LogUniform | Choice
