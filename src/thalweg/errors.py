"""The one exception a user's mistake raises, the sentence that suggests a remedy, and whether memory ran out."""

from __future__ import annotations

import difflib
import functools
import types
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Made = TypeVar("Made", bound=Callable[..., Any])

__all__ = ["InputError", "causes", "is_memory", "spelt", "unknown"]


class InputError(ValueError):
    """Input that cannot be used; its message is one sentence with what, where and the remedy.

    The command line prints the message alone and exits with code 2.

    >>> raise InputError('column "price" is empty; fill it or drop it')
    Traceback (most recent call last):
    thalweg.errors.InputError: column "price" is empty; fill it or drop it
    """


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, and those that it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, as torch, numpy and the loader of libraries have it.

    >>> is_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    True
    >>> is_memory(ImportError("libtorch_cpu.so: failed to map segment from shared object"))
    True
    """
    text = str(error)
    said = "bad_alloc" in text or "failed to map segment" in text or ("alloc" in text and "memory" in text)
    return said or isinstance(error, MemoryError)


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


def spelt(made: Made, *, needs: Mapping[str, str] | None = None, owner: str = "") -> Made:
    """Let a function, or a class, say in a sentence which argument of a call does not exist or is missing.

    Args:
        made: what is called; it is asked first, so that nothing is slower that is right.
        needs: sentences on what an argument is for, said where it is missing.
        owner: of a method, the class's name.

    >>> @spelt
    ... def train(task, *, epochs=3):
    ...     return epochs
    >>> train("wine", epoch=3)
    Traceback (most recent call last):
    thalweg.errors.InputError: unknown argument of train "epoch"; did you mean "epochs"?
    """
    if isinstance(made, type):
        name = made.__name__
        made.__init__ = spelt(made.__init__, needs=needs, owner=name)  # type: ignore[misc]
        return made
    name = (
        made.__name__.strip("_")
        if not owner
        else {"__init__": owner, "__call__": owner}.get(made.__name__, f"{owner}.{made.__name__}")
    )
    wrong = functools.partial(_wrong, made, name, bool(owner), needs or {})

    def called(*positional: Any, **named: Any) -> Any:
        try:
            return made(*positional, **named)
        except TypeError:
            if (found := wrong(positional, named)) is not None:
                raise found from None
            raise

    # With the globals of what it stands for, it belongs to that module, as doctest asks.
    there = types.FunctionType(
        called.__code__,
        made.__globals__,
        made.__name__,
        None,
        called.__closure__,
    )
    return functools.update_wrapper(there, made)  # type: ignore[return-value]


def _wrong(
    made: Callable[..., Any],
    name: str,
    method: bool,
    needs: Mapping[str, str],
    positional: tuple[Any, ...],
    named: Mapping[str, Any],
) -> InputError | None:
    """Return the error for arguments that a function cannot be called with; None if it can."""
    import inspect  # slow to load, and only needed for what is wrong

    parameters = list(inspect.signature(made).parameters.values())[method:]
    positional = positional[method:]
    try:
        inspect.Signature(parameters).bind(*positional, **named)
    except TypeError:
        pass
    else:
        return None
    by_place = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    known = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters)
    if strange := [given for given in named if given not in known and not open_ended]:
        return unknown(f"argument of {name}", strange[0], known)
    if twice := [given for given in by_place[: len(positional)] if given in named]:
        return InputError(f"{name} got {twice[0]} twice")
    there = {*by_place[: len(positional)], *named}
    missing = [one.name for one in parameters if one.name in known and one.default is one.empty]
    if missing := [one for one in missing if one not in there]:
        if missing[0] in needs:
            return InputError(f"{name} needs {missing[0]}=: {needs[missing[0]]}")
        return InputError(f"{name} needs {' and '.join(f'{one}=' for one in missing)}")
    if len(positional) <= len(by_place):
        return None
    rest = [one for one in known if one not in by_place]
    return InputError(
        f"{name} takes at most {len(by_place)} arguments by their place, not {len(positional)}"
        + f"; {', '.join(rest)} by name" * bool(rest)
    )
