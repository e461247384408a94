"""One change of a model, by the name of a module, so that it can be made on every model of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.parameter import is_lazy

from thalweg.errors import InputError
from thalweg.surgery._functions import PLACE, replace_functions
from thalweg.surgery._layers import put_around
from thalweg.technique import Ingredient

__all__ = ["Edit", "made"]


@dataclass(frozen=True)
class Edit:
    """What is put where.

    Attributes:
        role: ``activation``, ``norm`` or ``dropout``: whose ingredient it is made of.
        where: the name of a module.
        place: ``instead`` of it, ``before`` or ``behind`` it, or ``inside``, for the functions that it calls.
        make: from the ingredient and the module that stands there to the new one.
        functions: for ``inside``: the activations that the new module stands in for.
    """

    role: str
    where: str
    place: str
    make: Callable[[Ingredient, nn.Module], nn.Module]
    functions: tuple[str, ...] = ()

    @property
    def stands(self) -> str:
        """The name of what is put there."""
        inner = {"instead": "", "inside": PLACE}.get(self.place, self.place)
        return f"{self.where}.{inner}".strip(".")


def made(model: nn.Module, edits: Sequence[Edit], parts: Mapping[str, Ingredient]) -> nn.Module:
    """Make edits on a model, in place, and return it; another one where the whole of it is replaced.

    What is put into a part whose parameters are all frozen is frozen with it.

    Args:
        model: one with the modules that the edits name.
        edits: in their order.
        parts: ingredients by role.

    Raises:
        InputError: the model has not the modules that the edits name, they are lazy, or nothing can be made of them.
    """
    modules = dict(model.named_modules())
    for edit in edits:
        if edit.where not in modules:
            raise InputError(
                f"{edit.role}: {type(model).__name__} has no {edit.where}, which the model has that was looked at"
            )
        if any(map(is_lazy, modules[edit.where].parameters(recurse=False))):
            raise InputError(
                f"{edit.role}: {edit.where or 'the model'} has no shape yet; pass a batch through the model first"
            )
    frozen = {edit.where for edit in edits if _is_frozen(modules, edit.where)}
    touched: list[nn.Module] = []
    for edit in edits:
        old = modules[edit.where]
        try:
            new = edit.make(parts[edit.role], old).train(old.training)
        except InputError as error:
            raise InputError(f"{edit.role}: {edit.where or 'the model'}: {error}") from error
        if edit.where in frozen:
            new.requires_grad_(False)
        touched.append(new)
        if edit.place == "inside":
            replace_functions(old, edit.functions, new)
        elif edit.place != "instead":
            put_around(old, edit.place, new)
        elif old is model:
            model = new
        else:
            _put(modules, old, new)
    _call_their_modules(model, touched)
    return model


def _is_frozen(modules: Mapping[str, nn.Module], name: str) -> bool:
    """Return whether a module's parameters are all frozen; where it has none, those of the part that it is in."""
    while not (found := [p.requires_grad for p in modules[name].parameters()]) and name:
        name = name.rpartition(".")[0]
    return bool(found) and not any(found)


def _call_their_modules(model: nn.Module, touched: Sequence[nn.Module]) -> None:
    """Let torch's transformer encoders call the modules inside them wherever one of these is new.

    In evaluation and without gradients they else read the weights of their layers, and leave out what is around them.
    """
    new = {id(module) for module in touched}
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder | nn.TransformerEncoderLayer) and any(
            id(part) in new for part in module.modules()
        ):
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False
            else:
                module.activation_relu_or_gelu = 0  # what else they look at first is whether they are in training


def _put(modules: Mapping[str, nn.Module], old: nn.Module, new: nn.Module) -> None:
    """Put a module wherever another stands: one that is used in two places stays one."""
    for parent in modules.values():
        for name, child in parent._modules.items():  # noqa: SLF001  named_children leaves out the second of two
            if child is old:
                setattr(parent, name, new)
