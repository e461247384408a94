"""What a hyperparameter can be: the values that are refused, and the words for those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError
from thalweg.technique._search import Choice, Distribution, LogUniform, Uniform

if TYPE_CHECKING:
    from thalweg.technique._technique import Technique

__all__ = ["check_value", "limits_of", "takes"]


def check_value(technique: Technique, name: str, value: Any, default: Any) -> None:
    """Refuse what a hyperparameter cannot be: defaults are numbers, words, None, or tuples of numbers."""
    inside = {
        Uniform: lambda d: [d.low, d.high],
        LogUniform: lambda d: [d.low, d.high],
        Choice: lambda d: list(d.values),
    }
    for item in inside[type(value)](value) if isinstance(value, Distribution) else [value]:
        if isinstance(default, tuple) and isinstance(item, tuple | list) and item:
            for number in item:
                check_value(technique, name, number, 0.0)
        elif not (item is None and default is None) and (said := _refused(technique, name, item, default)):
            raise InputError(f"{name} of {technique.name} takes {said}, not {item!r}")


def _refused(technique: Technique, name: str, item: Any, default: Any) -> str:
    """Return in words what a hyperparameter takes, if this is not it; else ``""``."""
    if isinstance(default, tuple):
        return takes(technique, name, default)
    if isinstance(default, str):
        words = technique.limits.get(name)
        fits = isinstance(item, str) if words is None else item in words.split("|")
        return "" if fits else takes(technique, name, default)
    if isinstance(item, bool) or not isinstance(item, int | float):
        return "a number"
    limits = limits_of(technique, name)
    if not _lies(item, limits.removeprefix("whole ")):
        return takes(technique, name, default)
    return "a whole number" if _is_whole(limits, default) and not isinstance(item, int) else ""


def takes(technique: Technique, name: str, default: Any) -> str:
    """Return in words what a hyperparameter can be."""
    if isinstance(default, tuple):
        return f"a list of numbers such as {list(default)}"
    if isinstance(default, str):
        if name not in technique.limits:
            return "a text, such as the path of a file"
        words = technique.limits[name].split("|")
        return f"{', '.join(words[:-1])} or {words[-1]}"
    limits = limits_of(technique, name)
    return _in_words(limits.removeprefix("whole "), whole=_is_whole(limits, default))


def limits_of(technique: Technique, name: str) -> str:
    """Return between what a hyperparameter must lie, as an interval."""
    usual = "[0, 1)" if name.startswith(("beta", "momentum", "rho")) else "[0, inf)"
    return technique.limits.get(name, usual)


def _is_whole(limits: str, default: Any) -> bool:
    return isinstance(default, int) or limits.startswith("whole ")


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
    >>> _in_words("(-inf, inf)")
    'a number'
    """
    low, high = (end.strip() for end in limits[1:-1].split(","))
    start = f"a {'whole ' * whole}number"
    if low != "-inf":
        start += f" {'from' if limits[0] == '[' else 'above'} {low}"
    if high == "inf":
        return start + " up" * (limits[0] == "[")
    return f"{start} up to{', but not,' * (limits[-1] == ')')} {high}"
