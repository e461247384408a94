"""A model without the units that masks leave nothing of, or that nobody takes: really smaller, and faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from thalweg.prune._chains import Chain, chains, inputs_of, units_of
from thalweg.prune._weights import checked, masked

__all__ = ["Smaller", "smaller"]


@dataclass(frozen=True)
class Smaller:
    """A model made smaller.

    Attributes:
        model: new; of the classes of the first, so that it is saved, loaded and exported as any module.
        masks: what is left of the masks, which its weights keep to: with `held` it may be trained on.
        units: by name of the layers that lost units, how many they had and have.
        left: by name of the layers that kept units of no use, why.
    """

    model: nn.Module
    masks: dict[str, Tensor]
    units: dict[str, tuple[int, int]]
    left: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{name}: {before} units, now {after}" for name, (before, after) in self.units.items()]
        lines += [f"{name}: stays as it is; {why}" for name, why in self.left.items()]
        return "\n".join(lines) or "nothing to take out: every unit is of use"


@torch.no_grad()
def smaller(model: nn.Module, masks: Mapping[str, Tensor]) -> Smaller:
    """Return a model without those units that are of no use under masks.

    These are the output units of linear layers and convolutions that no other layer takes anything from, and those
    that take nothing themselves: the same number whatever the input, which is put into the biases of the layers that
    take it. In evaluation mode the outputs are those of the masked model, to within rounding. A unit may pass batch
    norms, activations, dropout, pooling and flattening on its way. Where its way cannot be told it stays, and its
    layer is named with the reason: a sum with others, as at the end of a residual branch; a norm over all units; a
    convolution in groups; a forward that ``torch.fx`` cannot follow.

    Args:
        model: left as it is; its weights need not be masked yet.
        masks: bool tensors by the parameters' names, True where a weight stays.

    Raises:
        InputError: a mask of another shape or type, or for a parameter that the model has not.

    >>> net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2))
    >>> masks = {"0.weight": torch.tensor([[True] * 4, [False] * 4, [True] * 4])}
    >>> found = smaller(net, masks)
    >>> print(found)
    0: 3 units, now 2
    >>> found.model
    Sequential(
      (0): Linear(in_features=4, out_features=2, bias=False)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=2, bias=True)
    )
    """
    given = checked(model, masks, "smaller")
    copied, found = chains(model)
    modes = {name: module.training for name, module in model.named_modules()}
    kept = {name: mask.clone() for name, (_, mask) in given.items()}
    for name, mask in kept.items():
        p = copied.get_parameter(name)
        p.copy_(masked(p, mask))
    before = {name: units_of(copied.get_submodule(name)) for name in found}
    left: dict[str, str] = {}
    again = True
    while again:  # what is taken out may leave others without use
        again = False
        for chain in found.values():
            why = _take_out(copied, kept, chain)
            again |= why is None
            left.pop(chain.layer, None)
            if why:
                left[chain.layer] = why
    for name, module in copied.named_modules():
        module.training = modes[name]
    after = {name: units_of(copied.get_submodule(name)) for name in found}
    changed = {name: (before[name], after[name]) for name in found if before[name] != after[name]}
    return Smaller(copied, kept, changed, left)


def _take_out(model: nn.Module, masks: dict[str, Tensor], chain: Chain) -> str | None:
    """Take the units of no use out of a layer; return None if there were any, else why some stay, or nothing."""
    layer = model.get_submodule(chain.layer)
    stays = _mask_of(masks, chain.layer, layer).flatten(1).any(1)
    if chain.left:
        useless = "" if bool(stays.all()) else f"{int((~stays).sum())} of its units take nothing, but "
        return useless and useless + chain.left
    taken = torch.zeros_like(stays)
    for name, each in chain.takers.items():
        columns = _mask_of(masks, name, model.get_submodule(name)).transpose(0, 1).flatten(1).any(1)
        taken |= columns.view(-1, each).any(1)
    gone, constant = ~taken, ~stays & taken
    values = _at_takers(model, chain, layer) if bool(constant.any()) else {}
    for name, (value, everywhere) in values.items():
        constant &= _can_be_in_bias(model.get_submodule(name), value, everywhere)
    gone |= constant
    if bool(gone.all()):
        gone[0] = False  # a layer has a unit at least
    for name, (value, _) in values.items():
        _put_into_bias(model.get_submodule(name), torch.where(constant & gone, value, 0.0), chain.takers[name])
    if not bool(gone.any()):
        cut = int((~stays & taken).sum()) if len(gone) > 1 else 0
        return f"{cut} of its units are constants that zero padding would cut at the border" if cut else ""
    _cut(model, masks, chain, (~gone).nonzero().flatten())
    return None


def _mask_of(masks: Mapping[str, Tensor], name: str, layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    mask = masks.get(f"{name}.weight".removeprefix("."))
    return torch.ones_like(weight, dtype=torch.bool) if mask is None else mask.to(weight.device)


def _at_takers(model: nn.Module, chain: Chain, layer: nn.Module) -> dict[str, tuple[Tensor, bool]]:
    """Return what units that take nothing come to, for each layer that takes them, and whether at borders too."""
    bias = layer.bias
    start = torch.zeros(units_of(layer)) if bias is None else bias
    weight = layer.weight
    assert isinstance(start, Tensor)
    assert isinstance(weight, Tensor)
    values: dict[fx.Node | None, Tensor] = {chain.node: start.to(weight).clone().unsqueeze(0)}
    everywhere: dict[fx.Node | None, bool] = {chain.node: True}
    for node, how in chain.path.items():
        source = next(each for each in node.all_input_nodes if each in values)
        everywhere[node] = how.to_the_border and all(everywhere.get(each, True) for each in node.all_input_nodes)
        if how.what == "same":
            values[node] = values[source]
        elif how.what == "normed":
            norm = model.get_submodule(str(node.target))
            assert isinstance(norm, _BatchNorm)
            values[node] = F.batch_norm(
                values[source],
                norm.running_mean,
                norm.running_var,
                norm.weight,
                norm.bias,
                training=False,
                eps=norm.eps,
            )
        else:
            values[node] = _computed(model, node, values)
    ends = {node: [user for user in node.users if user not in chain.path] for node in values if node is not None}
    found = {}
    for node, users in ends.items():
        for user in users:
            name = chain.called.get(user)
            if name is not None:
                found[name] = (values[node][0], everywhere[node])
    return found


def _computed(model: nn.Module, node: fx.Node, values: Mapping[fx.Node | None, Tensor]) -> Tensor:
    """Return what an operation makes of the units' values, number by number."""

    def value(x: fx.Node) -> Tensor:
        if x in values:
            return values[x]
        owner, _, name = str(x.target).rpartition(".")
        found = getattr(model.get_submodule(owner), name)
        assert isinstance(found, Tensor)
        return found

    args = fx.node.map_arg(node.args, value)
    kwargs = fx.node.map_arg(node.kwargs, value)
    if node.op == "call_module":
        made = model.get_submodule(str(node.target))(*args, **kwargs)
    elif node.op == "call_method":
        made = getattr(args[0], str(node.target))(*args[1:], **kwargs)
    else:
        assert callable(node.target)
        made = node.target(*args, **kwargs)
    assert isinstance(made, Tensor)
    return made.clone()


