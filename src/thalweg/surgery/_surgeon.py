"""What surgery on a model has planned so far, and what it may do to a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.nn.utils import parametrize

from thalweg.errors import InputError
from thalweg.surgery._edits import Edit
from thalweg.surgery._seen import Seen
from thalweg.technique import Ingredient

__all__ = ["Change", "Surgeon", "place_of"]

Make = Callable[[Ingredient, nn.Module], nn.Module]


@dataclass(frozen=True)
class Change:
    """One thing that was changed: where, what stood there, and what stands there now."""

    where: str
    before: str
    after: str


class Surgeon:
    """Knows a model and what it does, and notes what is to be done; the model is left as it was.

    Args:
        model: what is operated on.
        seen: what it did in a forward pass.
    """

    def __init__(self, model: nn.Module, seen: Seen) -> None:
        self.model, self.seen = model, seen
        self.modules = dict(model.named_modules())
        self.changes: list[Change] = []
        self.edits: list[Edit] = []
        self.left: list[str] = []

    def change(
        self, role: str, where: str, place: str, make: Make, texts: tuple[str, str], functions: tuple[str, ...] = ()
    ) -> None:
        """Plan an edit, see `Edit`, and note what stood there and what will."""
        self.edits.append(Edit(role, where, place, make, functions))
        self.changes.append(Change(where, *texts))

    def leave(self, name: str) -> None:
        """Note that a layer is left as it is, being none of torch's own."""
        layer = self.modules[name]
        if parametrize.is_parametrized(layer):
            kind = type(layer).__mro__[1].__name__
            why = f"its weight is parametrized, and such a {kind} gets nothing around it and no other in its place"
        else:
            why = f"{type(layer).__name__} is a layer of its own kind"
        self.left.append(f"{place_of(name)}: {why}")

    def check(self, role: str, before: int, nothing: str) -> None:
        """Refuse a role for which nothing can be done.

        Args:
            role: whose.
            before: how many sentences there were on what is left before it.
            nothing: what is said where nothing was left either.

        Raises:
            InputError: there is no edit for the role.
        """
        if not any(edit.role == role for edit in self.edits):
            left = "; ".join(self.left[before:])
            raise InputError(f"{role}: nothing can be done; {left}" if left else f"{role}: {nothing}")


def place_of(name: str) -> str:
    """Return what a module is called in a sentence."""
    return name or "the model"
