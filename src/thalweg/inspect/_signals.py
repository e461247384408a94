"""How large signals and gradients are on their way through a model: seen in one pass, and predicted by formula.

The prediction is Glorot and He's: weights are independent of what enters and have mean 0, so that mean squares
multiply, and a layer's outputs are normally distributed. Where a model does what the formula says nothing of, such as
attention or max pooling, it goes on from what was seen there.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from thalweg.activation._gain import alone, second_moments
from thalweg.errors import InputError
from thalweg.graph import Part, parts
from thalweg.init._following import activation_of
from thalweg.init._weights import NORMS
from thalweg.key import Key
from thalweg.task import apply
from thalweg.task.reading import first_line

__all__ = ["LAYERS", "Signal", "signals"]

LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, _ConvNd)

_SHAPES = (nn.Identity, nn.Flatten, nn.Unflatten)
_SHAPE_FUNCTIONS = (torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.squeeze, torch.unsqueeze)
_SHAPE_METHODS = (
    "flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "unflatten", "clone",
)  # fmt: skip
_SUMS = (operator.add, operator.iadd, torch.add)


@dataclass
class Signal:
    """What one call of a layer puts out, and the gradient of what follows by it.

    Attributes:
        layer: the module's name.
        fan_in, fan_out: how many inputs an output sums over on average, and how many outputs an input goes to; what
            padding leaves out does not count.
        seen: the variance of all its outputs.
        gradient_seen: the mean square of the gradient by them.
        predicted, gradient_predicted: the same by formula; None where there is none.
        anew: whether the prediction begins just before this layer, with what was seen there.
    """

    layer: str
    fan_in: float
    fan_out: float
    seen: float
    gradient_seen: float = math.nan
    predicted: float | None = None
    gradient_predicted: float | None = None
    anew: bool = False


def signals(model: nn.Module, inputs: Any, key: Key) -> list[Signal]:
    """Return the signals of a model's layers, in the order of their calls.

    Args:
        model: to be thrown away: it gets gradients, and norms see the inputs.
        inputs: a tensor, or a tuple or dict of them, as the model takes them.
        key: of the gradient by the outputs, which is normal with variance 1, and of dropout.

    Raises:
        InputError: a model without linear and convolution layers, or that does not take the inputs.
    """
    if any(is_lazy(p) for p in (*model.parameters(), *model.buffers())):
        with key.seeded(), torch.no_grad():
            try:
                apply(model, inputs)
            except Exception as error:
                raise InputError(f"{type(model).__name__} cannot take the inputs: {first_line(error)}") from error
    for p in model.parameters():
        p.requires_grad_(p.is_floating_point())
    part = next((part for part in parts(model) if part.name == ""), None)
    seen = _Seen(model, part)
    with key.seeded(), torch.enable_grad():
        output = seen.run(inputs)
        if not seen.calls:
            raise InputError(f"{type(model).__name__} calls no linear or convolution layer of torch's")
        outputs = [x for x in tree_leaves(output) if isinstance(x, Tensor) and x.requires_grad]
        if not outputs:
            raise InputError(f"the output of {type(model).__name__} does not depend on its weights")
    with (key / "gradient").seeded():
        torch.autograd.backward(outputs, [torch.randn_like(x) for x in outputs])
    _locally(seen)
    if part is not None:
        _Predicted(seen, part).fill()
    return [call.signal for call in seen.calls]


@dataclass
class _Call:
    signal: Signal
    module: nn.Module
    entering: float
    node: fx.Node | None


class _Seen:
    """A pass, in which every layer's signal is noted, and every node's mean square and gradient."""

    def __init__(self, model: nn.Module, part: Part | None) -> None:
        self.model, self.part = model, part
        self.calls: list[_Call] = []
        self.squares: dict[fx.Node, float] = {}
        self.gradients: dict[fx.Node, float] = {}
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run(self, inputs: Any) -> Any:
        """Return the model's output; layers that are no node of its graph are noted by hooks."""
        nodes = [] if self.part is None else [self.part.module(node) for node in self.part.graph.nodes]
        within = {id(self.model.get_submodule(path)) for path in nodes if path is not None}
        hooks = [
            module.register_forward_hook(self._hook(name))
            for name, module in self.model.named_modules()
            if isinstance(module, LAYERS) and id(module) not in within
        ]
        call: Callable[..., Any] = self.model if self.part is None else _Interpreter(self).run
        try:
            if isinstance(inputs, dict):
                bound = inspect.signature(self.model.forward).bind(**inputs)
                bound.apply_defaults()
                inputs = bound.args
            return call(*inputs) if isinstance(inputs, tuple | list) else call(inputs)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{type(self.model).__name__} cannot take the inputs: {reason}") from error
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, name: str) -> Callable[..., None]:
        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
                self.note(name, module, args[0].shape, _square(args[0]), output, None)

        return note

    def note(
        self, name: str, module: nn.Module, shape: tuple[int, ...], entering: float, output: Tensor,
        node: fx.Node | None,
    ) -> None:  # fmt: skip
        """Note a layer's call."""
        fans = _fans(module, tuple(shape), tuple(output.shape))
        signal = Signal(name, *fans, float(output.detach().double().var(correction=0)))
        self.calls.append(_Call(signal, module, entering, node))
        if output.requires_grad:
            output.register_hook(lambda g: setattr(signal, "gradient_seen", _square(g)))  # type: ignore[no-untyped-call]