def _can_be_in_bias(layer: nn.Module, values: Tensor, everywhere: bool) -> Tensor:
    """Return which constants a layer that takes them can have in its bias: at borders, padding has other numbers."""
    pads = isinstance(layer, _ConvNd) and layer.padding_mode == "zeros" and _any_padding(layer)
    return (values == 0) | (values.isfinite() & (everywhere and not pads))


def _any_padding(layer: _ConvNd) -> bool:
    if isinstance(layer.padding, str):
        return layer.padding == "same" and any(size > 1 for size in layer.kernel_size)
    return any(layer.padding)


def _put_into_bias(layer: nn.Module, values: Tensor, each: int) -> None:
    """Add what a layer gets from constant units to its bias, which it gets if it has none."""
    if not bool(values.any()):
        return
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if layer.bias is None:
        layer.bias = nn.Parameter(weight.new_zeros(len(weight)), requires_grad=weight.requires_grad)
    bias = layer.bias
    assert isinstance(bias, Tensor)
    per_input = weight.flatten(1) if weight.dim() == 2 else weight.flatten(2).sum(2)
    bias.copy_(bias.double() + per_input.double() @ values.repeat_interleave(each).double())


def _cut(model: nn.Module, masks: dict[str, Tensor], chain: Chain, kept: Tensor) -> None:
    """Keep some units of a layer, in the norms and layers that they go to as well."""

    def shorten(owner: str, name: str, index: Tensor, axis: int = 0) -> None:
        module = model.get_submodule(owner)
        old = getattr(module, name, None)
        if not isinstance(old, Tensor):
            return
        new = old.index_select(axis, index.to(old.device))
        setattr(module, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
        whole = f"{owner}.{name}".removeprefix(".")
        if whole in masks:
            masks[whole] = masks[whole].index_select(axis, index.to(masks[whole].device))

    layer = model.get_submodule(chain.layer)
    units = units_of(layer)
    shorten(chain.layer, "weight", kept)
    shorten(chain.layer, "bias", kept)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", len(kept))
    for name in chain.norms:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shorten(name, part, kept)
        norm = model.get_submodule(name)
        assert isinstance(norm, _BatchNorm)
        norm.num_features = len(kept)
    for name, each in chain.takers.items():
        taker = model.get_submodule(name)
        places = (kept.unsqueeze(1) * each + torch.arange(each, device=kept.device)).flatten()
        assert inputs_of(taker) == units * each
        shorten(name, "weight", places, axis=1)
        setattr(taker, "in_features" if isinstance(taker, nn.Linear) else "in_channels", len(places))
