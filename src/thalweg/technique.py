"""What a technique is: a name, a formula, its hyperparameters, where to search them, and its source.

An ingredient is a technique with hyperparameters filled in, or left as a range to search. Nothing here
knows what any formula computes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self

from thalweg.errors import InputError, unknown

__all__ = ["Chain", "Choice", "Distribution", "Ingredient", "LogUniform", "Technique", "Uniform", "by_name"]


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
        limits: between what a hyperparameter must lie, where that is not from 0 up: ``"(0, 1]"``,
            ``"whole [1, inf)"``; or the words that it can be: ``"constant|edge"``.
    """

    kind: str
    formula: Callable[..., Any]
    source: str
    space: Mapping[str, Distribution] = field(default_factory=dict, compare=False)
    generalises: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """The formula's name."""
        return self.formula.__name__

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", inspect.getdoc(self.formula))

    def __reduce__(self) -> Any:
        """Be pickled as the name under which the formula's own file keeps it."""
        return _named, (self.formula.__module__, self.name)

    def __copy__(self) -> Technique:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Technique:
        return self

    @property
    def summary(self) -> str:
        """The first line of its documentation."""
        return (inspect.getdoc(self.formula) or "").partition("\n")[0]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Hyperparameters with their defaults."""
        return {name: default for name, default in _named_only(self.formula) if name not in self.given}

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

    @property
    def ingredient(self) -> type[Ingredient]:
        """The class of its ingredients: one of its own where they can be used by hand."""
        return Ingredient

    def __call__(self, **values: Any) -> Ingredient:
        """Return the ingredient with these hyperparameters; a range is searched, what is not named is not fixed."""
        return Ingredient(self, values)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


@cache
def _named_only(formula: Callable[..., Any]) -> tuple[tuple[str, Any], ...]:
    """Return a formula's keyword-only parameters with their defaults."""
    parameters = inspect.signature(formula).parameters.values()
    return tuple((one.name, one.default) for one in parameters if one.kind is one.KEYWORD_ONLY)


def _named(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


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

    def __new__(cls, technique: Technique | None = None, values: Mapping[str, Any] | None = None) -> Ingredient:  # noqa: ARG004
        """Return an ingredient of its technique's class, whoever makes it: a recipe that is read has the same."""
        return object.__new__(cls if technique is None else technique.ingredient)

    def __init__(self, technique: Technique, values: Mapping[str, Any]) -> None:
        known = technique.hyperparameters
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
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


@dataclass(frozen=True)
class Chain:
    """Ingredients of one kind, one after the other; ``>>`` appends. An empty one does nothing."""

    parts: tuple[Ingredient, ...] = ()

    @property
    def name(self) -> str:
        """The parts' names, joined by ``>>``."""
        return " >> ".join(part.name for part in self.parts) or "none"

    def __rshift__(self, other: Self) -> Self:
        return type(self)(self.parts + other.parts)

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.parts)) or "none"


def by_name(technique: Technique, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters by name, of which the first were given by their place.

    Raises:
        InputError: more than there are, or one of them twice.
    """
    known = list(technique.hyperparameters)
    if len(positional) > len(known):
        raise InputError(f"{technique.name} takes at most {len(known)} hyperparameters, not {len(positional)}")
    placed = dict(zip(known, positional, strict=False))
    if twice := placed.keys() & named.keys():
        raise InputError(f"{technique.name} got {min(twice)} twice")
    return {**placed, **named}


def _check_value(technique: Technique, name: str, value: Any, default: Any) -> None:
    """Refuse what a hyperparameter cannot be: defaults are numbers, words, None, or tuples of numbers."""
    where = f"{name} of {technique.name}"
    inside = {
        Uniform: lambda d: [d.low, d.high],
        LogUniform: lambda d: [d.low, d.high],
        Choice: lambda d: list(d.values),
    }
    for item in inside[type(value)](value) if isinstance(value, Distribution) else [value]:
        if isinstance(default, tuple):
            if not isinstance(item, tuple | list) or not item:
                raise InputError(f"{where} takes a list of numbers such as {list(default)}, not {item!r}")
            for number in item:
                _check_value(technique, name, number, 0.0)
            continue
        if item is None and default is None:
            continue
        if isinstance(default, str) and name not in technique.limits:  # a path, which may be of anything
            if not isinstance(item, str):
                raise InputError(f"{where} takes a text, such as the path of a file, not {item!r}")
            continue
        if isinstance(default, str):
            words = technique.limits[name].split("|")
            if item not in words:
                raise InputError(f"{where} takes {', '.join(words[:-1])} or {words[-1]}, not {item!r}")
            continue
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise InputError(f"{where} takes a number, not {item!r}")
        limits = limits_of(technique, name)
        whole = isinstance(default, int) or limits.startswith("whole ")
        limits = limits.removeprefix("whole ")
        if not _lies(item, limits):
            raise InputError(f"{where} takes {_in_words(limits, whole=whole)}, not {item!r}")
        if whole and not isinstance(item, int):
            raise InputError(f"{where} takes a whole number, not {item!r}")


def limits_of(technique: Technique, name: str) -> str:
    """Return between what a hyperparameter must lie, as an interval."""
    usual = "[0, 1)" if name.startswith(("beta", "momentum", "rho")) else "[0, inf)"
    return technique.limits.get(name, usual)


def _lies(number: float, limits: str) -> bool:
    """Return whether a number lies in an interval: a square bracket's end belongs to it, a round one's does not."""
    low, high = map(float, limits[1:-1].split(","))
    above = low <= number if limits[0] == "[" else low < number
    return above and (number <= high if limits[-1] == "]" else number < high)


def _in_words(limits: str, *, whole: bool = False) -> str:
    """Return what an interval holds.

    >>> _in_words("[0, 1)"), _in_words("(0, inf)")
    ('a number from 0 up to, but not, 1', 'a number above 0')
    >>> _in_words("(0, 1]"), _in_words("[1, inf)", whole=True)
    ('a number above 0 up to 1', 'a whole number from 1 up')
    """
    low, high = (end.strip() for end in limits[1:-1].split(","))
    start = f"a {'whole ' * whole}number {'from' if limits[0] == '[' else 'above'} {low}"
    if high == "inf":
        return start + " up" * (limits[0] == "[")
    return f"{start} up to{', but not,' * (limits[-1] == ')')} {high}"
