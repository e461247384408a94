"""Which activations surgery replaces."""

from __future__ import annotations

from torch import nn

from thalweg.errors import InputError
from thalweg.surgery._seen import ACTIVATIONS, SQUASHING, Call
from thalweg.surgery._surgeon import Surgeon, place_of
from thalweg.technique import Ingredient

__all__ = ["plan_activation", "stays"]


def plan_activation(surgeon: Surgeon, ingredient: Ingredient) -> None:
    """Replace every activation."""
    before = len(surgeon.left)
    functions: dict[str, set[str]] = {}
    modules: dict[str, str] = {}
    for call in surgeon.seen.calls:
        why = stays(call)
        owner = surgeon.modules[call.owner]
        if why:
            sentence = f"{call.name} in {place_of(call.owner)}: {why}"
            surgeon.left += [sentence] if sentence not in surgeon.left else []
        elif isinstance(owner, ACTIVATIONS) or call.owner in surgeon.seen.written:
            modules[call.owner] = _shown(surgeon, call.owner)
        else:
            functions.setdefault(call.owner, set()).add(call.name)
    kept = {call.owner for call in surgeon.seen.calls if stays(call)}
    for name, module in surgeon.modules.items():
        own = name in surgeon.seen.written
        inner = name.rpartition(".")[0] in surgeon.seen.written
        if name not in kept and (own or (isinstance(module, ACTIVATIONS) and not isinstance(module, _SQUASHING))):
            modules |= {} if inner else {name: _shown(surgeon, name)}  # those that this pass did not call, too
    for name, text in modules.items():
        surgeon.change("activation", name, "instead", _module, (text, ingredient.name))
    for name, names in functions.items():
        owner = surgeon.modules[name]
        if type(owner).__module__.startswith("torch."):
            raise InputError(
                f"activation: {place_of(name)} is torch's {type(owner).__name__}, which calls its activation out "
                "of sight; give it the activation when it is made"
            )
        called = tuple(sorted(names))
        texts = ", ".join(f"F.{n}" for n in called), ingredient.name
        surgeon.change("activation", name, "inside", _module, texts, called)
    surgeon.check("activation", before, "the model calls no activation that could be replaced")


def _shown(surgeon: Surgeon, name: str) -> str:
    """Return what stands at a place: an activation, or one that is written out, and which."""
    module, which = surgeon.modules[name], surgeon.seen.written.get(name)
    return repr(module) if which is None else f"{type(module).__name__}, written out: {which}"


def stays(call: Call) -> str:
    """Return why an activation is none that surgery replaces, or nothing."""
    if call.name not in SQUASHING:
        return "the model returns it" if call.ends else ""
    if call.gates:
        return "it is a gate"
    if call.ends:
        return "the model returns it"
    return "" if call.follows is not None else "it does not follow a layer or norm"


_SQUASHING = (nn.Tanh, nn.Sigmoid, nn.Hardsigmoid, nn.Hardtanh)
"""The modules of `SQUASHING`."""


def _module(ingredient: Ingredient, old: nn.Module) -> nn.Module:  # noqa: ARG001  see `Edit`
    module: nn.Module = ingredient.module()  # type: ignore[attr-defined]
    return module
