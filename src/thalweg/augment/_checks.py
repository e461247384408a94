"""What a policy and a call of it refuse before anything is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any, TypeVar

from thalweg.errors import InputError, spelt
from thalweg.technique import Choice, Ingredient, LogUniform, Uniform

__all__ = ["check_media", "check_values", "of_a_sample", "shown", "whole"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

_WHAT = {"image": "pictures", "text": "texts"}


def check_media(parts: Sequence[Ingredient]) -> None:
    """Refuse steps of which some are for pictures and some for texts."""
    first: dict[str, str] = {}
    for part in parts:
        first.setdefault(part.technique.medium, part.name)  # type: ignore[attr-defined]
    if len(first) > 1:
        said = " and ".join(f"{name} is for {_WHAT[medium]}" for medium, name in first.items())
        raise InputError(f"{said}: a policy has steps for one of them")


def check_values(part: Ingredient) -> None:
    """Refuse hyperparameters that do not go together, and a size that is not a height and a width."""
    values = {**part.technique.hyperparameters, **dict(part.values)}
    least, most = max(_all(values.get("at_least", 0))), min(_all(values.get("at_most", 0)))
    if "at_most" in values and least > most:
        raise InputError(f"at_least of {part.name} is {least}, more than at_most, {most}")
    for one in _all(values.get("size", (1, 1))):
        if len(one) != 2:
            raise InputError(f"size of {part.name} is a height and a width, such as (32, 32), not {one!r}")


def _all(value: Any) -> tuple[Any, ...]:
    """Return what a hyperparameter may be: one value, or those that are searched."""
    if isinstance(value, Choice):
        return value.values
    return (value.low, value.high) if isinstance(value, Uniform | LogUniform) else (value,)


def whole(name: str, value: Any) -> int:
    """Return a whole number, or refuse what is none."""
    try:
        return index(value)
    except TypeError:
        raise InputError(f"{name} takes a whole number, not {shown(value)}") from None


def shown(value: Any) -> str:
    """Return a value for a sentence: the start of how it is written, in one line."""
    return " ".join(repr(value).split())[:60]


def of_a_sample(method: _Method) -> _Method:
    """Let a method of policies say what the number is for that it needs."""
    why = "the example's number in the data, from which, with epoch and seed, all that happens to it follows"
    return spelt(method, needs={"sample": f"{why}; under one number all would be augmented alike"}, owner="Policy")
