"""The one exception a user's mistake raises, and the sentence that suggests a remedy."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["InputError", "unknown"]


class InputError(ValueError):
    """Input that cannot be used; its message is one sentence with what, where and the remedy.

    The command line prints the message alone and exits with code 2.

    >>> raise InputError('column "price" is empty; fill it or drop it')
    Traceback (most recent call last):
    thalweg.errors.InputError: column "price" is empty; fill it or drop it
    """


def unknown(what: str, name: object, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not among ``known``, suggesting the nearest one.

    >>> print(unknown("optimizer", "adm", ["adam", "sgd"]))
    unknown optimizer "adm"; did you mean "adam"?
    >>> print(unknown("role", "colour", ["optimizer", "schedule"]))
    unknown role "colour"; known: optimizer, schedule
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(names) or 'none'}"
    return InputError(f'unknown {what} "{name}"; {hint}')
