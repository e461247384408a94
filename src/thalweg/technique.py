"""What a technique is: a name, a formula, its hyperparameters, where to search them, and its source.

An ingredient is a technique with hyperparameters filled in, or left as a range to search. Nothing here
knows what any formula computes.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.errors import InputError, unknown

__all__ = ["Choice", "Distribution", "Ingredient", "LogUniform", "Technique", "Uniform"]


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
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise InputError("a choice needs at least one value")

    def at(self, u: float) -> Any:
        """Return the value at a share ``u`` in [0, 1] of the list."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]


Distribution = Uniform | LogUniform | Choice


@dataclass(frozen=True)
class Technique:
    """One published way of doing one thing. Call it to fill in hyperparameters.

    Attributes:
        kind: ``"optimizer"``, ``"schedule"``.
        formula: the function that is the technique; its keyword-only arguments are the hyperparameters.
        source: where it was published.
        space: where each hyperparameter is searched by default; the others keep their defaults.
        generalises: names of techniques that it becomes at some setting of its hyperparameters.
        given: arguments of the formula that are not hyperparameters, such as the step's number.
    """

    kind: str
    formula: Callable[..., Any]
    source: str
    space: Mapping[str, Distribution] = field(default_factory=dict, compare=False)
    generalises: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The formula's name."""
        return self.formula.__name__

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", inspect.getdoc(self.formula))

    @property
    def summary(self) -> str:
        """The first line of its documentation."""
        return (inspect.getdoc(self.formula) or "").partition("\n")[0]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Hyperparameters with their defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.formula).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name not in self.given
        }

    @property
    def equations(self) -> list[str]:
        """The formula's lines, as they stand in the source, without the signature and docstring."""
        return [ast.unparse(line) for line in self.statements()]

    def statements(self) -> list[ast.stmt]:
        """Return the formula's statements as syntax trees, its docstring left out."""
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(self.formula)))
        function = tree.body[0]
        assert isinstance(function, ast.FunctionDef)
        return function.body[1:] if ast.get_docstring(function) else function.body

    def __call__(self, **values: Any) -> Ingredient:
        """Return the ingredient with these hyperparameters; a range is searched, what is not named is not fixed."""
        return Ingredient(self, values)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


@dataclass(frozen=True, init=False)
class Ingredient:
    """A technique with hyperparameters filled in, or left as ranges; what is not named is not fixed.

    >>> from thalweg import optim
    >>> optim.adam(lr=0.003)
    adam(lr=0.003)
    >>> optim.adam(lr=0.003) == optim.adam(lr=0.003)
    True
    """

    technique: Technique
    values: tuple[tuple[str, Any], ...]

    def __init__(self, technique: Technique, values: Mapping[str, Any]) -> None:
        known = technique.hyperparameters
        for name, value in values.items():
            if name not in known:
                raise unknown(f"hyperparameter of {technique.name}", name, known)
            _check_value(technique, name, value, known[name])
        object.__setattr__(self, "technique", technique)
        object.__setattr__(self, "values", tuple((n, values[n]) for n in known if values.get(n) is not None))

    @property
    def name(self) -> str:
        """The technique's name."""
        return self.technique.name

    def space(self) -> dict[str, Distribution]:
        """Return what is searched: ranges given here, and the technique's own for what is not named."""
        given = dict(self.values)
        ranges = {**self.technique.space, **given}
        return {name: value for name, value in ranges.items() if isinstance(value, Distribution)}

    def resolved(self, drawn: Mapping[str, Any] | None = None) -> Ingredient:
        """Return the ingredient with every hyperparameter a value: drawn, else given, else the default."""
        values = dict(self.technique.hyperparameters)
        values |= {name: value for name, value in self.values if not isinstance(value, Distribution)}
        return Ingredient(self.technique, {**values, **(drawn or {})})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.values)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.values)
        return f"{self.name}({inside})" if inside else self.name


def _check_value(technique: Technique, name: str, value: Any, default: Any) -> None:
    """Refuse what a hyperparameter cannot be. Numbers only, so far: every default is a number or None."""
    where = f"{name} of {technique.name}"
    inside = {
        Uniform: lambda d: [d.low, d.high],
        LogUniform: lambda d: [d.low, d.high],
        Choice: lambda d: list(d.values),
    }
    for item in inside[type(value)](value) if isinstance(value, Distribution) else [value]:
        if item is None and default is None:
            continue
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise InputError(f"{where} takes a number, not {item!r}")
        if isinstance(default, int) and not isinstance(item, int):
            raise InputError(f"{where} takes a whole number, not {item!r}")
        if not math.isfinite(item) or item < 0:
            raise InputError(f"{where} takes a number from 0 up, not {item!r}")
        if name.startswith(("beta", "momentum", "rho")) and item >= 1:
            raise InputError(f"{where} takes a number from 0 up to, but not, 1, not {item!r}")
