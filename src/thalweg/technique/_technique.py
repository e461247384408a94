"""A technique with its formula, and its ingredients."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from thalweg.errors import InputError, spelt, unknown
from thalweg.technique._limits import check_value
from thalweg.technique._search import Distribution
from thalweg.technique._told import Lazily, about, documentation, signature

__all__ = ["Chain", "Ingredient", "Technique", "by_name"]


@dataclass(frozen=True)
class Technique:
    """One published way of doing one thing. Call it to fill in hyperparameters.

    Where an ingredient is wanted, a technique that is not called stands for itself with nothing filled in:
    ``Recipe(optim.sgd)``, ``schedule.warmup >> schedule.cosine``, ``init.he_normal.apply(model, key=0)``.

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

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        _tell(cls)

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

    def placed(self) -> tuple[str, ...]:
        """Return the hyperparameters that may be given by their place: all."""
        return tuple(self.hyperparameters)

    def arguments(self) -> dict[str, Any]:
        """Return what a call takes, with defaults: the hyperparameters."""
        return self.hyperparameters

    def about(self, name: str, default: Any) -> str:
        """Return what an argument of a call takes, its default, and where it is searched."""
        return about(self, name, default)

    def result(self) -> str:
        """Return in a sentence what a call makes, and how that is used by hand."""
        role = f"The ingredient, for ``Recipe({self.kind}={self.name}(…))``"
        return f"{role}; by hand: {self.by_hand()}." if self.by_hand() else f"{role}."

    def by_hand(self) -> str:
        """Return how an ingredient is used in a loop of one's own; ``""`` if that is not by its methods."""
        made: Any = type(self())
        own = vars(made).get("__call__")
        called = [f"``{self.name}(…)({', '.join(list(inspect.signature(own).parameters)[1:])})``"] if own else []
        return ", ".join([*called, *(f"``{self.name}(…).{name}``" for name in _methods(made))])

    def __call__(self, *positional: Any, **values: Any) -> Any:
        """Return the ingredient with these hyperparameters; a range is searched, what is not named is not fixed."""
        return self.ingredient(self, by_name(self, positional, values))

    def __rshift__(self, other: Any) -> Any:
        made = self()
        return made >> other if isinstance(made, Chain) else NotImplemented

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a method of the ingredient with nothing filled in."""
            if not name.startswith("_") and name in _methods(type(made := self())):
                return getattr(made, name)
            raise AttributeError(f"{self!r} has no {name}", name=name, obj=self)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def _tell(technique: type[Technique]) -> None:
    """Let instances of a class have signature and documentation of their own, computed when one asks."""
    technique.__doc__ = Lazily(documentation, technique.__doc__)  # type: ignore[assignment]
    technique.__signature__ = Lazily(signature)  # type: ignore[attr-defined]


_tell(Technique)


def _spell(made: type) -> None:
    """Let the methods of a class of ingredients say which argument does not exist or is missing."""
    for name, method in vars(made).copy().items():
        public = name == "__call__" or not name.startswith("_")
        if public and inspect.isfunction(method) and not hasattr(method, "__wrapped__"):
            setattr(made, name, spelt(method, owner=made.__name__))


@cache
def _methods(made: type) -> tuple[str, ...]:
    """Return the methods of a class of ingredients, beside those that all have."""
    names = dict.fromkeys(name for base in made.__mro__ if base not in (Ingredient, Chain) for name in vars(base))
    return tuple(
        name
        for name in names
        if not (name.startswith("_") or hasattr(Ingredient, name) or hasattr(Chain, name))
        and callable(getattr(made, name))
    )


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

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        _spell(cls)

    def __new__(cls, technique: Technique | None = None, values: Mapping[str, Any] | None = None) -> Ingredient:  # noqa: ARG004
        """Return an ingredient of its technique's class, whoever makes it: a recipe that is read has the same."""
        return object.__new__(cls if technique is None else technique.ingredient)

    def __init__(self, technique: Technique, values: Mapping[str, Any]) -> None:
        known = technique.hyperparameters
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        for name, value in values.items():
            if name not in known:
                raise unknown(f"hyperparameter of {technique.name}", name, known)
            check_value(technique, name, value, known[name])
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
    """Ingredients of one kind, one after the other; ``>>`` appends. An empty one does nothing.

    Raises:
        InputError: parts that are no ingredients, or of another kind.
    """

    parts: tuple[Ingredient, ...] = ()

    kind: ClassVar[str] = ""
    what: ClassVar[str] = "an ingredient"
    example: ClassVar[str] = ""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        _spell(cls)

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple | list) or not all(isinstance(part, Ingredient) for part in self.parts):
            raise InputError(
                f"a {type(self).__name__} has a tuple of ingredients, not {brief(self.parts)}; "
                f"what {self.example} gives is one already, and >> joins several"
            )
        object.__setattr__(self, "parts", tuple(self.parts))
        for part in self.parts:
            if part.technique.kind != self.kind:
                raise InputError(f"{part.name} is not {self.what}, such as {self.example}")

    @property
    def name(self) -> str:
        """The parts' names, joined by ``>>``."""
        return " >> ".join(part.name for part in self.parts) or "none"

    def __rshift__(self, other: Any) -> Self:
        following = other() if isinstance(other, Technique) else other
        if not isinstance(following, type(self)):
            raise InputError(f"{self.what} is appended to {self.name}, such as {self.example}, not {brief(other)}")
        return type(self)(self.parts + following.parts)

    def __repr__(self) -> str:
        return " >> ".join(map(repr, self.parts)) or "none"


def brief(value: Any) -> str:
    """Return a value for a sentence: the start of how it is written, in one line."""
    return " ".join(repr(value).split())[:60]


def by_name(technique: Technique, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters by name, of which the first were given by their place.

    Raises:
        InputError: more than there are, or one of them twice.
    """
    known = technique.placed()
    if any(map(_is_used_on, positional)):
        raise InputError(
            f"{technique.name} takes hyperparameters and no {type(positional[0]).__name__}; "
            f"by hand: {technique.by_hand()}"
        )
    if len(positional) > len(known):
        if not known and (names := list(technique.hyperparameters)):
            raise InputError(
                f"{technique.name} takes its hyperparameters by name, as in {technique.name}({names[0]}=…)"
            )
        raise InputError(f"{technique.name} takes at most {len(known)} hyperparameters, not {len(positional)}")
    placed = dict(zip(known, positional, strict=False))
    if twice := placed.keys() & named.keys():
        raise InputError(f"{technique.name} got {min(twice)} twice")
    return {**placed, **named}


def _is_used_on(value: Any) -> bool:
    """Return whether a value is what techniques are used on, such as a tensor or a model, and no hyperparameter."""
    if isinstance(value, str | tuple | list | Distribution | None):
        return False
    return bool(getattr(value, "shape", ())) or not hasattr(type(value), "__float__")
