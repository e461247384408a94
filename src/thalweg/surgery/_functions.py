"""Activations that a forward calls as functions, replaced for as long as that forward lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from thalweg.surgery._seen import FUNCTIONS

__all__ = ["PLACE", "replace_functions"]

PLACE = "replaced_activation"
"""The name under which a module holds the activation that its forward calls in place of a function."""


class _Mode(TorchFunctionMode):
    def __init__(self, by: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.by = by

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        ours = self.by.get(FUNCTIONS.get(function, ""))
        return ours(args[0]) if ours is not None else function(*args, **(kwargs or {}))


class _Replaced(nn.Module):
    """A module of any class, within whose forward some functions are another."""

    replaced_functions: tuple[str, ...]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module's own forward does, with other activations."""
        with _Mode(dict.fromkeys(self.replaced_functions, getattr(self, PLACE))):
            return super().forward(*args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _blank, (type(self).__mro__[2],), self.__dict__


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _class(own: type[nn.Module]) -> type[nn.Module]:
    """Return a class's sibling that replaces functions; there is one, so that copies are of the same class."""
    if own not in _CLASSES:
        names = {"__module__": own.__module__, "__doc__": own.__doc__}
        _CLASSES[own] = type(own.__name__, (_Replaced, own), names)
    return _CLASSES[own]


def _blank(own: type[nn.Module]) -> nn.Module:
    made: nn.Module = object.__new__(_class(own))
    return made


def replace_functions(owner: nn.Module, names: tuple[str, ...], by: nn.Module) -> None:
    """Let a module's forward call a module where it calls activations of these names as functions, in place.

    What the modules inside it call is replaced too, as long as it is of these names.
    """
    owner.__class__ = _class(type(owner))
    owner.replaced_functions = names  # type: ignore[assignment]
    owner.add_module(PLACE, by)
