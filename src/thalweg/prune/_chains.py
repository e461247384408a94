"""Where the output units of each layer go: which norms they pass, and which layers' inputs they are.

Read off the model's forward by ``torch.fx``. A layer whose units go where it cannot be told has the reason.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from thalweg.prune._held import unhooked
from thalweg.prune._passing import Passing, is_batch_size, passing

__all__ = ["Chain", "chains", "units_of"]


@dataclass(frozen=True)
class Chain:
    """A layer, and where its units go.

    Attributes:
        layer: its name.
        norms: names of the batch norms that they pass.
        takers: by name of the layers whose inputs they are, how many of those each unit is: where a convolution's
            output is flattened, its places.
        left: why it cannot be told, as the end of a sentence; empty where it can.
        path: nodes between the layer's and the takers', in order, with how the units come out of them.
        node: the layer's own.
        called: the takers' nodes, with their names.
    """

    layer: str
    norms: tuple[str, ...] = ()
    takers: Mapping[str, int] = field(default_factory=dict)
    left: str = ""
    path: Mapping[fx.Node, Passing] = field(default_factory=dict)
    node: fx.Node | None = None
    called: Mapping[fx.Node, str] = field(default_factory=dict)


def units_of(layer: nn.Module) -> int:
    """Return how many output units a layer has."""
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)  # type: ignore[arg-type]


def inputs_of(layer: nn.Module) -> int:
    """Return how many inputs each unit of a layer has."""
    return int(layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)  # type: ignore[arg-type]


def chains(model: nn.Module) -> tuple[nn.Module, dict[str, Chain]]:
    """Return a copy of a model in evaluation mode, and the chain of each of its linear layers and convolutions.

    They are in the order in which the model calls them; those that it does not call come last.
    """
    copied = unhooked(copy.deepcopy(model)).eval()
    layers = {name: m for name, m in copied.named_modules() if isinstance(m, nn.Linear | _ConvNd)}
    try:
        graph = fx.Tracer().trace(copied)
    except Exception as error:  # whatever a forward does with what it gets
        why = f"the forward of {type(model).__name__} cannot be followed: {str(error).partition(chr(10))[0]}"
        return copied, {name: Chain(name, left=why) for name in layers}
    found = _Reading(copied, graph).chains()
    return copied, found | {name: Chain(name, left="it is not called") for name in layers if name not in found}


class _Reading:
    """What a traced graph says."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.model, self.graph = model, graph
        self.modules = dict(model.named_modules())
        self.layers = {node: name for node in graph.nodes if (name := self._layer_of(node)) is not None}
        self.calls = Counter(self.layers.values())
        self.module_calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
        owned = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
        self.tied = {id(p) for p in model.parameters() if owned[id(p)] > 1}
        read = {node.target for node in graph.nodes if node.op == "get_attr" and not self._is_a_layers(node)}
        self.read = {name for name in self.calls if {f"{name}.weight", f"{name}.bias"} & read}

    def _layer_of(self, node: fx.Node) -> str | None:
        """Return which layer a node calls, as a module or, from within its forward, as a function."""
        if node.op == "call_module" and isinstance(self.modules[str(node.target)], nn.Linear | _ConvNd):
            return str(node.target)
        if node.op == "call_function" and node.target in _LAYER_FUNCTIONS and len(node.args) > 1:
            weight = node.args[1]
            if isinstance(weight, fx.Node) and weight.op == "get_attr" and str(weight.target).endswith(".weight"):
                owner = str(weight.target).removesuffix(".weight")
                if isinstance(self.modules.get(owner), nn.Linear | _ConvNd):
                    return owner
        return None

    def _is_a_layers(self, node: fx.Node) -> bool:
        """Return whether a parameter is read for nothing else than calling its own layer."""
        return all(
            user in self.layers and str(node.target).rpartition(".")[0] == self.layers[user] for user in node.users
        )

    def chains(self) -> dict[str, Chain]:
        found: dict[str, Chain] = {}
        for node, name in self.layers.items():
            if name not in found:
                found[name] = self._chain(node, name)
        return found

    def _chain(self, node: fx.Node, name: str) -> Chain:
        layer = self.modules[name]
        if why := self._odd(name):
            return Chain(name, left=why)
        units = units_of(layer)
        start = Passing("last") if isinstance(layer, nn.Linear) else Passing("first", layer.weight.dim() - 2)
        path: dict[fx.Node, Passing] = {node: start}
        norms: list[str] = []
        takers: dict[str, int] = {}
        called: dict[fx.Node, str] = {}
        waiting = [node]
        while waiting:
            at = waiting.pop()
            for user in at.users:
                if user in self.layers and at in user.args[:1]:
                    taker = self.layers[user]
                    count, why = self._taken(taker, path[at], units)
                    if why:
                        return Chain(name, left=why)
                    takers[taker], called[user] = count, taker
                    continue
                module = self.modules[str(user.target)] if user.op == "call_module" else None
                step = passing(user, path[at], module, units)
                if isinstance(step, str):
                    return Chain(name, left=step)
                if step is None:  # it asks for nothing but the size of the batch
                    continue
                if isinstance(module, _BatchNorm):
                    if self.module_calls[str(user.target)] > 1 or module.running_mean is None:
                        return Chain(name, left=f"they pass {user.target}, which is shared or keeps no statistics")
                    norms.append(str(user.target))
                if user not in path:
                    path[user] = step
                    waiting.append(user)
                if path[user].axis != step.axis:
                    return Chain(name, left=f"they meet others in {user.name}")
        for user in path:
            if user is not node and any(
                other not in path and not self._is_number(other) for other in user.all_input_nodes
            ):
                return Chain(name, left=f"they meet others in {user.name}")
        if not takers:
            return Chain(name, left="nothing takes them")
        ordered = {each: path[each] for each in self.graph.nodes if each in path and each is not node}
        return Chain(name, tuple(norms), takers, "", ordered, node, called)

    def _odd(self, name: str) -> str:
        """Return why a layer is not one that can be told of."""
        layer = self.modules[name]
        if self.calls[name] > 1:
            return "it is called more than once"
        if name in self.read:
            return "its parameters are read by themselves"
        if any(id(p) in self.tied for p in layer.parameters()):
            return "its parameters are tied"
        if hasattr(layer, "parametrizations"):
            return "its parameters are computed from others"
        if isinstance(layer, _ConvTransposeNd):
            return "it is a transposed convolution"
        if isinstance(layer, _ConvNd) and layer.groups > 1:
            return "it is a convolution in groups"
        return ""

    def _taken(self, name: str, how: Passing, units: int) -> tuple[int, str]:
        """Return how many inputs of a layer each unit is, or why that cannot be told."""
        layer = self.modules[name]
        if why := self._odd(name):
            return 0, f"they go into {name}, and {why}"
        inputs = inputs_of(layer)
        if isinstance(layer, nn.Linear):
            fits = inputs == units if how.axis == "last" else how.axis == "flat" and inputs % units == 0
        else:
            fits = how.axis == "first" and inputs == units
        return (inputs // units, "") if fits else (0, f"they are not the inputs of {name}, which takes {inputs}")

    def _is_number(self, node: fx.Node) -> bool:
        """Return whether a node is a parameter or buffer of one number, or the size of a batch."""
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            value = getattr(self.modules[owner], name, None)
            return isinstance(value, Tensor) and value.numel() == 1
        return is_batch_size(node)


_LAYER_FUNCTIONS = {F.linear, F.conv1d, F.conv2d, F.conv3d}
