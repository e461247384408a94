"""A model's weights by name: what penalties keep small and pruning takes away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.parameter import is_lazy

from thalweg.errors import InputError, unknown
from thalweg.optim._groups import not_decayed

__all__ = ["by_units", "transposed_groups", "weights"]


def weights(model: nn.Module, names: str | Sequence[str] | None, asks: str) -> dict[str, nn.Parameter]:
    """Return a model's weights by name, tied ones once.

    Args:
        model: any module.
        names: which, by name or by patterns such as ``"encoder.*"``; by default all that `groups` would decay, but
            for what is added to each example and no weight: class tokens, position embeddings.
        asks: what wants them, for the sentence where there are none.

    Raises:
        InputError: no module, none that are trained and are no bias and no norm's, a name or pattern that none has,
            or a parameter that has no shape yet or complex numbers.

    >>> list(weights(nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2)), None, "l2"))
    ['0.weight', '2.weight']
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"{asks} takes a model, a torch.nn.Module, not {type(model).__name__}")
    every = dict(model.named_parameters(remove_duplicate=False))
    for name, p in every.items():
        if is_lazy(p):
            raise InputError(f"{asks}: {name} has no shape yet; pass a batch through {type(model).__name__} first")
    if names is None:
        whole = not_decayed(model)
        found = [name for name, p in every.items() if p.requires_grad and id(p) not in whole and not _added(name, p)]
        if not found:
            raise InputError(
                f"{asks} found nothing in {type(model).__name__}: it has no trained weights beside biases and norms"
            )
    else:
        found = []
        for pattern in [names] if isinstance(names, str) else names:
            matched = [name for name in every if name == pattern or fnmatchcase(name, pattern)]
            if not matched:
                raise unknown(f"parameter of {type(model).__name__} for {asks}", pattern, every)
            found += matched
    chosen: dict[int, str] = {}
    for name in found:
        if every[name].is_complex():
            raise InputError(f"{asks} takes real weights, and {name} has complex numbers")
        chosen.setdefault(id(every[name]), name)
    return {name: every[name] for name in chosen.values()}


def _added(name: str, p: Tensor) -> bool:
    """Return whether a parameter broadcasts over examples, by its shape, and is not called a weight."""
    called = "weight" in name.rpartition(".")[2] or ".parametrizations." in f".{name}"
    return p.dim() > 1 and len(p) == 1 and not called


def transposed_groups(model: nn.Module) -> Mapping[int, int]:
    """Return the groups of transposed convolutions by their weight's ``id``; its second axis counts the outputs."""
    return {id(m.weight): m.groups for m in model.modules() if isinstance(m, _ConvTransposeNd)}


def by_units(w: Tensor, transposed: int, axis: int = 0) -> list[Tensor]:
    """Return views of a layer's weights in which an axis counts the output units.

    Args:
        w: the weights; axes before ``axis`` count runs.
        transposed: see `transposed_groups`.
        axis: the first of the layer's own.
    """
    return [group.transpose(axis, axis + 1) for group in w.chunk(transposed, axis)] if transposed else [w]