class _Interpreter(fx.Interpreter):
    def __init__(self, seen: _Seen) -> None:
        assert seen.part is not None
        super().__init__(fx.GraphModule(seen.model, seen.part.graph))
        self.seen, self.part = seen, seen.part
        self.extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        seen, source = self.seen, n.args[0] if n.args else None
        before = seen.shapes.get(source) if isinstance(source, fx.Node) else None
        result = super().run_node(n)
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        seen.squares[n], seen.shapes[n] = _square(result), tuple(result.shape)
        path = self.part.module(n)
        layer = None if path is None else seen.model.get_submodule(path)
        if isinstance(layer, LAYERS) and isinstance(source, fx.Node) and before is not None:
            seen.note(path or "", layer, before, seen.squares[source], result, n)
        if result.requires_grad:
            result.register_hook(lambda g: seen.gradients.update({n: _square(g)}))  # type: ignore[no-untyped-call]
        return result


def _square(x: Tensor) -> float:
    return float(x.detach().double().square().mean())


def _fans(module: nn.Module, given: tuple[int, ...], made: tuple[int, ...]) -> tuple[float, float]:
    """Return how many inputs an output of a layer sums over, and to how many outputs an input goes, on average."""
    if not isinstance(module, _ConvNd):
        assert isinstance(module, nn.Linear)
        return module.in_features, module.out_features
    axes = len(module.kernel_size)
    turned = isinstance(module, _ConvTransposeNd)  # what goes in and out of a convolution, the other way round
    long, short = (made, given) if turned else (given, made)
    pairs = 1
    for i in range(axes):
        size, step, apart = module.kernel_size[i], module.stride[i], module.dilation[i]
        pad = module.padding[i] if not isinstance(module.padding, str) else 0
        pad = apart * (size - 1) // 2 if module.padding == "same" else pad
        places, all_places = short[len(short) - axes + i], long[len(long) - axes + i]
        reached = [o * step - int(pad) + k * apart for o in range(places) for k in range(size)]
        pairs *= len(reached) if module.padding_mode != "zeros" else sum(0 <= r < all_places for r in reached)
    inputs, outputs = (math.prod(shape[len(shape) - axes :]) for shape in (given, made))
    return (
        module.in_channels / module.groups * pairs / outputs,
        module.out_channels / module.groups * pairs / inputs,
    )


def _locally(seen: _Seen) -> None:
    """Predict what each layer puts out from what was seen to enter it."""
    for call in seen.calls:
        call.signal.predicted = call.signal.fan_in * _weights(call.module) * call.entering + _bias(call.module)
        call.signal.anew = True


def _weights(module: nn.Module) -> float:
    assert isinstance(module.weight, Tensor)
    return _square(module.weight)


def _bias(module: nn.Module) -> float:
    return _square(module.bias) if isinstance(module.bias, Tensor) else 0.0


