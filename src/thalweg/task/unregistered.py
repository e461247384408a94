"""Layers and parameters that a module holds where torch does not find them, such as in a plain list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["unregistered"]


def unregistered(module: nn.Module, name: str) -> str:
    """Return of what is held outside parameters and buffers that it is a layer or parameter, and where to keep it.

    Args:
        module: that holds it.
        name: as `thalweg.task.held.held` has it.

    Returns:
        A sentence, or nothing where it is neither.

    >>> class Listed(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layers = [nn.Linear(2, 2)]
    >>> unregistered(Listed(), "layers.0.weight").partition("; ")[2]
    'keep it in nn.ModuleList'
    """
    here: Any = module
    path: list[str] = []
    known = {id(x) for x in (*module.modules(), *module.parameters())}
    for word in name.split("."):
        around, here = here, _step(here, word)
        path.append(word)
        if isinstance(here, nn.Module | nn.Parameter) and id(here) not in known:
            break
    else:
        return ""
    layer = isinstance(here, nn.Module)
    kind = "Module" if layer else "Parameter"
    match around:
        case list() | tuple():
            where, keep = f"a plain {type(around).__name__}", f"keep it in nn.{kind}List"
        case Mapping():
            where, keep = f"a plain {type(around).__name__}", f"keep it in nn.{kind}Dict"
        case _:
            where, keep = f"an object of {type(around).__name__}", "make it an attribute of the module"
    return (
        f"{'.'.join(path)}, a {type(here).__name__} in {where}, is no part of the model: "
        f"{'its weights are' if layer else 'it is'} not trained, and {'differ' if layer else 'differs'} from seed to "
        f"seed; {keep}"
    )


def _step(here: Any, word: str) -> Any:
    """Return what is held under a word; None where that cannot be told."""
    if isinstance(here, list | tuple):
        return here[int(word)] if word.isdecimal() and int(word) < len(here) else None
    if isinstance(here, Mapping):
        return next((value for key, value in here.items() if isinstance(key, str | int) and str(key) == word), None)
    own = getattr(here, "__dict__", {})  # no property, which may be anything
    homes = own, *(own.get(home) or {} for home in ("_modules", "_parameters") if isinstance(here, nn.Module))
    return next((home[word] for home in homes if word in home), None)
