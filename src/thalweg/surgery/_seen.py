"""What a forward pass does, seen from outside: which layers lead to which activations, and who calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from thalweg.surgery._written import written_out

__all__ = ["ACTIVATIONS", "FUNCTIONS", "LAYERS", "NORMS", "Call", "Seen", "looked_at"]

LAYERS: tuple[type[nn.Module], ...] = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
"""Layers that a norm may follow, or a dropout precede."""

NORMS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip

ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Softplus,
    nn.Softsign, nn.Tanh, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.RReLU, nn.PReLU,
)  # fmt: skip

FUNCTIONS: dict[Any, str] = {
    F.relu: "relu", torch.relu: "relu", Tensor.relu: "relu", F.relu_: "relu", torch.relu_: "relu",
    Tensor.relu_: "relu", F.relu6: "relu6", F.leaky_relu: "leaky_relu", F.elu: "elu", F.selu: "selu",
    F.celu: "celu", F.gelu: "gelu", F.silu: "silu", F.mish: "mish", F.hardswish: "hardswish",
    F.softplus: "softplus", F.softsign: "softsign", F.tanh: "tanh", torch.tanh: "tanh", Tensor.tanh: "tanh",
    F.hardtanh: "hardtanh", F.sigmoid: "sigmoid", torch.sigmoid: "sigmoid", Tensor.sigmoid: "sigmoid",
    F.hardsigmoid: "hardsigmoid", F.prelu: "prelu", torch.prelu: "prelu", F.rrelu: "rrelu",
}  # fmt: skip
"""Activations as functions, by name."""

SQUASHING = ("tanh", "sigmoid", "hardsigmoid", "hardtanh")
"""Those that are as often gates, or bring an output into a range, as they are what follows a hidden layer."""

_SAME = {
    torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, torch.reshape, Tensor.permute, torch.permute,
    Tensor.transpose, torch.transpose, Tensor.squeeze, torch.squeeze, Tensor.unsqueeze, torch.unsqueeze,
    Tensor.contiguous, Tensor.__getitem__, F.dropout, Tensor.to, Tensor.float,
}  # fmt: skip
"""What hands on what it gets, in another shape or thinned."""

_DROPOUTS = {
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout,
    torch.alpha_dropout, torch.feature_dropout, torch.feature_alpha_dropout,
}  # fmt: skip

HANDS_ON = (nn.Identity, nn.Flatten, nn.Unflatten, _DropoutNd)

_NORMS = {
    F.layer_norm: "layer_norm", torch.layer_norm: "layer_norm", F.rms_norm: "rms_norm", torch.rms_norm: "rms_norm",
    F.batch_norm: "batch_norm", torch.batch_norm: "batch_norm", F.group_norm: "group_norm",
    torch.group_norm: "group_norm", F.instance_norm: "instance_norm", torch.instance_norm: "instance_norm",
}  # fmt: skip
"""Norms as functions, by name."""

_PRODUCTS = {torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__, Tensor.mul_, Tensor.__imul__}


@dataclass
class Call:
    """An activation that was called.

    Attributes:
        name: of the function.
        owner: the module in whose forward it was called; for one that is an activation, that module.
        follows: the layer or norm whose output it got, if it got one's directly.
        gates: whether something was multiplied by what it returned.
        ends: whether the model returned what it returned.
    """

    name: str
    owner: str
    follows: str | None
    gates: bool = False
    ends: bool = False


@dataclass
class Seen:
    """What was seen.

    Attributes:
        calls: of activations, in order.
        counts: how often each layer and norm was called.
        shapes: of each layer's and norm's last output.
        entering: what each norm was given by: the layer, if directly.
        last: layers whose output the model returned, perhaps through norms and shapes.
        order: layers in the order of their last call.
        first: the first layer that was called, an embedding or recurrent layer or one of the user's own too.
        whole_norms: modules that call one norm on what they get and return what it returns, and the sizes of the
            last axes over which it goes; empty where it goes by channels.
        inner_norms: modules that call norms as functions within more, and which.
        thinned: layers to which a dropout module hands its output, and its name.
        thins: each dropout module's takers: layers, and ``None`` for all else.
        inner_dropouts: modules that call dropout as a function.
        written: modules that are activations written out in arithmetic, and which; see `written_out`.
    """

    calls: list[Call] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    entering: dict[str, str | None] = field(default_factory=dict)
    last: set[str] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    first: str | None = None
    whole_norms: dict[str, tuple[int, ...]] = field(default_factory=dict)
    inner_norms: dict[str, set[str]] = field(default_factory=dict)
    thinned: dict[str, str] = field(default_factory=dict)
    thins: dict[str, set[str | None]] = field(default_factory=dict)
    inner_dropouts: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)


def looked_at(model: nn.Module, forward: Any) -> Seen:
    """Return what a model does in one forward pass, in evaluation mode and without gradients.

    Args:
        model: left as it was.
        forward: calls it on some examples.
    """
    modules = dict(model.named_modules())
    seen = Seen(written=written_out(modules, ACTIVATIONS))
    with ExitStack() as stack:
        stack.enter_context(_evaluation(model))
        stack.enter_context(torch.no_grad())
        mode = _Watch(seen, modules)
        for name, module in modules.items():
            stack.enter_context(mode.watched(name, module))
        with mode:
            returned = forward()
    for x in tree_leaves(returned):
        if isinstance(x, Tensor):
            mode.returned(x)
    return seen


class _Watch(TorchFunctionMode):
    """Follows tensors from the layer that made them to the activation that takes them."""

    def __init__(self, seen: Seen, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.seen, self.modules = seen, modules
        self.owners: list[str] = []
        self.kept: list[Tensor] = []  # so that no other tensor gets the place of one that is followed
        self.made: dict[int, str] = {}
        self.called: dict[int, Call] = {}
        self.dropped: dict[int, str] = {}
        self.normed: dict[str, list[tuple[str, Tensor, Tensor, tuple[int, ...]]]] = {}

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        found = function(*args, **kwargs)
        if not isinstance(found, Tensor) or not given:
            return found
        first, owner = given[0], self.owners[-1] if self.owners else ""
        if function in FUNCTIONS:
            self._activated(Call(FUNCTIONS[function], owner, self.made.get(id(first))), found)
        elif function in _SAME:
            self._hand_on(first, found)
        elif function in _PRODUCTS:
            for x in given:
                if id(x) in self.called and len(given) > 1:
                    self.called[id(x)].gates = True
        elif function in _NORMS:
            sizes = args[1] if len(args) > 1 else kwargs.get("normalized_shape")
            over = tuple(sizes) if _NORMS[function] in ("layer_norm", "rms_norm") else ()
            self.normed.setdefault(owner, []).append((_NORMS[function], first, found, over))
        if function in _DROPOUTS and owner not in self.seen.inner_dropouts and not self._at(owner, _DropoutNd):
            self.seen.inner_dropouts.append(owner)
        if function not in _SAME and not self._at(owner, LAYERS):
            for x in given:
                self._taken(x, None)
        return found

    def _activated(self, call: Call, found: Tensor) -> None:
        self.seen.calls.append(call)
        self._keep(found)
        self.made.pop(id(found), None)  # in place
        self.called[id(found)] = call

    def _at(self, name: str, kinds: type[nn.Module] | tuple[type[nn.Module], ...]) -> bool:
        return isinstance(self.modules.get(name), kinds)

    def _taken(self, x: Tensor, by: str | None) -> None:
        """Note that something takes a tensor, which may be what dropout handed on."""
        dropout = self.dropped.get(id(x))
        if dropout is not None:
            self.seen.thins[dropout].add(by)
            if by is not None:
                self.seen.thinned[by] = dropout

    def _keep(self, x: Tensor) -> None:
        self.kept.append(x)

    def _hand_on(self, given: Tensor, found: Tensor) -> None:
        if given is found:
            return
        self._keep(found)
        for known in (self.made, self.called, self.dropped):
            if id(given) in known:
                known[id(found)] = known[id(given)]  # type: ignore[assignment]

    @contextmanager
    def watched(self, name: str, module: nn.Module) -> Iterator[None]:
        """Know when a module is called, and what it returns."""
        seen, leaf = self.seen, next(module.children(), None) is None
        before_it: list[int] = []

        def before(_: nn.Module, given: Any) -> None:
            self.owners.append(name)
            before_it.append(len(seen.calls))
            self.normed.pop(name, None)
            for x in given:
                if leaf and isinstance(x, Tensor) and not isinstance(module, HANDS_ON):
                    self._taken(x, name if isinstance(module, LAYERS) else None)

        def after(_: nn.Module, given: Any, found: Any) -> Any:
            self.owners.pop()
            called_before = before_it.pop()
            first = next((x for x in given if isinstance(x, Tensor)), None)
            is_norm = self._is_norm(name, module, first, found)
            weighs = isinstance(module, LAYERS) or (leaf and next(module.parameters(), None) is not None)
            if seen.first is None and weighs and not is_norm:
                seen.first = name
            if not isinstance(found, Tensor):
                return None
            if id(found) in self.called and self.called[id(found)] in seen.calls[called_before:]:
                seen.written.pop(name, None)  # it calls an activation, and does nothing else
            if name in seen.written:  # what it is made of is none of the model's activations
                del seen.calls[called_before:]
                self._activated(Call(seen.written[name], name, self.made.get(id(first))), found)
                return None
            if isinstance(module, LAYERS) or is_norm:
                seen.counts[name] = seen.counts.get(name, 0) + 1
                seen.shapes[name] = tuple(found.shape)
                if is_norm:
                    seen.entering[name] = self.made.get(id(first)) if first is not None else None
                else:
                    seen.order = [*(other for other in seen.order if other != name), name]
                self._keep(found)
                self.called.pop(id(found), None)
                self.made[id(found)] = name
            elif isinstance(module, HANDS_ON) and first is not None:
                if isinstance(module, _DropoutNd):
                    found = found.detach()  # in evaluation it hands on the very tensor that it gets
                    self._keep(found)
                self._hand_on(first, found)
                if isinstance(module, _DropoutNd):
                    self.dropped[id(found)] = name
                    seen.thins.setdefault(name, set())
                return found
            return None

        hooks = module.register_forward_pre_hook(before), module.register_forward_hook(after)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _is_norm(self, name: str, module: nn.Module, first: Tensor | None, found: Any) -> bool:
        """Return whether a module is a norm: one of torch's, or one that does nothing else."""
        calls, whole = self.normed.pop(name, []), self.seen.whole_norms
        does_nothing_else = (
            len(calls) == 1
            and calls[0][1] is first
            and calls[0][2] is found
            and next(module.children(), None) is None
            and name not in self.seen.inner_norms
        )
        if does_nothing_else:
            whole[name] = calls[0][3]
        elif calls and not isinstance(module, NORMS):
            self.seen.inner_norms.setdefault(name, set()).update(function for function, *_ in calls)
            whole.pop(name, None)
        return isinstance(module, NORMS) or does_nothing_else

    def returned(self, x: Tensor) -> None:
        """Note that the model returned a tensor."""
        self._taken(x, None)
        if id(x) in self.called:
            self.called[id(x)].ends = True
        name = self.made.get(id(x))
        while name is not None and name in self.seen.entering:
            name = self.seen.entering[name]
        if name is not None:
            self.seen.last.add(name)


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    before: Sequence[tuple[nn.Module, bool]] = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
