"""The gradients that scores look at: of the loss on a batch, and of the flow through a model made linear."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.prune._passing import ACTIVATIONS, DROPOUTS

__all__ = ["flow_gradient", "loss_gradient"]


def loss_gradient(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    batch: tuple[Any, Any],
    loss: Callable[[Any, Any], Tensor],
    key: Key | None,
) -> dict[str, Tensor]:
    """Return the loss's gradient on a batch, by name; the model and torch's generators are left as they are.

    In training mode, but without dropout.

    Args:
        model: any module.
        weights: what stands in place of some of its parameters; those whose gradients are returned.
        batch: inputs and targets.
        loss: of output and targets.
        key: of what the model draws; by default what torch's generator has next.
    """
    copied = _with(copy.deepcopy(model), weights).train()
    for module in copied.modules():
        if isinstance(module, _DropoutNd):
            module.eval()
    device = next(iter(weights.values())).device
    with (
        key.seeded() if key is not None else torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    ):
        value = loss(_call(copied, batch[0]), batch[1])
    return _gradients(copied, value, weights)


def flow_gradient(model: nn.Module, weights: Mapping[str, Tensor], inputs: Any, asks: str) -> dict[str, Tensor]:
    """Return the gradient of the sum of a model's outputs for an input of ones, by name, in float64.

    All parameters are replaced by their sizes and biases by 0, activations and dropout hand on what they get, and
    batch norms are the factors that they are in evaluation mode.

    Args:
        model: left as it is.
        weights: what stands in place of some of its parameters; those whose gradients are returned.
        inputs: a batch, of which only the shapes are looked at.
        asks: what wants it, for the sentences.

    Raises:
        InputError: whole numbers as inputs, or a layer that is not linear even so.
    """
    copied = _with(copy.deepcopy(model), weights).double().eval()
    with torch.no_grad():
        for name, p in copied.named_parameters():
            p.copy_(torch.zeros_like(p) if name.rpartition(".")[2].startswith("bias") else p.abs())
    for name, module in copied.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is None:  # noqa: SLF001
            raise InputError(
                f"{asks} takes batch norms as they are in evaluation mode, and {name} keeps no statistics"
            )
    shapes = [x for x in tree_leaves(inputs) if isinstance(x, Tensor)]
    if not shapes or not all(x.is_floating_point() for x in shapes):
        raise InputError(f"{asks} gives the model ones in place of its inputs, which must be numbers with fractions")
    ones = tree_map(lambda x: torch.ones_like(x[:1], dtype=torch.float64) if isinstance(x, Tensor) else x, inputs)
    with _Linear(), torch.no_grad(), _outputs(copied) as once:
        _call(copied, ones)
    with _Linear(), _outputs(copied) as twice:
        # Twice the input must be twice the output, of every layer.
        value = sum(x.sum() for x in _numbers(_call(copied, tree_map(lambda x: 2 * x, ones)))) / 2
    for (name, before), (_, after) in zip(once, twice, strict=True):
        if not all(map(_is_double, before, after)):
            layer = copied.get_submodule(name)
            entered = "what enters " if isinstance(layer, nn.Linear | _ConvNd) else ""  # by functions between layers
            raise InputError(
                f"{asks} follows what passes through linear layers, and {entered}{name or 'the model'} "
                f"({type(layer).__name__}) is not linear"
            )
    return _gradients(copied, value, weights)


def _is_double(x: Tensor, y: Tensor) -> bool:
    return torch.allclose(2 * x, y.detach(), rtol=1e-9, atol=0.0, equal_nan=True)


def _with(model: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return a copied model with other weights, and gradients of these alone."""
    model.requires_grad_(False)
    for name, value in weights.items():
        p = model.get_parameter(name)
        p.requires_grad_(True)
        p.data = value.detach().clone()
    return model


def _gradients(model: nn.Module, value: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parameters = [model.get_parameter(name) for name in weights]
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g.detach().to_dense()
        for name, p, g in zip(weights, parameters, found, strict=True)
    }


def _call(model: nn.Module, inputs: Any) -> Any:
    inputs = tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, inputs)  # it may write into them
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _numbers(output: Any) -> list[Tensor]:
    return [x for x in tree_flatten(output)[0] if isinstance(x, Tensor) and x.is_floating_point()]


@contextmanager
def _outputs(model: nn.Module) -> Iterator[list[tuple[str, Sequence[Tensor]]]]:
    """Note what each module returns, innermost first, inside a ``with``."""
    found: list[tuple[str, Sequence[Tensor]]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: found.append((name, [x.clone() for x in _numbers(output)]))

    hooks = [module.register_forward_hook(note(name)) for name, module in model.named_modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


_HAND_ON = {
    getattr(home, name) for home in (F, torch, Tensor) for name in (*ACTIVATIONS, *DROPOUTS) if hasattr(home, name)
}


class _Linear(TorchFunctionMode):
    """While active, activations and dropout hand on what they get, and batch norms only scale it."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _HAND_ON:
            return args[0] if args else (kwargs or {})["input"]
        if function is F.batch_norm:
            return _scaled(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _scaled(
    input: Tensor, running_mean: Any, running_var: Tensor, weight: Any = None, bias: Any = None,  # noqa: A002
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    factor = (running_var + eps).rsqrt()
    factor = factor if weight is None else factor * weight
    return input * factor.view(-1, *[1] * (input.dim() - 2))