class _Predicted:
    """Mean squares from node to node, of signals forward and of gradients backward."""

    def __init__(self, seen: _Seen, part: Part) -> None:
        self.seen, self.part, self.model = seen, part, seen.model
        self.calls = {call.node: call.signal for call in seen.calls if call.node is not None}
        self.square: dict[fx.Node, float] = {}
        self.anew: dict[fx.Node, bool] = {}  # whether what a node gives was seen, and not predicted, since a layer
        self.gradient: dict[fx.Node, float] = {}
        self.slopes: dict[fx.Node, float] = {}  # by what gradients' mean squares are multiplied; not of sums

    def fill(self) -> None:
        """Give every layer that is a node its predictions."""
        nodes = list(self.part.graph.nodes)
        for node in nodes:
            if node in self.seen.squares:
                self._forward(node)
        for node in reversed(nodes):
            if node in self.seen.gradients:
                self._backward(node)
        for node, signal in self.calls.items():
            signal.predicted, signal.gradient_predicted = self.square[node], self.gradient.get(node)
            (source,) = (x for x in node.args[:1] if isinstance(x, fx.Node))
            signal.anew = self.anew[source]

    def _forward(self, node: fx.Node) -> None:
        sources = [x for x in node.all_input_nodes if x in self.square]
        rule = self._rule(node, sources)
        known = rule is not None
        square, slope = rule if rule is not None else (self.seen.squares[node], math.nan)
        self.square[node], self.slopes[node] = square, slope
        begins = node.op != "placeholder" and (not known or any(self.anew[x] for x in sources))
        self.anew[node] = begins and node not in self.calls

    def _rule(self, node: fx.Node, sources: list[fx.Node]) -> tuple[float, float] | None:
        """Return the mean square of what a node gives, and of its slope; None where no formula says."""
        if len(sources) == 2 and self._adds(node):
            return self.square[sources[0]] + self.square[sources[1]], 1.0
        data = node.args[0] if node.args else None
        if not isinstance(data, fx.Node) or data not in self.square:
            return None
        square = self.square[data]
        if node in self.calls:
            signal, path = self.calls[node], self.part.module(node)
            layer = self.model.get_submodule(path or "")
            weights = _weights(layer)
            return signal.fan_in * weights * square + _bias(layer), signal.fan_out * weights
        activation = activation_of(node, self.part, self.model)
        if activation is not None:
            return second_moments(alone(activation), math.sqrt(square))
        module = self.model.get_submodule(self.part.module(node) or "") if node.op == "call_module" else None
        if isinstance(module, NORMS):
            return _normalised(module, square)
        if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d):
            kept = 1 - module.p if module.training else 1.0
            return (square / kept, 1 / kept) if kept > 0 else (0.0, 0.0)
        shapes = isinstance(module, _SHAPES) or node.target in (_SHAPE_FUNCTIONS if callable(node.target) else ())
        if shapes or (node.op == "call_method" and node.target in _SHAPE_METHODS):
            return square, 1.0
        return None

    def _adds(self, node: fx.Node) -> bool:
        return node.target in _SUMS or (node.op == "call_method" and node.target in ("add", "add_"))

    def _backward(self, node: fx.Node) -> None:
        """A gradient is the sum of what comes back from all that a node's output goes to."""
        users = [user for user in node.users if user.op == "output" or user in self.gradient]
        back = [1.0 if user.op == "output" else self.gradient[user] * self.slopes[user] for user in users]
        total = sum(back)
        self.gradient[node] = total if back and not math.isnan(total) else self.seen.gradients[node]


def _normalised(module: nn.Module, square: float) -> tuple[float, float]:
    """Return what a norm makes of a mean square, and of gradients' mean squares."""
    weight, bias = (getattr(module, name, None) for name in ("weight", "bias"))
    scale = weight.detach().double().square() if isinstance(weight, Tensor) else torch.ones(1, dtype=torch.float64)
    eps = getattr(module, "eps", None) or torch.finfo(torch.float32).eps
    if isinstance(module, _BatchNorm) and not module.training and module.running_var is not None:
        by = scale / (module.running_var.double() + eps)
        shift = torch.zeros(1) if module.running_mean is None else module.running_mean.double().square() * by
        return float((by * square + shift).mean()) + _shift(bias), float(by.mean())
    by = scale / (square + eps)
    return float(by.mean()) * square + _shift(bias), float(by.mean())


def _shift(bias: Any) -> float:
    return _square(bias) if isinstance(bias, Tensor) else 0.0
